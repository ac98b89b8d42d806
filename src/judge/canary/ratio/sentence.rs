//! A look by the plain rule, in a sentence. It says that it proves nothing, and where it rests on
//! shares alone, that nobody counted.

use std::time::Duration;

use crate::model::arms::Rate;
use crate::platform::text;

use super::{Compared, Look, Rules};

impl Look {
    /// Why, in a sentence.
    pub fn said(&self) -> String {
        let limits = self.rules.limits;
        let counts = self.counts;
        let count = |n: f64| text::thousands(n.round().max(0.0) as u64);
        let window = seconds(self.rules.window);
        if !self.is_full {
            return format!(
                "canary {} and stable {} requests in the last {window}, too few to compare (needs {} each, after {window})",
                count(counts.canary),
                count(counts.stable),
                count(self.rules.min_requests.max(1.0)),
            );
        }
        let (errors, latency) = (self.errors, self.latency);
        let arm = |bad: f64, all: f64| {
            let rate = text::percent(bad / all);
            format!("{}/{} ({rate})", count(bad), count(all))
        };
        if let Some(shares) = &self.shares {
            return self.of_shares(shares);
        }
        let times = |it: &Compared, other: &str| {
            it.ratio
                .map_or_else(|| other.to_owned(), |ratio| format!("{ratio:.1}"))
        };
        format!(
            "errors: canary {} vs stable {}, ratio {} (limit {}){}; p95 ratio {} (limit {}){}; over the last {window}, a plain rule, no proof",
            arm(counts.canary_bad, counts.canary),
            arm(counts.stable_bad, counts.stable),
            times(
                &errors,
                if counts.canary_bad > 0.0 {
                    "without end"
                } else {
                    "none"
                }
            ),
            limits.max_error_ratio,
            self.lasts(&errors),
            times(&latency, "unknown"),
            limits.max_p95_ratio,
            self.lasts(&latency),
        )
    }

    /// How long a limit has been passed.
    fn lasts(&self, it: &Compared) -> String {
        it.since.map_or_else(String::new, |since| {
            let (long, held) = (seconds(self.at - since), self.rules.held);
            if held > 0.0 {
                format!(", beyond it for {long} (needs {})", seconds(held))
            } else {
                ", beyond it".to_owned()
            }
        })
    }

    fn of_shares(&self, [canary, stable]: &[Rate; 2]) -> String {
        let Rules { limits, window, .. } = self.rules;
        let ratio = |it: &Compared, none: &str| {
            it.ratio
                .map_or_else(|| none.to_owned(), |ratio| format!("{ratio:.1}"))
        };
        let (errors, latency) = (&self.errors, &self.latency);
        let p95 = match (canary.p95, stable.p95) {
            (Some(canary), Some(stable)) => format!(
                "p95: canary {} vs stable {}, ratio {} (limit {}){}",
                seconds(canary),
                seconds(stable),
                ratio(latency, "without end"),
                limits.max_p95_ratio,
                self.lasts(latency),
            ),
            _ => "p95 unknown".to_owned(),
        };
        format!(
            "errors: canary {} vs stable {}, ratio {} (limit {}){}; {p95}; shares over the last {} that nobody counted, a plain rule, no proof",
            text::percent(canary.error_rate),
            text::percent(stable.error_rate),
            ratio(
                errors,
                if canary.error_rate > 0.0 {
                    "without end"
                } else {
                    "none"
                }
            ),
            limits.max_error_ratio,
            self.lasts(errors),
            seconds(window),
        )
    }
}

fn seconds(n: f64) -> String {
    text::duration(Duration::from_secs_f64(n.max(0.0)))
}
