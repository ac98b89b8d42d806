//! Hooks: when one is run, and what it is told of the run.

use serde::{Deserialize, Serialize};

/// When a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Before the release goes into the slot.
    BeforeDeploy,
    /// When the slot serves it.
    AfterDeploy,
    /// Before traffic is moved.
    BeforeSwitch,
    /// When the release has its traffic, proved and watched, and can still be taken back.
    AfterSwitch,
    /// When traffic is back on the slot that it came from.
    OnRollback,
    /// At the end, however that is.
    Always,
}

impl Moment {
    /// All of them, in the order of a run.
    pub const ALL: [Self; 6] = [
        Self::BeforeDeploy,
        Self::AfterDeploy,
        Self::BeforeSwitch,
        Self::AfterSwitch,
        Self::OnRollback,
        Self::Always,
    ];

    /// As the config names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeDeploy => "before-deploy",
            Self::AfterDeploy => "after-deploy",
            Self::BeforeSwitch => "before-switch",
            Self::AfterSwitch => "after-switch",
            Self::OnRollback => "on-rollback",
            Self::Always => "always",
        }
    }

    /// Whether the run has its verdict by then, so that nothing can be stopped any more.
    pub const fn is_the_end(self) -> bool {
        matches!(self, Self::OnRollback | Self::Always)
    }

    /// Whether a failure stops the run where the config does not say so.
    pub const fn is_before(self) -> bool {
        matches!(self, Self::BeforeDeploy | Self::BeforeSwitch)
    }
}

/// What a run is about, as far as it has found out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The slot of the release.
    pub slot: Option<String>,
    /// The release.
    pub version: Option<String>,
    /// The release that had the traffic before.
    pub previous: Option<String>,
}
