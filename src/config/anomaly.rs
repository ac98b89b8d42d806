//! Anomalies, as the config says it: from where figures come, what they are held against, and
//! what follows. What is unusual is `judge::anomaly`'s matter.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::judge::anomaly::{Part, Rules};
use crate::platform::text;

use super::units::{Percent, Span};

/// A baseline has at most so many figures of each metric.
const MOST: u128 = 50_000;

/// Less than this says nothing.
const SHORTEST: Span = Span::secs(2 * 3600);

/// Is the service as it always is at this time of day?
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Anomaly {
    /// The kind of the source. Default: the first in `metrics` that knows the past.
    pub source: Option<String>,
    /// Which of the source's metrics play which part. Default: those with the names of the parts.
    pub metrics: Option<Parts>,
    /// How far the baseline goes back. Default 7d.
    #[serde(default = "a_week")]
    pub baseline: Span,
    /// A file with the baseline, where the source does not keep it for so long: a line of JSON for
    /// each time. Default: the source is asked.
    #[schemars(length(min = 1))]
    pub recording: Option<String>,
    /// From figure to figure. Default 60s.
    #[serde(default = "a_minute")]
    pub step: Span,
    /// The time over which the median is taken. Default 5m.
    #[serde(default = "five_minutes")]
    pub window: Span,
    /// So long after a switch nothing counts. Default 60s.
    #[serde(default = "a_minute")]
    pub warm_up: Span,
    /// How full memory may get. Default 100%.
    #[serde(default = "all")]
    pub memory_limit: Percent,
    /// Whether a release that is far off is taken back, or only told of. Default warn.
    #[serde(default)]
    pub on: Follows,
    /// Whether an isolation forest gives a second opinion, which decides nothing. Default false.
    #[serde(default)]
    pub isolation_forest: bool,
    /// Times that the baseline leaves out, such as incidents.
    #[serde(default)]
    pub exclude: Vec<Interval>,
}

const fn a_week() -> Span {
    Span::secs(7 * 86_400)
}

const fn a_minute() -> Span {
    Span::secs(60)
}

const fn five_minutes() -> Span {
    Span::secs(300)
}

const fn all() -> Percent {
    Percent::of(100.0)
}

/// What follows from an anomaly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Follows {
    /// A warning.
    #[default]
    Warn,
    /// In a rollout's watch, and where it is grave enough: the release is taken back.
    Rollback,
}

/// The metrics by the part that they play.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct Parts {
    /// The share of failed requests.
    pub error_rate: Option<String>,
    /// The 95th percentile of latency.
    pub p95: Option<String>,
    /// Processor use, in percent.
    pub cpu: Option<String>,
    /// Memory use, in percent.
    pub memory: Option<String>,
    /// Requests a second.
    pub rps: Option<String>,
}

impl Parts {
    /// The parts that are named, each with its metric.
    pub fn named(&self) -> impl Iterator<Item = (Part, &str)> {
        let of = |part| match part {
            Part::ErrorRate => &self.error_rate,
            Part::P95 => &self.p95,
            Part::Cpu => &self.cpu,
            Part::Memory => &self.memory,
            Part::Rps => &self.rps,
        };
        let all = Part::ALL.into_iter();
        all.filter_map(move |part| Some((part, of(part).as_deref()?)))
    }
}

/// From a moment to another.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Its begin: `2026-11-18T10:00:00Z`.
    pub from: Moment,
    /// Its end.
    pub to: Moment,
    /// Why, for people.
    pub reason: Option<String>,
}

/// A moment: `2026-11-18T10:00:00Z`, or with another offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(Timestamp);

impl Moment {
    /// In milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0.as_millisecond()
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("\"{text}\" is not a moment; write it as 2026-11-18T10:00:00Z or 2026-11-18T11:00:00+01:00")
        })
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "examples": ["2026-11-18T10:00:00Z"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Anomaly {
    /// How the rule looks.
    pub fn rules(&self) -> Rules {
        let ms = |span: Span| i64::try_from(span.get().as_millis()).unwrap_or(i64::MAX / 8);
        Rules {
            step: ms(self.step),
            window: ms(self.window),
            warm_up: ms(self.warm_up),
            memory_limit: self.memory_limit.share(),
        }
    }

    /// The times that the baseline leaves out, in milliseconds since 1970.
    pub fn excluded(&self) -> Vec<(i64, i64)> {
        let of = |it: &Interval| (it.from.ms(), it.to.ms());
        self.exclude.iter().map(of).collect()
    }
}

/// What a schema cannot say of it: the path below it, and what is wrong. `watch` is how long a
/// rollout watches.
pub(super) fn meaning(anomaly: &Anomaly, watch: Duration) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let mut add = |key: &str, said: String| wrong.push((key.to_owned(), said));
    let step = anomaly.step.get();
    if step < Duration::from_secs(1) || step.subsec_nanos() != 0 {
        add("step", "whole seconds are wanted, 1s at least".to_owned());
    }
    if anomaly.window.get() < step * 3 {
        let least = text::duration(step * 3);
        add("window", format!("three steps are the least: {least}"));
    }
    if anomaly.baseline < SHORTEST {
        add("baseline", format!("{SHORTEST} are the least"));
    } else if anomaly.baseline.get().as_millis() / step.as_millis().max(1) > MOST {
        let said = format!(
            "{} of figures each {} are more than {} of each metric; take a longer `step`",
            text::long(anomaly.baseline.get()),
            text::duration(step),
            text::thousands(MOST as u64),
        );
        add("baseline", said);
    }
    for (i, interval) in anomaly.exclude.iter().enumerate() {
        if interval.to <= interval.from {
            add(
                &format!("exclude[{i}].to"),
                "is not after `from`".to_owned(),
            );
        }
    }
    let least = Duration::from_millis(anomaly.rules().shortest().unsigned_abs());
    if anomaly.on == Follows::Rollback && watch < least {
        let said = format!(
            "the rule needs {} after a switch to say anything, and `strategy.watch` is {}: watch for longer, or write `on: warn`",
            text::duration(least),
            text::duration(watch),
        );
        add("on", said);
    }
    wrong
}
