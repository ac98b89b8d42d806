//! `rollout`: the whole story in one step, by the strategy of the config.

use crate::config::file::Strategy;
use crate::config::inputs::Inputs;
use crate::config::preflight::Migration;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::split::Split;
use crate::platform::text;
use crate::rollout::canary::Kept;
use crate::rollout::preflight::{Circumstances, preflight};
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{Heed, PrepareWayBack, ReadTraffic};
use crate::rollout::{blue_green, canary, drain, hooks};

/// Rolls `release` out, after the checks of the preflight where there are any. `kept` is where an
/// earlier run has left a canary.
pub async fn run(
    stage: &Stage,
    inputs: &Inputs,
    strategy: &Strategy,
    release: Release,
    checked: Option<&Circumstances>,
    kept: Option<Kept>,
) -> Ending {
    let expect_active = inputs.expect_active.clone();
    let migration = inputs.migration.unwrap_or_default();
    // Over a contract nobody goes back, so there is nothing to judge for.
    let judged = match strategy {
        Strategy::Canary(settings) => Some((**settings).clone()),
        Strategy::BlueGreen(settings) => settings
            .judged()
            .filter(|_| migration != Migration::Contract),
    };
    let story = match (judged, strategy) {
        (None, Strategy::BlueGreen(settings)) => Story::BlueGreen(blue_green::Plan {
            release,
            expect_active,
            migration,
            settings: settings.clone(),
        }),
        (judged, _) => Story::Canary(Box::new(canary::Plan {
            release,
            expect_active,
            migration,
            settings: judged.unwrap_or_default(),
            kept,
        })),
    };
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        if let Story::Canary(plan) = &story
            && plan.settings.observe
        {
            return canary::observe(saga, plan).await;
        }
        if inputs.dry_run {
            return planned(saga, &story).await;
        }
        if let Some(circumstances) = checked {
            preflight(saga, circumstances).await?;
        }
        match &story {
            Story::BlueGreen(plan) => blue_green::blue_green(saga, plan).await,
            Story::Canary(plan) => canary::canary(saga, plan).await,
        }
    })
    .await
}

/// What is to be told.
enum Story {
    BlueGreen(blue_green::Plan),
    Canary(Box<canary::Plan>),
}

impl Story {
    const fn release(&self) -> &Release {
        match self {
            Self::BlueGreen(plan) => &plan.release,
            Self::Canary(plan) => &plan.release,
        }
    }

    fn expect_active(&self) -> Option<&str> {
        match self {
            Self::BlueGreen(plan) => plan.expect_active.as_deref(),
            Self::Canary(plan) => plan.expect_active.as_deref(),
        }
    }

    /// The ladder, in words; nothing where there is one step.
    fn ladder(&self) -> String {
        let Self::Canary(plan) = self else {
            return String::new();
        };
        let steps = plan.settings.steps.iter();
        let steps: Vec<String> = steps.map(|rung| rung.weight.to_string()).collect();
        format!(" by way of {}", steps.join(", "))
    }
}

async fn planned(saga: &mut Saga<'_>, story: &Story) -> Result<Ending, Halt> {
    let stage = saga.stage();
    let before = saga
        .step(ReadTraffic {
            expected: story.expect_active(),
            heed: Heed::Record,
        })
        .await?;
    let idle = before.split.idle();
    let to = Split::all_to(idle);
    saga.step(PrepareWayBack {
        before: &before,
        to,
    })
    .await?;
    hooks::planned(stage, &Moment::ALL);
    drain::planned(stage);
    let said = format!(
        "{} would go into {} by {}; then {}; then traffic from {} to {}{}",
        story.release(),
        stage.slots.name(idle),
        stage.target()?.told(),
        text::count(stage.smoke.len() as u64, "smoke check"),
        before.split.told(&stage.slots),
        to.told(&stage.slots),
        story.ladder(),
    );
    Ok(Ending::good(Decision::Planned, Reason::DryRun, said))
}
