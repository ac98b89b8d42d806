//! Failover: when the primary target cannot put the release into the slot, the secondary does.
//!
//! Never both at once. The secondary begins only where the primary's work is known to be over,
//! or where the primary is fenced: it was told the fence of its turn, and stops once the lock
//! says that the turn is another's.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::failover::Cause;
use crate::model::fault::Fault;
use crate::platform::text;
use crate::targets::{Desk, Order, Target, TargetError, Went};

use super::stage::Stage;

/// Who deploys when the target cannot, and when.
pub struct Failover {
    /// The secondary.
    pub to: Box<dyn Target>,
    /// How long after the primary's failure it begins.
    pub wait: Duration,
    /// How long the primary may take.
    pub deadline: Duration,
    /// Whether the primary heeds its fence.
    pub fenced: bool,
    /// Whether the primary is not even tried.
    pub by_hand: bool,
}

/// What a row about one of several machines is called.
const NODE: &str = "node";

/// How long a secondary has to say whether it could deploy, where the primary is done sooner.
const ANSWER: Duration = Duration::from_secs(5);

/// A target has a timeout of its own.
const FOR_EVER: Duration = Duration::MAX;

/// How often it is looked whether a slot that is deployed to has come to receive traffic.
const LOOK: Duration = Duration::from_secs(1);

/// Puts a release into a slot, by the primary or after it by the secondary. `is_idle` looks
/// again whether the slot still receives no traffic. Returns the line that says who did it.
///
/// A way back waits for no lock: where it leads to this slot, whoever deploys is ended.
///
/// # Errors
/// Why nobody did, or that the slot receives traffic.
pub async fn deploy(
    stage: &Stage,
    order: &Order,
    is_idle: impl AsyncFn() -> Result<(), Fault>,
) -> Result<String, Fault> {
    let over = stage.cancelled.child_token();
    let mut deploying = pin!(one_by_one(stage, order, &is_idle, &over));
    let taken = tokio::select! {
        biased;
        did = &mut deploying => return did,
        taken = receives_traffic(&is_idle) => taken,
    };
    over.cancel();
    stage.say(Event::Warned(format!(
        "{} receives traffic now, so its deployment is ended",
        order.slot
    )));
    match deploying.await {
        // It could not be ended, or had come to its end.
        Ok(did) => Err(taken.next(format!("{did} all the same: see what users get"))),
        Err(_) => Err(taken),
    }
}

/// Waits until the slot receives traffic. A router that does not answer says nothing of that.
async fn receives_traffic(is_idle: &impl AsyncFn() -> Result<(), Fault>) -> Fault {
    loop {
        tokio::time::sleep(LOOK).await;
        match is_idle().await {
            Err(fault) if fault.reason == Reason::SlotIsActive => return fault,
            _ => {}
        }
    }
}

/// Has one deploy and then the other, until it is `over`.
async fn one_by_one(
    stage: &Stage,
    order: &Order,
    is_idle: &impl AsyncFn() -> Result<(), Fault>,
    over: &CancellationToken,
) -> Result<String, Fault> {
    let primary = stage.target()?;
    let Some(failover) = &stage.failover else {
        return Ok(attempt(stage, primary, order, FOR_EVER, over).await?);
    };
    let (cause, failed) = if failover.by_hand {
        (Cause::Manual, None)
    } else {
        match by_primary(stage, primary, failover, order, over).await {
            Ok(did) => return Ok(did),
            Err(_) if over.is_cancelled() => return Err(Fault::cancelled()),
            Err(failed) => (cause_of(&failed), Some(failed)),
        }
    };
    let fenced = failover.fenced && order.fence.is_some();
    let failed = match failed {
        Some(failed) if may_go_on(primary, &failed) && !fenced => {
            return Err(at_work(failed, primary));
        }
        other => other,
    };
    let why = failed.as_ref().map_or_else(
        || "by hand".to_owned(),
        |failed| format!("the primary could not: {failed}"),
    );
    let secondary = failover.to.told();
    stage.learned(Fact::Failover(cause));
    let wait = if failed.is_some() {
        failover.wait
    } else {
        Duration::ZERO
    };
    let soon = match wait {
        Duration::ZERO => String::new(),
        wait => format!(" in {}", text::duration(wait)),
    };
    stage.say(Event::Warned(format!(
        "failover ({cause}): {why}; {secondary} deploys{soon}"
    )));
    tokio::select! {
        biased;
        () = over.cancelled() => return Err(Fault::cancelled()),
        () = tokio::time::sleep(wait) => {}
    }
    // The lock says whose turn it is before the secondary begins.
    stage.lock.pass_on().await?;
    is_idle().await?;
    let order = Order {
        fence: stage.lock.fence(),
        ..order.clone()
    };
    match attempt(stage, failover.to.as_ref(), &order, FOR_EVER, over).await {
        Ok(did) => Ok(format!("{did}    by failover ({cause})")),
        Err(_) if over.is_cancelled() => Err(Fault::cancelled()),
        Err(second) => Err(both(failed.as_ref(), second)),
    }
}

/// How it went at one of several machines, as a row of the log.
pub(super) fn row(Went { well, said, took }: Went) -> Event {
    let step = NODE;
    match well {
        true => Event::Done { step, said, took },
        false => Event::Failed { step, said, took },
    }
}

