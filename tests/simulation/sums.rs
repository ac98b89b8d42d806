//! Judges by statistics of sums: the z-test that is repeated at each look, as people do who wrote
//! one themselves, and the mixture sequential ratio test of experiments (normal approximation).

use super::Outcome;
use super::generator::INTERVAL;
use super::seen::{MINUTE, Seen, slow};

/// What was counted until a look: requests, errors and slow requests.
#[derive(Clone, Copy, Default)]
struct Sum {
    all: f64,
    bad: [f64; 2],
}

/// A z-test at 1 % on errors and on slow requests, at every look.
pub(crate) fn z_test(seen: &Seen) -> Outcome {
    first(seen, true, |[difference, variance], _| {
        difference / variance.sqrt() > 2.326_347_874_040_841
    })
}

/// The mixture test; its bar is 200 for each of both.
pub(crate) fn mixture(seen: &Seen) -> Outcome {
    first(seen, false, |[difference, variance], nth| {
        // How large differences are expected: of error rates, and of shares of slow requests.
        let expected = [0.01_f64, 0.05][nth].powi(2);
        let both = variance + expected;
        let ln = 0.5 * (variance / both).ln()
            + expected * difference * difference / (2.0 * variance * both);
        difference > 0.0 && ln >= 200_f64.ln()
    })
}

/// The first look at which a test says that the canary is worse, given the difference of the
/// shares and its variance, and which of both it is. The variance is that of one pooled share, or
/// of each its own.
fn first(seen: &Seen, pools: bool, is_worse: impl Fn([f64; 2], usize) -> bool) -> Outcome {
    let mut sums = [Sum::default(); 2];
    let arms = seen.trace.canary.iter().zip(&seen.trace.stable);
    for (i, (canary, stable)) in arms.enumerate() {
        for (sum, arm) in sums.iter_mut().zip([canary, stable]) {
            sum.all += arm.requests as f64;
            sum.bad[0] += arm.errors as f64;
            sum.bad[1] += slow(arm, seen.chosen.stable) as f64;
        }
        let [canary, stable] = sums;
        if i + 1 < MINUTE || canary.all == 0.0 || stable.all == 0.0 {
            continue;
        }
        let worse = (0..2).any(|nth| {
            let [one, other] = [canary, stable].map(|it| it.bad[nth] / it.all);
            let variance = if pools {
                let pooled = (canary.bad[nth] + stable.bad[nth]) / (canary.all + stable.all);
                pooled * (1.0 - pooled) * (1.0 / canary.all + 1.0 / stable.all)
            } else {
                one * (1.0 - one) / canary.all + other * (1.0 - other) / stable.all
            };
            variance > 0.0 && is_worse([one - other, variance], nth)
        });
        if worse {
            return Outcome::back((i + 1) * INTERVAL);
        }
    }
    Outcome::default()
}
