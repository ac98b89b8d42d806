//! The GitHub Deployment of a run: opened when slot and version are known, closed at the end.
//!
//! A Deployment cannot be changed once it is there, so its payload says what is meant, and the
//! figures of the receipt go into the last status. The listener only writes notes; the future
//! beside it has a clerk do the asking, and neither of them can hold up or change a run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::records::Records;
use crate::github::deployments::Deployments;
use crate::github::record::{Content, New, Run, State};
use crate::github::survey::Survey;
use crate::github::{Job, LIMITS};
use crate::model::canary::Standing;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Say};
use crate::model::receipt::Receipt;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::Listener;
use super::clerk::Clerk;
use super::news::{ms, requests};

/// How long the record may take after the run has ended.
const AFTER_THE_END: Duration = Duration::from_secs(15);

/// The same where the run was cancelled: the runner does not wait long then.
const AFTER_A_CANCEL: Duration = Duration::from_secs(3);

/// The modes that leave a record.
const MODES: [&str; 4] = ["deploy-slot", "switch-traffic", "rollout", "rollback"];

/// The run that the record is about.
#[derive(Clone, Debug, Default)]
pub struct RunInfo {
    /// The commit, `GITHUB_SHA`.
    pub sha: String,
    /// The page of the run.
    pub run_url: Option<String>,
    /// The run and its job.
    pub run: Run,
    /// The job's check run.
    pub check_run: Option<u64>,
    /// Whose Deployments are the records.
    pub records: Records,
}

impl RunInfo {
    /// The job, as GitHub knows it.
    pub fn job(&self) -> Job {
        Job {
            check_run: self.check_run,
            run_id: self.run.id.clone(),
            sha: self.sha.clone(),
        }
    }
}

/// A listener, and the work that follows from what it hears. Run the future beside the mode: it
/// ends when the ending was recorded, at most 15 s after it, and a minute more where GitHub's limits
/// ask for it. So an ending must be said, whatever happens; without one the future ends only with
/// the listener, and `say` keeps that alive where both are of one journal. `None` is no token. Not
/// for a dry run, which leaves nothing behind. `survey` is what the older records say, if anybody
/// asks; the work begins when that is known. It comes to whether nothing is left to be done: not when
/// GitHub did not answer in time.
pub fn recorder(
    deployments: Option<Arc<Deployments>>,
    info: RunInfo,
    vault: Vault,
    say: Say,
    survey: oneshot::Receiver<Arc<Survey>>,
) -> (impl Listener, impl Future<Output = bool>) {
    let (notes, inbox) = mpsc::unbounded_channel();
    let (ended, end) = oneshot::channel::<End>();
    let over = CancellationToken::new();
    let listener = Stenographer {
        notes,
        ended: Some(ended),
        over: over.clone(),
        sha: info.sha.clone(),
        run: info.run.clone(),
        open: false,
        facts: Facts::default(),
    };
    let waiting = deployments.clone();
    let clerk = Clerk {
        deployments,
        info,
        vault,
        say: say.clone(),
        over,
    };
    let work = async move {
        let too_late = async {
            let Ok(End { at, patience }) = end.await else {
                // The listener is gone, and so is the channel: the work ends by itself.
                return std::future::pending().await;
            };
            tokio::time::sleep_until(at + patience).await;
            let limited = waiting.is_some_and(|deployments| deployments.has_waited());
            if limited && patience == AFTER_THE_END {
                tokio::time::sleep_until(at + patience + LIMITS).await;
            }
            at.elapsed()
        };
        tokio::select! {
            biased;
            () = clerk.work(inbox, survey) => true,
            waited = too_late => {
                say(Event::Warned(format!(
                    "the GitHub Deployment was not closed within {} after the end; it may still say `in progress`, until the post step or the next run closes it",
                    text::duration(Duration::from_secs(waited.as_secs()))
                )));
                false
            }
        }
    };
    (listener, work)
}

/// The end of a run, and how long its record may take from then on.
struct End {
    at: Instant,
    patience: Duration,
}

/// What the listener passes on.
pub(super) enum Note {
    /// A run that leaves a record has begun.
    Began,
    /// Slot and version are known.
    Open(Box<New>, String),
    /// The run is over.
    Close(Box<Close>),
}

/// How a record is closed.
pub(super) struct Close {
    pub(super) state: State,
    /// What happened.
    pub(super) said: String,
    /// The receipt's figures, which are not cut.
    pub(super) figures: String,
    pub(super) environment_url: Option<String>,
    /// Which older records are no longer true.
    pub(super) replaces: Replaces,
    /// A canary that stays where it is, in a record of its own: a payload cannot be added later.
    pub(super) stands: Option<(Box<New>, String)>,
}

pub(super) enum Replaces {
    /// None of them.
    Nothing,
    /// Deployments into this slot, which has something else in it now.
    In(String),
    /// Those of canaries that stayed where they were.
    Canaries,
    /// All of them: this release has the traffic.
    All,
}

#[derive(Default)]
struct Facts {
    /// The mode; empty where it leaves no record.
    mode: &'static str,
    environment: Option<String>,
    environment_url: Option<String>,
    slot: Option<String>,
    /// The two slots, in the order in which they were named.
    seen: Vec<String>,
    version: Option<String>,
    weight: Option<u8>,
    receipt: Option<Receipt>,
    stands: Option<Box<Standing>>,
}

/// Hears what matters and writes it down, without waiting for anything.
struct Stenographer {
    notes: mpsc::UnboundedSender<Note>,
    ended: Option<oneshot::Sender<End>>,
    over: CancellationToken,
    sha: String,
    run: Run,
    open: bool,
    facts: Facts,
}

