//! What goes on beside a mode: the record on GitHub, and the news to people.
//!
//! Neither can hold up or change the mode that it goes along with.

use std::future::Future;
use std::time::Duration;

use crate::cast::Audience;
use crate::config::inputs::Inputs;
use crate::github::Repository;
use crate::github::deployments::Deployments;
use crate::github::record::{Record, Run};
use crate::model::ending::Ending;
use crate::model::event::Event;
use crate::report::deployment::{RunInfo, recorder};
use crate::report::{news, telling};
use crate::rollout::stage::Recorded;

use super::session::Session;

/// How long GitHub may take to say what the last record is.
const LAST_RECORD: Duration = Duration::from_secs(10);

impl Session {
    /// Runs `act`, from its first word on, with a GitHub record beside it, and tells people
    /// afterwards.
    pub(super) async fn recorded(
        &self,
        inputs: &Inputs,
        audience: &Audience,
        act: impl Future<Output = Ending>,
    ) -> Ending {
        let deployments = match self.deployments(inputs) {
            // At a terminal nobody expects a record.
            Ok(None) if !self.context.in_workflow => return self.told(audience, act).await,
            // Nothing is printed before the first word, so `act` says it.
            Err(_) => return self.told(audience, act).await,
            Ok(deployments) => deployments,
        };
        let info = RunInfo {
            sha: self.context.sha.clone().unwrap_or_default(),
            run_url: self.context.run_url.clone(),
            run: self.run(),
        };
        let (listener, keeping) = recorder(deployments, info, self.vault.clone(), self.say.clone());
        self.journal.add(listener);
        let (ending, ()) = tokio::join!(self.told(audience, act), keeping);
        ending
    }

    /// Runs `act`, from its first word on, and tells people how it ended.
    pub(super) async fn told(
        &self,
        audience: &Audience,
        act: impl Future<Output = Ending>,
    ) -> Ending {
        let (outbox, inbox) = telling::boxes();
        let context = &self.context;
        let (listener, closer) =
            news::reporter(outbox, context.run_url.clone(), context.actor.clone());
        self.journal.add(listener);
        let act = async {
            let ending = act.await;
            closer.close();
            ending
        };
        let teller = self.teller(audience);
        let (ending, ()) = tokio::join!(act, teller.deliver(inbox));
        ending
    }

    /// Which run this is, as records name it.
    pub(super) fn run(&self) -> Run {
        let text = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
        Run {
            id: text(self.context.run_id),
            attempt: text(self.context.run_attempt.map(u64::from)),
            job: self.context.job.clone().unwrap_or_default(),
        }
    }

    /// The records of this repository; `None` without a token.
    pub(super) fn deployments(&self, inputs: &Inputs) -> Result<Option<Deployments>, String> {
        let Some(token) = &inputs.token else {
            return Ok(None);
        };
        let repository = self
            .repository()
            .ok_or("GITHUB_REPOSITORY is not an owner and a name, so there is no GitHub record")?;
        let deployments = Deployments::new(&self.http, token, &repository);
        deployments.map(Some).map_err(|failed| failed.to_string())
    }

    /// The repository, where there is one.
    pub(super) fn repository(&self) -> Option<Repository> {
        let (owner, name) = (&self.context.owner, &self.context.repository);
        let (owner, name) = (owner.as_ref()?, name.as_ref()?);
        Repository::of(&self.context.api_url, &format!("{owner}/{name}"))
    }

    /// What the last record says, for the modes that stop when it differs from the router.
    pub(super) async fn last_record(
        &self,
        mode: &str,
        environment: &str,
        inputs: &Inputs,
    ) -> Option<Recorded> {
        if !matches!(
            mode,
            "deploy-slot" | "switch-traffic" | "preflight" | "rollout"
        ) {
            return None;
        }
        let deployments = match self.deployments(inputs) {
            Ok(deployments) => deployments?,
            Err(said) => {
                (self.say)(Event::Warned(said));
                return None;
            }
        };
        let latest = tokio::time::timeout(LAST_RECORD, deployments.latest(environment)).await;
        match latest {
            Ok(Ok(record)) => record.and_then(recorded),
            Ok(Err(failed)) => {
                (self.say)(Event::Warned(format!(
                    "the last record is unknown: {}",
                    failed.told()
                )));
                None
            }
            Err(_) => {
                (self.say)(Event::Warned(
                    "the last record is unknown: GitHub did not answer in time".to_owned(),
                ));
                None
            }
        }
    }
}

/// The slot that a record gave most of the traffic to. A record of a draw says nothing.
fn recorded(record: Record) -> Option<Recorded> {
    let content = record.content;
    let slot = match content.weight.unwrap_or(100) {
        51.. => content.slot,
        50 => return None,
        _ => content.previous?,
    };
    Some(Recorded {
        slot,
        version: content.version,
        place: format!("GitHub Deployment {}", record.id),
    })
}
