//! Traffic that goes back by itself, because a health check on a clock found the environment down
//! soon after a deployment.
//!
//! It is the rollback that a person would start, with the lock: but it does not come between
//! others, goes back over no migration that has no way back, and goes back once.

use crate::config::clock::Clock;
use crate::config::file::Environment;
use crate::config::inputs::Inputs;
use crate::config::preflight::Migration;
use crate::error::Refusal;
use crate::github::Job;
use crate::github::issues::At;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::slot::Side;
use crate::platform::text;
use crate::rollout::stage::Stage;

use super::choice::Choice;
use super::records::Archive;
use super::session::Session;
use super::vigil::Back;

/// How long a slot may take to say what it serves.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

impl Session {
    /// Puts traffic back, if the last deployment is young enough and nothing speaks against it.
    pub(super) async fn goes_back(
        &self,
        inputs: &Inputs,
        choice: &Choice,
        clock: &Clock,
        stage: &Stage,
        archive: &Archive,
        at: i64,
    ) -> Result<Back, Refusal> {
        let fit = self.may_go_back(choice.environment(), clock, stage, archive, at);
        let active = match fit.await {
            Ok(active) => active,
            Err(said) => return Ok(Err(format!("traffic stays: {said}"))),
        };
        let inputs = Inputs {
            expect_active: Some(active),
            environment: Some(choice.name.clone()),
            ..inputs.clone()
        };
        // In a box, because it is the same machinery as this run is in.
        let ending = Box::pin(self.staged_as("rollback", &inputs, true)).await?;
        Ok(Ok((told(&ending), ending)))
    }

    /// The slot to leave.
    async fn may_go_back(
        &self,
        environment: &Environment,
        clock: &Clock,
        stage: &Stage,
        archive: &Archive,
        at: i64,
    ) -> Result<String, String> {
        if environment.migration == Migration::Contract || environment.hooks.contract() {
            return Err("`migration: contract` has no way back".to_owned());
        }
        let Archive::Kept(deployments) = archive else {
            return Err("there is no record of the last deployment".to_owned());
        };
        let job = Job::default();
        let survey = deployments.survey(&stage.environment, &job).await;
        let survey = survey.map_err(|failed| failed.told())?;
        let Some(record) = &survey.latest else {
            return Err("there is no record of the last deployment".to_owned());
        };
        let (id, content) = (record.id, &record.content);
        if content.mode == "rollback" {
            return Err(format!("the last change was a rollback (deployment {id})"));
        }
        let made = At::try_from(record.at.clone());
        let made = made.map_err(|_| format!("deployment {id} has no time"))?;
        let age = std::time::Duration::from_secs(u64::try_from(at - made.0).unwrap_or(0));
        if age >= clock.age().get() {
            return Err(format!(
                "the last deployment ({id}) is {} old, and {} is the limit",
                text::long(age),
                clock.age()
            ));
        }
        let split = stage.split_now().await;
        let split = split.ok_or("the router does not say where traffic is")?;
        let active = split.active();
        let name = stage.slots.name(active);
        if content.slot != name || content.weight.unwrap_or(100) <= 50 {
            return Err(format!(
                "the last deployment ({id}) is not what has the traffic: that is on {name}"
            ));
        }
        self.serves(stage, active, &content.version).await?;
        Ok(name.to_owned())
    }

    /// Whether a slot serves nothing else than that version. It is down, and may say nothing.
    async fn serves(&self, stage: &Stage, side: Side, version: &str) -> Result<(), String> {
        let served = stage.served_by(side, PATIENCE).await;
        let other = served
            .release()
            .filter(|release| release.as_str() != version);
        match other {
            Some(other) => Err(format!(
                "{} serves {other}, and the last deployment was {version}",
                stage.slots.name(side)
            )),
            None => Ok(()),
        }
    }
}

/// How a rollback that nobody asked for ends: traffic is safe on the old slot, and the release was bad.
pub(super) fn by_itself(ending: Ending) -> Ending {
    match ending.decision {
        Decision::Promoted | Decision::Passed => Ending {
            decision: Decision::RolledBack,
            reason: Reason::Unhealthy,
            said: format!("rolled back, because it was down: {}", ending.said),
            account: ending.account,
        },
        _ => ending,
    }
}

fn told(ending: &Ending) -> String {
    let traffic = ending
        .account
        .traffic
        .as_ref()
        .map(|it| format!("; traffic: {it}"));
    let next = ending
        .account
        .next
        .as_ref()
        .map(|it| format!("; next: {it}"));
    format!(
        "{}{}{}",
        ending.said,
        traffic.unwrap_or_default(),
        next.unwrap_or_default()
    )
}
