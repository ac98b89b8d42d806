//! The `lock` block: what a run does when another one is at work on the same environment.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;

/// The shortest lease: GitHub's clock, which leases are measured by, shows whole seconds.
pub const SHORTEST_LEASE: Span = Span::secs(1);

/// What a run does that finds the environment locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OnConflict {
    /// It waits for its turn.
    #[default]
    Wait,
    /// It fails at once.
    Fail,
}

/// One environment changes once at a time: the lock that sees to it.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// What to do when another run has it: `wait` or `fail`. Default `wait`.
    pub on_conflict: OnConflict,
    /// How long to wait for it at most. Default 30m.
    pub wait_limit: Span,
    /// How long it holds without being renewed; a killed run's lock is free after that. It is
    /// renewed three times as often. Default 10m, at least 1s.
    pub lease: Span,
    /// With more than so many runs waiting, people are told, once. Default 3.
    pub queue_alert: u32,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::Wait,
            wait_limit: Span::secs(30 * 60),
            lease: Span::secs(10 * 60),
            queue_alert: 3,
        }
    }
}
