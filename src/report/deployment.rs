//! The GitHub Deployment of a run: opened when slot and version are known, closed at the end.
//!
//! A Deployment cannot be changed once it is there, so its payload says what is meant, and the
//! figures of the receipt go into the last status. The listener only writes notes; the future
//! beside it does the asking, in order, and neither of them can hold up or change a run.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::github::deployments::Deployments;
use crate::github::record::{Content, New, Run, State, Status};
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Say};
use crate::model::receipt::Receipt;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::Listener;
use super::news::{ms, requests};

/// How long the record may take after the run has ended.
const AFTER_THE_END: Duration = Duration::from_secs(15);

/// The length that a status' description may have.
const DESCRIPTION: usize = 139;

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
}

/// A listener, and the work that follows from what it hears. Run the future beside the mode: it
/// ends when the ending was recorded, at most 15 s after it. So an ending must be said, whatever
/// happens; without one the future ends only with the listener, and `say` keeps that alive where
/// both are of one journal. `None` is no token. Not for a dry run, which leaves nothing behind.
pub fn recorder(
    deployments: Option<Deployments>,
    info: RunInfo,
    vault: Vault,
    say: Say,
) -> (impl Listener, impl Future<Output = ()>) {
    let (notes, inbox) = mpsc::unbounded_channel();
    let (ended, end) = oneshot::channel::<Instant>();
    let listener = Stenographer {
        notes,
        ended: Some(ended),
        sha: info.sha,
        run: info.run,
        open: false,
        facts: Facts::default(),
    };
    let clerk = Clerk {
        deployments,
        run_url: info.run_url,
        vault,
        say: say.clone(),
    };
    let work = async move {
        let too_late = async {
            match end.await {
                Ok(at) => tokio::time::sleep_until(at + AFTER_THE_END).await,
                // The listener is gone, and so is the channel: the work ends by itself.
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = clerk.work(inbox) => {}
            () = too_late => say(Event::Warned(format!(
                "the GitHub Deployment was not closed within {} after the end; it may still say `in progress`",
                text::duration(AFTER_THE_END)
            ))),
        }
    };
    (listener, work)
}

/// What the listener passes on.
enum Note {
    /// A run that leaves a record has begun.
    Began,
    /// Slot and version are known.
    Open(Box<New>, String),
    /// The run is over.
    Close(Box<Close>),
}

/// How a record is closed.
struct Close {
    state: State,
    description: String,
    environment_url: Option<String>,
    /// Which older records are no longer true.
    replaces: Replaces,
}

enum Replaces {
    /// None of them.
    Nothing,
    /// Deployments into this slot, which has something else in it now.
    In(String),
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
}

/// Hears what matters and writes it down, without waiting for anything.
struct Stenographer {
    notes: mpsc::UnboundedSender<Note>,
    ended: Option<oneshot::Sender<Instant>>,
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
            Event::Measured(receipt) => self.facts.receipt = Some(receipt.clone()),
            Event::Ended(ending) => {
                let close = self.facts.close(ending);
                // What came to nothing before it began needs no record.
                if !matches!(close.state, State::Inactive) {
                    self.open();
                }
                self.note(Note::Close(Box::new(close)));
                if let Some(ended) = self.ended.take() {
                    // Nobody is there to hear it when the future was dropped.
                    let _ = ended.send(Instant::now());
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
            // A record is opened before the switch: then the idle slot is the previous one still.
            previous: self.seen.iter().find(|name| **name != slot).cloned(),
            run: run.clone(),
            slot,
        };
        Some((self.environment.clone()?, content))
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
            (Decision::Skipped | Decision::Planned, _)
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
            _ => Replaces::Nothing,
        };
        Close {
            state,
            description: self.description(ending),
            environment_url: self.environment_url.clone(),
            replaces,
        }
    }

    /// The ending's line and the receipt's figures; where they do not fit, the line is cut.
    fn description(&self, ending: &Ending) -> String {
        let Some(receipt) = &self.receipt else {
            return ending.said.clone();
        };
        let mut figures = format!("; switched in {}", ms(receipt.switch_ms));
        if let Some(felt) = &receipt.felt {
            figures.push_str(&format!(", requests: {}", requests(felt)));
        }
        let room = DESCRIPTION.saturating_sub(figures.chars().count());
        format!("{}{figures}", text::excerpt(&ending.said, room))
    }
}

