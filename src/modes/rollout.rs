//! `rollout`: the whole story in one step, by the strategy of the config.

use crate::config::file::Strategy;
use crate::config::inputs::Inputs;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::release::Release;
use crate::model::split::Split;
use crate::platform::text;
use crate::rollout::blue_green::{Plan, blue_green};
use crate::rollout::preflight::{Circumstances, preflight};
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{PrepareWayBack, ReadTraffic};

/// Rolls `release` out, after the checks of the preflight where there are any.
pub async fn run(
    stage: &Stage,
    inputs: &Inputs,
    strategy: &Strategy,
    release: Release,
    checked: Option<&Circumstances>,
) -> Ending {
    let Strategy::BlueGreen(settings) = *strategy;
    let plan = Plan {
        release,
        expect_active: inputs.expect_active.clone(),
        migration: inputs.migration.unwrap_or_default(),
        settings,
    };
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        if inputs.dry_run {
            return planned(saga, &plan).await;
        }
        if let Some(circumstances) = checked {
            preflight(saga, circumstances).await?;
        }
        blue_green(saga, &plan).await
    })
    .await
}

async fn planned(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let stage = saga.stage();
    let expected = plan.expect_active.as_deref();
    let before = saga
        .step(ReadTraffic {
            expected,
            heed_record: true,
        })
        .await?;
    let idle = before.split.idle();
    let to = Split::all_to(idle);
    saga.step(PrepareWayBack {
        before: &before,
        to,
    })
    .await?;
    let said = format!(
        "{} would go into {} by {}; then {}; then traffic from {} to {}",
        plan.release,
        stage.slots.name(idle),
        stage.target()?.told(),
        text::count(stage.smoke.len() as u64, "smoke check"),
        before.split.told(&stage.slots),
        to.told(&stage.slots),
    );
    Ok(Ending::good(Decision::Planned, Reason::DryRun, said))
}
