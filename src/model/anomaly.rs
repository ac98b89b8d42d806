//! What is not as it always is: a metric, what it is like, and what it should be like.

use std::fmt;

use super::metric::Unit;

/// How grave an anomaly is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Severity below 25.
    Low,
    /// From 25.
    Medium,
    /// From 50.
    High,
    /// From 75.
    Critical,
}

impl Grade {
    /// The grade of a severity of 0 to 100.
    pub fn of(severity: f64) -> Self {
        match severity {
            s if s >= 75.0 => Self::Critical,
            s if s >= 50.0 => Self::High,
            s if s >= 25.0 => Self::Medium,
            _ => Self::Low,
        }
    }

    /// In one stable word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metric that is not as it always is.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The metric's name.
    pub metric: String,
    /// What its values are.
    pub unit: Unit,
    /// The median of the newest window.
    pub measured: f64,
    /// What it is at this time when all is well.
    pub expected: f64,
    /// The value from which on it is unusual.
    pub limit: f64,
    /// The share of windows that are as unusual when nothing is wrong.
    pub p_value: f64,
    /// From 0 to 100.
    pub severity: f64,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// Whether it was so before the deployment, which is then not to blame.
    pub before: bool,
    /// In a line, with all of that.
    pub said: String,
}

impl Deviation {
    /// The severity in a word.
    pub fn grade(&self) -> Grade {
        Grade::of(self.severity)
    }

    /// The p-value with two digits after the zeros: `0.00012`, `0.031`.
    pub fn p_told(&self) -> String {
        let zeros = -self.p_value.clamp(1e-9, 1.0).log10().floor();
        let text = format!(
            "{:.*}",
            (zeros + 1.0).clamp(1.0, 9.0) as usize,
            self.p_value
        );
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_has_a_word() {
        let name = |severity| Grade::of(severity).name();
        assert_eq!(name(24.9), "low");
        assert_eq!(name(25.0), "medium");
        assert_eq!(name(50.0), "high");
        assert_eq!(name(75.0), "critical");
        assert_eq!(name(f64::NAN), "low");
    }
}
