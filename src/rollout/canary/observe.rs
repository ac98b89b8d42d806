//! Observing: two releases that somebody else has put there are judged as a canary would be, what
//! would follow is said, and nothing is touched.

use crate::config::ladder::Rung;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::split::Weight;
use crate::rollout::felt::Felt;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::steps::{Heed, ReadTraffic};

use super::before::{calibrated, stand};
use super::watch::{Clock, Outcome, WatchStep};
use super::{Plan, counted_by};

/// Judges for as long as a step is watched.
///
/// # Errors
/// When nothing can be seen.
pub async fn observe(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let before = saga
        .step(ReadTraffic {
            expected: plan.expect_active.as_deref(),
            heed: Heed::Router,
        })
        .await?;
    let stage = saga.stage();
    let canary = before.split.idle();
    let name = stage.slots.name(canary).to_owned();
    let weight = before.split.weight(canary);
    let arms = counted_by(stage, &plan.settings, canary)?;
    let steps = &plan.settings.steps;
    let nth = steps.iter().rposition(|rung| rung.weight <= weight);
    let nth = nth.unwrap_or_default();
    let Some(rung) = steps.get(nth).copied() else {
        return Ok(ending(format!("{name} has {weight}, and there is no step")));
    };
    if weight == Weight::ZERO {
        stage.say(Event::Noticed(format!(
            "{name} has no traffic: only a source that asks each slot itself has anything to say of it"
        )));
    }
    let learned = calibrated(stage, plan, arms.as_ref(), canary, None);
    let mut trial = saga.unless_cancelled(learned).await?;
    trial.begin_at(saga.unless_cancelled(stand(arms.as_ref())).await?);
    let clock = Clock::since(0.0);
    let old = None;
    let felt = Felt::begin(
        stage,
        canary,
        before.split,
        before.split,
        old,
        plan.release.clone(),
    );
    // What users feel is the canary's doing where it has some of them.
    if weight > Weight::ZERO {
        felt.proved();
    }
    let watch = WatchStep {
        plan,
        rung: &Rung { weight, ..rung },
        nth,
        split: before.split,
        arms: arms.as_ref(),
        trial: &mut trial,
        clock: &clock,
        felt: &felt,
    };
    let said = match saga.step(watch).await {
        Ok(Outcome::Advance) => format!("a rollout would take the next step: {}", trial.told()),
        Ok(Outcome::Hold(fault)) => format!("a rollout would hold traffic here: {}", fault.said),
        Err(halt) => match halt.fault().reason {
            Reason::Cancelled => return Err(halt),
            _ => {
                let fault = halt.fault();
                let measured = fault.measured.as_deref().unwrap_or_default();
                format!(
                    "a rollout would take {name} back: {}: {measured}",
                    fault.said
                )
            }
        },
    };
    Ok(ending(said))
}

fn ending(said: String) -> Ending {
    Ending::good(Decision::Planned, Reason::Observed, said)
}
