//! The `health.clock` block: a health check that runs again and again, and remembers.
//!
//! How many looks must agree, when somebody else is called, what is told without being asked. What
//! follows from a look is `judge::vigil`'s matter.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::platform::text::nearest;

use super::calendar::{ClockTime, Days, Zone};
use super::cron::Cron;
use super::units::Span;

/// A health check on a clock: it remembers what it saw, and tells of changes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clock {
    /// When it is to run, as in the workflow's `on: schedule`, in UTC. Default: as the event says.
    pub schedule: Option<Cron>,
    /// From so late on a run warns of it. Default 15m.
    pub late_after: Span,
    /// From so many missed runs in a row on people are told. Default 3.
    #[schemars(range(min = 1))]
    pub missed_alert: u32,
    /// So many good looks in a row end an incident. Default 2.
    #[schemars(range(min = 1, max = 100))]
    pub rise: u32,
    /// So many bad looks in a row begin one. Default 2.
    #[schemars(range(min = 1, max = 100))]
    pub fall: u32,
    /// Where so many kinds of evidence agree in one look, it is down at once. Default 2.
    #[schemars(range(min = 1, max = 100))]
    pub evidence: u32,
    /// So long after it was told to be down, others are called. Default 30m.
    pub escalate_after: Span,
    /// Whom then: entries of `notify` by their `name` or kind. They hear nothing of an incident
    /// before. Default: everybody, once more.
    pub escalate_to: Vec<String>,
    /// How often to say that all is well. Default off.
    pub all_good: AllGood,
    /// When to sum up the week. Default: never.
    pub weekly: Option<Weekly>,
    /// Whether traffic goes back by itself when the environment is down. Default: it does not.
    pub rollback_on: Option<RollbackOn>,
    /// Only where the last deployment is younger than this. Default 1h.
    pub younger_than: Option<Span>,
    /// The label of the issues. Default cutover-health.
    #[schemars(length(min = 1))]
    pub label: String,
}

/// How often to say that all is well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AllGood {
    /// Never.
    #[default]
    Off,
    /// Once in every hour of the clock.
    Hourly,
    /// Once in every day, in UTC.
    Daily,
}

/// What traffic goes back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum RollbackOn {
    /// It is down.
    Critical,
}

/// When the week is summed up: at the first run after it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weekly {
    /// On which day. Default mon.
    #[serde(default = "monday")]
    pub day: Days,
    /// At what time.
    pub at: ClockTime,
    /// In which time zone. Default UTC.
    #[serde(default)]
    pub zone: Zone,
}

fn monday() -> Days {
    Days::one(jiff::civil::Weekday::Monday)
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            schedule: None,
            late_after: Span::secs(15 * 60),
            missed_alert: 3,
            rise: 2,
            fall: 2,
            evidence: 2,
            escalate_after: Span::secs(30 * 60),
            escalate_to: Vec::new(),
            all_good: AllGood::Off,
            weekly: None,
            rollback_on: None,
            younger_than: None,
            label: "cutover-health".to_owned(),
        }
    }
}

impl Clock {
    /// How young the last deployment must be for traffic to go back.
    pub fn age(&self) -> Span {
        self.younger_than.unwrap_or(Span::secs(3600))
    }

    /// Whether an entry of `notify` is only called when an incident goes on.
    pub fn calls_later(&self, name: Option<&str>, kind: &str) -> bool {
        let is = |wanted: &String| name == Some(wanted) || wanted == kind;
        self.escalate_to.iter().any(is)
    }
}

/// The rest of an environment, as far as a clock depends on it.
pub(super) struct Beside<'a> {
    /// The names and kinds of the entries of `notify`.
    pub(super) channels: Vec<&'a str>,
    /// Whether there is anything to look at.
    pub(super) looks: bool,
    /// Whether there is a router.
    pub(super) routes: bool,
    /// Whether deployments are recorded.
    pub(super) records: bool,
}

/// What a schema cannot say of a clock: the key below it, and what is wrong.
pub(super) fn meaning(clock: &Clock, beside: &Beside<'_>) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    if !beside.looks {
        let said =
            "there is nothing to look at; add `checks` beside it, or `metrics` with `thresholds`";
        wrong.push((String::new(), said.to_owned()));
    }
    for (i, name) in clock.escalate_to.iter().enumerate() {
        if !beside.channels.contains(&name.as_str()) {
            let near = nearest(name, beside.channels.iter().copied());
            let said = match (near, beside.channels.is_empty()) {
                (Some(near), _) => {
                    format!("no entry of `notify` is \"{name}\", did you mean \"{near}\"?")
                }
                (None, true) => format!("no entry of `notify` is \"{name}\"; there is none at all"),
                (None, false) => format!(
                    "no entry of `notify` is \"{name}\"; by name and kind there are: {}",
                    beside.channels.join(", ")
                ),
            };
            wrong.push((format!("escalate-to[{i}]"), said));
        }
    }
    if clock.rollback_on.is_some() && !beside.routes {
        let said = "nothing can put traffic back: the environment has no `router`";
        wrong.push(("rollback-on".to_owned(), said.to_owned()));
    }
    if clock.rollback_on.is_some() && !beside.records {
        let said = "the age of the last deployment is not known: `records` is none";
        wrong.push(("rollback-on".to_owned(), said.to_owned()));
    }
    if clock.younger_than.is_some() && clock.rollback_on.is_none() {
        let said = "goes with `rollback-on: critical`, which is not there";
        wrong.push(("younger-than".to_owned(), said.to_owned()));
    }
    let plain = |c: char| !c.is_control() && c != ',';
    if clock.label.trim().is_empty()
        || clock.label.chars().count() > 43
        || !clock.label.chars().all(plain)
    {
        let said = "a label has 1 to 43 characters and no comma";
        wrong.push(("label".to_owned(), said.to_owned()));
    }
    if let Some(weekly) = &clock.weekly
        && weekly.at.minutes() == 24 * 60
    {
        let said = "write 00:00 and the next day";
        wrong.push(("weekly.at".to_owned(), said.to_owned()));
    }
    wrong
}
