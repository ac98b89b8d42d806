//! Judges with limits of their own, which look at the canary alone: a threshold with a duration,
//! Argo Rollouts' analysis and Flagger's, as their documentation sets them up.

use super::Outcome;
use super::seen::{Seen, Window};

/// Seconds for which a threshold must be passed.
const HELD: usize = 300;

/// Above 5 % of errors at every look for five minutes.
pub(crate) fn threshold(seen: &Seen) -> Outcome {
    let mut since = None;
    for (at, window) in seen.looks() {
        if window.errors > 0.05 {
            if at - *since.get_or_insert(at) >= HELD {
                return Outcome::back(at);
            }
        } else if !window.errors.is_nan() {
            since = None;
        }
    }
    Outcome::default()
}

/// Argo's, as its documentation has it: 5 % of errors, a p95 of 350 ms.
pub(crate) fn argo(seen: &Seen) -> Outcome {
    argo_with(seen, 0.05)
}

/// Argo's, nearer to what this service does: 2 %.
pub(crate) fn argo_tuned(seen: &Seen) -> Outcome {
    argo_with(seen, 0.02)
}

/// Two metrics, each of which may fail three times in all.
fn argo_with(seen: &Seen, most: f64) -> Outcome {
    let mut failed = [0; 2];
    for (at, window) in seen.looks() {
        // A figure that is missing does not fulfil a condition either.
        let passed = [window.errors <= most, window.p95 <= 350.0];
        for (failed, passed) in failed.iter_mut().zip(passed) {
            *failed += u32::from(!passed);
        }
        if failed.iter().any(|failed| *failed > 3) {
            return Outcome::back(at);
        }
    }
    Outcome::default()
}

/// Flagger's: 1 % of errors and a p99 of 500 ms, five failed checks in all.
pub(crate) fn flagger(seen: &Seen) -> Outcome {
    let passes = |it: &Window| it.errors <= 0.01 && it.p99 <= 500.0;
    let mut failed = 0;
    for (at, window) in seen.looks() {
        failed += u32::from(!passes(window));
        if failed >= 5 {
            return Outcome::back(at);
        }
    }
    Outcome::default()
}
