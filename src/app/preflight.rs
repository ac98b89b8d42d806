//! What a preflight has to know of the world outside: variables, the workflow, GitHub, the clock.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::docker_host::{self, Engine};
use crate::config::endpoints::endpoints;
use crate::config::file::Health;
use crate::config::inputs::Inputs;
use crate::config::kinds::Block;
use crate::config::preflight::Migration;
use crate::config::protection::Protected;
use crate::github::deployments::Deployments;
use crate::github::environments::Environments;
use crate::github::record::Run;
use crate::github::survey::Survey;
use crate::model::protection::Standing;
use crate::model::release::Release;
use crate::modes::environments::quoted;
use crate::rollout::preflight::protected::{Gate, Guarded, Wanted};
use crate::rollout::preflight::{Circumstances, Earlier, Other, Records, Source};

use super::choice::Choice;
use super::records::Archive;
use super::session::Session;

impl Session {
    /// The circumstances of a preflight, for the modes that have one: `preflight` always, and
    /// a rollout where the config asks for it.
    pub(super) fn circumstances(
        &self,
        choice: &Choice,
        mode: &str,
        inputs: &Inputs,
        release: Option<&Release>,
        (archive, survey): (&Archive, Option<Arc<Survey>>),
    ) -> Option<Circumstances> {
        let environment = choice.environment();
        let alone = mode == "preflight";
        let configured = environment.preflight.is_some() || environment.guardrails.is_some();
        let wanted = alone || (mode == "rollout" && configured);
        if !wanted {
            return None;
        }
        let guardrails = environment.guardrails.clone().unwrap_or_default();
        let earlier = guardrails.after.iter().filter_map(|name| {
            let earlier = choice.config.file.environments.get(name)?;
            Some(Earlier {
                name: name.clone(),
                url: earlier.url.get().clone(),
                mark: earlier.release.clone(),
            })
        });
        let secrets = guardrails.secrets.iter().map(|rule| &rule.name);
        let present = secrets.filter(|name| self.has_variable(name)).cloned();
        Some(Circumstances {
            thresholds: environment.preflight.clone().unwrap_or_default(),
            machine: alone || environment.preflight.is_some(),
            config: choice.path.clone(),
            endpoints: endpoints(environment),
            proxied: PROXIES.iter().any(|name| self.has_variable(name)),
            present: present.collect(),
            earlier: earlier.collect(),
            engine: self.engine(),
            source: self.source(),
            now: jiff::Timestamp::now(),
            override_reason: inputs.override_reason.clone(),
            actor: self
                .context
                .triggering_actor
                .clone()
                .or_else(|| self.context.actor.clone()),
            actors: self.actors(),
            commit: self.commit(release),
            gates: match guardrails.ask_github() {
                true => self.gates(inputs),
                false => Err("nothing is to be asked".to_owned()),
            },
            guardrails,
            release: release.cloned(),
            expect_active: inputs.expect_active.clone(),
            slot_health: slot_health(&environment.health),
            contract: inputs.migration == Some(Migration::Contract),
            protected: self.guarded(choice, inputs),
            records: self.records(&choice.name, archive, survey),
            directory: self.context.workspace.clone(),
            vault: self.vault.clone(),
        })
    }

    /// Whether a variable is there and not empty.
    fn has_variable(&self, name: &str) -> bool {
        let mut known = self.environment.iter();
        known.any(|(known, value)| known == name && !value.is_empty())
    }

