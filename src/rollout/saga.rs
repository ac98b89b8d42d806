//! Runs steps, keeps promises, and takes back what must not stay: the only place that unwinds.
//!
//! A promise is given before its step acts, because an answer can get lost after the effect.
//! When a story stops, for whatever reason (a fault, a cancelled run, a panic), the promises
//! are kept in reverse order, each with its own retries, and what could not be taken back is
//! named with the command for a person.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::judge::ending::{Unwound, bug, ending_of, message_of};
use crate::model::ending::{Ending, Reason};
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::platform::retry::{Again, Backoff};

use super::ledger::{Ledger, WayBack};
use super::stage::Stage;

/// How often and how long taking back is tried. It ends before the runner's patience does.
const UNDO: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    tries: 5,
    deadline: Duration::from_secs(5),
};

/// What a step made, and the line that tells of it. No line, no row in the log.
pub struct Made<T> {
    /// What later steps need.
    pub value: T,
    /// In one line.
    pub said: String,
}

/// A step forward.
pub trait Step {
    /// What it hands to later steps.
    type Value;
    /// Its short name in the log, such as `deploy`.
    const NAME: &'static str;
    /// Whether it may be dropped in the middle when the run is cancelled. A step that writes
    /// may not; it ends in its own time, or watches `stage.cancelled` itself.
    const INTERRUPTIBLE: bool;

    /// Takes the step.
    fn act(self, stage: &Stage) -> impl Future<Output = Result<Made<Self::Value>, Fault>>;
}

/// What keeping a promise found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undone {
    /// It was as before already.
    Untouched,
    /// It was changed, and is as before again.
    TakenBack,
    /// It was changed and stays so, because back would not be safer.
    Stays,
}

/// A promise: how to take a step back. Holds what was seen before the step; can be kept twice.
#[async_trait(?Send)]
pub trait Undo {
    /// Its short name in the log.
    fn name(&self) -> &'static str;

    /// What the ledger says of it, for whoever has to keep it when this process cannot. `None`
    /// where traffic is to stay where the step puts it.
    fn way_back(&self) -> Option<WayBack>;

    /// Writes it down, for whoever has to keep it when this process cannot.
    ///
    /// # Errors
    /// When it cannot be written; then nothing may be changed.
    fn write_down(&self, ledger: &Ledger) -> Result<(), Fault> {
        match self.way_back() {
            Some(way_back) => ledger.promise(way_back)?,
            None => ledger.commit(),
        }
        Ok(())
    }

    /// How often and how long taking back is tried.
    fn patience(&self) -> Backoff {
        UNDO
    }

    /// The command for a person, should it fail.
    fn by_hand(&self, stage: &Stage) -> String;

    /// Whether it is certain that something of what it covers was changed.
    fn was_made(&self) -> bool {
        false
    }

    /// Takes the step back.
    ///
    /// # Errors
    /// When it is not as before.
    async fn take_back(&self, stage: &Stage) -> Result<(Undone, String), Fault>;
}

/// Why a story stops.
#[derive(Debug)]
pub struct Halt {
    fault: Box<Fault>,
}

impl Halt {
    /// What stopped it.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The same, to be added to.
    pub fn into_fault(self) -> Fault {
        *self.fault
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
        }
    }
}

/// The keeper of a story's promises.
pub struct Saga<'s> {
    stage: &'s Stage,
    promises: Vec<Box<dyn Undo>>,
    committed: bool,
}

impl<'s> Saga<'s> {
    /// Tells a story to its end, whatever happens, and says how it ended. The story returns
    /// its good ending.
    pub async fn tell(
        stage: &'s Stage,
        story: impl AsyncFnOnce(&mut Self) -> Result<Ending, Halt>,
    ) -> Ending {
        let mut saga = Self {
            stage,
            promises: Vec::new(),
            committed: false,
        };
        // A panic is a halt like any other: traffic is put back before anything else.
        let told = AssertUnwindSafe(story(&mut saga)).catch_unwind().await;
        let fault = match told {
            Ok(Ok(ending)) => return ending,
            Ok(Err(halt)) => *halt.fault,
            Err(panic) => bug(message_of(panic.as_ref())),
        };
        let unwound = saga.unwind(fault.reason).await;
        let traffic = AssertUnwindSafe(stage.traffic_now()).catch_unwind().await;
        let traffic = traffic.unwrap_or_else(|_| Some("unknown".to_owned()));
        // Whatever stopped the story: a lost lock is why nothing more was done about it.
        let fault = match fault.reason {
            Reason::Cancelled => stage.lock.lost(),
            _ => stage.lock.lost_now().await,
        }
        .unwrap_or(fault);
        ending_of(fault, saga.committed, &unwound, traffic)
    }

