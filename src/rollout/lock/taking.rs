//! Taking the lock, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::{Claim, State};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::platform::text;
use crate::rollout::stage::Stage;

use super::keeper::Keeper;
use super::{Seen, Slate, SlateError, unreadable};

/// How long a slate may be out of reach before a run that waits gives up.
const OUTAGE: Duration = Duration::from_secs(60);

/// How long a run that does not wait for the lock tries to get it.
const IN_PASSING: Duration = Duration::from_secs(4);

/// How long a cancelled run takes to give up a claim that it may have placed.
const ABANDON: Duration = Duration::from_secs(2);

/// How often a waiting run looks at first, and how seldom at last.
const LOOK_FIRST: Duration = Duration::from_millis(500);
const LOOK_LAST: Duration = Duration::from_secs(20);

/// What to do when somebody else has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// Wait, at most so long.
    Wait(Duration),
    /// Fail.
    Fail,
    /// Go on without it: a way back waits for nobody.
    GoOn,
}

impl Conflict {
    /// How long the slate may be out of reach before the run gives up.
    fn outage(self) -> Duration {
        match self {
            Self::Wait(limit) => OUTAGE.min(limit),
            Self::Fail => IN_PASSING,
            Self::GoOn => Duration::ZERO,
        }
    }
}

/// What came of it.
pub enum Taken {
    /// The lock is ours.
    Ours(Box<Keeper>),
    /// Our token cannot lock; why.
    NotAllowed(String),
    /// The run does not wait for it; what for.
    Passed(String),
}

/// What a look at the slate came to.
enum Attempt {
    Ours(String, Instant),
    Held(Seen),
    Faster,
    Unreadable,
}

/// What a waiting run remembers.
struct Waiting<'a> {
    slate: &'a dyn Slate,
    claim: &'a Claim,
    /// What is written there, and since when it has not changed.
    unchanged: Option<(String, Instant)>,
}

/// Takes the lock of the stage's environment, or waits for it.
///
/// # Errors
/// `locked` where somebody else has it for too long or it cannot be understood, `out-of-reach`,
/// or that the run was cancelled; then nothing is left behind.
pub async fn take(
    stage: &Stage,
    slate: Arc<dyn Slate>,
    claim: Claim,
    conflict: Conflict,
) -> Result<Taken, Fault> {
    let taking = take_in_time(stage, &slate, &claim, conflict);
    let taken = match conflict {
        Conflict::GoOn => match tokio::time::timeout(IN_PASSING, taking).await {
            Ok(taken) => taken,
            Err(_) => Err(Fault::new(Reason::OutOfReach, "the lock did not answer")),
        },
        Conflict::Wait(_) | Conflict::Fail => taking.await,
    };
    match taken {
        Err(fault) => {
            // An answer may have got lost after its effect.
            let gone = Keeper::abandon(slate, &claim);
            let _ = tokio::time::timeout(ABANDON, gone).await;
            match conflict {
                Conflict::GoOn if fault.reason != Reason::Cancelled => {
                    Ok(Taken::Passed(match fault.measured {
                        Some(measured) => format!("{}: {measured}", fault.said),
                        None => fault.said,
                    }))
                }
                _ => Err(fault),
            }
        }
        taken => taken,
    }
}

async fn take_in_time(
    stage: &Stage,
    slate: &Arc<dyn Slate>,
    claim: &Claim,
    conflict: Conflict,
) -> Result<Taken, Fault> {
    let began = Instant::now();
    let mut waiting = Waiting {
        slate: slate.as_ref(),
        claim,
        unchanged: None,
    };
    let mut pause = LOOK_FIRST.min(claim.lease() / 20);
    let (mut told, mut out_since) = (None::<String>, None);
    loop {
        let attempt = tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
            attempt = waiting.attempt() => attempt,
        };
        match attempt {
            Ok(Attempt::Ours(mark, sent)) => {
                if told.is_some() {
                    stage.say(Event::Done {
                        step: "lock",
                        said: format!("{} is free, and ours now", stage.environment),
                        took: began.elapsed(),
                    });
                }
                let keeper = Box::new(Keeper::of(Arc::clone(slate), claim.clone(), mark, sent));
                return Ok(Taken::Ours(keeper));
            }
            Ok(Attempt::Unreadable) => return Err(unreadable(&stage.environment, slate.as_ref())),
            Ok(Attempt::Faster) => out_since = None,
            Ok(Attempt::Held(seen)) => {
                out_since = None;
                wait_for(stage, &seen, conflict, began, &mut told)?;
            }
            Err(SlateError::NotAllowed(said)) => return Ok(Taken::NotAllowed(said)),
            Err(SlateError::Refused(said)) => return Err(out_of_reach(said)),
            Err(SlateError::OutOfReach(said)) => {
                let since = *out_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= conflict.outage() {
                    return Err(out_of_reach(said));
                }
            }
        }
        tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
            () = tokio::time::sleep(jittered(pause, &claim.id)) => {}
        }
        pause = (pause * 2).min(LOOK_LAST).min(claim.lease() / 10);
    }
}

