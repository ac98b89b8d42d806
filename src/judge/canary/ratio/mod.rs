//! The plain rule: more than so many times the stable release's error rate, or its 95th
//! percentile, over a window, for as long as it takes.
//!
//! It is what people write by hand, and easy to read. It proves nothing: with few requests it
//! takes back most good releases, or, held for minutes, misses most bad ones. [`super::Judge`] is better.

mod sentence;
mod shares;

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::arms::Rate;

use super::buckets::Buckets;
use super::evidence::Counts;
use super::{Interval, Settings, Verdict};

/// The rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Rules {
    /// The limits, the warm-up, and before what nothing is called good.
    #[serde(flatten)]
    pub limits: Settings,
    /// Over so many seconds both are compared.
    pub window: f64,
    /// With fewer requests to either in a window, nothing is compared.
    pub min_requests: f64,
    /// A limit must be passed at every look for so many seconds.
    pub held: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            limits: Settings::default(),
            window: 60.0,
            min_requests: 20.0,
            held: 0.0,
        }
    }
}

/// One metric of both over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Compared {
    /// The canary's: a share of requests, or seconds or whatever the edges are in.
    pub canary: Option<f64>,
    /// The stable release's.
    pub stable: Option<f64>,
    /// How many times as bad the canary is. `None` where that cannot be told, also because the
    /// stable release is without a single error.
    pub ratio: Option<f64>,
    /// From which look on the limit has been passed, in seconds since the canary began.
    pub since: Option<f64>,
}

impl Compared {
    fn of(canary: f64, stable: f64) -> Self {
        Self {
            canary: Some(canary),
            stable: Some(stable),
            ratio: (stable > 0.0).then(|| canary / stable),
            since: None,
        }
    }
}

/// A look: the verdict, and what it rests on. It is never `Warn`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Look {
    /// What it says.
    pub verdict: Verdict,
    /// Seconds since the canary began.
    pub at: f64,
    /// Errors.
    pub errors: Compared,
    /// The 95th percentiles.
    pub latency: Compared,
    #[serde(skip)]
    rules: Rules,
    #[serde(skip)]
    counts: Counts,
    /// The canary's and the stable release's, where nobody counts.
    #[serde(skip)]
    shares: Option<[Rate; 2]>,
    #[serde(skip)]
    is_full: bool,
}

/// A judge by the rule. What it knows can be written down, and read by the run after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    rules: Rules,
    edges: Vec<f64>,
    window: VecDeque<Interval>,
    errors_since: Option<f64>,
    latency_since: Option<f64>,
}

impl Judge {
    /// One that has seen nothing. `edges` are those of all buckets to come, from the lowest up.
    pub const fn new(rules: Rules, edges: Vec<f64>) -> Self {
        Self {
            rules,
            edges,
            window: VecDeque::new(),
            errors_since: None,
            latency_since: None,
        }
    }

    /// Learns between which edges latency is counted. What was seen so far is nothing then.
    pub fn count_between(&mut self, edges: Vec<f64>) {
        self.edges = edges;
        self.forget();
    }

    /// Begins with an empty window.
    pub fn forget(&mut self) {
        self.window.clear();
    }

    /// Takes the next interval, and says what the window shows.
    pub fn look(&mut self, interval: &Interval) -> Look {
        let Rules { limits, window, .. } = self.rules;
        let at = interval.to;
        self.window.push_back(interval.clone());
        while self.window.front().is_some_and(|it| it.to <= at - window) {
            self.window.pop_front();
        }
        let counts = self.counts();
        let fewest = counts.canary.min(counts.stable);
        let shares = self.shares();
        let is_counted = at >= window && fewest > 0.0 && fewest >= self.rules.min_requests;
        let is_full = is_counted || shares.is_some();
        let (mut errors, mut latency) = (Compared::default(), Compared::default());
        if is_full {
            (errors, latency) = match shares {
                Some(shares) => shares::compared(shares),
                None => (of_errors(counts), self.of_latency(interval.p95_ratio)),
            };
            let many = passes(errors, limits.max_error_ratio);
            note(&mut self.errors_since, many, at);
            let slow = passes(latency, limits.max_p95_ratio);
            note(&mut self.latency_since, slow, at);
        }
        errors.since = self.errors_since;
        latency.since = self.latency_since;
        let held = |it: &Compared| it.since.is_some_and(|since| at - since >= self.rules.held);
        let pending = errors.since.or(latency.since).is_some();
        let verdict = if is_full && (held(&errors) || held(&latency)) {
            Verdict::Rollback
        } else if is_full && !pending && at >= limits.at_least {
            Verdict::Safe
        } else {
            Verdict::Inconclusive
        };
        Look {
            verdict,
            at,
            errors,
            latency,
            rules: self.rules,
            counts,
            shares,
            is_full,
        }
    }