    /// A variable, unless it is empty.
    fn variable(&self, name: &str) -> Option<String> {
        let mut known = self.environment.iter();
        let (_, value) = known.find(|(known, value)| known == name && !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    }

    /// Where the Docker engine is, as the `docker` command would find it.
    pub(super) fn engine(&self) -> Engine {
        let settings = || {
            let home = || Some(PathBuf::from(self.variable("HOME")?).join(".docker"));
            let named = self.variable("DOCKER_CONFIG").map(PathBuf::from);
            let file = named.or_else(home)?.join("config.json");
            docker_host::context_in(&std::fs::read_to_string(file).ok()?)
        };
        let context = self.variable("DOCKER_CONTEXT").or_else(settings);
        let tls = self.has_variable("DOCKER_TLS_VERIFY") || self.has_variable("DOCKER_TLS");
        let host = self.variable("DOCKER_HOST");
        docker_host::engine(host.as_deref(), context.as_deref(), tls)
    }

    fn source(&self) -> Source {
        let context = &self.context;
        match (&context.ref_name, context.ref_type.as_deref()) {
            (Some(name), Some("tag")) => Source::Tag(name.clone()),
            (Some(name), _) => Source::Branch(name.clone()),
            (None, _) if context.in_workflow => Source::Unsaid,
            (None, _) => Source::Terminal,
        }
    }

    /// How the environment must be protected at GitHub, where that is a guardrail.
    fn guarded(&self, choice: &Choice, inputs: &Inputs) -> Option<Guarded> {
        let environment = choice.environment();
        let block = environment.protection.as_ref();
        let wanted = match environment.guardrails.as_ref()?.protected.as_ref()? {
            Protected::AsConfigured(true) => Wanted::Exactly(block?.clone()),
            Protected::AsConfigured(false) => return None,
            Protected::AtLeast(least) => Wanted::AtLeast {
                least: least.clone(),
                mendable: block.is_some(),
            },
        };
        let gate = self.github_environments(inputs).map(|environments| {
            let gate: Box<dyn Gate> = Box::new(AtGithub {
                environments,
                environment: choice.name.clone(),
            });
            gate
        });
        Some(Guarded {
            wanted,
            environment: quoted(&choice.name),
            page: self.settings_page(),
            gate: gate.map_err(|refusal| {
                let told = refusal.problems.iter().map(ToString::to_string);
                told.collect::<Vec<_>>().join("; ")
            }),
        })
    }

    fn records(
        &self,
        environment: &str,
        archive: &Archive,
        survey: Option<Arc<Survey>>,
    ) -> Result<Box<dyn Records>, String> {
        let deployments = match archive {
            Archive::Kept(deployments) => Arc::clone(deployments),
            Archive::NoToken => return Err("there is no token, so GitHub is not asked".to_owned()),
            Archive::Unwanted => {
                return Err("`records: none`, so GitHub is not asked".to_owned());
            }
            Archive::Unusable(said) => return Err(said.clone()),
        };
        Ok(Box::new(Ours {
            deployments,
            environment: environment.to_owned(),
            run: self.run(),
            survey,
        }))
    }
}

/// The health checks that look at the slot itself. What looks elsewhere, at a database say, says
/// nothing about which slot to go back to.
fn slot_health(health: &Health) -> Vec<usize> {
    let checks = health.checks.iter().enumerate();
    let of_slot = |block: &Block| block.kind == "http" && !block.options.contains_key("url");
    checks
        .filter(|(_, check)| of_slot(&check.0))
        .map(|(at, _)| at)
        .collect()
}

/// The variables that name a proxy.
const PROXIES: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// The environment on GitHub.
struct AtGithub {
    environments: Environments,
    environment: String,
}

#[async_trait]
impl Gate for AtGithub {
    async fn standing(&self) -> Result<Option<Standing>, String> {
        let found = self.environments.read(&self.environment).await;
        let found = found.map_err(|failed| failed.to_string())?;
        Ok(found.map(|found| found.standing))
    }
}

/// Our records on GitHub.
struct Ours {
    deployments: Arc<Deployments>,
    environment: String,
    run: Run,
    /// What the records say, if somebody has just asked.
    survey: Option<Arc<Survey>>,
}

#[async_trait]
impl Records for Ours {
    async fn others(&self) -> Result<Vec<Other>, String> {
        let survey = self.survey.as_deref();
        let found = self
            .deployments
            .under_way(&self.environment, &self.run, survey);
        let found = found.await.map_err(|failed| failed.told())?;
        let other = |one: crate::github::standing::UnderWay| Other {
            told: format!(
                "GitHub Deployment {} of {} by run {}",
                one.id,
                Release::new(&one.version),
                one.run
            ),
            over: one.over,
        };
        Ok(found.into_iter().map(other).collect())
    }

    async fn went_well(
        &self,
        environment: &str,
        release: &Release,
    ) -> Result<Option<String>, String> {
        let found = self.deployments.went_well(environment, release).await;
        let found = found.map_err(|failed| failed.told())?;
        Ok(found.map(|id| format!("GitHub Deployment {id}")))
    }
}