impl Listener for Stenographer {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) if MODES.contains(&headline.mode) => {
                self.facts.mode = headline.mode;
                self.facts.environment.clone_from(&headline.environment);
                self.facts.version.clone_from(&headline.release);
                self.note(Note::Began);
            }
            // Facts come several at a time: the first event that is none says that it is all.
            Event::Learned(fact) => self.facts.learn(fact),
            Event::Stands(standing) => self.facts.stands = Some(standing.clone()),
            Event::Measured(receipt) => self.facts.receipt = Some(receipt.clone()),
            Event::Ended(ending) => {
                let mut close = self.facts.close(ending);
                close.stands = self
                    .facts
                    .standing(&self.run)
                    .map(|(environment, content)| {
                        let new = New::at(&self.sha, &environment, content);
                        (Box::new(new), ending.said.clone())
                    });
                // What came to nothing before it began needs no record.
                if !matches!(close.state, State::Inactive) {
                    self.open();
                }
                self.note(Note::Close(Box::new(close)));
                self.over.cancel();
                let patience = match ending.reason {
                    Reason::Cancelled => AFTER_A_CANCEL,
                    _ => AFTER_THE_END,
                };
                if let Some(ended) = self.ended.take() {
                    // Nobody is there to hear it when the future was dropped.
                    let at = Instant::now();
                    let _ = ended.send(End { at, patience });
                }
            }
            _ => self.open(),
        }
    }
}

impl Stenographer {
    fn note(&self, note: Note) {
        let _ = self.notes.send(note);
    }

    /// Opens the record, once, if slot and version are known.
    fn open(&mut self) {
        if self.open {
            return;
        }
        let Some((environment, content)) = self.facts.content(&self.run) else {
            return;
        };
        self.open = true;
        let said = format!("{} is under way for {}", content.mode, content.slot);
        let new = New::at(&self.sha, &environment, content);
        self.note(Note::Open(Box::new(new), said));
    }
}

impl Facts {
    fn learn(&mut self, fact: &Fact) {
        match fact {
            Fact::Environment(name) => self.environment = Some(name.clone()),
            Fact::EnvironmentUrl(url) => self.environment_url = Some(url.clone()),
            Fact::Slot(slot) => self.slot = Some(slot.clone()),
            Fact::ActiveSlot(slot) | Fact::PreviousSlot(slot) if !self.seen.contains(slot) => {
                self.seen.push(slot.clone());
            }
            Fact::Version(version) => self.version = Some(version.clone()),
            Fact::IntendedWeight(weight) => self.weight = Some(*weight),
            _ => {}
        }
    }

    fn content(&self, run: &Run) -> Option<(String, Content)> {
        if self.mode.is_empty() {
            return None;
        }
        let slot = self.slot.clone()?;
        let content = Content {
            mode: self.mode.to_owned(),
            version: self.version.clone()?,
            weight: self.intended(),
            canary: None,
            beside: None,
            // A record is opened before the switch: then the idle slot is the previous one still.
            previous: self.seen.iter().find(|name| **name != slot).cloned(),
            run: run.clone(),
            slot,
        };
        Some((self.environment.clone()?, content))
    }

    /// What there is to say of a canary that stays where it is.
    fn standing(&self, run: &Run) -> Option<(String, Content)> {
        let standing = self.stands.as_ref()?;
        let (environment, content) = self.content(run)?;
        let content = Content {
            weight: Some(standing.weight),
            canary: Some(standing.state.clone()),
            ..content
        };
        Some((environment, content))
    }

    /// The share of traffic that the slot is to have at the end.
    fn intended(&self) -> Option<u8> {
        match self.mode {
            "deploy-slot" => Some(0),
            "switch-traffic" => self.weight,
            _ => Some(100),
        }
    }

    fn close(&self, ending: &Ending) -> Close {
        let state = match (ending.decision, ending.reason) {
            (Decision::Passed | Decision::Promoted, _) => State::Success,
            // A rollback by itself did what it was for, whatever that says of the release.
            (Decision::RolledBack, reason)
                if self.mode == "rollback" && reason != Reason::Cancelled =>
            {
                State::Success
            }
            (Decision::Skipped | Decision::Planned | Decision::Paused, _)
            | (Decision::Failed | Decision::RolledBack, Reason::Cancelled) => State::Inactive,
            (Decision::Failed, Reason::Bug) => State::Error,
            (Decision::Failed | Decision::RolledBack | Decision::Held | Decision::Stuck, _) => {
                State::Failure
            }
        };
        let weight = self.receipt.as_ref().map(|receipt| receipt.weight_after);
        let whole = weight.or(self.intended()) == Some(100);
        let replaces = match (state, ending.decision) {
            (State::Success, _) if self.mode == "deploy-slot" => {
                self.slot.clone().map_or(Replaces::Nothing, Replaces::In)
            }
            // Held: it failed, and has the traffic all the same.
            (State::Success, _) | (_, Decision::Held) if whole => Replaces::All,
            (_, Decision::RolledBack | Decision::Held | Decision::Paused) => Replaces::Canaries,
            _ => Replaces::Nothing,
        };
        Close {
            state,
            said: ending.said.clone(),
            figures: self.figures(),
            environment_url: self.environment_url.clone(),
            replaces,
            stands: None,
        }
    }

    fn figures(&self) -> String {
        let Some(receipt) = &self.receipt else {
            return String::new();
        };
        let mut figures = format!("; switched in {}", ms(receipt.switch_ms));
        if let Some(felt) = &receipt.felt {
            figures.push_str(&format!(", requests: {}", requests(felt)));
        }
        figures
    }
}
