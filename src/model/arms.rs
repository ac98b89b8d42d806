//! What each slot did, as somebody counted it: the raw material of every comparison.
//!
//! Counters stand where they stand; what happened in an interval is the difference between two
//! looks. Who says only shares counts nothing, so that is another type: nothing can be proved by
//! it. Nothing here judges, and nothing here knows which slot is the canary.

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

/// What somebody says of a slot who keeps the counts to himself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rate {
    /// Failed among all requests of late, as a share of 1.
    pub error_rate: f64,
    /// The 95th percentile of latency of late, in seconds, where it is said.
    pub p95: Option<f64>,
}

/// What is said of both slots at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rated {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The first slot.
    pub first: Rate,
    /// The second slot.
    pub second: Rate,
}

/// What is known of both slots at one instant, by whoever knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Where counters stand.
    Counted(Stand),
    /// Shares without a count.
    Rated(Rated),
}

/// How many edges latency is counted by where we count it ourselves: eight to an octave, from
/// 10 ms to 2.56 s, so that neighbours are 9 % apart.
const EDGES: i32 = 65;

impl Counters {
    /// Adds what was counted afterwards, by the same edges.
    pub fn include(&mut self, more: &Self) {
        self.requests += more.requests;
        self.errors += more.errors;
        if self.buckets.is_empty() {
            self.buckets.clone_from(&more.buckets);
        } else {
            for ((_, count), (_, new)) in self.buckets.iter_mut().zip(&more.buckets) {
                *count += new;
            }
        }
        self.p95 = more.p95.or(self.p95);
    }

    /// Counters at zero that count latency, too.
    pub fn of_latency() -> Self {
        let edge = |k| (0.01 * 2f64.powf(f64::from(k) / 8.0), 0.0);
        Self {
            buckets: (0..EDGES).map(edge).collect(),
            ..Self::default()
        }
    }

    /// Counts one request, which took so many seconds.
    pub fn add(&mut self, seconds: f64, failed: bool) {
        self.requests += 1.0;
        self.errors += f64::from(u8::from(failed));
        let first = self.buckets.partition_point(|(edge, _)| *edge < seconds);
        for (_, count) in self.buckets.iter_mut().skip(first) {
            *count += 1.0;
        }
    }

    /// What was counted since an earlier look; `None` where counting began anew in between.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.requests < earlier.requests
            || self.errors < earlier.errors
            || self.buckets.len() != earlier.buckets.len()
        {
            return None;
        }
        let pairs = self.buckets.iter().zip(&earlier.buckets);
        let bucket = |((edge, now), (same, then)): (&(f64, f64), &(f64, f64))| {
            (edge == same && now >= then).then_some((*edge, now - then))
        };
        Some(Self {
            requests: self.requests - earlier.requests,
            errors: self.errors - earlier.errors,
            buckets: pairs.map(bucket).collect::<Option<_>>()?,
            p95: self.p95,
        })
    }
}

impl Rated {
    /// What is said of one slot.
    pub const fn of(&self, side: Side) -> &Rate {
        match side {
            Side::First => &self.first,
            Side::Second => &self.second,
        }
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
        let half_anew = Counters {
            buckets: vec![(0.1, 7.0)],
            ..look(25.0, 1.0, 0.0)
        };
        assert_eq!(half_anew.since(&one), None);
    }

    #[test]
    fn a_request_is_in_every_bucket_that_it_was_fast_enough_for() {
        let mut counters = Counters::of_latency();
        for (seconds, failed) in [(0.001, false), (0.01, true), (0.0101, false), (9.0, true)] {
            counters.add(seconds, failed);
        }
        assert_eq!((counters.requests, counters.errors), (4.0, 2.0));
        let (first, last) = (counters.buckets[0], counters.buckets[64]);
        assert_eq!(
            (first, last.1, counters.buckets.len()),
            ((0.01, 2.0), 3.0, 65)
        );
        assert!((last.0 - 2.56).abs() < 1e-12);
    }
}