    /// The stage.
    pub const fn stage(&self) -> &'s Stage {
        self.stage
    }

    /// Takes a step, unless the run was cancelled.
    ///
    /// # Errors
    /// The step's fault, or that the run was cancelled.
    pub async fn step<S: Step>(&mut self, step: S) -> Result<S::Value, Halt> {
        Ok(take(self.stage, step).await?)
    }

    /// Takes a step after the point of no return that changes no verdict: what it cannot do is a
    /// warning.
    pub async fn afterwards<S: Step<Value = ()>>(&mut self, step: S) {
        if let Err((fault, _)) = quietly(self.stage, step).await {
            let measured = fault.measured.map(|it| format!(": {it}"));
            self.stage.say(Event::Warned(format!(
                "{} after the release was final: {}{}",
                S::NAME,
                fault.said,
                measured.unwrap_or_default()
            )));
        }
    }

    /// Waits for what changes nothing, as a step does that may be dropped in the middle.
    ///
    /// # Errors
    /// That the run was cancelled.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::select! {
            biased;
            () = self.stage.cancelled.cancelled() => Err(Fault::cancelled().into()),
            done = work => Ok(done),
        }
    }

    /// Promises to take something back, should the story stop from here on. The promise is on
    /// disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written down; then nothing may be changed.
    pub fn undo_with(&mut self, promise: impl Undo + 'static) -> Result<(), Halt> {
        promise.write_down(&self.stage.ledger)?;
        self.promises.push(Box::new(promise));
        Ok(())
    }

    /// Promises anew, in the place of what was promised before: one promise that covers all steps
    /// so far is one jump back.
    ///
    /// # Errors
    /// When it cannot be written down; then nothing may be changed.
    pub fn undo_anew_with(&mut self, promise: impl Undo + 'static) -> Result<(), Halt> {
        let earlier = std::mem::take(&mut self.promises);
        if let Err(halt) = self.undo_with(promise) {
            self.promises = earlier;
            return Err(halt);
        }
        Ok(())
    }

    /// The point of no return: from here on, back is not safer.
    pub fn commit(&mut self) {
        self.stage.ledger.commit();
        self.promises.clear();
        self.committed = true;
    }

    async fn unwind(&mut self, reason: Reason) -> Unwound {
        let mut left = Vec::new();
        let mut all = Vec::new();
        while let Some(promise) = self.promises.pop() {
            let began = Instant::now();
            let kept = promise
                .patience()
                .run(
                    || take_back(promise.as_ref(), self.stage),
                    |failed: &Fault| match failed.reason {
                        Reason::ChangedByOthers => Again::No,
                        _ => Again::Yes,
                    },
                )
                .await;
            let took = began.elapsed();
            let step = promise.name();
            match kept {
                Ok((undone, said)) => {
                    all.push(undone);
                    if !said.is_empty() {
                        self.stage.say(Event::Done { step, said, took });
                    }
                }
                // The change never was made because somebody else was faster: theirs stays.
                Err(fault)
                    if fault.reason == Reason::ChangedByOthers
                        && reason == Reason::ChangedByOthers
                        && !promise.was_made() => {}
                Err(fault) => {
                    self.stage.say(Event::Failed {
                        step,
                        said: fault.said,
                        took,
                    });
                    // A router that disagrees with itself stops the command, too: its repair comes first.
                    if fault.reason == Reason::RouterDrifted {
                        left.extend(fault.next);
                    }
                    left.push(promise.by_hand(self.stage));
                }
            }
        }
        if left.is_empty() && !self.committed && !all.contains(&Undone::Stays) {
            self.stage.ledger.settle();
        }
        if !left.is_empty() {
            Unwound::Left(left)
        } else if all.contains(&Undone::Stays) {
            Unwound::Stays
        } else if all.contains(&Undone::TakenBack) {
            Unwound::TakenBack
        } else {
            Unwound::Untouched
        }
    }
}

/// Takes a step, unless the run was cancelled, and says how it went. Promises take steps by this, too.
///
/// # Errors
/// The step's fault, or that the run was cancelled.
pub async fn take<S: Step>(stage: &Stage, step: S) -> Result<S::Value, Fault> {
    let began = Instant::now();
    quietly(stage, step).await.map_err(|(fault, acted)| {
        if acted {
            stage.say(Event::Failed {
                step: S::NAME,
                said: fault.measured.clone().unwrap_or_else(|| fault.said.clone()),
                took: began.elapsed(),
            });
        }
        fault
    })
}

/// The same without a word on a failure, and with whether it had begun.
async fn quietly<S: Step>(stage: &Stage, step: S) -> Result<S::Value, (Fault, bool)> {
    let began = Instant::now();
    if stage.cancelled.is_cancelled() {
        return Err((Fault::cancelled(), false));
    }
    stage.say(Event::Working {
        step: S::NAME,
        said: String::new(),
    });
    let acting = step.act(stage);
    let acted = if S::INTERRUPTIBLE {
        tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => Err(Fault::cancelled()),
            acted = acting => acted,
        }
    } else {
        acting.await
    };
    let took = began.elapsed();
    match acted {
        Ok(made) => {
            if !made.said.is_empty() {
                stage.say(Event::Done {
                    step: S::NAME,
                    said: made.said,
                    took,
                });
            }
            Ok(made.value)
        }
        Err(fault) => Err((fault, true)),
    }
}

/// Keeps a promise once. A panic there is a failure like any other: it is tried again.
async fn take_back(promise: &dyn Undo, stage: &Stage) -> Result<(Undone, String), Fault> {
    let keeping = AssertUnwindSafe(promise.take_back(stage)).catch_unwind();
    keeping
        .await
        .unwrap_or_else(|panic| Err(bug(message_of(panic.as_ref()))))
}
