//! Taking the lock, and waiting for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::{Claim, State};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::queue::Queue;
use crate::rollout::stage::Stage;

use super::keeper::Keeper;
use super::queue::Place;
use super::traces::Traces;
use super::{Seen, Slate, SlateError, queue, unreadable};

/// How long a slate may be out of reach before a run that waits gives up.
const OUTAGE: Duration = Duration::from_secs(60);

/// How long a run that does not wait for the lock tries to get it.
const IN_PASSING: Duration = Duration::from_secs(4);

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
    /// Fail where somebody has it, and do not mind those who wait: a person's hold.
    AtOnce,
    /// Go on without it: a way back waits for nobody.
    GoOn,
}

impl Conflict {
    /// How long the slate may be out of reach before the run gives up.
    fn outage(self) -> Duration {
        match self {
            Self::Wait(limit) => OUTAGE.min(limit),
            Self::Fail | Self::AtOnce => IN_PASSING,
            Self::GoOn => Duration::ZERO,
        }
    }

    /// Whether those who wait come first.
    const fn minds_the_queue(self) -> bool {
        matches!(self, Self::Wait(_) | Self::Fail)
    }
}

/// What came of it.
pub enum Taken {
    /// The lock is ours.
    Ours(Box<Keeper>),
    /// Our token cannot lock; why.
    NotAllowed(String),
    /// The run does not wait for it; what for. The keeper has no lock, and gives up what may be
    /// left of the claim.
    Passed(String, Box<Keeper>),
}

/// Why the lock was not taken.
#[derive(Debug)]
pub struct NotTaken {
    /// What the run ends with.
    pub fault: Fault,
    /// The id of the claim where it may hold all the same, and what a person needs to know of it.
    pub left: Option<(String, String)>,
}

/// What a look at the slate came to.
enum Attempt {
    Ours(Claim, String, Instant),
    /// Somebody else's, or free for others first.
    Held(Seen),
    /// The same, and this run has just taken its place in the queue.
    Joined(Seen),
    Faster,
    Unreadable,
}

/// What a waiting run remembers.
struct Waiting<'a> {
    slate: &'a dyn Slate,
    claim: &'a Claim,
    conflict: Conflict,
    traces: &'a Traces,
    place: Place,
    /// What is written there, and since when it has not changed.
    unchanged: Option<(String, Instant)>,
}

/// Takes the lock of the stage's environment, or waits for it in the queue. `joined` hears how
/// long that is when this run has taken its place in it.
///
/// # Errors
/// `locked` where somebody else has it for too long or it cannot be understood, `out-of-reach`,
/// or that the run was cancelled; and whether something of the claim may be left.
pub async fn take(
    stage: &Stage,
    slate: Arc<dyn Slate>,
    claim: Claim,
    conflict: Conflict,
    joined: impl Fn(&Queue),
) -> Result<Taken, NotTaken> {
    let traces = Traces::default();
    let taking = take_in_time(stage, &slate, &claim, &traces, conflict, joined);
    let taken = match conflict {
        Conflict::GoOn => match tokio::time::timeout(IN_PASSING, taking).await {
            Ok(taken) => taken,
            Err(_) => Err(Fault::new(Reason::OutOfReach, "the lock did not answer")),
        },
        _ => taking.await,
    };
    let fault = match taken {
        Ok(taken) => return Ok(taken),
        Err(fault) => fault,
    };
    let keeper = Keeper::of_traces(slate, claim, traces);
    if conflict == Conflict::GoOn && fault.reason != Reason::Cancelled {
        let said = match fault.measured {
            Some(measured) => format!("{}: {measured}", fault.said),
            None => fault.said,
        };
        return Ok(Taken::Passed(said, Box::new(keeper)));
    }
    let left = keeper.release().await.err();
    let left = left.and_then(|said| Some((keeper.left()?.to_owned(), said)));
    Err(NotTaken { fault, left })
}