/// Does what the notes ask for, one after the other.
struct Clerk {
    deployments: Option<Deployments>,
    run_url: Option<String>,
    vault: Vault,
    say: Say,
}

impl Clerk {
    async fn work(self, mut inbox: mpsc::UnboundedReceiver<Note>) {
        let mut id = None;
        let mut lost = None;
        while let Some(note) = inbox.recv().await {
            let Some(deployments) = &self.deployments else {
                match note {
                    Note::Began => self.notice_no_token(),
                    Note::Open(..) => {}
                    Note::Close(_) => return,
                }
                continue;
            };
            match note {
                Note::Began => {}
                Note::Open(new, said) => match deployments.open(&new).await {
                    Ok(made) => {
                        id = Some((made, new));
                        (self.say)(Event::Learned(Fact::DeploymentId(made)));
                        self.status(deployments, made, State::InProgress, &said, None)
                            .await;
                    }
                    Err(failed) => {
                        self.warn(&format!("there is no GitHub Deployment: {}", failed.told()));
                        lost = failed.is_unclear().then_some(new);
                    }
                },
                Note::Close(close) => {
                    // It may have come about although nobody said so.
                    if let (None, Some(new)) = (&id, lost)
                        && let Ok(Some(found)) = deployments.find(&new).await
                    {
                        id = Some((found, new));
                    }
                    if let Some((id, new)) = id {
                        self.close(deployments, id, &new, &close).await;
                    }
                    return;
                }
            }
        }
        // Nobody said how it ended, and a record must not be under way for ever.
        if let (Some(deployments), Some((id, _))) = (&self.deployments, id) {
            let said = "the run stopped without saying how it ended";
            self.status(deployments, id, State::Error, said, None).await;
        }
    }

    async fn close(&self, deployments: &Deployments, id: u64, new: &New, close: &Close) {
        let url = close.environment_url.as_deref();
        self.status(deployments, id, close.state, &close.description, url)
            .await;
        let which = |content: &Content| match &close.replaces {
            Replaces::Nothing => false,
            Replaces::In(slot) => content.mode == "deploy-slot" && content.slot == *slot,
            Replaces::All => true,
        };
        if matches!(close.replaces, Replaces::Nothing) {
            return;
        }
        let log_url = self.run_url.as_deref();
        let retired = deployments.retire(new.environment(), id, which, log_url);
        if let Err(failed) = retired.await {
            self.warn(&format!(
                "older GitHub Deployments may still say that they are live: {}",
                failed.told()
            ));
        }
    }

    async fn status(
        &self,
        deployments: &Deployments,
        id: u64,
        state: State,
        said: &str,
        environment_url: Option<&str>,
    ) {
        let status = Status {
            state,
            description: &self.vault.redact(said),
            // A URL with a secret taken out of it leads nowhere.
            environment_url: environment_url.filter(|url| self.vault.redact(url) == *url),
            log_url: self.run_url.as_deref(),
        };
        if let Err(failed) = deployments.status(id, &status).await {
            self.warn(&format!(
                "GitHub Deployment {id} does not say how it stands: {}",
                failed.told()
            ));
        }
    }

    fn notice_no_token(&self) {
        (self.say)(Event::Noticed(
            "no token: this run leaves no GitHub Deployment record; set `token` and give the job `permissions: { deployments: write }`"
                .to_owned(),
        ));
    }

    fn warn(&self, said: &str) {
        (self.say)(Event::Warned(self.vault.redact(said).into_owned()));
    }
}
