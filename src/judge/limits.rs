//! Whether figures keep within their limits: healthy, unhealthy, inconclusive or unknown.
//!
//! No data is not zero: nothing measured is unknown, too little is inconclusive. Unhealthy
//! beats inconclusive, for few requests that nearly all fail are bad.

use std::time::Duration;

use crate::model::figures::Figures;
use crate::platform::text;

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest share of failed requests, of 1.
    pub error_rate: f64,
    /// The largest 95th percentile of latency.
    pub p95: Option<Duration>,
    /// Fewer requests than this decide nothing, unless most of them failed.
    pub min_requests: u64,
}

/// So few failures are never enough by themselves.
const FEWEST_FAILURES: u64 = 3;

/// What the figures say, with the sentence that explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Within all limits.
    Healthy(String),
    /// Past a limit.
    Unhealthy {
        /// The figure: `errors 7.2 %`.
        measured: String,
        /// Its limit: `at most 5 %`.
        limit: String,
    },
    /// Too few requests to tell.
    Inconclusive(String),
    /// Nothing was measured.
    Unknown,
}

impl Verdict {
    /// In one stable word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Healthy(_) => "healthy",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Inconclusive(_) => "inconclusive",
            Self::Unknown => "unknown",
        }
    }
}

/// Judges figures by limits.
pub fn judge(figures: &Figures, limits: &Limits) -> Verdict {
    let (Some(rate), Some(p95)) = (figures.error_rate(), figures.percentile(0.95)) else {
        return Verdict::Unknown;
    };
    let sent = figures.sent();
    let enough = sent >= limits.min_requests;
    let mostly_failed = figures.failed() >= FEWEST_FAILURES && figures.failed() * 2 > sent;
    if rate > limits.error_rate && (enough || mostly_failed) {
        return Verdict::Unhealthy {
            measured: format!(
                "errors {} ({} of {} requests)",
                text::percent(rate),
                text::thousands(figures.failed()),
                text::thousands(sent)
            ),
            limit: format!("errors at most {}", text::percent(limits.error_rate)),
        };
    }
    if let Some(limit) = limits.p95
        && enough
        && p95 > limit
    {
        return Verdict::Unhealthy {
            measured: format!(
                "p95 {} of {}",
                text::duration(p95),
                text::count(sent, "request")
            ),
            limit: format!("p95 at most {}", text::duration(limit)),
        };
    }
    let p95_limit = limits
        .p95
        .map(|limit| format!(" (limit {})", text::duration(limit)))
        .unwrap_or_default();
    let told = format!(
        "errors {} (limit {})   p95 {}{p95_limit}",
        text::percent(rate),
        text::percent(limits.error_rate),
        text::duration(p95),
    );
    if enough {
        Verdict::Healthy(told)
    } else {
        Verdict::Inconclusive(format!(
            "{} of {} that a judgement needs; {told}",
            text::count(sent, "request"),
            text::thousands(limits.min_requests)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        error_rate: 0.05,
        p95: Some(Duration::from_millis(200)),
        min_requests: 20,
    };

    fn verdict(good: u64, failed: u64, ms: u64) -> Verdict {
        let mut figures = Figures::default();
        for i in 0..good + failed {
            figures.add(Duration::from_millis(ms), i >= good);
        }
        judge(&figures, &LIMITS)
    }

    #[test]
    fn no_data_is_not_zero() {
        assert_eq!(verdict(0, 0, 0), Verdict::Unknown);
        assert!(matches!(verdict(19, 0, 10), Verdict::Inconclusive(_)));
    }

    #[test]
    fn unhealthy_beats_inconclusive() {
        assert!(matches!(verdict(1, 3, 10), Verdict::Unhealthy { .. }));
        assert!(
            matches!(verdict(2, 2, 10), Verdict::Inconclusive(_)),
            "two failures may be chance"
        );
    }

    #[test]
    fn a_limit_is_reached_before_it_is_passed() {
        assert!(matches!(verdict(95, 5, 200), Verdict::Healthy(_)));
        assert_eq!(
            verdict(94, 6, 10),
            Verdict::Unhealthy {
                measured: "errors 6 % (6 of 100 requests)".into(),
                limit: "errors at most 5 %".into()
            }
        );
        assert!(matches!(verdict(100, 0, 201), Verdict::Unhealthy { .. }));
    }
}
