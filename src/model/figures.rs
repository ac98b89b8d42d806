//! What a load of requests felt like: how many, how many failed, how fast.
//!
//! Latencies are kept one by one and percentiles are exact (nearest rank). A figure that
//! nothing was measured for is `None`, never zero.

use std::time::Duration;

use serde::Serialize;

/// Counts and latencies of requests. Latencies are those of all requests, failed ones included.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    sent: u64,
    failed: u64,
    latencies: Vec<Duration>,
}

/// The figures as numbers, for outputs and messages. Milliseconds, shares of 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Requests sent.
    pub requests_sent: u64,
    /// Requests that got no answer or one of 500 and above.
    pub requests_failed: u64,
    /// Failed among sent.
    pub error_rate: Option<f64>,
    /// Half were faster.
    pub p50_ms: Option<f64>,
    /// 95 of 100 were faster.
    pub p95_ms: Option<f64>,
    /// 99 of 100 were faster.
    pub p99_ms: Option<f64>,
    /// The slowest.
    pub slowest_ms: Option<f64>,
}

impl Figures {
    /// Adds one request.
    pub fn add(&mut self, took: Duration, failed: bool) {
        self.sent += 1;
        self.failed += u64::from(failed);
        self.latencies.push(took);
    }

    /// Requests sent.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    /// Requests failed.
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// Failed among sent; `None` where nothing was sent.
    pub fn error_rate(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.failed as f64 / self.sent as f64)
    }

    /// The latency that `share` (0 to 1) of the requests did not exceed, by nearest rank.
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        if self.latencies.is_empty() {
            return None;
        }
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.clamp(1, sorted.len()) - 1).copied()
    }

    /// The slowest request.
    pub fn slowest(&self) -> Option<Duration> {
        self.latencies.iter().max().copied()
    }

    /// All of it as numbers.
    pub fn summary(&self) -> Summary {
        let ms = |d: Option<Duration>| d.map(|d| (d.as_secs_f64() * 1e5).round() / 100.0);
        Summary {
            requests_sent: self.sent,
            requests_failed: self.failed,
            error_rate: self.error_rate(),
            p50_ms: ms(self.percentile(0.50)),
            p95_ms: ms(self.percentile(0.95)),
            p99_ms: ms(self.percentile(0.99)),
            slowest_ms: ms(self.slowest()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact() {
        let mut figures = Figures::default();
        for ms in (1..=100).rev() {
            figures.add(Duration::from_millis(ms), ms > 98);
        }
        assert_eq!(figures.percentile(0.95), Some(Duration::from_millis(95)));
        assert_eq!(figures.percentile(0.0), Some(Duration::from_millis(1)));
        assert_eq!(figures.percentile(1.0), Some(Duration::from_millis(100)));
        assert_eq!(figures.error_rate(), Some(0.02));
    }

    #[test]
    fn nothing_measured_is_not_zero() {
        let none = Figures::default().summary();
        assert_eq!((none.error_rate, none.p95_ms), (None, None));
    }
}
