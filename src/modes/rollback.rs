//! `rollback`: traffic goes back to the previous slot, at once; every other step is skipped.

use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::hook::Moment;
use crate::model::split::Split;
use crate::rollout::canary::Kept;
use crate::rollout::hooks;
use crate::rollout::saga::Saga;
use crate::rollout::stage::Stage;
use crate::rollout::steps::{Heed, ReadTraffic};
use crate::rollout::switch::{rollback, way_back};

/// Rolls back. `kept` is where an earlier run has left a canary: then back is where that came from.
pub async fn run(stage: &Stage, inputs: &Inputs, kept: Option<&Kept>) -> Ending {
    let stable = kept.and_then(|kept| kept.stable(stage));
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        let expected = inputs.expect_active.as_deref();
        if inputs.dry_run {
            let before = saga
                .step(ReadTraffic {
                    expected,
                    heed: Heed::Router,
                })
                .await?;
            let to = Split::all_to(way_back(stage, before.split, stable)?);
            let said = format!(
                "traffic would go back from {} to {}",
                before.split.told(&stage.slots),
                to.told(&stage.slots)
            );
            hooks::planned(stage, &[Moment::OnRollback, Moment::Always]);
            return Ok(Ending::good(Decision::Planned, Reason::DryRun, said));
        }
        rollback(saga, expected, stable).await
    })
    .await
}
