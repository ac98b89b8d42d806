//! What people are told: data that each notifier puts into its channel's own form.

use serde::Serialize;

use super::severity::Severity;

/// A message about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct News {
    /// How much it matters; also the colour.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// What happened, in a few lines; may be empty.
    pub message: String,
    /// The decision word, for machines.
    pub decision: Option<String>,
    /// Names and figures worth a line of their own, in order: `("environment", "production")`.
    pub facts: Vec<(String, String)>,
    /// The page of the run.
    pub run_url: Option<String>,
    /// How the run stands.
    pub outcome: Outcome,
    /// The application, where there is one.
    pub app: Option<String>,
    /// The environment, where there is one.
    pub environment: Option<String>,
    /// What it means to an incident.
    pub incident: Option<Incident>,
    /// A channel that would hear news of this severity hears these, whatever their own is. Hours in
    /// which it is not to be disturbed go by their own.
    #[serde(skip)]
    pub for_those_of: Option<Severity>,
    /// Which message this is a newer form of, for channels that can edit one; `None` is a message
    /// of its own.
    #[serde(skip)]
    pub thread: Option<String>,
}

/// How a run stands when it is told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A message that says nothing about how a run went.
    #[default]
    Note,
    /// It goes on; only for channels that can edit what they said.
    Underway,
    /// It did what was asked.
    Good,
    /// A person or a newer run stopped it; that is no failure.
    Cancelled,
    /// It did not do what was asked.
    Failed,
}

/// What news mean to an incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Incident {
    /// Which one: news of the same key are about the same incident.
    pub key: String,
    /// What becomes of it.
    pub alert: Alert,
}

impl Incident {
    /// The incident of an application's environment; `what` tells its incidents from each other.
    pub fn of(app: &str, environment: &str, what: &str, alert: Alert) -> Self {
        Self {
            key: format!("cutover/{app}/{environment}/{what}"),
            alert,
        }
    }
}

/// What becomes of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Alert {
    /// It begins, or goes on.
    Trigger,
    /// Somebody is at it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Alert {
    /// All of them with their words.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("trigger", Self::Trigger),
        ("acknowledge", Self::Acknowledge),
        ("resolve", Self::Resolve),
    ];
}
