//! Thresholds: how much of a metric is too much, for how long, and how much that matters.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::model::metric::Unit;
use crate::model::severity::Severity;

use super::units::{Percent, Span};

/// A threshold. It says either `above` or `below`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Threshold {
    /// The metric: error-rate, success-rate, p50, p95, p99, rps, cpu, memory, token-usage, or any
    /// that a source names.
    #[schemars(length(min = 1))]
    pub metric: String,
    /// The kind of the source. Default: the first in `metrics` that has the metric.
    pub source: Option<String>,
    /// Above this is too much: `5%`, `800ms`, or a plain number, as the metric's values are.
    pub above: Option<Limit>,
    /// Below this is too little.
    pub below: Option<Limit>,
    /// For how long it must be so. Default: once is enough.
    #[serde(default, rename = "for")]
    pub duration: Span,
    /// `critical` makes the health check fail, `warning` and `info` are told. Default critical.
    #[serde(default = "critical")]
    pub severity: Severity,
    /// With `above`: only below this a breach is over. Default: the same value.
    pub clear_below: Option<Limit>,
    /// With `below`: only above this a breach is over. Default: the same value.
    pub clear_above: Option<Limit>,
    /// The time that each sample looks back on. Default 60s.
    #[serde(default = "a_minute")]
    pub window: Span,
    /// Samples with fewer requests decide nothing. Default 20.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1))]
    pub min_requests: u32,
    /// Whether every sample of the duration must be past the limit, or the duration taken
    /// together and 80 % of its samples. Default every.
    #[serde(default)]
    pub mode: Mode,
    /// For error-rate and success-rate with counted requests: a breach that is proved beyond
    /// doubt does not wait for the duration. Default true.
    #[serde(default = "yes")]
    pub at_once: bool,
    /// After so long without data nothing is known any more. Default 5m.
    #[serde(default = "five_minutes")]
    pub no_data_after: Span,
    /// What follows when nothing is known: a warning, or a failed health check. Default warn.
    #[serde(default)]
    pub on_no_data: OnNoData,
}

const fn critical() -> Severity {
    Severity::Critical
}

const fn a_minute() -> Span {
    Span::secs(60)
}

const fn five_minutes() -> Span {
    Span::secs(300)
}

const fn twenty() -> u32 {
    20
}

const fn yes() -> bool {
    true
}

/// What must be past the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Mode {
    /// Every sample.
    #[default]
    Every,
    /// The whole duration, and nearly all samples.
    Pooled,
}

/// What follows when nothing is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnNoData {
    /// A warning.
    #[default]
    Warn,
    /// The health check fails.
    Fail,
}

/// A limit with its unit: `5%`, `800ms`, `40`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Limit {
    /// A share of 1.
    Percent(f64),
    /// Seconds.
    Duration(f64),
    /// A plain number.
    Number(f64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl Limit {
    /// The value in a unit; `None` where it is of another one.
    pub fn value(self, unit: Unit) -> Option<f64> {
        match (self, unit) {
            (Self::Percent(value), Unit::Percent)
            | (Self::Duration(value), Unit::Duration)
            | (Self::Number(value), Unit::Number) => Some(value),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub const fn unit(self) -> Unit {
        match self {
            Self::Percent(_) => Unit::Percent,
            Self::Duration(_) => Unit::Duration,
            Self::Number(_) => Unit::Number,
        }
    }
}

impl TryFrom<Written> for Limit {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(number) => Ok(Self::Number(number)),
            Written::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_digit() || "+-.".contains(c);
        if let Some(number) = text.parse().ok().filter(|_| text.chars().all(plain)) {
            return Ok(Self::Number(number));
        }
        if text.trim_end().ends_with('%') {
            return text.parse::<Percent>().map(|it| Self::Percent(it.share()));
        }
        let duration = text.parse::<Span>().map_err(|_| {
            format!("\"{text}\" is not a limit; write it as 5%, 800ms, 2s, or a plain number")
        })?;
        Ok(Self::Duration(duration.get().as_secs_f64()))
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "format": "limit",
            "examples": ["5%", "800ms", 40],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_a_unit() {
        for (text, limit) in [
            ("5%", Limit::Percent(0.05)),
            ("0.5 %", Limit::Percent(0.005)),
            ("800ms", Limit::Duration(0.8)),
            ("1m30s", Limit::Duration(90.0)),
            ("40", Limit::Number(40.0)),
            ("-1.5", Limit::Number(-1.5)),
        ] {
            assert_eq!(text.parse(), Ok(limit), "{text}");
        }
        for text in ["", "5 percent", "2sec", "101%", "NaN", "inf", "%"] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
        assert_eq!(Limit::Percent(0.05).value(Unit::Duration), None);
    }
}
