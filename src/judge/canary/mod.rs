//! Whether a canary is good: proof that it is worse than the release beside it, proof that it is
//! not, or neither yet.
//!
//! A release is never equal to another, so what must be proved is more than a tolerance, and what
//! must be seen is the user's limit. Both arms are measured over the same time, which takes out
//! whatever befalls both. Looking often does not weaken the proof.

pub mod buckets;
pub mod evidence;
pub mod power;
pub mod ratio;
pub mod recording;
mod sentence;

use serde::{Deserialize, Serialize};

use std::f64::consts::{LN_2, LN_10};

use buckets::Buckets;
use evidence::{Bet, Burst, Claim, Counts, Evidence, RESTARTS, Strength};

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

/// Bets that it is well within a limit.
const BELOW: &[Bet] = &[
    Bet::on(0.2, -1.609_437_912_434_100_3),
    Bet::on(0.35, -1.049_822_124_498_677_8),
    Bet::on(0.5, -LN_2),
    Bet::on(0.65, -0.430_782_916_092_454_2),
    Bet::on(0.8, -0.223_143_551_314_209_7),
];

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Settings {
    /// The canary is taken back from so many times the stable release's error rate on.
    pub max_error_ratio: f64,
    /// And from so many times its 95th percentile on.
    pub max_p95_ratio: f64,
    /// Latency counts after so many seconds.
    pub warm_up: f64,
    /// Nothing is called good before so many seconds.
    pub at_least: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_error_ratio: 1.5,
            max_p95_ratio: 1.3,
            warm_up: 60.0,
            at_least: 300.0,
        }
    }
}

/// What was known of the stable release before the canary came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Before {
    /// How many errors came at a time.
    pub error_burst: f64,
    /// How many slow requests did.
    pub slow_burst: f64,
    /// How many times as many slow requests are tolerated; 1 where edges are fine enough.
    pub slow_null: f64,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            error_burst: 1.0,
            slow_burst: 1.0,
            slow_null: 1.0,
        }
    }
}

/// What one arm did in an interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Arm {
    /// Requests.
    pub requests: f64,
    /// Of them, those that failed.
    pub errors: f64,
    /// Of them, those that were slow, by the arm's own edge.
    pub slow: Option<f64>,
    /// Of the canary's, those beyond the user's limit.
    pub beyond_limit: Option<f64>,
    /// How they spread between edges, where that is known.
    pub buckets: Option<Buckets>,
}

/// Both arms over the same interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interval {
    /// Seconds from the canary's first request to the interval's beginning.
    pub from: f64,
    /// And to its end.
    pub to: f64,
    /// The release that is judged.
    pub canary: Arm,
    /// The release beside it.
    pub stable: Arm,
    /// How many times the stable release's 95th percentile the canary's is, for sources that
    /// say so themselves.
    pub p95_ratio: Option<f64>,
}

/// What a look says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is worse, proved, and beyond the user's limit.
    Rollback,
    /// It is worse, proved, and within the limit.
    Warn,
    /// It is within the limits, proved.
    Safe,
    /// Neither yet.
    Inconclusive,
}

impl Verdict {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Warn => "warn",
            Self::Safe => "safe",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// One metric at a look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metric {
    /// The natural logarithm of the evidence that the canary is worse.
    pub ln_worse: f64,
    /// And of the evidence that it is within the limit.
    pub ln_within: f64,
    /// How many times as bad it looks since the beginning that carries the evidence; `None`
    /// where that cannot be told.
    pub ratio: Option<f64>,
    /// How many events come at a time.
    pub burst: f64,
    /// What was counted since then.
    pub counts: Counts,
}

/// A look: the verdict, and what it rests on. Written down, it has its sentence, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// What it says.
    pub verdict: Verdict,
    /// Seconds since the canary began.
    pub at: f64,
    /// Errors.
    pub errors: Metric,
    /// Slow requests; its ratio is that of the 95th percentiles.
    pub latency: Metric,
    settings: Settings,
    looks: u64,
}

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
            begun: 0,
            looks: 0,
        }
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
        let (errors, _) = self.errors.metric(self.error_claims().each_ref());
        let (mut latency, strength) = self.slow.metric(self.slow_claims().each_ref());
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
        } else if errors.ln_within.min(latency.ln_within) >= SAFE_BAR.ln()
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
        // The limit is in the edge that slow requests are counted by.
        [worse, within(1.0)]
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
