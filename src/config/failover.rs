//! `failover:` of an environment: who deploys when the target cannot.

use schemars::JsonSchema;
use serde::Deserialize;

use super::kinds::TargetBlock;
use super::units::Span;

/// Who deploys when the target cannot.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Failover {
    /// The secondary: a target like any other, that puts the release into the same slot.
    pub to: TargetBlock,
    /// How long after the primary's failure the secondary begins. Default 30s.
    #[serde(default = "half_a_minute")]
    pub wait: Span,
    /// How long the primary may take in all, whatever its own timeout is. Default 30m.
    #[serde(default = "half_an_hour")]
    pub deadline: Span,
    /// Whether the primary refuses to go on once its fence is out of date, so that the secondary
    /// may begin although the primary may still be at work. Default false.
    #[serde(default)]
    pub fenced: bool,
}

fn half_a_minute() -> Span {
    Span::secs(30)
}

fn half_an_hour() -> Span {
    Span::secs(30 * 60)
}
