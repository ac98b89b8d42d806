//! May and can this be deployed now? All checks run at the same time, all are told, and nothing
//! is changed. A run stops at the gravest of those that say no.
//!
//! What is asked of others comes in through [`Circumstances`]: this room knows neither the
//! environment's variables nor GitHub nor what time it is.

mod approval;
mod commit;
mod docker;
mod guardrails;
mod hosts;
mod machine;
mod network;
pub mod protected;
mod records;
mod router;
mod secrets;

use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::Instant;
use url::Url;

use crate::config::docker_host::Engine;
use crate::config::endpoints::Endpoint;
use crate::config::preflight::{Guardrails, Preflight};
use crate::judge::gravest;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::finding::Finding;
use crate::model::gates::{Reviews, Seen, Shelves, Wanted};
use crate::model::release::{Mark, Release};
use crate::platform::secret::Vault;

use super::saga::{Halt, Saga};
use super::stage::Stage;
use protected::Guarded;

/// Its short name in the log.
const NAME: &str = "preflight";

/// What the checks need to know.
pub struct Circumstances {
    /// The thresholds.
    pub thresholds: Preflight,
    /// Whether the machine is looked at.
    pub machine: bool,
    /// Where the Docker engine is.
    pub engine: Engine,
    /// What people decided.
    pub guardrails: Guardrails,
    /// The config file's name.
    pub config: String,
    /// What must be reachable.
    pub endpoints: Vec<Endpoint>,
    /// Whether a proxy is set for requests to others.
    pub proxied: bool,
    /// Of the variables that must be there, those that are, and are not empty.
    pub present: Vec<String>,
    /// What is deployed.
    pub source: Source,
    /// What time it is.
    pub now: Timestamp,
    /// Why a closed window may be passed over, if somebody said so.
    pub override_reason: Option<String>,
    /// Who started this.
    pub actor: Option<String>,
    /// Everybody who had a part in starting this.
    pub actors: Vec<String>,
    /// The commit.
    pub commit: Option<String>,
    /// What others keep that has to be waited for, or why it cannot be asked for.
    pub gates: Result<Box<dyn Gates>, String>,
    /// The release.
    pub release: Option<Release>,
    /// The slot that must be active before.
    pub expect_active: Option<String>,
    /// Which of the health checks look at the slot itself, by their places in the config.
    pub slot_health: Vec<usize>,
    /// Whether there is no way back by itself, because of a migration.
    pub contract: bool,
    /// The environments that must have got the release before.
    pub earlier: Vec<Earlier>,
    /// How the environment must be protected at GitHub, where that is a guardrail.
    pub protected: Option<Guarded>,
    /// The records of deployments, or why there are none.
    pub records: Result<Box<dyn Records>, String>,
    /// Where commands run, and the disk that must have room.
    pub directory: PathBuf,
    /// What must not be shown of what a command prints.
    pub vault: Vault,
}

/// Where the commit comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A branch.
    Branch(String),
    /// A tag.
    Tag(String),
    /// The workflow does not say.
    Unsaid,
    /// There is no workflow.
    Terminal,
}

/// An environment that must have got the release before.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Its name.
    pub name: String,
    /// Where users reach it.
    pub url: Url,
    /// How an answer says which release it comes from.
    pub mark: Mark,
}

/// What records of deployments can answer.
#[async_trait]
pub trait Records: Send + Sync {
    /// The deployments of this environment that other runs have under way.
    ///
    /// # Errors
    /// Why that cannot be told.
    async fn others(&self) -> Result<Vec<Other>, String>;

    /// The record by which an environment got a release with success: `GitHub Deployment 4711`.
    ///
    /// # Errors
    /// Why that cannot be told.
    async fn went_well(
        &self,
        environment: &str,
        release: &Release,
    ) -> Result<Option<String>, String>;
}

/// What others keep and a deployment may have to wait for.
#[async_trait]
pub trait Gates: Send + Sync {
    /// All checks of a commit.
    ///
    /// # Errors
    /// Why they cannot be had.
    async fn checks(&self, sha: &str) -> Result<Vec<Seen>, String>;

    /// The checks that are required of a branch.
    ///
    /// # Errors
    /// Why they cannot be had.
    async fn required(&self, branch: &str) -> Result<Vec<Wanted>, String>;

    /// Who approved this run for an environment.
    ///
    /// # Errors
    /// Why that cannot be had.
    async fn reviews(&self, environment: &str) -> Result<Reviews, String>;

    /// The secrets that a job of an environment may get, and when they were set.
    async fn secrets(&self, environment: &str) -> Shelves;
}

/// A deployment that another run has not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// What and where: `GitHub Deployment 12 of v2 by run 41`.
    pub told: String,
    /// Whether that run is over; `None` where nobody can tell.
    pub over: Option<bool>,
}

/// Looks at everything and tells all of it.
///
/// # Errors
/// When a check says no, or the run was cancelled.
pub async fn preflight(saga: &Saga<'_>, with: &Circumstances) -> Result<String, Halt> {
    let stage = saga.stage();
    let began = Instant::now();
    stage.say(Event::Working {
        step: NAME,
        said: String::new(),
    });
    let findings = tokio::select! {
        biased;
        () = stage.cancelled.cancelled() => return Err(Fault::cancelled().into()),
        findings = look(stage, with) => findings,
    };
    for finding in &findings {
        stage.say(Event::Found(finding.clone()));
    }
    let took = began.elapsed();
    let said = gravest::counted(&findings);
    let verdict = gravest::verdict(&findings);
    let told = said.clone();
    let step = NAME;
    stage.say(match verdict {
        Ok(()) => Event::Done { step, said, took },
        Err(_) => Event::Failed { step, said, took },
    });
    verdict?;
    Ok(told)
}

async fn look(stage: &Stage, with: &Circumstances) -> Vec<Finding> {
    let environment = stage.environment.as_str();
    let here = async { tokio::join!(machine::look(with), hosts::look(with), hosts::reach(stage)) };
    let asked = async {
        tokio::join!(
            secrets::look(environment, with),
            commit::look(with),
            approval::look(environment, with),
        )
    };
    let (here, docker, reached, others, after, asked, protected, (router, idle)) = tokio::join!(
        here,
        docker::look(&stage.http, with),
        network::look(stage, with),
        records::others(with),
        records::after(stage, with),
        asked,
        protected::look(with),
        router::look(stage, with),
    );
    let ((machine, hosts, logins), (secrets, commit, approval)) = (here, asked);
    let network = network::findings(reached, idle.as_deref(), with);
    let mut decided = guardrails::look(stage, with);
    decided.extend(commit);
    decided.extend(approval);
    let all = [
        machine, hosts, docker, network, logins, others, secrets, decided, protected, after, router,
    ];
    all.into_iter().flatten().collect()
}
