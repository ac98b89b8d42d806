//! Asking people before anything is changed, and waiting for their answer.
//!
//! It is asked before the lock is taken: whoever waits for a person for hours keeps nobody else
//! from deploying. What may have changed meanwhile is looked at again when the lock is ours.
//! Where and how people are asked is the [`Desk`]'s matter.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::judge::approval::{PassedOver, Stand, stand};
use crate::model::approval::{Asked, Circle, Figure, Opened, Outcome, Remark};
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::platform::text;

use super::stage::Stage;

/// Its name in the log.
const STEP: &str = "approval";

/// How often is looked: a hundredth of the time that there is, within these.
const LOOK_OFTEN: Duration = Duration::from_millis(100);
const LOOK_SELDOM: Duration = Duration::from_secs(15);

/// How long closing the issue may take; when the run is cancelled, so long.
const CLOSE: Duration = Duration::from_secs(10);
const CLOSE_SOON: Duration = Duration::from_secs(3);

/// How long users may be served what says nothing, when it is looked who has the traffic.
const SERVED: Duration = Duration::from_secs(5);

/// Why a desk could not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// No answer, or none that says anything: it may go well later.
    #[error("{0}")]
    OutOfReach(String),
    /// The same, and not before that long.
    #[error("{1}")]
    Later(Duration, String),
    /// The answer is no, and will be; what to do about it.
    #[error("{said}")]
    Refused {
        /// What was answered.
        said: String,
        /// What to do about it.
        next: String,
    },
}

/// What is on the desk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// All remarks, oldest first; `None` where they are as before.
    pub remarks: Option<Vec<Remark>>,
    /// Whether somebody has closed the matter, and who, as far as that is known.
    pub closed: Option<Option<String>>,
}

/// Where people are asked. It never asks twice for the same thing.
#[async_trait]
pub trait Desk: Send + Sync {
    /// What the question has that no other one has, for whoever has to withdraw it.
    fn mark(&self) -> String;

    /// Asks.
    ///
    /// # Errors
    /// See [`DeskError`]; when out of reach, it may have been asked.
    async fn open(&self) -> Result<Opened, DeskError>;

    /// Looks for an answer.
    ///
    /// # Errors
    /// See [`DeskError`].
    async fn look(&self, opened: &Opened) -> Result<Look, DeskError>;

    /// Says what came of it, and takes no more answers.
    ///
    /// # Errors
    /// See [`DeskError`].
    async fn close(&self, opened: &Opened, outcome: &Outcome) -> Result<(), DeskError>;
}

/// Who may approve, how many must, and how long they have.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Who may, and how many must.
    pub circle: Circle,
    /// How long to wait.
    pub limit: Duration,
}

/// What users are served now, if that can be told.
pub async fn served_now(stage: &Stage) -> Option<Release> {
    let served = stage.served_to_users(SERVED).await;
    served.release().cloned()
}

