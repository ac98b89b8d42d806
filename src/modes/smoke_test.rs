//! `smoke-test`: the smoke checks against a slot, or checks against a URL without any config.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Say};
use crate::model::fault::Fault;
use crate::platform::text;
use crate::probes::Subject;
use crate::rollout::patience::{Check, Failed, pass_all};
use crate::rollout::rolling;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{Heed, ReadTraffic, SmokeTest, side_named};

/// What [`pass_all`] found.
pub type Outcome = Result<usize, Failed>;

/// Runs the environment's smoke checks against the slot that is named, or the idle one.
pub async fn on_slot(stage: &Stage, slot: Option<&str>) -> Ending {
    Saga::tell(stage, async |saga: &mut Saga<'_>| {
        let all = stage.smoke.len();
        if all == 0 {
            let fault = Fault::new(
                Reason::NoData,
                format!("environments.{}.smoke has no checks", stage.environment),
            );
            return Err(Halt::from(
                fault.next("add checks to the config, or give them with `checks:`"),
            ));
        }
        if stage.crew.is_some() {
            return rolling::smoke_test(saga, slot).await;
        }
        let on = match slot {
            Some(name) => side_named(stage, "slot", name)?,
            None => saga
                .step(ReadTraffic {
                    expected: None,
                    heed: Heed::Router,
                })
                .await?
                .split
                .idle(),
        };
        let name = stage.slots.name(on);
        stage.learned(Fact::Slot(name.to_owned()));
        let tested = saga.step(SmokeTest { on, release: None }).await;
        match &tested {
            Ok(()) => stage.learned(Fact::Healthy(true)),
            Err(halt) if halt.fault().reason == Reason::SmokeFailed => {
                stage.learned(Fact::Healthy(false));
            }
            // Nothing is known.
            Err(_) => {}
        }
        tested?;
        let said = format!(
            "{} passed on {name}",
            text::count(all as u64, "smoke check")
        );
        Ok(Ending::good(Decision::Passed, Reason::Done, said))
    })
    .await
}

/// Runs checks against an address. `failed` is the reason of a failure; it differs between a
/// smoke test and a health check.
pub async fn at(
    subject: &Subject,
    checks: &[Check],
    failed: Reason,
    step: &'static str,
    say: &Say,
    cancelled: &CancellationToken,
) -> Ending {
    let began = Instant::now();
    let outcome = tokio::select! {
        biased;
        () = cancelled.cancelled() => return from(Fault::cancelled()),
        outcome = pass_all(checks, subject, say) => outcome,
    };
    told_at_its_end(outcome, checks.len(), failed, step, began.elapsed(), say)
}

/// Says what checks came to that are all there was to look at, and how that ends.
pub fn told_at_its_end(
    outcome: Outcome,
    all: usize,
    failed: Reason,
    step: &'static str,
    took: Duration,
    say: &Say,
) -> Ending {
    match &outcome {
        Ok(_) => say(Event::Learned(Fact::Healthy(true))),
        Err(failed) if failed.seen > 0 => say(Event::Learned(Fact::Healthy(false))),
        // Nothing is known.
        Err(_) => {}
    }
    match told_as(outcome, all, failed, step, took, say) {
        Ok(said) => Ending::good(Decision::Passed, Reason::Done, said),
        Err(fault) => from(fault),
    }
}

/// How checks went: the line of those that passed, or the fault that those are that did not.
pub type Checked = Result<String, Fault>;

/// Says how the checks of a health check went, and what follows from that alone.
///
/// # Errors
/// When one of them failed.
pub fn told(
    outcome: Outcome,
    all: usize,
    step: &'static str,
    took: Duration,
    say: &Say,
) -> Checked {
    told_as(outcome, all, Reason::Unhealthy, step, took, say)
}

fn told_as(
    outcome: Outcome,
    all: usize,
    failed: Reason,
    step: &'static str,
    took: Duration,
    say: &Say,
) -> Checked {
    match outcome {
        Ok(all) => {
            let said = format!("{all} of {all}");
            say(Event::Done { step, said, took });
            Ok(format!("{} passed", text::count(all as u64, "check")))
        }
        Err(outcome) => {
            let all = text::count(all as u64, "check");
            let fault = outcome.fault(failed, &all, "");
            say(Event::Failed {
                step,
                said: fault.measured.clone().unwrap_or_default(),
                took,
            });
            Err(fault)
        }
    }
}

/// How a run ends that a fault stopped.
pub fn from(fault: Fault) -> Ending {
    Ending {
        decision: Decision::Failed,
        reason: fault.reason,
        said: fault.said,
        account: Account {
            measured: fault.measured,
            wanted: fault.wanted,
            traffic: None,
            next: fault.next,
        },
    }
}