    /// Both shares over the window, where nobody counts and the window is full: the mean of its
    /// looks, of which latency counts after the warm-up.
    pub(super) fn shares(&self) -> Option<[Rate; 2]> {
        let Rules { limits, window, .. } = self.rules;
        shares::over(&self.window, window, limits.warm_up)
    }

    fn counts(&self) -> Counts {
        self.window.iter().fold(Counts::default(), |sum, it| {
            sum.plus(Counts {
                canary: it.canary.requests,
                canary_bad: it.canary.errors,
                stable: it.stable.requests,
                stable_bad: it.stable.errors,
            })
        })
    }

    /// From the source's own ratio, or from buckets since the warm-up.
    fn of_latency(&self, told: Option<f64>) -> Compared {
        let warm = |it: &&Interval| it.from >= self.rules.limits.warm_up;
        if !self.window.iter().any(|it| warm(&it)) {
            return Compared::default();
        }
        let [mut canary, mut stable] = [Buckets::default(), Buckets::default()];
        for it in self.window.iter().filter(warm) {
            for (sum, arm) in [(&mut canary, &it.canary), (&mut stable, &it.stable)] {
                if let Some(buckets) = &arm.buckets {
                    sum.add(buckets);
                }
            }
        }
        let canary = canary.quantile(&self.edges, 0.95);
        let stable = stable.quantile(&self.edges, 0.95);
        let ratio = || Some(canary? / stable.filter(|it| *it > 0.0)?);
        Compared {
            canary,
            stable,
            ratio: told.or_else(ratio),
            since: None,
        }
    }
}

fn of_errors(counts: Counts) -> Compared {
    let canary = counts.canary_bad / counts.canary;
    Compared::of(canary, counts.stable_bad / counts.stable)
}

/// Any error is beyond a multiple of none.
fn passes(compared: Compared, limit: f64) -> bool {
    match (compared.ratio, compared.canary, compared.stable) {
        (Some(ratio), _, _) => ratio > limit,
        (None, Some(canary), Some(stable)) => canary > limit * stable,
        _ => false,
    }
}

fn note(since: &mut Option<f64>, is_passed: bool, at: f64) {
    *since = is_passed.then(|| since.unwrap_or(at));
}

#[cfg(test)]
mod tests {
    use super::super::Arm;
    use super::*;

    fn arm(requests: f64, errors: f64, slow: f64) -> Arm {
        Arm {
            requests,
            errors,
            buckets: Some(Buckets::new(vec![requests - slow, slow, 0.0])),
            ..Arm::default()
        }
    }

