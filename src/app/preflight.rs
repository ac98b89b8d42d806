//! What a preflight has to know of the world outside: variables, the workflow, GitHub, the clock.

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::endpoints::endpoints;
use crate::config::inputs::Inputs;
use crate::config::preflight::Migration;
use crate::github::deployments::Deployments;
use crate::github::record::Run;
use crate::model::release::Release;
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
        archive: &Archive,
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
        let secrets = guardrails.secrets.iter();
        let secrets = secrets.map(|name| (name.clone(), self.has_variable(name)));
        Some(Circumstances {
            thresholds: environment.preflight.unwrap_or_default(),
            machine: alone || environment.preflight.is_some(),
            config: choice.path.clone(),
            endpoints: endpoints(environment),
            proxied: PROXIES.iter().any(|name| self.has_variable(name)),
            secrets: secrets.collect(),
            earlier: earlier.collect(),
            guardrails,
            source: self.source(),
            now: jiff::Timestamp::now(),
            override_reason: inputs.override_reason.clone(),
            actor: self
                .context
                .triggering_actor
                .clone()
                .or_else(|| self.context.actor.clone()),
            release: release.cloned(),
            expect_active: inputs.expect_active.clone(),
            contract: inputs.migration == Some(Migration::Contract),
            records: self.records(&choice.name, archive),
            directory: self.context.workspace.clone(),
            vault: self.vault.clone(),
        })
    }

    /// Whether a variable is there and not empty.
    fn has_variable(&self, name: &str) -> bool {
        let mut known = self.environment.iter();
        known.any(|(known, value)| known == name && !value.is_empty())
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

    fn records(&self, environment: &str, archive: &Archive) -> Result<Box<dyn Records>, String> {
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
        }))
    }
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

/// Our records on GitHub.
struct Ours {
    deployments: Arc<Deployments>,
    environment: String,
    run: Run,
}

#[async_trait]
impl Records for Ours {
    async fn others(&self) -> Result<Vec<Other>, String> {
        let found = self.deployments.under_way(&self.environment, &self.run);
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
