//! Whether a canary is good: proof that it is worse than the release beside it, proof that it is
//! not, or neither yet.
//!
//! A release is never equal to another, so what must be proved is more than a tolerance, and what
//! must be seen is the user's limit. Both arms are measured over the same time, which takes out
//! whatever befalls both. Looking often does not weaken the proof.

pub mod buckets;
pub mod counting;
pub mod course;
pub mod evidence;
pub mod glances;
pub mod jury;
pub mod power;
pub mod ratio;
pub mod recording;
mod sentence;
mod words;

use serde::{Deserialize, Serialize};

use std::f64::consts::{LN_2, LN_10};

use buckets::Buckets;
use evidence::{Bet, Burst, Claim, Counts, Evidence, RESTARTS, Strength, ln_few};
pub use words::{Arm, Before, Interval, Look, Metric, Settings, Verdict};

/// The bar for "it is worse": two metrics share a chance of 5 % for a false alarm.
pub const BAR: f64 = 40.0;

/// The bar for "it is not".
pub const SAFE_BAR: f64 = 20.0;

/// Proof is begun anew so often, in seconds.
const ANEW: f64 = 300.0;

/// Fewer errors of the canary than this prove nothing.
const FEWEST_ERRORS: f64 = 3.0;

/// Nor does a smaller difference between the rates.
const LEAST_DIFFERENCE: f64 = 0.001;

/// "At most 1.1 times as many errors."
const ERRORS: Claim = Claim {
    null: 1.1,
    alternatives: &[
        Bet::on(1.4, 0.336_472_236_621_212_9),
        Bet::on(2.0, LN_2),
        Bet::on(4.0, 2.0 * LN_2),
        Bet::on(10.0, LN_10),
    ],
    restarts: true,
};

/// So large a share is slower than the 95th percentile.
const SLOW: f64 = 0.05;

/// Bets that it is well within a limit.
const BELOW: &[Bet] = &[
    Bet::on(0.2, -1.609_437_912_434_100_3),
    Bet::on(0.35, -1.049_822_124_498_677_8),
    Bet::on(0.5, -LN_2),
    Bet::on(0.65, -0.430_782_916_092_454_2),
    Bet::on(0.8, -0.223_143_551_314_209_7),
];

/// A judge of one canary. What it knows can be written down, and read by the run after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    settings: Settings,
    before: Before,
    edges: Vec<f64>,
    errors: Track,
    slow: Track,
    /// Both arms' latencies since the warm-up, now and at each beginning.
    spread: [Buckets; 2],
    spreads: Vec<[Buckets; 2]>,
    ratio: Option<f64>,
    /// The canary's requests since the warm-up, and those beyond the limit's edge.
    #[serde(default)]
    limited: (f64, f64),
    begun: usize,
    looks: u64,
}

/// One metric's counts and bets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Track {
    worse: Evidence,
    within: Evidence,
    burst: Burst,
    total: Counts,
    starts: Vec<Counts>,
}

impl Track {
    fn after(burst: f64) -> Self {
        Self {
            worse: Evidence::default(),
            within: Evidence::default(),
            burst: Burst::after(burst),
            total: Counts::default(),
            starts: Vec::new(),
        }
    }

    fn begin(&mut self) {
        self.worse.begin();
        self.starts.push(self.total);
    }

    fn add(&mut self, [worse, within]: [&Claim; 2], counts: Counts, within_limit: Counts) {
        self.worse.add(worse, counts);
        self.within.add(within, within_limit);
        self.burst.add(counts.canary, counts.canary_bad);
        self.total = self.total.plus(counts);
    }

    fn metric(&self, [worse, within]: [&Claim; 2]) -> (Metric, Strength) {
        let burst = self.burst.size();
        let strength = self.worse.strength(worse, burst);
        let earlier = strength
            .start
            .checked_sub(1)
            .and_then(|nth| self.starts.get(nth));
        let counts = self.total.since(earlier.copied().unwrap_or_default());
        let metric = Metric {
            ln_worse: strength.ln,
            ln_within: self.within.strength(within, burst).ln,
            ratio: counts.ratio(),
            burst,
            counts,
        };
        (metric, strength)
    }
}

impl Judge {
    /// One that has seen nothing. `edges` are those of all buckets to come, from the lowest up.
    pub fn new(settings: Settings, before: Before, edges: Vec<f64>) -> Self {
        Self {
            settings,
            before,
            edges,
            errors: Track::after(before.error_burst),
            slow: Track::after(before.slow_burst),
            spread: Default::default(),
            spreads: Vec::new(),
            ratio: None,
            limited: (0.0, 0.0),
            begun: 0,
            looks: 0,
        }
    }

    /// Learns how many slow requests are tolerated, where that was not known before.
    pub const fn tolerate(&mut self, before: Before) {
        self.before.slow_null = before.slow_null;
        self.before.slow_within = before.slow_within;
        self.before.fast = before.fast;
    }

