//! What a run leaves of a canary that stands at a step, for the run that goes on with it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::canary::Standing;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::Weight;
use crate::rollout::stage::Stage;

use super::Plan;
use super::trial::Trial;

/// The version of what is kept.
const SCHEMA_VERSION: u32 = 1;

/// What is kept of a canary. It holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    schema_version: u32,
    release: Release,
    slot: String,
    /// The share of traffic that it has.
    pub(super) weight: Weight,
    /// Whether the next run goes on with the next step; else it watches this one again.
    pub(super) allowed: bool,
    pub(super) trial: Trial,
}

impl Kept {
    /// Of a canary that has a share of traffic. `allowed` is what the next run does.
    pub(super) fn of(
        stage: &Stage,
        plan: &Plan,
        trial: &Trial,
        weight: Weight,
        allowed: bool,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            release: plan.release.clone(),
            slot: stage.slots.name(trial.canary()).to_owned(),
            weight,
            allowed,
            trial: trial.kept(),
        }
    }

    /// As it was written down; `None` for what is of another form.
    pub fn read(state: &Value) -> Option<Self> {
        let kept = Self::deserialize(state).ok();
        kept.filter(|kept| kept.schema_version == SCHEMA_VERSION)
    }

    /// The slot that traffic goes back to; `None` where the environment has other slots now.
    pub fn stable(&self, stage: &Stage) -> Option<Side> {
        stage.slots.side_of(&self.slot).map(Side::other)
    }

    /// Whether it is of a release in a slot with that share of traffic.
    pub(super) fn fits(&self, release: &Release, slot: (Side, &str), weight: Weight) -> bool {
        self.release.is(release)
            && self.weight == weight
            && (self.trial.canary(), self.slot.as_str()) == slot
    }

    /// For whoever records it.
    pub(super) fn told(&self) -> Standing {
        Standing {
            release: self.release.as_str().to_owned(),
            slot: self.slot.clone(),
            weight: self.weight.percent(),
            waits: self.allowed,
            state: serde_json::to_value(self).unwrap_or_default(),
        }
    }
}
