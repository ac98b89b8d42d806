//! A look at a canary, as data for whoever shows or records it.

use serde::{Deserialize, Serialize};

/// What one arm did, in the interval of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Seen {
    /// Requests.
    pub requests: f64,
    /// Of them, those that failed.
    pub errors: f64,
    /// The 95th percentile of latency, in seconds, where that is known.
    pub p95: Option<f64>,
}

/// What is proved of one metric so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Proved {
    /// The natural logarithm of the evidence that the canary is worse.
    pub ln_worse: f64,
    /// And of the evidence that it is within the limit.
    pub ln_within: f64,
    /// How many times as bad as the stable release it looks, where that can be told.
    pub ratio: Option<f64>,
}

/// A look at both arms, with what it led to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Glance {
    /// Seconds since the canary got its first traffic.
    pub at: f64,
    /// The step of the ladder, from 1.
    pub step: u32,
    /// The canary's share of traffic, in percent.
    pub weight: u8,
    /// `rollback`, `warn`, `safe`, `inconclusive` or `no-data`.
    pub verdict: String,
    /// Why, in a sentence.
    pub said: String,
    /// The release that is judged.
    pub canary: Seen,
    /// The release beside it.
    pub stable: Seen,
    /// Errors.
    pub errors: Proved,
    /// Slow requests.
    pub latency: Proved,
    /// The bar for "worse", as a natural logarithm; 0 where none is used.
    pub ln_bar: f64,
    /// The bar for "within the limits", likewise.
    pub ln_safe_bar: f64,
}
