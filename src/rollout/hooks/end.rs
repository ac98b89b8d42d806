//! The hooks at the end of a run: when traffic went back, and always.
//!
//! They come after the unwinding, change no verdict, and run only while the lock is ours. Each is
//! begun once at most, also when the post step has to go on for a run that was killed.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hooks::HookError;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::hook::Moment;
use crate::platform::text;
use crate::rollout::ledger::Ledger;
use crate::rollout::stage::Stage;

use super::{Hook, STEP, acted_until, done, measured};

/// How long they have in all when the run is cancelled.
const WHEN_CANCELLED: Duration = Duration::from_secs(2);

/// The last part of that is for an orderly end.
const TO_END: Duration = Duration::from_secs(1);

/// Whether traffic went back in a run that ended so.
pub fn went_back(mode: &str, ending: &Ending) -> bool {
    match (ending.decision, mode) {
        (Decision::RolledBack, _) => true,
        // The way back itself; where traffic was there already, nothing went anywhere.
        (Decision::Promoted | Decision::Held, "rollback") => ending.reason != Reason::AlreadyThere,
        _ => false,
    }
}

/// Runs the hooks of the end: `on-rollback` where traffic went back, then `always`. A cancelled run
/// has 2 s for all of them. Each is written down in `ledger` before it is begun; the ones that stand
/// there were begun by this run or the one that it finishes, and are not begun again.
pub async fn at_the_end(stage: &Stage, ledger: &Ledger, ending: &Ending, went_back: bool) {
    let due = |hook: &(usize, &Hook)| match hook.1.moment {
        Moment::OnRollback => went_back,
        moment => moment == Moment::Always,
    };
    // In the order of `Moment::ALL`. Their numbers do not depend on what else is left out.
    let all = stage.hooks.all.iter();
    let all = all.filter(|hook| hook.moment.is_the_end()).enumerate();
    let due: Vec<(usize, &Hook)> = all.filter(due).collect();
    if due.is_empty() {
        return;
    }
    if stage.cancelled.is_cancelled() {
        let limit = text::duration(WHEN_CANCELLED);
        stage.say(Event::Noticed(format!(
            "the run is cancelled, so its last hooks have {limit} in all"
        )));
    }
    let enough = CancellationToken::new();
    let running = async {
        for (nth, hook) in due {
            let name = format!("{}[{nth}]", hook.moment.name());
            let begins = || ledger.begins(&name);
            if let Err(said) = at_last(stage, hook, ending, &enough, begins).await {
                stage.say(Event::Warned(format!("hook {}: {said}", hook.told())));
            }
        }
    };
    let limit = async {
        stage.cancelled.cancelled().await;
        tokio::time::sleep(WHEN_CANCELLED - TO_END).await;
        enough.cancel();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        () = running => {}
        never = limit => match never {}
    }
}

/// Runs one hook of the end, if the lock is still ours and `begins` says that nobody has begun it.
async fn at_last(
    stage: &Stage,
    hook: &Hook,
    ending: &Ending,
    enough: &CancellationToken,
    begins: impl FnOnce() -> bool,
) -> Result<(), String> {
    if enough.is_cancelled() {
        return Err("left out, because the time of a cancelled run is over".to_owned());
    }
    let lost = if stage.cancelled.is_cancelled() {
        stage.lock.lost()
    } else {
        stage.lock.ours().await.err()
    };
    if let Some(lost) = lost {
        return Err(format!("left out: {}", lost.said));
    }
    if !begins() {
        return Ok(());
    }
    let began = Instant::now();
    let call = stage.call(hook.moment.name(), Some(ending));
    let (row, does) = ((STEP, hook.told()), hook.does.as_ref());
    match acted_until(enough, stage, row, does, &call).await {
        Ok(did) => {
            stage.say(Event::Done {
                step: STEP,
                said: done(hook, &did),
                took: began.elapsed(),
            });
            Ok(())
        }
        Err(HookError::Cancelled) => Err(format!(
            "ended after {}, because the run was cancelled",
            text::duration(began.elapsed())
        )),
        Err(failed) => Err(format!("failed: {}", measured(&failed))),
    }
}
