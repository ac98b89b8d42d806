//! Shares without a count, as a plain rule takes them: the mean of the looks in its window. How
//! many requests they are of nobody knows, so a minimum of requests cannot be asked for.

use std::collections::VecDeque;

use crate::model::arms::Rate;

use super::{Compared, Interval};

/// Both over a full window of so many seconds: the canary's and the stable release's. Latency is
/// that of looks that began after the warm-up. `None` where somebody counts.
pub(super) fn over(looks: &VecDeque<Interval>, window: f64, warm_up: f64) -> Option<[Rate; 2]> {
    let (first, last) = (looks.front()?, looks.back()?);
    // The looks must reach back over all of the window, not only a part of it.
    if first.from > last.to - window {
        return None;
    }
    let all = looks.iter().map(|look| Some((look.from, look.shares?)));
    let all: Vec<(f64, [Rate; 2])> = all.collect::<Option<_>>()?;
    let mean = |of: &dyn Fn(&Rate) -> Option<f64>, nth: usize, from: f64| {
        let some = all.iter().filter(|(at, _)| *at >= from);
        let some: Vec<f64> = some.filter_map(|(_, both)| of(&both[nth])).collect();
        (!some.is_empty()).then(|| some.iter().sum::<f64>() / some.len() as f64)
    };
    let rate = |nth| {
        Some(Rate {
            error_rate: mean(&|it| Some(it.error_rate), nth, 0.0)?,
            p95: mean(&|it| it.p95, nth, warm_up),
        })
    };
    Some([rate(0)?, rate(1)?])
}

/// Errors and latency of both, beside each other.
pub(super) fn compared([canary, stable]: [Rate; 2]) -> (Compared, Compared) {
    let latency = match (canary.p95, stable.p95) {
        (Some(canary), Some(stable)) => Compared::of(canary, stable),
        _ => Compared::default(),
    };
    (Compared::of(canary.error_rate, stable.error_rate), latency)
}

#[cfg(test)]
mod tests {
    use super::super::{Judge, Look, Rules};
    use super::*;
    use crate::judge::canary::Verdict;

    /// Looks at intervals of 10 s; each is the canary's share of errors and its p95.
    fn looks(canary: &[(f64, f64)]) -> Vec<Look> {
        let mut judge = Judge::new(Rules::default(), Vec::new());
        let rate = |error_rate, p95| Rate {
            error_rate,
            p95: Some(p95),
        };
        let look = |(i, (errors, p95)): (usize, &(f64, f64))| {
            let text = serde_json::to_string(&judge).unwrap();
            judge = serde_json::from_str(&text).unwrap();
            judge.look(&Interval {
                from: i as f64 * 10.0,
                to: (i + 1) as f64 * 10.0,
                shares: Some([rate(*errors, *p95), rate(0.01, 0.2)]),
                ..Interval::default()
            })
        };
        canary.iter().enumerate().map(look).collect()
    }

    fn first(looks: &[Look], verdict: Verdict) -> Option<f64> {
        let found = looks.iter().find(|look| look.verdict == verdict);
        found.map(|look| look.at)
    }

    #[test]
    fn shares_are_compared_over_a_full_window() {
        let good = looks(&[(0.01, 0.21); 40]);
        assert_eq!(first(&good, Verdict::Rollback), None);
        assert_eq!(first(&good, Verdict::Safe), Some(300.0));
        assert_eq!(good[4].errors, Compared::default());
        let bad = looks(&[(0.016, 0.21); 40]);
        assert_eq!(first(&bad, Verdict::Rollback), Some(60.0));
        insta::assert_snapshot!(bad[5].said(), @"errors: canary 1.6 % vs stable 1 %, ratio 1.6 (limit 1.5), beyond it; p95 unknown; shares over the last 60 s that nobody counted, a plain rule, no proof");
        // Once more is no more than a sixth of the window.
        let mut once = vec![(0.01, 0.21); 40];
        once[20].0 = 0.03;
        assert_eq!(first(&looks(&once), Verdict::Rollback), None);
    }

    #[test]
    fn latency_counts_after_the_warm_up() {
        let slow = looks(&[(0.01, 0.3); 40]);
        assert_eq!(first(&slow, Verdict::Rollback), Some(70.0));
        assert_eq!(slow[5].latency, Compared::default());
        let mut cold = vec![(0.01, 3.0); 40];
        for it in &mut cold[6..] {
            it.1 = 0.2;
        }
        assert_eq!(first(&looks(&cold), Verdict::Rollback), None);
    }
}