/// Asks, waits for the answer, and closes the matter with it. `asked` hears when people were asked.
///
/// # Errors
/// When the answer is no, there is none in time, nobody could be asked, or the run was cancelled.
pub async fn ask(
    stage: &Stage,
    desk: &dyn Desk,
    terms: &Terms,
    asked: impl Fn(&Opened),
) -> Result<(), Fault> {
    let began = Instant::now();
    let mark = desk.mark();
    // On disk before it is there: the post step closes what a killed run leaves open.
    let _ = stage.ledger.asks(Some(Asked {
        mark: mark.clone(),
        number: None,
    }));
    stage.say(Event::Working {
        step: STEP,
        said: "asking".to_owned(),
    });
    let opened = match desk.open().await {
        Ok(opened) => opened,
        Err(failed) => {
            if matches!(failed, DeskError::Refused { .. }) {
                let _ = stage.ledger.asks(None);
            }
            stage.say(Event::Failed {
                step: STEP,
                said: failed.to_string(),
                took: began.elapsed(),
            });
            return Err(unavailable(failed));
        }
    };
    let _ = stage.ledger.asks(Some(Asked {
        mark,
        number: Some(opened.number),
    }));
    let mut terms = terms.clone();
    let opener = (opened.by.clone(), "opened the issue".to_owned());
    terms.circle.barred.push(opener);
    let figure = Figure {
        issue: opened.number,
        url: opened.url.clone(),
        outcome: "asked",
        ..Figure::default()
    };
    stage.learned(Fact::Approval(figure.clone()));
    stage.say(Event::Noticed(format!(
        "{} of {} must approve within {}: {}",
        terms.circle.minimum,
        terms.circle.eligible().join(", "),
        text::duration(terms.limit),
        opened.url
    )));
    asked(&opened);
    let outcome = wait(stage, desk, &terms, &opened).await;
    close(stage, desk, &opened, &outcome).await;
    let (by, reason) = match &outcome {
        Outcome::Approved(who) | Outcome::TimedOut(_, who) => (who.clone(), None),
        Outcome::Rejected(who, why) => (vec![who.clone()], why.clone()),
        Outcome::Closed(who) => (who.clone().into_iter().collect(), None),
        Outcome::Cancelled | Outcome::Broken(_) => (Vec::new(), None),
    };
    let took = began.elapsed();
    stage.learned(Fact::Approval(Figure {
        outcome: outcome.word(),
        by,
        reason,
        waited_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        ..figure
    }));
    let said = format!("{} in issue #{}", outcome.told(), opened.number);
    let fault = fault_of(&outcome, &terms, &opened);
    let step = STEP;
    stage.say(match &fault {
        None => Event::Done { step, said, took },
        Some(_) => Event::Failed { step, said, took },
    });
    fault.map_or(Ok(()), Err)
}

/// Looks whether what was approved is what would be done now.
///
/// # Errors
/// When users are served something else than they were when people were asked.
pub async fn still_holds(stage: &Stage, then: Option<&Release>) -> Result<(), Fault> {
    let (Some(then), Some(now)) = (then, served_now(stage).await) else {
        return Ok(());
    };
    if now.is(then) {
        return Ok(());
    }
    Err(Fault::new(
        Reason::ApprovalOutdated,
        "what was approved is not what would be done now",
    )
    .measured(format!("{} serves {now}", stage.environment))
    .wanted(format!("{then}, as when people were asked"))
    .next("run again: the changes are others now, and people are asked anew"))
}

async fn wait(stage: &Stage, desk: &dyn Desk, terms: &Terms, opened: &Opened) -> Outcome {
    let end = Instant::now() + terms.limit;
    let pause = (terms.limit / 100).clamp(LOOK_OFTEN, LOOK_SELDOM);
    let mut told: Vec<PassedOver> = Vec::new();
    let mut approved: Vec<String> = Vec::new();
    let mut was_out = false;
    loop {
        let looked = tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Outcome::Cancelled,
            looked = desk.look(opened) => looked,
        };
        let mut rest = pause;
        match looked {
            Ok(look) => {
                was_out = false;
                let (stand, passed_over) = match &look.remarks {
                    Some(remarks) => stand(remarks, &terms.circle, opened.at),
                    None => (Stand::Open(approved.clone()), Vec::new()),
                };
                say_passed_over(stage, &passed_over, &mut told);
                match stand {
                    Stand::Rejected(who, why) => {
                        say_word(stage, &who, false);
                        return Outcome::Rejected(who, why);
                    }
                    Stand::Approved(who) => {
                        say_new(stage, &who, &approved);
                        return Outcome::Approved(who);
                    }
                    Stand::Open(who) => {
                        say_new(stage, &who, &approved);
                        approved = who;
                    }
                }
                if let Some(who) = look.closed {
                    return Outcome::Closed(who);
                }
            }
            Err(DeskError::Refused { said, .. }) => return Outcome::Broken(said),
            Err(failed) => {
                if !was_out {
                    stage.say(Event::Warned(format!(
                        "{failed}; the answer is waited for nevertheless"
                    )));
                }
                was_out = true;
                if let DeskError::Later(wait, _) = failed {
                    rest = rest.max(wait);
                }
            }
        }
        let now = Instant::now();
        if now >= end {
            return Outcome::TimedOut(terms.limit, approved);
        }
        stage.say(Event::Working {
            step: STEP,
            said: format!(
                "issue #{}: {} of {} approved, {} left",
                opened.number,
                approved.len(),
                terms.circle.minimum,
                text::duration(end - now)
            ),
        });
        tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Outcome::Cancelled,
            () = tokio::time::sleep(rest.min(end - now)) => {}
        }
    }
}

