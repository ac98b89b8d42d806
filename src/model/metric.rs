//! Metrics by name: the well-known ones with their units, and how a value is written.
//!
//! A value is a plain number: a share of 1, seconds, or whatever a metric of one's own counts.

use std::time::Duration;

use crate::platform::text;

/// What a metric's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share of 1, written as percent.
    Percent,
    /// Seconds, written as a duration.
    Duration,
    /// A plain number.
    Number,
}

/// Failed among all requests.
pub const ERROR_RATE: &str = "error-rate";
/// What is left of 1 beside the error rate.
pub const SUCCESS_RATE: &str = "success-rate";
/// Half of the requests were faster.
pub const P50: &str = "p50";
/// 95 of 100 requests were faster.
pub const P95: &str = "p95";
/// 99 of 100 requests were faster.
pub const P99: &str = "p99";
/// Requests a second.
pub const RPS: &str = "rps";

/// The names that everybody knows, and their units. Any other name is a user's own.
pub const WELL_KNOWN: [(&str, Unit); 9] = [
    (ERROR_RATE, Unit::Percent),
    (SUCCESS_RATE, Unit::Percent),
    (P50, Unit::Duration),
    (P95, Unit::Duration),
    (P99, Unit::Duration),
    (RPS, Unit::Number),
    ("cpu", Unit::Percent),
    ("memory", Unit::Percent),
    ("token-usage", Unit::Percent),
];

/// The unit of a well-known metric.
pub fn unit_of(name: &str) -> Option<Unit> {
    let known = WELL_KNOWN.iter().find(|(known, _)| *known == name);
    known.map(|(_, unit)| *unit)
}

impl Unit {
    /// A value with its unit: `7.3 %`, `184 ms`, `1,204`.
    pub fn told(self, value: f64) -> String {
        match self {
            Self::Percent => text::percent(value),
            Self::Duration => match Duration::try_from_secs_f64(value) {
                Ok(duration) => text::duration(duration),
                Err(_) => format!("{value} s"),
            },
            Self::Number => number(value),
        }
    }

    /// What is written where a value of this unit is wanted.
    pub const fn wanted(self) -> &'static str {
        match self {
            Self::Percent => "a percentage such as 5%",
            Self::Duration => "a duration such as 800ms or 2s",
            Self::Number => "a plain number such as 40",
        }
    }

    /// The unit in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Percent => "percent",
            Self::Duration => "duration",
            Self::Number => "number",
        }
    }
}

fn number(value: f64) -> String {
    if value.abs() >= 1000.0 && value.abs() < 1e15 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", text::thousands(value.abs().round() as u64));
    }
    let text = format!("{value:.2}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_with_their_units() {
        for (unit, value, said) in [
            (Unit::Percent, 0.073, "7.3 %"),
            (Unit::Duration, 0.184, "184 ms"),
            (Unit::Duration, -1.0, "-1 s"),
            (Unit::Number, 1204.4, "1,204"),
            (Unit::Number, -1204.4, "-1,204"),
            (Unit::Number, 0.5, "0.5"),
            (Unit::Number, 40.0, "40"),
            (Unit::Number, f64::INFINITY, "inf"),
        ] {
            assert_eq!(unit.told(value), said);
        }
        assert_eq!(unit_of("p95"), Some(Unit::Duration));
        assert_eq!(unit_of("queue-length"), None);
    }
}