    /// Looks at intervals of 10 s; each is the canary's requests, errors and slow ones.
    fn looks(rules: Rules, canary: &[(f64, f64, f64)]) -> Vec<Look> {
        let mut judge = Judge::new(rules, vec![0.1, 0.2]);
        let look = |(i, (n, k, slow)): (usize, &(f64, f64, f64))| {
            let text = serde_json::to_string(&judge).unwrap();
            judge = serde_json::from_str(&text).unwrap();
            judge.look(&Interval {
                from: i as f64 * 10.0,
                to: (i + 1) as f64 * 10.0,
                canary: arm(*n, *k, *slow),
                stable: arm(90.0, 0.9, 0.0),
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
    fn one_window_beyond_the_limit_is_enough_if_nothing_else_is_asked() {
        let mut canary = vec![(10.0, 0.1, 0.0); 40];
        canary[20].1 = 0.5;
        let looks = looks(Rules::default(), &canary);
        assert_eq!(first(&looks, Verdict::Rollback), Some(210.0));
        assert_eq!(looks[20].errors.since, Some(210.0));
        assert_eq!(looks[25].errors.since, Some(210.0), "it is in six windows");
        assert_eq!(looks[26].errors.since, None);
        assert_eq!(first(&looks, Verdict::Safe), Some(300.0));
        insta::assert_snapshot!(looks[20].said(), @"errors: canary 1/60 (1.7 %) vs stable 5/540 (1 %), ratio 1.7 (limit 1.5), beyond it; p95 ratio 1.0 (limit 1.3); over the last 60 s, a plain rule, no proof");
        insta::assert_snapshot!(looks[0].said(), @"canary 10 and stable 90 requests in the last 60 s, too few to compare (needs 20 each, after 60 s)");
    }

    #[test]
    fn held_is_at_every_look() {
        let rules = Rules {
            held: 300.0,
            ..Rules::default()
        };
        let bad = vec![(10.0, 0.5, 0.0); 60];
        let all = looks(rules, &bad);
        assert_eq!(first(&all, Verdict::Rollback), Some(360.0));
        assert_eq!(first(&all, Verdict::Safe), None);
        insta::assert_snapshot!(all[35].said(), @"errors: canary 3/60 (5 %) vs stable 5/540 (1 %), ratio 5.0 (limit 1.5), beyond it for 5 m (needs 5 m); p95 ratio 1.0 (limit 1.3); over the last 60 s, a plain rule, no proof");
        let mut better = bad.clone();
        for it in &mut better[20..26] {
            it.1 = 0.0;
        }
        let all = looks(rules, &better);
        assert_eq!(first(&all, Verdict::Rollback), Some(580.0));
        // A window with too few requests neither counts nor begins anew.
        let mut quiet = bad;
        for it in &mut quiet[30..40] {
            *it = (0.0, 0.0, 0.0);
        }
        let all = looks(rules, &quiet);
        assert_eq!(first(&all, Verdict::Rollback), Some(420.0));
        assert_eq!(all[38].verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_slow_canary_counts_after_its_warm_up() {
        let mut canary = vec![(10.0, 0.0, 5.0); 20];
        assert_eq!(
            first(&looks(Rules::default(), &canary), Verdict::Rollback),
            Some(70.0)
        );
        for it in &mut canary[6..] {
            it.2 = 0.0;
        }
        let all = looks(Rules::default(), &canary);
        assert_eq!(first(&all, Verdict::Rollback), None);
    }

    #[test]
    fn any_error_is_beyond_a_release_without_one() {
        let mut judge = Judge::new(Rules::default(), Vec::new());
        let look = judge.look(&Interval {
            to: 60.0,
            canary: Arm {
                requests: 60.0,
                errors: 1.0,
                ..Arm::default()
            },
            stable: Arm {
                requests: 540.0,
                ..Arm::default()
            },
            ..Interval::default()
        });
        assert_eq!(look.verdict, Verdict::Rollback);
        insta::assert_snapshot!(look.said(), @"errors: canary 1/60 (1.7 %) vs stable 0/540 (0 %), ratio without end (limit 1.5), beyond it; p95 ratio unknown (limit 1.3); over the last 60 s, a plain rule, no proof");
    }

    #[test]
    fn too_few_requests_are_not_compared() {
        let all = looks(Rules::default(), &[(3.0, 3.0, 3.0); 60]);
        assert_eq!(all[59].verdict, Verdict::Inconclusive);
        assert_eq!(all[59].errors, Compared::default());
        let none = looks(
            Rules {
                min_requests: 0.0,
                ..Rules::default()
            },
            &[(0.0, 0.0, 0.0); 60],
        );
        assert_eq!(none[59].verdict, Verdict::Inconclusive);
    }
}
