//! `finish`: the post step. Closes what a run left open that was killed, or could not put
//! traffic back itself. Harmless when there is nothing to do.

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::fault::Fault;
use crate::rollout::ledger::{Note, Progress};
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

/// Finishes the run that wrote `note`: puts traffic back if that was promised, and leaves it
/// where it is if the run had committed.
pub async fn run(stage: &Stage, note: &Note) -> Ending {
    let mode = &note.mode;
    let way_back = match (note.progress, note.way_back.clone()) {
        (Progress::Promised, Some(way_back)) => way_back,
        (progress, _) => {
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
    let back = Saga::tell(stage, async |saga: &mut Saga<'_>| {
        saga.undo_with(PutTrafficBack::new(way_back, None))?;
        Err(Halt::from(Fault::new(
            Reason::Cancelled,
            format!("{mode} was cut off while it moved traffic"),
        )))
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
            let said = format!("{}: it had not moved yet, {traffic}", back.said);
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
        _ => note.ended_well,
    }
}