async fn take_in_time(
    stage: &Stage,
    slate: &Arc<dyn Slate>,
    claim: &Claim,
    traces: &Traces,
    conflict: Conflict,
    joined: impl Fn(&Queue),
) -> Result<Taken, Fault> {
    let began = Instant::now();
    let mut waiting = Waiting {
        slate: slate.as_ref(),
        claim,
        conflict,
        traces,
        place: Place::default(),
        unchanged: None,
    };
    let mut pause = waiting.first_pause();
    let (mut told, mut out_since) = (None::<String>, None);
    loop {
        let attempt = tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
            attempt = waiting.attempt() => attempt,
        };
        match attempt {
            Ok(Attempt::Ours(claim, mark, sent)) => {
                waiting.place.ended(stage, began);
                if told.is_some() {
                    stage.say(Event::Done {
                        step: "lock",
                        said: format!("{} is free, and ours now", stage.environment),
                        took: began.elapsed(),
                    });
                }
                let keeper = Box::new(Keeper::of(Arc::clone(slate), claim, mark, sent));
                return Ok(Taken::Ours(keeper));
            }
            Ok(Attempt::Unreadable) => return Err(unreadable(&stage.environment, slate.as_ref())),
            Ok(Attempt::Faster) => {
                out_since = None;
                pause = waiting.first_pause();
            }
            Ok(Attempt::Joined(seen)) => {
                out_since = None;
                if let Some(queue) = seen.claim.as_ref().map(|claim| &claim.queue) {
                    waiting.place.has_joined(stage, queue, &claim.id);
                    joined(queue);
                }
                let looked = waiting.wait_for(stage, &seen, began, &mut told);
                looked.inspect_err(|_| waiting.place.ended(stage, began))?;
            }
            Ok(Attempt::Held(seen)) => {
                out_since = None;
                let looked = waiting.wait_for(stage, &seen, began, &mut told);
                looked.inspect_err(|_| waiting.place.ended(stage, began))?;
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
        pause = (pause * 2).min(waiting.last_pause());
    }
}

impl Waiting<'_> {
    fn first_pause(&self) -> Duration {
        LOOK_FIRST.min(self.claim.lease() / 20)
    }

    fn last_pause(&self) -> Duration {
        LOOK_LAST.min(self.claim.lease() / 10)
    }

    /// Says whom we wait for, once for each, and ends the waiting when it was long enough.
    fn wait_for(
        &mut self,
        stage: &Stage,
        seen: &Seen,
        began: Instant,
        told: &mut Option<String>,
    ) -> Result<(), Fault> {
        let none = Queue::default();
        let queue = seen.claim.as_ref().map_or(&none, |claim| &claim.queue);
        let ahead = queue.ahead_of(&self.claim.id);
        self.place.sees(queue);
        let state = queue::told_state(&stage.environment, seen);
        let limit = match self.conflict {
            Conflict::Wait(limit) if began.elapsed() < limit => limit,
            _ => {
                return Err(queue::given_up(
                    &stage.environment,
                    seen,
                    ahead,
                    told.is_some().then(|| began.elapsed()),
                ));
            }
        };
        let ids = ahead.iter().map(|one| one.claim.as_str());
        let holder = seen.held().map(|claim| claim.id.as_str());
        let whom = holder.into_iter().chain(ids).collect::<Vec<_>>().join(" ");
        if told.as_ref() != Some(&whom) {
            queue::tell(stage, &state, ahead, limit);
            *told = Some(whom);
        }
        stage.say(Event::Working {
            step: "lock",
            said: state,
        });
        Ok(())
    }

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
                    let claim = claim.followed_by(claim.queue.clone());
                    return Ok(Attempt::Ours(claim, seen.mark.clone(), sent));
                }
                Some(claim) if !self.seems_over(seen, claim) => return self.stand_in(seen).await,
                _ => Some(seen),
            },
        };
        let mut ours = self.claim.clone();
        if let Some(seen) = over
            && let Some(last) = &seen.claim
        {
            let ahead = last.queue.ahead_of(&self.claim.id);
            if self.conflict.minds_the_queue() && self.place.is_after_others(ahead, seen.free_at())
            {
                return self.stand_in(seen).await;
            }
            ours.queue = if last.queue.has(&self.claim.id) || self.conflict.minds_the_queue() {
                last.queue.behind(&self.claim.id)
            } else {
                last.queue.clone()
            };
        }
        let sent = Instant::now();
        let mark = over.map(|seen| seen.mark.as_str());
        let draft = self.slate.draft(mark, &ours).await?;
        // Whether a lease is over is decided by the one clock that all share.
        if let Some(seen) = over.filter(|seen| seen.held().is_some())
            && !seen.is_over_at(draft.at)
        {
            return self.stand_in(seen).await;
        }
        let place = self.slate.place(over.is_none(), &draft);
        if self.traces.write(mark, place).await? {
            Ok(Attempt::Ours(ours, draft.mark, sent))
        } else {
            Ok(Attempt::Faster)
        }
    }

    /// Waits in the queue: takes a place in it where this run has none.
    async fn stand_in(&mut self, seen: &Seen) -> Result<Attempt, SlateError> {
        let Some(claim) = &seen.claim else {
            return Ok(Attempt::Unreadable);
        };
        let waits = matches!(self.conflict, Conflict::Wait(_));
        if !waits || self.place.is_not_allowed || claim.queue.has(&self.claim.id) {
            return Ok(Attempt::Held(seen.clone()));
        }
        let looks = self.last_pause() * 3 / 2;
        let queue = claim.queue.with(queue::ticket(self.claim, looks));
        let rewrite = queue::rewrite(self.slate, seen, queue);
        match self.traces.write(Some(&seen.mark), rewrite).await {
            Ok(Some(seen)) => Ok(Attempt::Joined(seen)),
            Ok(None) => Ok(Attempt::Faster),
            // It waits without a place, and takes what is left over.
            Err(SlateError::NotAllowed(_)) => {
                self.place.is_not_allowed = true;
                Ok(Attempt::Held(seen.clone()))
            }
            Err(failed) => Err(failed),
        }
    }

    /// Whether it is worth asking if a lease is over: by our own clock, which may be wrong, or
    /// because nothing has happened for that long.
    fn seems_over(&mut self, seen: &Seen, claim: &Claim) -> bool {
        // Who joins the queue does not renew anything.
        let written = format!("{} {}", claim.id, seen.at);
        let since = match &self.unchanged {
            Some((before, since)) if *before == written => *since,
            _ => {
                let now = Instant::now();
                self.unchanged = Some((written, now));
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
        turn: 0,
        at: None,
        queue: Queue::default(),
    }
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}
