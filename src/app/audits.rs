//! The audit of a run, from the moment its environment is known to the last word; and the
//! commands that look at one.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cast::Misfit;
use crate::config::file::Environment;
use crate::error::Refusal;
use crate::judge::chain::{Broken, Whole, verify};
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Headline};
use crate::platform::text;
use crate::report::audit::loki::Loki;
use crate::report::audit::{Audit, Origin, schema};
use crate::report::{Listener as _, Shared};

use super::choice::Choice;
use super::session::Session;

/// How long Loki may take.
const LOKI: Duration = Duration::from_secs(10);

/// And when the run was cancelled: the runner waits for nobody.
const LOKI_AFTER_A_SIGNAL: Duration = Duration::from_secs(2);

/// An audit that is being written.
pub(super) struct Open {
    audit: Shared<Audit>,
    origin: Origin,
    /// The file, as the config names it.
    file: String,
    loki: Option<Result<Loki, Misfit>>,
}

impl Session {
    /// Opens the audit of an environment that is to have one. `send` is whether it leaves this
    /// machine.
    pub(super) async fn open_audit(&self, mode: &'static str, choice: &Choice, send: bool) {
        // The post step may finish several runs.
        self.close_audit().await;
        let Some(options) = &choice.environment().audit else {
            return;
        };
        let loki = self.loki(choice.environment()).filter(|_| send);
        let origin = self.origin(mode, choice);
        let path = self.context.workspace.join(&options.file);
        let audit = Shared::new(Audit::open(&path, origin.clone(), self.vault.clone()));
        self.journal.add(audit.clone());
        *self.audit.borrow_mut() = Some(Open {
            audit,
            origin,
            file: options.file.clone(),
            loki,
        });
    }

    /// Says something to the open audit alone: how one of several environments began or ended.
    pub(super) fn tell_audit(&self, event: &Event) {
        if let Some(open) = self.audit.borrow().as_ref() {
            open.audit.clone().hear(event);
        }
    }

    /// Closes the audit, if one is open. Whatever goes wrong is a warning.
    pub(super) async fn close_audit(&self) {
        let Some(open) = self.audit.take() else {
            return;
        };
        let began = Instant::now();
        let closed = open.audit.end(Audit::close);
        for warning in closed.warnings {
            (self.say)(Event::Warned(warning));
        }
        let within = if self.cancelled.is_cancelled() {
            LOKI_AFTER_A_SIGNAL
        } else {
            LOKI
        };
        let pushed = match &open.loki {
            None => Ok(()),
            Some(Err((path, said))) => Err(format!("{path}: {said}")),
            Some(Ok(loki)) => loki.push(&open.origin, &closed.entries, within).await,
        };
        if let Err(said) = pushed {
            let file = if closed.in_file {
                "; the file has it"
            } else {
                ""
            };
            (self.say)(Event::Warned(format!(
                "Loki did not take the audit: {said}{file}"
            )));
        }
        if closed.in_file {
            let lines = text::count(closed.lines as u64, "line");
            (self.say)(Event::Done {
                step: "audit",
                said: format!("{lines} in {}, the last is {}", open.file, closed.head),
                took: began.elapsed(),
            });
        }
    }

    /// The Loki of an environment.
    pub(super) fn loki(&self, environment: &Environment) -> Option<Result<Loki, Misfit>> {
        let options = environment.audit.as_ref()?.loki.as_ref()?;
        let loki = Loki::new(options, &self.http, &self.vault);
        Some(loki.map_err(|(key, said)| (format!("audit.loki.{key}"), said)))
    }

    fn origin(&self, mode: &'static str, choice: &Choice) -> Origin {
        let context = &self.context;
        let repository = context.owner.as_deref().zip(context.repository.as_deref());
        Origin {
            app: choice.config.file.app.clone(),
            environment: choice.name.clone(),
            mode,
            actor: context.actor.clone().or_else(|| context.user.clone()),
            triggering_actor: context.triggering_actor.clone(),
            repository: repository.map(|(owner, name)| format!("{owner}/{name}")),
            run_id: context.run_id,
            run_attempt: context.run_attempt,
            job: context.job.clone(),
            runner: context.runner.clone(),
            branch: context.ref_name.clone(),
            sha: context.sha.clone(),
        }
    }

    /// `audit verify FILE` and `audit schema`.
    pub(super) fn audit_command(&self, words: &[String]) -> Result<Option<Ending>, Refusal> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["schema"] => {
                self.print(&format!("{:#}\n", schema::schema()));
                Ok(None)
            }
            ["verify", file] => {
                self.begin(Headline {
                    mode: "audit verify",
                    ..Headline::default()
                });
                let path: PathBuf = self.context.workspace.join(file);
                let ending = match fs::read(&path) {
                    Ok(text) => verified(file, verify(&text)),
                    Err(failed) => unreadable(file, &failed),
                };
                self.ended(&ending);
                Ok(Some(ending))
            }
            ["verify"] => Err(Refusal::of_input(
                "audit verify",
                "which file? `cutover audit verify cutover-audit.jsonl`",
            )),
            _ => Err(Refusal::of_input(
                "audit",
                "takes `verify FILE` or `schema`",
            )),
        }
    }
}

fn verified(file: &str, outcome: Result<Whole, Broken>) -> Ending {
    match outcome {
        Ok(whole) => {
            let mut said = format!(
                "{file} is as it was written: {}, {}, the last is {}",
                text::count(whole.lines, "line"),
                text::count(whole.runs, "run"),
                whole.head
            );
            for line in whole.resumed {
                said.push_str(&format!(
                    "; before line {line} a run left no end, so it was killed or its last lines were removed"
                ));
            }
            Ending::good(Decision::Passed, Reason::Done, said)
        }
        Err(Broken { line, why }) => Ending {
            decision: Decision::Failed,
            reason: Reason::RecordChanged,
            said: format!("{file} is not as it was written"),
            account: Account {
                measured: Some(format!("line {line}: {why}")),
                wanted: Some("every line as it was written, and a last one that says so".to_owned()),
                traffic: None,
                next: Some("compare it with the artifact, with Loki, and with the hash in the run's log; what stands behind that line proves nothing".to_owned()),
            },
        },
    }
}

fn unreadable(file: &str, failed: &io::Error) -> Ending {
    Ending {
        decision: Decision::Failed,
        reason: Reason::OutOfReach,
        said: format!("{file} cannot be read"),
        account: Account {
            measured: Some(failed.to_string()),
            wanted: Some("a file that `cutover` wrote with `audit:` in the config".to_owned()),
            ..Account::default()
        },
    }
}