/// Deploys by the primary, and asks the secondary meanwhile whether it could: one that is away keeps
/// no good release waiting. One whose turn comes is asked again.
async fn by_primary(
    stage: &Stage,
    primary: &dyn Target,
    failover: &Failover,
    order: &Order,
    over: &CancellationToken,
) -> Result<String, TargetError> {
    let unfit = |said: String| {
        stage.say(Event::Warned(format!("failover would not help: {said}")));
    };
    let began = Instant::now();
    let mut deploying = pin!(attempt(stage, primary, order, failover.deadline, over));
    let mut asked = failover.to.prepare(order);
    let ended = tokio::select! {
        biased;
        answer = &mut asked => {
            if let Err(why) = answer {
                unfit(why.to_string());
            }
            return deploying.await;
        }
        ended = &mut deploying => ended?,
    };
    let left = ANSWER.saturating_sub(began.elapsed());
    tokio::select! {
        biased;
        () = over.cancelled() => {}
        answer = tokio::time::timeout(left, asked) => match answer {
            Ok(Ok(())) => {}
            Ok(Err(why)) => unfit(why.to_string()),
            Err(_) => unfit(format!(
                "{} has said nothing for {}",
                failover.to.told(),
                text::duration(began.elapsed())
            )),
        }
    }
    Ok(ended)
}

/// Deploys by one target, within a deadline after which it is ended.
async fn attempt(
    stage: &Stage,
    target: &dyn Target,
    order: &Order,
    deadline: Duration,
    over: &CancellationToken,
) -> Result<String, TargetError> {
    // Several members are deployed to at once; whose line it is has to be seen.
    let ours = |line: String| match &stage.crew {
        Some(_) => format!("{}: {line}", order.slot),
        None => line,
    };
    let say = |line: String| stage.say(Event::Line(ours(line)));
    let went = |went: Went| {
        let said = ours(went.said);
        stage.say(row(Went { said, ..went }));
    };
    let enough = over.child_token();
    let desk = Desk {
        say: &say,
        went: &went,
        cancelled: &enough,
        run: &stage.cancelled,
    };
    desk.unless_cancelled(target.prepare(order)).await?;
    let mut deploying = target.deploy(order, &desk);
    let soon = tokio::time::timeout(deadline, &mut deploying).await;
    let late = soon.is_err();
    let ended = match soon {
        Ok(ended) => ended,
        Err(_) => {
            enough.cancel();
            deploying.await
        }
    };
    match ended {
        Err(TargetError::Lost { said, .. }) if over.is_cancelled() => {
            stage.say(Event::Warned(format!(
                "{said}; see how it ends before the next run"
            )));
            Err(TargetError::Cancelled)
        }
        Err(TargetError::Cancelled) if late && !over.is_cancelled() => {
            let end = if target.ends_what_it_begins() {
                "was ended"
            } else {
                "was not waited for any longer"
            };
            Err(TargetError::TimedOut {
                said: format!(
                    "{} {end} after the failover's deadline of {}",
                    target.told(),
                    text::duration(deadline)
                ),
                after: deadline,
                last_words: Vec::new(),
            })
        }
        Err(TargetError::Cancelled) if !target.ends_what_it_begins() => {
            stage.say(Event::Warned(format!(
                "{} was cancelled, and may still be at work in {}; see how it ends before the next run",
                target.told(),
                order.slot
            )));
            Err(TargetError::Cancelled)
        }
        ended => ended,
    }
}

fn cause_of(failed: &TargetError) -> Cause {
    match failed {
        TargetError::Failed { .. } | TargetError::Cancelled => Cause::PrimaryExitCode,
        TargetError::TimedOut { .. } | TargetError::Lost { .. } => Cause::PrimaryTimeout,
        TargetError::OutOfReach(_) | TargetError::Vanished { .. } => Cause::PrimaryUnreachable,
    }
}

/// Whether what a target began may go on although it has returned.
fn may_go_on(target: &dyn Target, failed: &TargetError) -> bool {
    match failed {
        TargetError::Lost { .. } => true,
        TargetError::TimedOut { .. } => !target.ends_what_it_begins(),
        TargetError::Failed { .. }
        | TargetError::Vanished { .. }
        | TargetError::OutOfReach(_)
        | TargetError::Cancelled => false,
    }
}

/// No failover, for two would work on one slot.
fn at_work(failed: TargetError, primary: &dyn Target) -> Fault {
    let mut fault = Fault::from(failed);
    fault.said = format!(
        "{} may still be at work, so there was no failover",
        primary.told()
    );
    fault.next("see how it ends, then run again, with `failover: now` if it is the secondary's turn; a primary that checks `FENCE` may be `fenced: true`")
}

/// Neither could.
fn both(first: Option<&TargetError>, second: TargetError) -> Fault {
    let mut fault = Fault::from(second);
    fault.reason = Reason::FailoverFailed;
    fault.said = match first {
        Some(_) => "neither the primary nor the secondary could deploy".to_owned(),
        None => "the secondary could not deploy".to_owned(),
    };
    if let Some(first) = first {
        let second = fault.measured.unwrap_or_default();
        fault.measured = Some(format!("primary: {first}; secondary: {second}"));
    }
    fault
}
