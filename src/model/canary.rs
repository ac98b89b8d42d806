//! A look at a canary, as data for whoever shows or records it.

use serde::{Deserialize, Serialize};

/// What one arm did, in the interval of a look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Seen {
    /// Requests.
    pub requests: f64,
    /// Of them, those that failed.
    pub errors: f64,
    /// The share of failed requests, where only that is said, and nothing is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_rate: Option<f64>,
    /// The 95th percentile of latency, in seconds, where that is known.
    pub p95: Option<f64>,
    /// Of the requests, those that were slow, by the arm's own edge.
    pub slow: Option<f64>,
    /// Of the canary's, those beyond the user's limit.
    pub beyond_limit: Option<f64>,
    /// Requests between the edges of latency, where they are counted so.
    pub buckets: Option<Vec<f64>>,
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
#[serde(default, rename_all = "kebab-case")]
pub struct Glance {
    /// Seconds since the canary got its first traffic.
    pub at: f64,
    /// The same at the beginning of what was looked at.
    pub from: f64,
    /// The step of the ladder, from 1.
    pub step: u32,
    /// How many steps there are.
    pub steps: u32,
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
    /// How many times the stable release's 95th percentile the canary's is, as its source says.
    pub p95_ratio: Option<f64>,
    /// What the judge knew before this look, where that does not follow from the look before.
    pub judge: Option<serde_json::Value>,
}

/// A canary that a run leaves at a step, and that the next run goes on with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Standing {
    /// The release.
    pub release: String,
    /// Its slot.
    pub slot: String,
    /// Its share of traffic, in percent.
    pub weight: u8,
    /// Whether it waits for somebody to allow the next step; else it is held.
    pub waits: bool,
    /// All that is known of it, in a form for the next run alone.
    pub state: serde_json::Value,
}
