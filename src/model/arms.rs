//! What each slot did, as somebody counted it: the raw material of every comparison.
//!
//! Counters stand where they stand; what happened in an interval is the difference between two
//! looks. Nothing here judges, and nothing here knows which slot is the canary.

use serde::{Deserialize, Serialize};

use super::slot::Side;

/// Where the counters of one slot stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Counters {
    /// Requests answered since counting began.
    pub requests: f64,
    /// Of them, those that failed.
    pub errors: f64,
    /// How long they took: requests no slower than each edge, in seconds, from the lowest up;
    /// empty where latency is not counted. Requests beyond the last edge are in `requests` only.
    pub buckets: Vec<(f64, f64)>,
    /// The 95th percentile of late, in seconds, for whoever says only that.
    pub p95: Option<f64>,
}

/// Where the counters of both slots stand at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stand {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The first slot.
    pub first: Counters,
    /// The second slot.
    pub second: Counters,
}

impl Counters {
    /// What was counted since an earlier look; `None` where counting began anew in between.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let edges = |it: &Self| it.buckets.iter().map(|(edge, _)| *edge).collect::<Vec<_>>();
        if self.requests < earlier.requests
            || self.errors < earlier.errors
            || edges(self) != edges(earlier)
        {
            return None;
        }
        let buckets = self.buckets.iter().zip(&earlier.buckets);
        Some(Self {
            requests: self.requests - earlier.requests,
            errors: self.errors - earlier.errors,
            buckets: buckets
                .map(|((edge, now), (_, then))| (*edge, (now - then).max(0.0)))
                .collect(),
            p95: self.p95,
        })
    }
}

impl Stand {
    /// One slot's counters.
    pub const fn of(&self, side: Side) -> &Counters {
        match side {
            Side::First => &self.first,
            Side::Second => &self.second,
        }
    }

    /// What both slots did since an earlier look; `None` where counting began anew in between.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self {
            at: self.at,
            first: self.first.since(&earlier.first)?,
            second: self.second.since(&earlier.second)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_what_came_between_two_looks() {
        let look = |requests, errors, fast| Counters {
            requests,
            errors,
            buckets: vec![(0.1, fast)],
            p95: None,
        };
        let (one, two) = (look(10.0, 1.0, 8.0), look(25.0, 1.0, 20.0));
        assert_eq!(two.since(&one), Some(look(15.0, 0.0, 12.0)));
        // The process was started again: its counters are those of another life.
        assert_eq!(one.since(&two), None);
        let coarser = Counters {
            buckets: vec![(0.2, 21.0)],
            ..two
        };
        assert_eq!(coarser.since(&one), None);
    }
}
