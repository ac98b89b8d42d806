//! `deploy-slot`: the version goes into a slot that receives no traffic, and is waited for.
//!
//! Traffic is not moved, and no check is run but one: the slot must say that it serves the
//! version.

use std::time::Duration;

use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::Split;
use crate::rollout::hooks;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{AskSlot, AwaitServed, Deploy, Heed, ReadTraffic, side_named};

/// Deploys `release` into the slot that the inputs name, or the idle one. The slot may take
/// `wait` until it serves the release.
pub async fn run(stage: &Stage, inputs: &Inputs, release: &Release, wait: Duration) -> Ending {
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        let (into, split) = place(saga, inputs.slot.as_deref()).await?;
        let slot = stage.slots.name(into);
        if inputs.dry_run {
            let said = format!(
                "{release} would go into {slot} by {}",
                stage.target()?.told()
            );
            let moments = [Moment::BeforeDeploy, Moment::AfterDeploy, Moment::Always];
            hooks::planned(stage, &moments);
            return Ok(Ending::good(Decision::Planned, Reason::DryRun, said));
        }
        // For hooks alone: what they are told of the release before.
        let moments = [Moment::BeforeDeploy, Moment::AfterDeploy, Moment::Always];
        let live = match moments.iter().any(|moment| stage.hooks.any_at(*moment)) {
            true => saga.step(AskSlot(into.other())).await?,
            false => None,
        };
        stage.is_about(Some(into), Some(release), live.as_ref());
        hooks::run(saga, Moment::BeforeDeploy).await?;
        saga.step(Deploy {
            into,
            split,
            release,
        })
        .await?;
        saga.step(AwaitServed {
            by: into,
            release,
            within: wait,
        })
        .await?;
        hooks::run(saga, Moment::AfterDeploy).await?;
        let said = format!("{slot} serves {release}; traffic was not touched");
        Ok(Ending::good(Decision::Passed, Reason::Done, said))
    })
    .await
}

/// The slot to deploy to, and how traffic is divided.
async fn place(saga: &mut Saga<'_>, named: Option<&str>) -> Result<(Side, Split), Halt> {
    let stage = saga.stage();
    let named = named
        .map(|name| side_named(stage, "slot", name))
        .transpose()?;
    if stage.router.is_some() {
        let split = saga
            .step(ReadTraffic {
                expected: None,
                heed: Heed::Record,
            })
            .await?
            .split;
        return Ok((named.unwrap_or_else(|| split.idle()), split));
    }
    let Some(side) = named else {
        return Err(Fault::new(
            Reason::BadInput,
            "which slot is idle cannot be told without a router",
        )
        .next("name the slot with `slot:`, or add a `router:` to the config")
        .into());
    };
    let name = stage.slots.name(side);
    stage.say(Event::Warned(format!(
        "the config has no router, so nobody can tell whether {name} receives traffic"
    )));
    Ok((side, Split::all_to(side.other())))
}
