//! `health-check`: is the live service well? The health checks against the public URL, a slot,
//! or any URL without a config.

use crate::model::ending::{Ending, Reason};
use crate::model::event::Fact;
use crate::model::fault::Fault;
use crate::probes::Subject;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::side_named;

use super::smoke_test;

/// Runs the environment's health checks against the public URL, or the slot that is named.
pub async fn run(stage: &Stage, slot: Option<&str>) -> Ending {
    let subject = match subject(stage, slot) {
        Ok(subject) => subject,
        Err(fault) => {
            return Saga::tell(stage, async |_: &mut Saga<'_>| Err(Halt::from(fault))).await;
        }
    };
    smoke_test::at(
        &subject,
        &stage.health,
        Reason::Unhealthy,
        "health",
        &stage.say,
        &stage.cancelled,
    )
    .await
}

fn subject(stage: &Stage, slot: Option<&str>) -> Result<Subject, Fault> {
    if stage.health.is_empty() {
        let said = format!("environments.{}.health.checks is empty", stage.environment);
        return Err(Fault::new(Reason::NoData, said)
            .next("add checks to the config, or give them with `checks:`"));
    }
    let Some(name) = slot else {
        return Ok(stage.public());
    };
    let side = side_named(stage, "slot", name)?;
    stage.learned(Fact::Slot(name.to_owned()));
    Ok(stage.subject(side, None))
}
