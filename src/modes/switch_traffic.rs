//! `switch-traffic`: traffic goes to a slot, wholly or by weight, proved or taken back.
//!
//! Nothing is deployed and nothing is stopped.

use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::fault::Fault;
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::split::Split;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{PrepareWayBack, ReadTraffic, side_named};
use crate::rollout::switch::{Goal, Switch, switch};
use crate::rollout::{drain, hooks};

/// Moves traffic as the inputs say. `release`, where given, is what the slot must serve.
pub async fn run(stage: &Stage, inputs: &Inputs, release: Option<Release>) -> Ending {
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        let plan = Switch {
            goal: goal(stage, &inputs.to)?,
            weight: inputs.weight,
            release,
            expect_active: inputs.expect_active.clone(),
        };
        if inputs.dry_run {
            return planned(saga, &plan).await;
        }
        switch(saga, &plan).await
    })
    .await
}

fn goal(stage: &Stage, to: &str) -> Result<Goal, Fault> {
    match to {
        "idle" | "previous" => Ok(Goal::Idle),
        name => side_named(stage, "to", name).map(Goal::Slot),
    }
}

async fn planned(saga: &mut Saga<'_>, plan: &Switch) -> Result<Ending, Halt> {
    let expected = plan.expect_active.as_deref();
    let before = saga
        .step(ReadTraffic {
            expected,
            heed: plan.goal.heeds(),
        })
        .await?;
    let slot = match plan.goal {
        Goal::Idle => before.split.idle(),
        Goal::Slot(side) => side,
    };
    let to = Split::with(slot, plan.weight);
    saga.step(PrepareWayBack {
        before: &before,
        to,
    })
    .await?;
    let moments = [
        Moment::BeforeSwitch,
        Moment::AfterSwitch,
        Moment::OnRollback,
        Moment::Always,
    ];
    hooks::planned(saga.stage(), &moments);
    drain::planned(saga.stage());
    let slots = &saga.stage().slots;
    let said = format!(
        "traffic would go from {} to {}",
        before.told(slots),
        to.told(slots)
    );
    Ok(Ending::good(Decision::Planned, Reason::DryRun, said))
}
