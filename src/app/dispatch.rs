//! From a word to its mode: what each mode needs is read, chosen and built here, so that the
//! modes themselves can tell their stories.

use std::io::Write as _;
use std::time::Duration;

use crate::cast::{self, Audience};
use crate::config::check::unknown;
use crate::config::file::Strategy;
use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::github::Repository;
use crate::github::deployments::Deployments;
use crate::github::record::{Record, Run};
use crate::model::ending::{Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::model::release::Release;
use crate::modes::{
    MODES, deploy_slot, health_check, notify, rehearse, rollback, rollout, smoke_test,
    switch_traffic,
};
use crate::notifiers;
use crate::platform::text;
use crate::probes::Subject;
use crate::rehearsal::environment::BUILT_IN;
use crate::report::deployment::{RunInfo, recorder};
use crate::report::news;
use crate::rollout::patience::Check;
use crate::rollout::stage::{Recorded, Stage};

use super::choice::{self, Choice};
use super::help::COMMANDS;
use super::session::Session;

/// How long GitHub may take to say what the last record is.
const LAST_RECORD: Duration = Duration::from_secs(10);

impl Session {
    /// Does what a word asks for. `None` is a command that has printed its answer.
    pub(super) async fn perform(
        &self,
        word: &str,
        inputs: &Inputs,
    ) -> Result<Option<Ending>, Refusal> {
        match word {
            "check" => self.check(inputs),
            "router-config" => self.router_config(inputs),
            "notify" => self.notify(inputs).await.map(Some),
            "rehearse" => self.rehearse(inputs).await.map(Some),
            "smoke-test" | "health-check" if inputs.url.is_some() => {
                self.look(word, inputs).await.map(Some)
            }
            _ => match MODES.iter().find(|(name, _)| *name == word) {
                Some((mode, _)) => self.staged(mode, inputs).await.map(Some),
                None => {
                    let words = MODES.iter().chain(COMMANDS).map(|(name, _)| *name);
                    Err(Refusal::of_input("mode", unknown("mode", word, words)))
                }
            },
        }
    }

    fn choice(&self, inputs: &Inputs) -> Result<Choice, Refusal> {
        let config = choice::read(
            inputs,
            &self.context.workspace,
            &self.environment,
            &self.vault,
        )?;
        choice::choose(config, inputs)
    }

    /// The modes that act on a configured environment.
    async fn staged(&self, mode: &'static str, inputs: &Inputs) -> Result<Ending, Refusal> {
        let choice = self.choice(inputs)?;
        let release = self.release(mode, inputs)?;
        let strategy = strategy(&choice, inputs)?;
        let mut stage = self.stage(&choice, mode, inputs)?;
        let audience = cast::audience(&choice.environment().notify, &self.http);
        let audience = audience.map_err(|misfits| choice.refuse(misfits))?;
        self.begin(Headline {
            mode,
            environment: Some(choice.name.clone()),
            app: Some(stage.app.clone()),
            release: release.as_ref().map(|release| release.as_str().to_owned()),
            strategy: (mode == "rollout").then(|| strategy.name().to_owned()),
        });
        stage.learned(Fact::Environment(choice.name.clone()));
        stage.learned(Fact::EnvironmentUrl(stage.url.to_string()));
        if let Some(release) = &release {
            stage.learned(Fact::Version(release.as_str().to_owned()));
        }
        stage.recorded = self.last_record(mode, &choice.name, inputs).await;
        let act = async {
            let ending = self.act(&stage, mode, inputs, &strategy, release).await;
            self.ended(&ending);
            ending
        };
        let leaves_a_record = matches!(
            mode,
            "deploy-slot" | "switch-traffic" | "rollout" | "rollback"
        );
        let ending = if leaves_a_record && !inputs.dry_run {
            self.recorded(inputs, &audience, act).await
        } else if inputs.dry_run {
            act.await
        } else {
            self.told(&audience, act).await
        };
        Ok(ending)
    }

    async fn act(
        &self,
        stage: &Stage,
        mode: &str,
        inputs: &Inputs,
        strategy: &Strategy,
        release: Option<Release>,
    ) -> Ending {
        match (mode, release) {
            ("rollout", Some(release)) => rollout::run(stage, inputs, strategy, release).await,
            ("deploy-slot", Some(release)) => {
                deploy_slot::run(stage, inputs, &release, strategy.wait()).await
            }
            ("rollback", _) => rollback::run(stage, inputs).await,
            ("smoke-test", _) => smoke_test::on_slot(stage, inputs.slot.as_deref()).await,
            ("health-check", _) => health_check::run(stage, inputs.slot.as_deref()).await,
            (_, release) => switch_traffic::run(stage, inputs, release).await,
        }
    }

    /// Runs `act` with a GitHub record beside it, and tells people afterwards.
    async fn recorded(
        &self,
        inputs: &Inputs,
        audience: &Audience,
        act: impl Future<Output = Ending>,
    ) -> Ending {
        if inputs.token.is_none() && !self.context.in_workflow {
            // At a terminal nobody expects a record.
            return self.told(audience, act).await;
        }
        let info = RunInfo {
            sha: self.context.sha.clone().unwrap_or_default(),
            run_url: self.context.run_url.clone(),
            run: Run {
                id: self
                    .context
                    .run_id
                    .map(|id| id.to_string())
                    .unwrap_or_default(),
                attempt: self
                    .context
                    .run_attempt
                    .map(|nth| nth.to_string())
                    .unwrap_or_default(),
                job: self.context.job.clone().unwrap_or_default(),
            },
        };
        let deployments = self.deployments(inputs);
        let (listener, keeping) = recorder(deployments, info, self.vault.clone(), self.say.clone());
        self.journal.add(listener);
        let (ending, ()) = tokio::join!(self.told(audience, act), keeping);
        ending
    }

    /// Runs `act` and tells people how it ended.
    async fn told(&self, audience: &Audience, act: impl Future<Output = Ending>) -> Ending {
        let (listener, draft) =
            news::reporter(self.context.run_url.clone(), self.context.actor.clone());
        self.journal.add(listener);
        let ending = act.await;
        if let Some(news) = draft.take() {
            for warning in news::send(&news, audience, &self.vault).await {
                (self.say)(Event::Warned(warning));
            }
        }
        ending
    }

    fn deployments(&self, inputs: &Inputs) -> Option<Deployments> {
        let token = inputs.token.as_ref()?;
        let (Some(owner), Some(name)) = (&self.context.owner, &self.context.repository) else {
            (self.say)(Event::Warned(
                "GITHUB_REPOSITORY is not set, so there is no GitHub record".to_owned(),
            ));
            return None;
        };
        let repository = Repository::of(&self.context.api_url, &format!("{owner}/{name}"))?;
        Deployments::new(&self.http, token, &repository)
            .map_err(|failed| (self.say)(Event::Warned(failed.to_string())))
            .ok()
    }

    /// What the last record says, for the modes that stop when it differs from the router.
    async fn last_record(
        &self,
        mode: &str,
        environment: &str,
        inputs: &Inputs,
    ) -> Option<Recorded> {
        if !matches!(mode, "deploy-slot" | "switch-traffic" | "rollout") || inputs.token.is_none() {
            return None;
        }
        let deployments = self.deployments(inputs)?;
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

    fn release(&self, mode: &str, inputs: &Inputs) -> Result<Option<Release>, Refusal> {
        match mode {
            "deploy-slot" | "rollout" => {
                let version = inputs.version.as_ref().or(self.context.sha.as_ref());
                let said =
                    "is missing: there is no commit SHA outside of a workflow; give `--version`";
                version
                    .map(Release::new)
                    .map(Some)
                    .ok_or_else(|| Refusal::of_input("version", said))
            }
            // The commit is no word on what was deployed before: only what the user says counts.
            "switch-traffic" => Ok(inputs.version.as_ref().map(Release::new)),
            _ => Ok(None),
        }
    }

    fn stage(&self, choice: &Choice, mode: &str, inputs: &Inputs) -> Result<Stage, Refusal> {
        let tools = self.tools();
        let (app, environment) = (&choice.config.file.app, choice.environment());
        let mut stage = cast::stage(app, &choice.name, environment, &tools)
            .map_err(|misfits| choice.refuse(misfits))?;
        let needs: &[(&str, bool)] = match mode {
            "rollout" => &[
                ("router", stage.router.is_some()),
                ("target", stage.target.is_some()),
            ],
            "switch-traffic" | "rollback" => &[("router", stage.router.is_some())],
            "deploy-slot" => &[("target", stage.target.is_some())],
            _ => &[],
        };
        let missing = needs.iter().filter(|(_, there)| !there);
        let missing: Vec<_> = missing
            .map(|(block, _)| {
                (
                    String::new(),
                    format!("`{block}` is missing, and {mode} needs it"),
                )
            })
            .collect();
        if !missing.is_empty() {
            let trimmed = choice.refuse(missing);
            return Err(trimmed);
        }
        if let Some(text) = &inputs.checks {
            let checks = cast::inline_checks(text, &tools).map_err(Refusal::of_inputs)?;
            match mode {
                "smoke-test" => stage.smoke = checks,
                "health-check" => stage.health = checks,
                _ => {
                    return Err(Refusal::of_input(
                        "checks",
                        "is for smoke-test and health-check; a rollout's checks are in the config",
                    ));
                }
            }
        }
        Ok(stage)
    }

    /// `smoke-test` and `health-check` of a URL, without a config.
    async fn look(&self, word: &str, inputs: &Inputs) -> Result<Ending, Refusal> {
        let Some(url) = inputs.url.clone() else {
            return Err(Refusal::of_input("url", "is missing"));
        };
        let default = format!(
            "- {{ kind: http, url: {} }}",
            serde_json::Value::from(url.as_str())
        );
        let text = inputs.checks.as_deref().unwrap_or(&default);
        let checks: Vec<Check> =
            cast::inline_checks(text, &self.tools()).map_err(Refusal::of_inputs)?;
        let (mode, step, failed) = match word {
            "smoke-test" => ("smoke-test", "smoke", Reason::SmokeFailed),
            _ => ("health-check", "health", Reason::Unhealthy),
        };
        self.begin(Headline {
            mode,
            ..Headline::default()
        });
        (self.say)(Event::Learned(Fact::EnvironmentUrl(url.to_string())));
        let variables = vec![("URL".to_owned(), url.to_string())];
        let subject = Subject { url, variables };
        let ending =
            smoke_test::at(&subject, &checks, failed, step, &self.say, &self.cancelled).await;
        self.ended(&ending);
        Ok(ending)
    }

    async fn notify(&self, inputs: &Inputs) -> Result<Ending, Refusal> {
        let mut facts = Vec::new();
        let audience = match &inputs.webhook {
            Some(webhook) => {
                let tools = notifiers::Tools {
                    http: self.http.clone(),
                };
                let notifier = notifiers::for_webhook(webhook, &tools);
                let notifier = notifier.map_err(|said| Refusal::of_input("webhook", said))?;
                facts.extend(
                    inputs
                        .environment
                        .clone()
                        .map(|name| ("environment".to_owned(), name)),
                );
                vec![(notifiers::Routing::default(), notifier)]
            }
            None => {
                let choice = self.choice(inputs)?;
                let blocks = &choice.environment().notify;
                if blocks.is_empty() {
                    let said = "has no channels, and there is no `webhook` input".to_owned();
                    return Err(choice.refuse(vec![("notify".to_owned(), said)]));
                }
                facts.push(("app".to_owned(), choice.config.file.app.clone()));
                facts.push(("environment".to_owned(), choice.name.clone()));
                cast::audience(blocks, &self.http).map_err(|misfits| choice.refuse(misfits))?
            }
        };
        let version = inputs.version.as_ref().or(self.context.sha.as_ref());
        facts.extend(
            version.map(|version| ("version".to_owned(), text::short_sha(version).to_owned())),
        );
        facts.extend(
            self.context
                .actor
                .clone()
                .map(|actor| ("actor".to_owned(), actor)),
        );
        self.begin(Headline {
            mode: "notify",
            ..Headline::default()
        });
        let run_url = self.context.run_url.clone();
        let ending = notify::run(inputs, facts, run_url, &audience, &self.vault, &self.say).await;
        self.ended(&ending);
        Ok(ending)
    }

    /// Rehearses the config, or the built-in one where there is none.
    async fn rehearse(&self, inputs: &Inputs) -> Result<Ending, Refusal> {
        let there =
            inputs.config_was_named || choice::path_of(inputs, &self.context.workspace).exists();
        let choice = if there {
            self.choice(inputs)?
        } else {
            let config = choice::parse(
                BUILT_IN,
                "the built-in config",
                &self.environment,
                &self.vault,
            )?;
            choice::choose(config, inputs)?
        };
        let piece = rehearse::Piece {
            app: &choice.config.file.app,
            name: &choice.name,
            environment: choice.environment(),
        };
        self.begin(rehearse::headline(&piece, rehearse::first_version(inputs)));
        let ending = rehearse::run(&piece, inputs, &self.tools()).await?;
        self.ended(&ending);
        Ok(ending)
    }

    /// Is the config right, in every environment?
    fn check(&self, inputs: &Inputs) -> Result<Option<Ending>, Refusal> {
        let config = choice::read(
            inputs,
            &self.context.workspace,
            &self.environment,
            &self.vault,
        )?;
        let tools = self.tools();
        let mut problems = Vec::new();
        for (name, environment) in &config.file.environments {
            let stage = cast::stage(&config.file.app, name, environment, &tools).err();
            let audience = cast::audience(&environment.notify, &self.http).err();
            let misfits = [stage, audience].into_iter().flatten().flatten().collect();
            problems.extend(choice::refuse(&config, &inputs.config, name, misfits).problems);
        }
        if !problems.is_empty() {
            return Err(Refusal::of_file(&inputs.config, problems));
        }
        let names: Vec<_> = config
            .file
            .environments
            .keys()
            .map(String::as_str)
            .collect();
        self.print(&format!(
            "{} is right: {} with {}\n",
            inputs.config,
            config.file.app,
            names.join(", ")
        ));
        Ok(None)
    }

    /// The lines that the proxy needs once.
    fn router_config(&self, inputs: &Inputs) -> Result<Option<Ending>, Refusal> {
        let choice = self.choice(inputs)?;
        let stage = self.stage(&choice, "switch-traffic", inputs)?;
        if let Some(router) = &stage.router {
            self.print(&router.one_time_lines());
        }
        Ok(None)
    }

    /// Prints an answer, without secrets.
    fn print(&self, text: &str) {
        let _ = std::io::stdout().write_all(self.vault.redact(text).as_bytes());
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

/// The strategy of the config, which the input may name but not exchange for one without settings.
fn strategy(choice: &Choice, inputs: &Inputs) -> Result<Strategy, Refusal> {
    let strategy = choice.environment().strategy.clone();
    match inputs.strategy.as_deref() {
        Some(name) if !Strategy::NAMES.contains(&name) => Err(Refusal::of_input(
            "strategy",
            unknown("strategy", name, Strategy::NAMES),
        )),
        _ => Ok(strategy),
    }
}
