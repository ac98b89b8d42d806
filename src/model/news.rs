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
}
