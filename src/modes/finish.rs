//! `finish`: the post step. Closes what a run left open that was killed, or could not put
//! traffic back itself. Harmless when there is nothing to do.

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::fault::Fault;
use crate::rollout::ledger::{AtWork, Note, Progress, WayBack};
use crate::rollout::rolling::PutMembersIn;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::undos::PutTrafficBack;

/// What there is to say when no run was left open.
pub fn nothing() -> Ending {
    Ending::good(
        Decision::Skipped,
        Reason::AlreadyThere,
        "nothing was left open",
    )
}

/// What a run has left to be put back.
enum Left {
    Traffic(WayBack),
    Members(AtWork),
}

/// Finishes the run that wrote `note`: puts traffic back if that was promised, and leaves it
/// where it is if the run had committed.
pub async fn run(stage: &Stage, note: &Note) -> Ending {
    let mode = &note.mode;
    let left = match (note.progress, &note.at_work, &note.way_back) {
        (Progress::Promised, Some(at_work), _) => Left::Members(at_work.clone()),
        (Progress::Promised, None, Some(way_back)) => Left::Traffic(way_back.clone()),
        (progress, ..) => {
            let traffic = stage
                .traffic_now()
                .await
                .unwrap_or_else(|| "unknown".to_owned());
            let said = match progress {
                Progress::Committed => format!(
                    "{mode} was cut off after its point of no return: traffic stays {traffic}"
                ),
                Progress::Over => {
                    format!(
                        "{mode} had ended, and what it could not close is closed now: traffic is {traffic}"
                    )
                }
                _ => format!("{mode} was cut off before it moved traffic: {traffic}"),
            };
            return Ending::good(Decision::Passed, Reason::Done, said);
        }
    };
    let back = Saga::tell(stage, async |saga: &mut Saga<'_>| match left {
        Left::Traffic(way_back) => {
            saga.undo_with(PutTrafficBack::new(way_back, None))?;
            Err(Halt::from(Fault::new(
                Reason::Cancelled,
                format!("{mode} was cut off while it moved traffic"),
            )))
        }
        Left::Members(at_work) => {
            let promise = PutMembersIn::new(stage, at_work)?;
            let fault = promise.fault(stage, mode);
            saga.undo_with(promise)?;
            Err(Halt::from(fault))
        }
    })
    .await;
    let traffic = back.account.traffic.clone().unwrap_or_default();
    if back.reason == Reason::LockLost {
        let whose = back.account.measured.unwrap_or_default();
        let said = format!(
            "{mode} was cut off while it moved traffic, and the lock is somebody else's now ({whose}): traffic is left to them, {traffic}"
        );
        return Ending::good(Decision::Passed, Reason::LockLost, said);
    }
    match back.decision {
        // For the run it was a failure, and its step has said so; the post step did its part.
        Decision::RolledBack => {
            let said = format!("{}: put back, {traffic}", back.said);
            Ending::good(Decision::RolledBack, Reason::Done, said)
        }
        Decision::Failed => {
            let said = format!("{}: nothing was to be put back, {traffic}", back.said);
            Ending::good(Decision::Passed, Reason::Done, said)
        }
        _ => back,
    }
}

/// Whether what the run was for is so: it ended well, or it was cut off after its point of no
/// return and its router still divides traffic as it did. The record says so then, or it would
/// disagree with the router.
pub async fn is_live(stage: &Stage, note: &Note) -> bool {
    match (note.progress, note.moved_to) {
        (Progress::Committed, Some(to)) => stage.split_now().await == Some(to),
        // All members had the release, or it would not have been final.
        (Progress::Committed, None) => note.at_work.is_some() || note.ended_well,
        _ => note.ended_well,
    }
}
