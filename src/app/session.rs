//! A run, from the first line of its log to its exit code: who listens, what is masked, what
//! a signal does, and what the runner gets at the end.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::io::{IsTerminal as _, Write as _};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::actions::context::Context;
use crate::actions::{commands, files};
use crate::cast::Tools;
use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::github::access::Access;
use crate::judge::ending::{Unwound, bug, ending_of, message_of};
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::{Event, Headline, Say};
use crate::modes::MODES;
use crate::platform::http::Http;
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::report::log::{Log, Style};
use crate::report::outputs::Outputs;
use crate::report::summary::Summary;
use crate::report::{Journal, Shared};
use crate::rollout::ledger::{Ledger, Progress};

use super::audits::Open;
use super::telemetry::Counting;
use super::{COMMANDS, Variables, secrets, trace};

/// How long a cancelled run has. The runner sends SIGINT, 7.5 s later SIGTERM, and 2.5 s after
/// that the end.
const AFTER_A_SIGNAL: Duration = Duration::from_millis(6500);

/// Everything that a run has, whatever its mode.
pub(super) struct Session {
    pub(super) context: Context,
    pub(super) environment: Variables,
    pub(super) vault: Vault,
    pub(super) journal: Journal,
    pub(super) say: Say,
    pub(super) http: Http,
    pub(super) cancelled: CancellationToken,
    pub(super) summary: Shared<Summary>,
    outputs: Shared<Outputs>,
    pub(super) audit: RefCell<Option<Open>>,
    pub(super) telemetry: RefCell<Option<Counting>>,
    /// Where the page of the run goes.
    pub(super) report_file: Option<PathBuf>,
    begun: Cell<bool>,
    /// As whom GitHub is asked, once that was needed.
    pub(super) access: OnceCell<Result<Option<Access>, String>>,
}

impl Session {
    pub(super) fn open(environment: Variables) -> Self {
        let context = Context::read(environment.iter().cloned());
        let vault = Vault::default();
        secrets::keep_from_environment(&environment, &vault);
        trace::begin(&context, &environment, &vault);
        let journal = Journal::default();
        let no_color = environment
            .iter()
            .any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
        let style = Style::of(
            context.in_workflow,
            std::io::stdout().is_terminal(),
            no_color,
        );
        let summary = Shared::new(Summary::new(vault.clone()));
        let outputs = Shared::new(Outputs::new(vault.clone()));
        journal.add(Log::new(Box::new(std::io::stdout()), style, vault.clone()));
        journal.add(summary.clone());
        journal.add(outputs.clone());
        Self {
            say: journal.say(),
            context,
            environment,
            vault,
            journal,
            http: Http::default(),
            cancelled: CancellationToken::new(),
            summary,
            outputs,
            audit: RefCell::default(),
            telemetry: RefCell::default(),
            report_file: None,
            begun: Cell::new(false),
            access: OnceCell::new(),
        }
    }

    /// Runs a mode or a command to its end, and returns the exit code.
    pub(super) async fn hold(mut self, word: &str, inputs: &Inputs) -> u8 {
        if let Some(id) = inputs.check_run_id {
            self.context.lead_to_job(id);
        }
        secrets::keep_from_inputs(inputs, &self.vault);
        // The post step has the same inputs, and the page of the run is there by then.
        if word != "finish" {
            self.report_file = inputs.report_file.clone();
        }
        let performed = tokio::select! {
            biased;
            () = self.heed_signals() => None,
            performed = AssertUnwindSafe(self.perform(word, inputs)).catch_unwind() => Some(
                performed.unwrap_or_else(|panic| Ok(Some(self.broken(panic.as_ref())))),
            ),
        };
        match performed {
            Some(Ok(Some(ending))) => self.close(&ending, word).await,
            Some(Ok(None)) => 0,
            Some(Err(refusal)) => self.refuse(word, &refusal).await,
            None => self.give_up(word, inputs).await,
        }
    }

    /// Says what is wrong with the inputs or the config, and closes.
    pub(super) async fn refuse(self, word: &str, refusal: &Refusal) -> u8 {
        if !self.begun.get() {
            let mode = MODES
                .iter()
                .chain(COMMANDS)
                .find(|(name, _)| *name == word)
                .map_or("", |(name, _)| *name);
            self.begin(Headline {
                mode,
                ..Headline::default()
            });
        }
        let ending = refusal.tell(&self.say);
        self.ended(&ending);
        self.close(&ending, word).await
    }

