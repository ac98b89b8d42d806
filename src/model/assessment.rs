//! What a figure came to: its value beside its bound, and one of four words for it.

use serde::Serialize;

use super::metric::Unit;
use super::severity::Severity;

/// What is known of something that should be well. No data is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Within its bounds.
    Healthy,
    /// Past a bound, and not for long enough; or too few requests to tell.
    Inconclusive,
    /// Nothing was measured.
    Unknown,
    /// Past its bound.
    Unhealthy,
}

impl Health {
    /// In one stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Inconclusive => "inconclusive",
            Self::Unknown => "unknown",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// A figure, and what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The metric's name: `error-rate`.
    pub metric: String,
    /// Where it comes from: `prober, 50 a second`.
    pub source: String,
    /// What its values are.
    pub unit: Unit,
    /// The value, where there is one: a share of 1, seconds, or a number.
    pub value: Option<f64>,
    /// How many requests failed of those that it was measured on, where that was counted.
    pub failed: Option<u64>,
    /// How many requests it was measured on, where that was counted.
    pub requests: Option<u64>,
    /// The bound that it was held against; `None` for a figure without a threshold.
    pub bound: Option<Bound>,
    /// What is known of it; of a figure without a threshold, whether there is a value at all.
    pub health: Health,
    /// How long it is past the bound, and since when: `5 m since 10:02Z`; else empty.
    pub lasted: String,
    /// In a line, with its bound: `7.3 % (above 5 % for 5 m since 10:02Z; 183 of 2,507 requests)`.
    pub said: String,
}

/// A bound as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `above 5 %`.
    pub told: String,
    /// For how long: `5 m`; empty where once is enough.
    pub duration: String,
    /// How much it matters.
    pub severity: Severity,
}

impl Bound {
    /// `above 5 % for 5 m`.
    pub fn whole(&self) -> String {
        match self.duration.as_str() {
            "" => self.told.clone(),
            duration => format!("{} for {duration}", self.told),
        }
    }
}
