//! What a judge of canaries is told and what it says.

use serde::{Deserialize, Serialize};

use super::buckets::Buckets;
use super::evidence::Counts;
use crate::model::arms::Rate;

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
    /// Fewer errors than this share are good, whatever the ratio; 0 where the ratio is all.
    pub negligible_error_rate: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_error_ratio: 1.5,
            max_p95_ratio: 1.3,
            warm_up: 60.0,
            at_least: 300.0,
            negligible_error_rate: 0.0,
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
    /// How many times as many are within the limit; 1 likewise.
    pub slow_within: f64,
    /// Whether latency is counted at all; where it is not, errors alone decide.
    pub latency: bool,
    /// Whether the stable release is faster than the lowest edge: then how much slower the canary
    /// is cannot be told, only whether it is so fast, too.
    pub fast: bool,
}

impl Default for Before {
    fn default() -> Self {
        Self {
            error_burst: 1.0,
            slow_burst: 1.0,
            slow_null: 1.0,
            slow_within: 1.0,
            latency: true,
            fast: false,
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
    /// What is said of the canary and of the stable release where nobody counts. Proof has no
    /// use for it; a plain rule compares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<[Rate; 2]>,
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
    pub(super) settings: Settings,
    pub(super) looks: u64,
}
