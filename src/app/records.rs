//! What goes on beside a mode: the record on GitHub, and the news to people.
//!
//! Neither can hold up or change the mode that it goes along with.

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::actions::commands;
use crate::cast::Audience;
use crate::config::inputs::Inputs;
use crate::config::records::Records;
use crate::github::Repository;
use crate::github::access::Access;
use crate::github::deployments::Deployments;
use crate::github::record::{Record, Run};
use crate::github::survey::Survey;
use crate::model::ending::Ending;
use crate::model::event::Event;
use crate::platform::secret::Vault;
use crate::report::deployment::{RunInfo, recorder};
use crate::report::{news, telling};
use crate::rollout::stage::Recorded;

use super::session::Session;

/// How long GitHub may take to say what the last record is.
const LAST_RECORD: Duration = Duration::from_secs(10);

/// Where the records of an environment are kept, as far as that is known.
pub(super) enum Archive {
    /// There.
    Kept(Arc<Deployments>),
    /// Nowhere: there is no token.
    NoToken,
    /// Nowhere, as the config says.
    Unwanted,
    /// Nowhere, and why.
    Unusable(String),
}

impl Session {
    /// Runs `act`, from its first word on, with a GitHub record beside it, and tells people
    /// afterwards. `survey` is what the older records say, if `act` asks. The second answer is
    /// whether nothing is left to be done about the record.
    pub(super) async fn recorded(
        &self,
        inputs: &Inputs,
        records: Records,
        archive: &Archive,
        survey: oneshot::Receiver<Arc<Survey>>,
        audience: &Audience,
        act: impl Future<Output = Ending>,
    ) -> (Ending, bool) {
        let deployments = match archive {
            Archive::Kept(deployments) => Some(Arc::clone(deployments)),
            // At a terminal nobody expects a record.
            Archive::NoToken if self.context.in_workflow => None,
            // Nothing is printed before the first word, so `act` says why.
            _ => return (self.told(audience, act).await, true),
        };
        let info = self.run_info(inputs, records);
        let (vault, say) = (self.vault.clone(), self.say.clone());
        let (listener, keeping) = recorder(deployments, info, vault, say, survey);
        self.journal.add(listener);
        tokio::join!(self.told(audience, act), keeping)
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

    fn run_info(&self, inputs: &Inputs, records: Records) -> RunInfo {
        RunInfo {
            sha: self.context.sha.clone().unwrap_or_default(),
            run_url: self.context.run_url.clone(),
            run: self.run(),
            check_run: inputs.check_run_id,
            records,
        }
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

    /// As whom GitHub is asked in this run; `None` without a token.
    pub(super) fn access(&self, inputs: &Inputs) -> Result<Option<Access>, String> {
        let made = self.access.get_or_init(|| {
            let Some(app) = &inputs.app else {
                return Ok(inputs.token.clone().map(Access::token));
            };
            let (vault, in_workflow) = (self.vault.clone(), self.context.in_workflow);
            let learned = Arc::new(move |token: &str| mask(&vault, in_workflow, token));
            let access = Access::app(app.id, &app.key, app.installation, learned);
            access.map(Some)
        });
        made.clone()
    }

    /// The records of this repository.
    pub(super) fn archive(&self, inputs: &Inputs, records: Records) -> Archive {
        let access = match self.access(inputs) {
            Ok(Some(access)) => access,
            Ok(None) => return Archive::NoToken,
            Err(said) => return Archive::Unusable(said),
        };
        if records == Records::None {
            return Archive::Unwanted;
        }
        let Some(repository) = self.repository() else {
            let said = "GITHUB_REPOSITORY is not an owner and a name, so there is no GitHub record";
            return Archive::Unusable(said.to_owned());
        };
        match Deployments::new(&self.http, &access, &repository) {
            Ok(deployments) => Archive::Kept(Arc::new(
                deployments
                    .telling(self.say.clone())
                    .adopting(records != Records::Create),
            )),
            Err(failed) => Archive::Unusable(failed.to_string()),
        }
    }

    /// The repository, where there is one.
    pub(super) fn repository(&self) -> Option<Repository> {
        let (owner, name) = (&self.context.owner, &self.context.repository);
        let (owner, name) = (owner.as_ref()?, name.as_ref()?);
        Repository::of(&self.context.api_url, &format!("{owner}/{name}"))
    }

    /// What the last record says, for the modes that stop when it differs from the router; and,
    /// for whoever keeps this one, what there is besides.
    pub(super) async fn last_record(
        &self,
        (mode, divided): (&str, bool),
        environment: &str,
        inputs: &Inputs,
        archive: &Archive,
        told: oneshot::Sender<Arc<Survey>>,
    ) -> (Option<Recorded>, Option<Arc<Survey>>) {
        if !matches!(
            mode,
            "deploy-slot" | "switch-traffic" | "preflight" | "rollout"
        ) && !divided
        {
            return (None, None);
        }
        let deployments = match archive {
            Archive::Kept(deployments) => deployments,
            Archive::NoToken | Archive::Unwanted => return (None, None),
            Archive::Unusable(said) => {
                (self.say)(Event::Warned(said.clone()));
                return (None, None);
            }
        };
        let unknown = |said: &str| {
            (self.say)(Event::Warned(format!("the last record is unknown: {said}")));
        };
        let job = self.run_info(inputs, Records::default()).job();
        let survey = deployments.survey(environment, &job);
        match tokio::time::timeout(LAST_RECORD, survey).await {
            Ok(Ok(survey)) => {
                let survey = Arc::new(survey);
                // Where a canary stays, the last word on traffic is its own, and it is no slot's.
                let latest = survey.latest.clone().filter(|_| survey.canary.is_none());
                let latest = latest.and_then(recorded);
                // Nobody keeps a record of a dry run, and so nobody hears of the others either.
                let _ = told.send(Arc::clone(&survey));
                return (latest, Some(survey));
            }
            Ok(Err(failed)) => unknown(&failed.told()),
            Err(_) => unknown("GitHub did not answer in time"),
        }
        (None, None)
    }
}

/// Keeps a secret that came up in the midst of a run out of all that is said from now on.
fn mask(vault: &Vault, in_workflow: bool, secret: &str) {
    let known = vault.values();
    vault.keep(secret);
    if in_workflow {
        let mut out = std::io::stdout();
        for new in vault.values().iter().filter(|one| !known.contains(one)) {
            let _ = out.write_all(commands::mask(new).as_bytes());
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
