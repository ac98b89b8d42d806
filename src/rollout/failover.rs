//! Failover: when the primary target cannot put the release into the slot, the secondary does.
//!
//! Never both at once. The secondary begins only where the primary's work is known to be over,
//! or where the primary is fenced: it was told the fence of its turn, and stops once the lock
//! says that the turn is another's.

use std::time::Duration;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::failover::Cause;
use crate::model::fault::Fault;
use crate::platform::text;
use crate::targets::{Desk, Order, Target, TargetError};

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

/// A target has a timeout of its own.
const FOR_EVER: Duration = Duration::MAX;

/// Puts a release into a slot, by the primary or after it by the secondary. `is_idle` looks
/// again whether the slot still receives no traffic. Returns the line that says who did it.
///
/// # Errors
/// Why nobody did.
pub async fn deploy(
    stage: &Stage,
    order: &Order,
    is_idle: impl AsyncFn() -> Result<(), Fault>,
) -> Result<String, Fault> {
    let primary = stage.target()?;
    let Some(failover) = &stage.failover else {
        return Ok(attempt(stage, primary, order, FOR_EVER).await?);
    };
    if let Err(unfit) = failover.to.prepare(order).await {
        stage.say(Event::Warned(format!("failover would not help: {unfit}")));
    }
    let (cause, failed) = if failover.by_hand {
        (Cause::Manual, None)
    } else {
        match attempt(stage, primary, order, failover.deadline).await {
            Ok(did) => return Ok(did),
            Err(_) if stage.cancelled.is_cancelled() => return Err(Fault::cancelled()),
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
        () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
        () = tokio::time::sleep(wait) => {}
    }
    // The lock says whose turn it is before the secondary begins.
    stage.lock.pass_on().await?;
    is_idle().await?;
    let order = Order {
        fence: stage.lock.fence(),
        ..order.clone()
    };
    match attempt(stage, failover.to.as_ref(), &order, FOR_EVER).await {
        Ok(did) => Ok(format!("{did}    by failover ({cause})")),
        Err(_) if stage.cancelled.is_cancelled() => Err(Fault::cancelled()),
        Err(second) => Err(both(failed.as_ref(), second)),
    }
}

/// Deploys by one target, within a deadline after which it is ended.
async fn attempt(
    stage: &Stage,
    target: &dyn Target,
    order: &Order,
    deadline: Duration,
) -> Result<String, TargetError> {
    target.prepare(order).await?;
    // Several members are deployed to at once; whose line it is has to be seen.
    let say = |line: String| match &stage.crew {
        Some(_) => stage.say(Event::Line(format!("{}: {line}", order.slot))),
        None => stage.say(Event::Line(line)),
    };
    let enough = stage.cancelled.child_token();
    let desk = Desk {
        say: &say,
        cancelled: &enough,
    };
    let mut deploying = target.deploy(order, &desk);
    if let Ok(ended) = tokio::time::timeout(deadline, &mut deploying).await {
        return ended;
    }
    enough.cancel();
    match deploying.await {
        Err(TargetError::Cancelled) if !stage.cancelled.is_cancelled() => {
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
        ended => ended,
    }
}

fn cause_of(failed: &TargetError) -> Cause {
    match failed {
        TargetError::Failed { .. } | TargetError::Cancelled => Cause::PrimaryExitCode,
        TargetError::TimedOut { .. } | TargetError::Lost { .. } => Cause::PrimaryTimeout,
        TargetError::OutOfReach(_) => Cause::PrimaryUnreachable,
    }
}

/// Whether what a target began may go on although it has returned.
fn may_go_on(target: &dyn Target, failed: &TargetError) -> bool {
    match failed {
        TargetError::Lost { .. } => true,
        TargetError::TimedOut { .. } => !target.ends_what_it_begins(),
        TargetError::Failed { .. } | TargetError::OutOfReach(_) | TargetError::Cancelled => false,
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
