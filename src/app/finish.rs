//! Finding what was left open, and finishing it: traffic first, records second.

use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::github::record::{Content, State, Status};
use crate::model::ending::{Decision, Ending};
use crate::model::event::{Event, Fact, Headline};
use crate::modes::finish;
use crate::report::tally;
use crate::rollout::hooks;
use crate::rollout::ledger::{Ledger, Note, Progress};

use super::records::Archive;
use super::session::Session;

impl Session {
    /// The post step.
    pub(super) async fn finish(&self, inputs: &Inputs) -> Result<Option<Ending>, Refusal> {
        let mut last = None;
        let mut refused = None;
        for (path, note) in self.open_ledgers(inputs) {
            let inputs = Inputs {
                config: note.config.clone(),
                environment: Some(note.environment.clone()),
                checks: None,
                ..inputs.clone()
            };
            let ledger = Ledger::resume(path.clone(), note.clone());
            // One that cannot be finished is not in the way of the others.
            match self.finish_one(&note, &ledger, &inputs).await {
                Ok(ending) => {
                    if ending.is_good() {
                        Ledger::discard(&path);
                    }
                    last = worse(last, ending);
                }
                Err(refusal) => {
                    let said = format!("{} was not finished", note.environment);
                    (self.say)(Event::Warned(said));
                    match refused {
                        None => refused = Some(refusal),
                        Some(_) => drop(refusal.tell(&self.say)),
                    }
                }
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
        if last.is_none() {
            self.clear_drafts();
            self.print(&format!("cutover · finish: {}\n", finish::nothing().said));
        }
        Ok(last)
    }

    async fn finish_one(
        &self,
        note: &Note,
        ledger: &Ledger,
        inputs: &Inputs,
    ) -> Result<Ending, Refusal> {
        let choice = self.choice(inputs)?;
        let mut stage = self.stage(&choice, "finish", inputs)?;
        self.open_audit("finish", &choice, true).await;
        // One that said itself that it was stuck has been counted then.
        if tally::counts(&note.mode) && !note.is_counted {
            self.open_telemetry(&choice).await?;
        }
        self.begin(Headline {
            mode: "finish",
            environment: Some(note.environment.clone()),
            app: Some(stage.app.clone()),
            ..Headline::default()
        });
        stage.learned(Fact::Environment(note.environment.clone()));
        stage.lock = self.resume_lock(note, inputs).await;
        let ending = finish::run(&stage, note).await;
        if let Some(owed) = &note.owed {
            if note.progress != Progress::Promised {
                for hook in &owed.contracts {
                    (self.say)(Event::Warned(format!(
                        "hook {hook} is not known to have come to its end: {}",
                        hooks::BY_HAND
                    )));
                }
            }
            stage.hooks.tell(owed.about.clone());
            // Cut off when traffic was back and before its hooks, it left nothing to be put back.
            let is_back =
                ending.is_good() && owed.back.is_some() && stage.split_now().await == owed.back;
            let went_back = is_back || hooks::went_back("finish", &ending);
            hooks::at_the_end(&stage, ledger, &ending, went_back).await;
        }
        if let Err(said) = stage.lock.release().await {
            (self.say)(Event::Warned(said));
        }
        self.withdraw(note, inputs).await;
        self.ended(&ending);
        let records = choice.environment().records;
        let state = if finish::is_live(&stage, note).await {
            State::Success
        } else {
            State::Inactive
        };
        let back = ending.decision == Decision::RolledBack;
        if back {
            self.forget(&choice);
        }
        let stands = back.then_some(note.environment.as_str());
        self.close_records(&self.archive(inputs, records), &ending, (state, stands))
            .await;
        Ok(ending)
    }

    /// Closes the GitHub Deployments that the run left in progress. One that GitHub made for the
    /// job it closes itself. Where traffic went back, no canary of the environment stands any more.
    async fn close_records(
        &self,
        archive: &Archive,
        ending: &Ending,
        (state, went_back): (State, Option<&str>),
    ) {
        let deployments = match archive {
            Archive::Kept(deployments) => deployments,
            Archive::NoToken | Archive::Unwanted => return,
            Archive::Unusable(said) => return (self.say)(Event::Warned(said.clone())),
        };
        let closed = async {
            let open = deployments.left_open(&self.run()).await?;
            for id in &open {
                let status = Status {
                    state,
                    description: &ending.said,
                    environment_url: None,
                    log_url: self.context.run_url.as_deref(),
                };
                deployments.status(*id, &status).await?;
                (self.say)(Event::Noticed(format!(
                    "GitHub Deployment {id} was left in progress, and is closed"
                )));
            }
            if let (Some(environment), Some(newest)) = (went_back, open.iter().max()) {
                let which = |content: &Content| content.canary.is_some();
                let log_url = self.context.run_url.as_deref();
                deployments
                    .retire(environment, *newest, None, which, log_url)
                    .await?;
            }
            Ok::<(), crate::github::GithubError>(())
        };
        if let Err(failed) = closed.await {
            (self.say)(Event::Warned(failed.told()));
        }
    }
}

/// Of two endings the one that a person must know of; of two alike the later.
fn worse(one: Option<Ending>, other: Ending) -> Option<Ending> {
    let rank = |ending: &Ending| match ending.decision {
        Decision::Stuck => 3,
        Decision::Held => 2,
        _ if !ending.is_good() => 1,
        _ => 0,
    };
    match one {
        Some(one) if rank(&one) > rank(&other) => Some(one),
        _ => Some(other),
    }
}
