//! From a word to its mode: what each mode needs is read, chosen and built here, so that the
//! modes themselves can tell their stories.

use std::collections::BTreeSet;
use std::io::Write as _;

use crate::cast::{self};
use crate::config::check::unknown;
use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::model::ending::{Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::modes::{MODES, notify, rehearse, smoke_test};
use crate::notifiers;
use crate::platform::text;
use crate::probes::Subject;
use crate::rehearsal::environment::BUILT_IN;
use crate::rollout::patience::Check;

use super::canaries::unjudged;
use super::choice::{self, Choice};
use super::help::COMMANDS;
use super::session::Session;

impl Session {
    /// Does what a word asks for. `None` is a command that has printed its answer.
    pub(super) async fn perform(
        &self,
        word: &str,
        inputs: &Inputs,
    ) -> Result<Option<Ending>, Refusal> {
        // A key that is none is a mistake of whoever set it, and no reason to go on without.
        if inputs.app.is_some() {
            let access = self.access(inputs);
            access.map_err(|said| Refusal::of_input("app-private-key", said))?;
        }
        match word {
            "audit" => self.audit_command(&inputs.operands),
            "check" => self.check(inputs),
            "replay" => self.replay(&inputs.operands),
            "router-config" => self.router_config(inputs),
            "lock" => self.lock_command(inputs).await.map(Some),
            "environments" => self.environments(inputs).await.map(Some),
            "finish" => self.finish(inputs).await,
            "notify" => self.notify(inputs).await.map(Some),
            "rehearse" => self.rehearse(inputs).await.map(Some),
            "smoke-test" | "health-check" if inputs.url.is_some() => {
                self.look(word, inputs).await.map(Some)
            }
            _ => match MODES.iter().find(|(name, _)| *name == word) {
                Some((mode, _)) => self.staged(mode, inputs).await.map(Some),
                None => {
                    let words = MODES.iter().chain(COMMANDS);
                    // A command with several forms is one word.
                    let words: BTreeSet<_> = words
                        .filter_map(|(name, _)| name.split(' ').next())
                        .collect();
                    Err(Refusal::of_input("mode", unknown("mode", word, words)))
                }
            },
        }
    }

    pub(super) fn choice(&self, inputs: &Inputs) -> Result<Choice, Refusal> {
        let config = choice::read(
            inputs,
            &self.context.workspace,
            &self.environment,
            &self.vault,
        )?;
        choice::choose(config, inputs)
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
        let mut about = None;
        let audience = match &inputs.webhook {
            Some(webhook) => {
                let notifier = notifiers::for_webhook(webhook, &self.notifier_tools(inputs));
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
                self.open_audit("notify", &choice, true).await;
                let blocks = &choice.environment().notify;
                if blocks.is_empty() {
                    let said = "has no channels, and there is no `webhook` input".to_owned();
                    return Err(choice.refuse(vec![("notify".to_owned(), said)]));
                }
                facts.push(("app".to_owned(), choice.config.file.app.clone()));
                facts.push(("environment".to_owned(), choice.name.clone()));
                let audience = cast::audience(blocks, &self.notifier_tools(inputs));
                about = Some((choice.config.file.app.clone(), choice.name.clone()));
                audience.map_err(|misfits| choice.refuse(misfits))?
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
        let message = notify::Message {
            facts,
            about,
            run_url,
        };
        let ending = notify::run(inputs, message, &self.teller(&audience)).await;
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
        // What is played is written down, and goes nowhere: nobody is told of it either.
        self.open_audit("rehearse", &choice, false).await;
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
            let stage = cast::stage(&config.file.app, name, environment, &tools);
            let judged = stage
                .as_ref()
                .ok()
                .and_then(|stage| unjudged(stage, environment));
            let stage = stage.err();
            let audience = cast::audience(&environment.notify, &self.notifier_tools(inputs)).err();
            let loki = self.loki(environment).and_then(Result::err);
            let exporters = cast::exporters(&config.file.app, name, environment, &tools).err();
            let misfits = [stage, audience, exporters].into_iter().flatten().flatten();
            let misfits = misfits.chain(loki).chain(judged).collect();
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
    pub(super) fn print(&self, text: &str) {
        let _ = std::io::stdout().write_all(self.vault.redact(text).as_bytes());
    }
}