    /// Learns between which edges latency is counted, where the canary counts by others than were
    /// expected. What was proved of latency is nothing then.
    pub fn count_between(&mut self, edges: Vec<f64>, before: Before) {
        self.before.latency = !edges.is_empty();
        self.tolerate(before);
        self.limited = (0.0, 0.0);
        self.edges = edges;
        self.slow = Track::after(self.before.slow_burst);
        self.spread = Default::default();
        for _ in 0..self.begun {
            self.slow.begin();
        }
        self.spreads = vec![self.spread.clone(); self.begun];
    }

    /// Takes the next interval, and says what all of them show.
    pub fn look(&mut self, interval: &Interval) -> Look {
        while self.begun < RESTARTS && interval.from >= ANEW * (self.begun + 1) as f64 {
            self.begun += 1;
            self.errors.begin();
            self.slow.begin();
            self.spreads.push(self.spread.clone());
        }
        self.looks += 1;
        let (canary, stable) = (&interval.canary, &interval.stable);
        let counts = |canary_bad, stable_bad| Counts {
            canary: canary.requests,
            canary_bad,
            stable: stable.requests,
            stable_bad,
        };
        let errors = counts(canary.errors, stable.errors);
        self.errors
            .add(self.error_claims().each_ref(), errors, errors);
        if interval.from >= self.settings.warm_up {
            if let (Some(slow), Some(stable_slow)) = (canary.slow, stable.slow) {
                let beyond = canary.beyond_limit.unwrap_or(slow);
                let claims = self.slow_claims();
                let limited = counts(beyond, stable_slow);
                self.limited.0 += canary.requests;
                self.limited.1 += beyond;
                self.slow
                    .add(claims.each_ref(), counts(slow, stable_slow), limited);
            }
            for (sum, arm) in self.spread.iter_mut().zip([canary, stable]) {
                if let Some(buckets) = &arm.buckets {
                    sum.add(buckets);
                }
            }
        }
        self.ratio = interval.p95_ratio;
        self.judged(interval.to)
    }

    fn judged(&self, at: f64) -> Look {
        let (mut errors, _) = self.errors.metric(self.error_claims().each_ref());
        // Where hardly anything fails, or all is faster than can be told, no ratio can be proved;
        // that there is so little of it can.
        let all = self.errors.total;
        let few = ln_few(
            BELOW,
            all.canary,
            all.canary_bad,
            self.settings.negligible_error_rate,
        );
        errors.ln_within = errors.ln_within.max(few);
        let (mut latency, strength) = self.slow.metric(self.slow_claims().each_ref());
        if self.before.fast {
            let (all, beyond) = self.limited;
            latency.ln_within = latency.ln_within.max(ln_few(BELOW, all, beyond, SLOW));
        }
        latency.ratio = self.ratio.or_else(|| self.p95_ratio(strength.start));
        let bar = BAR.ln();
        let difference = errors.counts.canary_rate().unwrap_or(0.0) - errors.counts.stable_rate();
        let errors_worse = errors.ln_worse >= bar
            && errors.counts.canary_bad >= FEWEST_ERRORS
            && difference >= LEAST_DIFFERENCE;
        let slower = latency.ln_worse >= bar;
        let beyond = |ratio: Option<f64>, limit: f64| ratio.is_some_and(|ratio| ratio >= limit);
        let verdict = if errors_worse && beyond(errors.ratio, self.settings.max_error_ratio)
            || slower && beyond(latency.ratio, self.settings.max_p95_ratio)
        {
            Verdict::Rollback
        } else if errors_worse || slower {
            Verdict::Warn
        } else if errors.ln_within >= SAFE_BAR.ln()
            && (latency.ln_within >= SAFE_BAR.ln() || !self.before.latency)
            && at >= self.settings.at_least
        {
            Verdict::Safe
        } else {
            Verdict::Inconclusive
        };
        Look {
            verdict,
            at,
            errors,
            latency,
            settings: self.settings,
            looks: self.looks,
        }
    }

    /// How the 95th percentiles compare since a beginning.
    fn p95_ratio(&self, start: usize) -> Option<f64> {
        let earlier = start.checked_sub(1).and_then(|nth| self.spreads.get(nth));
        let [canary, stable] = [0, 1].map(|arm| {
            let then = earlier.map(|both| &both[arm]);
            self.spread[arm].quantile_since(then, &self.edges, 0.95)
        });
        Some(canary? / stable?)
    }

    fn error_claims(&self) -> [Claim; 2] {
        [ERRORS, within(self.settings.max_error_ratio)]
    }

    fn slow_claims(&self) -> [Claim; 2] {
        let worse = Claim {
            null: self.before.slow_null,
            ..ERRORS
        };
        // The limit is in the edge that slow requests are counted by, where edges are fine enough.
        [worse, within(self.before.slow_within)]
    }
}

/// "At least as bad as the limit."
const fn within(limit: f64) -> Claim {
    Claim {
        null: limit,
        alternatives: BELOW,
        restarts: false,
    }
}
