//! What is known before a canary begins: what the stable release did by itself, and what can be
//! proved with the traffic that there is.

use std::time::Duration;

use crate::config::ladder::Rung;
use crate::judge::canary::power::{self, Traffic, requests_to_prove};
use crate::model::arms::{Stand, Told};
use crate::model::event::Event;
use crate::model::slot::Side;
use crate::model::split::Weight;
use crate::rollout::arms::Arms;
use crate::rollout::stage::Stage;

use super::Plan;
use super::trial::Trial;

/// How far back a source with a memory is asked for what the stable release does.
const HOUR: Duration = Duration::from_secs(3600);

/// Its intervals are no shorter.
const SHORTEST: Duration = Duration::from_secs(1);

/// What is to be proved at least: twice as many errors.
const DOUBLING: f64 = 2.0;

/// A trial that knows what the stable release did before: for an hour, or where nobody remembers
/// that, since `opening`.
pub(super) async fn calibrated(
    stage: &Stage,
    plan: &Plan,
    arms: Option<&Arms<'_>>,
    canary: Side,
    opening: Option<Stand>,
) -> Trial {
    let every = plan.settings.every.get().max(SHORTEST);
    let hour = match arms {
        Some(arms) => arms.before(HOUR, every).await.unwrap_or_else(|none| {
            stage.say(Event::Warned(format!(
                "what the stable release did before is unknown ({none}), so errors are taken to come one by one"
            )));
            Vec::new()
        }),
        None => Vec::new(),
    };
    let hour = if hour.is_empty() {
        opening.into_iter().chain(stand(arms).await).collect()
    } else {
        hour
    };
    Trial::new(canary, plan.judged_by(), plan.rules(), &hour)
}

/// A rate as people say it, with two digits that mean something.
fn plain(rate: f64) -> f64 {
    let scale = 10_f64.powf(1.0 - rate.max(1e-9).log10().floor());
    (rate * scale).round() / scale
}

/// Says what the traffic allows, before it begins: a proof takes requests, and time is none.
pub(super) fn foretell(stage: &Stage, plan: &Plan, trial: &Trial) {
    let settings = &plan.settings;
    let Some((rate, error_rate)) = trial.traffic_before().filter(|_| plan.rules().is_none()) else {
        return;
    };
    let traffic = |rung: &Rung| Traffic {
        canary: plain(rate * rung.weight.share()),
        weight: rung.weight.share(),
        error_rate,
    };
    let steps = settings.steps.iter();
    let steps: Vec<&Rung> = steps.filter(|rung| rung.weight != Weight::ALL).collect();
    // Proof adds up from step to step.
    let proved: f64 = steps
        .iter()
        .filter_map(|rung| {
            let it = traffic(rung);
            let needed = requests_to_prove(DOUBLING, it.weight, error_rate)?;
            Some(it.canary * settings.at_most_of(rung).as_secs_f64() / needed)
        })
        .sum();
    let Some(first) = steps.first() else {
        return;
    };
    let said = power::told(traffic(first), DOUBLING, settings.at_most_of(first));
    let said = format!("the first step, {}: {said}", first.weight);
    if proved >= 1.0 {
        stage.say(Event::Noticed(said));
    } else {
        stage.say(Event::Warned(format!(
            "{said}; all steps together do not prove it either"
        )));
    }
}

/// Where the counters stand, where anybody knows.
pub(super) async fn stand(arms: Option<&Arms<'_>>) -> Option<Stand> {
    match arms?.now().await {
        Ok(Told::Counted(stand)) => Some(stand),
        _ => None,
    }
}