    /// Says the first line, after the masks: nothing is printed before them.
    pub(super) fn begin(&self, headline: Headline) {
        self.begun.set(true);
        if self.context.in_workflow {
            let mut out = std::io::stdout();
            for secret in self.vault.values() {
                let _ = out.write_all(commands::mask(&secret).as_bytes());
            }
        }
        (self.say)(Event::Began(headline));
    }

    /// Says the ending.
    pub(super) fn ended(&self, ending: &Ending) {
        (self.say)(Event::Ended(ending.clone()));
    }

    /// What stages are built with.
    pub(super) fn tools(&self) -> Tools {
        Tools {
            http: self.http.clone(),
            directory: self.context.workspace.clone(),
            vault: self.vault.clone(),
            engine: self.engine(),
            say: self.say.clone(),
            agent: self.context.ssh_agent.clone(),
            cancelled: self.cancelled.clone(),
        }
    }

    /// Cancels the run at the first signal: it ends by itself then, with traffic on a known good
    /// slot. Returns when it has not done so in time.
    async fn heed_signals(&self) {
        let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let [Ok(mut interrupt), Ok(mut terminate)] = signals else {
            return std::future::pending().await;
        };
        let name = next(&mut interrupt, &mut terminate).await;
        (self.say)(Event::Warned(format!(
            "{name}: the run is cancelled; traffic goes to a known good slot first"
        )));
        self.cancelled.cancel();
        let more = async {
            loop {
                next(&mut interrupt, &mut terminate).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(AFTER_A_SIGNAL, more).await;
    }

    /// The end of a run in which something panicked outside of a story.
    fn broken(&self, panic: &(dyn Any + Send)) -> Ending {
        let ending = ending_of(bug(message_of(panic)), false, &Unwound::Untouched, None);
        if !self.begun.get() {
            self.begin(Headline::default());
        }
        self.ended(&ending);
        ending
    }

    /// The end of a run that a signal did not end in time. Where it may have moved traffic, it is not
    /// one that ended well: its post step, or a person, has to put that back.
    async fn give_up(self, word: &str, inputs: &Inputs) -> u8 {
        let open = self.open_ledgers(inputs).into_iter();
        let mut promised = open.filter(|(_, note)| note.progress == Progress::Promised);
        let (decision, traffic) = match promised.next() {
            Some((path, note)) => {
                Ledger::resume(path, note).is_stuck();
                let said = "perhaps moved, and not proved to be back; the post step puts it back";
                (Decision::Stuck, said)
            }
            None => (Decision::Failed, "not moved by this run, or meant to stay"),
        };
        let ending = Ending {
            decision,
            reason: Reason::Cancelled,
            said: format!(
                "cancelled, and not finished within {}",
                text::duration(AFTER_A_SIGNAL)
            ),
            account: Account {
                traffic: Some(traffic.to_owned()),
                next: Some("cutover finish".to_owned()),
                ..Account::default()
            },
        };
        self.ended(&ending);
        self.close(&ending, word).await
    }

    /// The runner gets its files, or a person the table.
    async fn close(&self, ending: &Ending, word: &str) -> u8 {
        if self.cancelled.is_cancelled() {
            // The runner waits for neither: what follows must not come too late.
            tokio::join!(self.close_telemetry(), self.close_audit());
        } else {
            self.close_telemetry().await;
            self.close_audit().await;
        }
        self.write_report();
        if let Some(path) = &self.context.output_file
            && let Err(failed) = self.outputs.with(|outputs| outputs.write(path))
        {
            (self.say)(Event::Warned(failed.to_string()));
        }
        if let Some(path) = &self.context.summary_file
            && let Err(failed) = files::append_summary(path, &self.summary.with(Summary::markdown))
        {
            (self.say)(Event::Warned(failed.to_string()));
        }
        if !self.context.in_workflow {
            let mut out = std::io::stdout();
            if word == "rehearse" {
                let markdown = self.summary.with(Summary::markdown);
                let _ = write!(
                    out,
                    "\nThe summary that a workflow would show:\n\n{markdown}"
                );
            }
            let _ = write!(out, "\n{}", self.outputs.with(Outputs::table));
        }
        match word {
            "preflight" => ending.exit_code_of_preflight(),
            _ => ending.exit_code(),
        }
    }
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
