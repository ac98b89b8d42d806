//! Where the token cannot lock: the records and the runs API say whether another run is at work.
//!
//! That is a check and no lock: of two runs that begin in the same moment neither sees the other.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::inputs::Inputs;
use crate::config::records::Records;
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::platform::text;
use crate::rollout::lock::taking::Conflict;
use crate::rollout::stage::Stage;

use super::records::Archive;
use super::session::Session;

/// How often is looked, at first and at last.
const LOOK_FIRST: Duration = Duration::from_secs(1);
const LOOK_LAST: Duration = Duration::from_secs(20);

impl Session {
    /// Waits until no other run has a deployment of the environment in progress, or fails, as the
    /// config says. What cannot be known keeps nobody from anything.
    ///
    /// # Errors
    /// `locked` where another run is at work for too long, or that the run was cancelled.
    pub(super) async fn pass_others(
        &self,
        stage: &Stage,
        inputs: &Inputs,
        conflict: Conflict,
    ) -> Result<(), Fault> {
        let Archive::Kept(deployments) = self.archive(inputs, Records::Create) else {
            return Ok(());
        };
        let (environment, own) = (&stage.environment, self.run());
        let began = Instant::now();
        let (mut pause, mut told) = (LOOK_FIRST, None);
        loop {
            let found = tokio::select! {
                biased;
                () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
                found = deployments.under_way(environment, &own, None) => found,
            };
            let found = match found {
                Ok(found) => found,
                Err(failed) => {
                    (self.say)(Event::Warned(format!(
                        "whether another run is at work on {environment} is unknown: {}",
                        failed.told()
                    )));
                    return Ok(());
                }
            };
            let name = |one: &crate::github::standing::UnderWay| {
                let version = Release::new(&one.version);
                format!(
                    "GitHub Deployment {} of {version} by run {}",
                    one.id, one.run
                )
            };
            let unsure: Vec<String> = found
                .iter()
                .filter(|one| one.over.is_none())
                .map(name)
                .collect();
            if !unsure.is_empty() && told.is_none() {
                (self.say)(Event::Noticed(format!(
                    "{} may be in progress; with `actions: read` it would be known",
                    unsure.join(", ")
                )));
            }
            let running = found.iter().filter(|one| one.over == Some(false));
            let running = running.map(name).collect::<Vec<_>>().join(", ");
            if running.is_empty() {
                return Ok(());
            }
            match conflict {
                Conflict::Wait(limit) if began.elapsed() < limit => {
                    if told.as_ref() != Some(&running) {
                        (self.say)(Event::Noticed(format!(
                            "{running} is in progress; waiting for its end, at most {}",
                            text::duration(limit)
                        )));
                        told = Some(running);
                    }
                }
                Conflict::GoOn => return Ok(()),
                _ => {
                    return Err(Fault::new(
                        Reason::Locked,
                        format!("another run is at work on {environment}"),
                    )
                    .measured(format!("{running} is in progress"))
                    .wanted("nobody else at work on the environment")
                    .next("run again when it is done; with `contents: write` there is a lock and a queue"));
                }
            }
            tokio::select! {
                biased;
                () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LOOK_LAST);
        }
    }
}