/// Says whom we wait for, once for each, and ends the waiting when it was long enough.
fn wait_for(
    stage: &Stage,
    seen: &Seen,
    conflict: Conflict,
    began: Instant,
    told: &mut Option<String>,
) -> Result<(), Fault> {
    let (whose, until) = (seen.told(), seen.until());
    let held = format!(
        "{} is locked by {whose}; its lease is until {until}",
        stage.environment
    );
    let id = seen.claim.as_ref().map(|claim| claim.id.clone());
    let limit = match conflict {
        Conflict::Wait(limit) if began.elapsed() < limit => limit,
        _ => {
            let said = if told.is_some() {
                format!(
                    "{} was locked for longer than {}",
                    stage.environment,
                    text::duration(began.elapsed())
                )
            } else {
                format!("{} is locked by another run", stage.environment)
            };
            return Err(Fault::new(Reason::Locked, said)
                .measured(format!("{whose}; its lease is until {until}"))
                .wanted("nobody else at work on the environment")
                .next(format!(
                    "run again when it is done; `cutover lock --environment {}` shows who has it",
                    stage.environment
                )));
        }
    };
    if *told != id {
        stage.say(Event::Noticed(format!(
            "{held}; waiting for it, at most {}",
            text::duration(limit)
        )));
        *told = id;
    }
    stage.say(Event::Working {
        step: "lock",
        said: held,
    });
    Ok(())
}

impl Waiting<'_> {
    async fn attempt(&mut self) -> Result<Attempt, SlateError> {
        let sent = Instant::now();
        let seen = self.slate.glance().await?;
        let over = match &seen {
            None => None,
            Some(seen) if seen.is_free => Some(seen),
            Some(Seen { claim: None, .. }) => return Ok(Attempt::Unreadable),
            Some(seen) => match seen.held() {
                // Placed before, and the answer got lost.
                Some(claim) if claim.id == self.claim.id => {
                    return Ok(Attempt::Ours(seen.mark.clone(), sent));
                }
                Some(claim) if !self.seems_over(seen, claim) => {
                    return Ok(Attempt::Held(seen.clone()));
                }
                _ => Some(seen),
            },
        };
        let sent = Instant::now();
        let mark = over.map(|seen| seen.mark.as_str());
        let draft = self.slate.draft(mark, self.claim).await?;
        // Whether a lease is over is decided by the one clock that all share.
        if let Some(seen) = over.filter(|seen| seen.held().is_some())
            && !seen.is_over_at(draft.at)
        {
            return Ok(Attempt::Held(seen.clone()));
        }
        if self.slate.place(over.is_none(), &draft).await? {
            Ok(Attempt::Ours(draft.mark, sent))
        } else {
            Ok(Attempt::Faster)
        }
    }

    /// Whether it is worth asking if a lease is over: by our own clock, which may be wrong, or
    /// because nothing has happened for that long.
    fn seems_over(&mut self, seen: &Seen, claim: &Claim) -> bool {
        let since = match &self.unchanged {
            Some((mark, since)) if *mark == seen.mark => *since,
            _ => {
                let now = Instant::now();
                self.unchanged = Some((seen.mark.clone(), now));
                now
            }
        };
        let now = jiff::Timestamp::now().as_second();
        seen.is_over_at(now) || since.elapsed() > claim.lease()
    }
}

/// Runs that began at the same moment do not look at the same moments.
fn jittered(pause: Duration, id: &str) -> Duration {
    let spread = id.bytes().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    pause + pause * (spread % 64) / 128
}

fn out_of_reach(said: String) -> Fault {
    Fault::new(
        Reason::OutOfReach,
        "whether the environment is locked is unknown, so nothing was changed",
    )
    .measured(said)
    .next("run again; with `token: ''` there is neither a lock nor a record")
}

/// A claim that holds from now on.
pub fn claim(
    owner: String,
    run: String,
    run_url: Option<String>,
    reason: String,
    lease: Duration,
) -> Claim {
    Claim {
        schema_version: crate::model::claim::SCHEMA_VERSION,
        state: State::Held,
        id: uuid::Uuid::new_v4().to_string(),
        owner,
        run,
        run_url,
        reason,
        since: now(),
        lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
    }
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}