async fn close(stage: &Stage, desk: &dyn Desk, opened: &Opened, outcome: &Outcome) {
    let limit = match outcome {
        Outcome::Cancelled => CLOSE_SOON,
        _ => CLOSE,
    };
    let closed = tokio::time::timeout(limit, desk.close(opened, outcome)).await;
    let failed = match closed {
        Ok(Ok(())) => {
            let _ = stage.ledger.asks(None);
            return;
        }
        Ok(Err(failed)) => failed.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    stage.say(Event::Warned(format!(
        "issue #{} was not closed ({failed}); the post step tries again",
        opened.number
    )));
}

/// Each command that does not count is told once, and why.
fn say_passed_over(stage: &Stage, found: &[PassedOver], told: &mut Vec<PassedOver>) {
    for one in found {
        if !told.contains(one) {
            stage.say(Event::Noticed(format!(
                "the command of {} does not count: {} {}",
                one.author, one.author, one.why
            )));
            told.push(one.clone());
        }
    }
}

fn say_new(stage: &Stage, who: &[String], before: &[String]) {
    for one in who.iter().filter(|one| !before.contains(one)) {
        say_word(stage, one, true);
    }
}

fn say_word(stage: &Stage, who: &str, passed: bool) {
    stage.say(Event::Checked {
        check: format!("approval by {who}"),
        passed,
        said: if passed { "approved" } else { "rejected" }.to_owned(),
        wanted: (!passed).then(|| "/approve".to_owned()),
    });
}

fn fault_of(outcome: &Outcome, terms: &Terms, opened: &Opened) -> Option<Fault> {
    let wanted = format!(
        "{} of {} within {}",
        terms.circle.minimum,
        terms.circle.eligible().join(", "),
        text::duration(terms.limit)
    );
    let measured = format!("{}: {}", outcome.told(), opened.url);
    let (reason, said, next) = match outcome {
        Outcome::Approved(_) => return None,
        Outcome::Cancelled => return Some(Fault::cancelled()),
        Outcome::Rejected(..) | Outcome::Closed(_) => (
            Reason::ApprovalRejected,
            "the rollout was rejected",
            "read why, then run again: people are asked anew",
        ),
        Outcome::TimedOut(..) => (
            Reason::ApprovalTimedOut,
            "the rollout was not approved in time",
            "run again when they have time, or give them more with `approval.time-limit`",
        ),
        Outcome::Broken(_) => (
            Reason::ApprovalUnavailable,
            "the answer could not be waited for",
            "see that the issue is there and the token valid, then run again",
        ),
    };
    Some(
        Fault::new(reason, said)
            .measured(measured)
            .wanted(wanted)
            .next(next),
    )
}

fn unavailable(failed: DeskError) -> Fault {
    match failed {
        DeskError::Refused { said, next } => Fault::new(
            Reason::ApprovalUnavailable,
            "nobody could be asked for approval, so nothing was changed",
        )
        .measured(said)
        .wanted("an issue in this repository")
        .next(next),
        DeskError::OutOfReach(said) | DeskError::Later(_, said) => Fault::new(
            Reason::OutOfReach,
            "nobody could be asked for approval, so nothing was changed",
        )
        .measured(said)
        .next("see that GitHub answers, then run again"),
    }
}
