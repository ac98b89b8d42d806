//! The queue before a lock: taking a place in it, giving it up, and saying who is ahead.
//!
//! It is written into the claim that is waited for, so that it costs nothing where nobody waits,
//! and whoever comes later sees it at the first look. A place is nobody's right to the lock: that
//! is decided by the writing alone. Who leaves a free lock alone for too long is passed over.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::{Claim, State};
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::queue::{self, Queue, Ticket, Waited};
use crate::platform::text;
use crate::rollout::stage::Stage;

use super::{Draft, Seen, Slate, SlateError};

/// How often it is tried to give up a place.
const TRIES: usize = 4;

/// A run's own place in the queue, and what is known of those ahead.
#[derive(Default)]
pub(super) struct Place {
    /// The token may look and not write: there is no place for this run.
    pub(super) is_not_allowed: bool,
    /// Who has left the lock alone while it was free, and since when that is watched.
    idle: Option<(Vec<String>, Instant)>,
    /// What is told at the end, once there was a queue to speak of.
    waited: Option<Waited>,
}

impl Place {
    /// Whether others may take a lock first that is free since `free_at`, by the slate's clock.
    pub(super) fn is_after_others(&mut self, ahead: &[Ticket], free_at: i64) -> bool {
        if ahead.is_empty() {
            self.idle = None;
            return false;
        }
        let ids: Vec<String> = ahead.iter().map(|one| one.claim.clone()).collect();
        let since = match &self.idle {
            Some((before, since)) if *before == ids => *since,
            _ => {
                let now = Instant::now();
                self.idle = Some((ids, now));
                now
            }
        };
        let grace = queue::grace(ahead);
        let by_clock = jiff::Timestamp::now().as_second().saturating_sub(free_at);
        let long_free = u64::try_from(by_clock).is_ok_and(|seconds| seconds > grace.as_secs());
        !long_free && since.elapsed() <= grace
    }

    /// Learns how long the queue is, now that this run has come.
    pub(super) fn has_joined(&mut self, stage: &Stage, queue: &Queue, claim: &str) {
        let ahead = queue.ahead_of(claim).len();
        let waited = self.waited.get_or_insert_with(Waited::default);
        waited.ahead = ahead;
        waited.depth = queue.depth();
        stage.learned(Fact::Queue(*waited));
    }

    /// Learns how the queue is now.
    pub(super) fn sees(&mut self, queue: &Queue) {
        if let Some(waited) = &mut self.waited {
            waited.depth = waited.depth.max(queue.depth());
        }
    }

    /// Says what the waiting came to.
    pub(super) fn ended(&self, stage: &Stage, began: Instant) {
        if let Some(waited) = self.waited {
            let took = began.elapsed().as_millis();
            let waited_ms = u64::try_from(took).unwrap_or(u64::MAX);
            stage.learned(Fact::Queue(Waited {
                waited_ms,
                ..waited
            }));
        }
    }
}

/// A place for the run of that claim, which looks at least once in `looks`.
pub(super) fn ticket(claim: &Claim, looks: Duration) -> Ticket {
    Ticket {
        claim: claim.id.clone(),
        owner: claim.owner.clone(),
        reason: claim.reason.clone(),
        run_url: claim.run_url.clone(),
        since: claim.since.clone(),
        looks_ms: u64::try_from(looks.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Writes another queue into the claim that was seen, whoever's it is: nothing else of it
/// changes, its time neither. `None` where somebody was faster.
pub(super) async fn rewrite(
    slate: &dyn Slate,
    seen: &Seen,
    queue: Queue,
) -> Result<Option<Seen>, SlateError> {
    let Some(claim) = &seen.claim else {
        return Ok(None);
    };
    let claim = Claim {
        at: Some(seen.at),
        queue,
        ..claim.clone()
    };
    let Draft { mark, .. } = slate.draft(Some(&seen.mark), &claim).await?;
    let draft = Draft { mark, at: seen.at };
    let placed = slate.place(false, &draft).await?;
    Ok(placed.then(|| Seen {
        mark: draft.mark,
        claim: Some(claim),
        ..seen.clone()
    }))
}

/// Gives up the place of a claim, where it has one.
///
/// # Errors
/// When that is not known to have happened. It is passed over then when its turn comes.
pub async fn leave(slate: &dyn Slate, claim: &str) -> Result<(), SlateError> {
    for _ in 0..TRIES {
        let Some(seen) = slate.read().await? else {
            return Ok(());
        };
        let Some(queue) = seen.claim.as_ref().map(|claim| &claim.queue) else {
            return Ok(());
        };
        if !queue.has(claim) {
            return Ok(());
        }
        let others = queue.without(claim);
        if rewrite(slate, &seen, others).await?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// Who waits, for people; `None` where nobody does.
pub fn told(queue: &Queue) -> Option<String> {
    let waiting = queue.tickets();
    let many = match waiting.len() {
        0 => return None,
        1 => "1 waits".to_owned(),
        many => format!("{many} wait"),
    };
    Some(format!("{many}: {}", queue::told(waiting)))
}

/// Those ahead of a claim, for people; empty where there are none.
pub(super) fn told_ahead(ahead: &[Ticket]) -> String {
    match ahead.len() {
        0 => String::new(),
        many => format!("{many} ahead: {}", queue::told(ahead)),
    }
}

/// Whether somebody holds the lock that was seen, or it is free and only others come first.
pub(super) fn told_state(environment: &str, seen: &Seen) -> String {
    match seen.claim.as_ref().map(|claim| claim.state) {
        Some(State::Released) => format!("{environment} is free, and others come first"),
        _ => format!(
            "{environment} is locked by {}; its lease is until {}",
            seen.told(),
            seen.until()
        ),
    }
}

/// Says whom this run waits for, and for how long at most.
pub(super) fn tell(stage: &Stage, state: &str, ahead: &[Ticket], limit: Duration) {
    let ahead = match told_ahead(ahead) {
        ahead if ahead.is_empty() => String::new(),
        ahead => format!("; {ahead}"),
    };
    stage.say(Event::Noticed(format!(
        "{state}{ahead}; waiting for it, at most {}",
        text::duration(limit)
    )));
}

/// The fault of a run that waits no longer, or does not wait. `waited` is how long it did.
pub(super) fn given_up(
    environment: &str,
    seen: &Seen,
    ahead: &[Ticket],
    waited: Option<Duration>,
) -> Fault {
    let said = match (waited, seen.held()) {
        (Some(waited), _) => format!(
            "{environment} was locked for longer than {}",
            text::duration(waited)
        ),
        (None, Some(_)) => format!("{environment} is locked by another run"),
        (None, None) => format!("{environment} is free, and other runs wait for it"),
    };
    let held = seen.held().map(|_| {
        let (whose, until) = (seen.told(), seen.until());
        format!("{whose}; its lease is until {until}")
    });
    let ahead = Some(told_ahead(ahead)).filter(|ahead| !ahead.is_empty());
    let measured: Vec<String> = held.into_iter().chain(ahead).collect();
    Fault::new(Reason::Locked, said)
        .measured(measured.join("; "))
        .wanted("nobody else at work on the environment")
        .next(format!(
            "run again when it is done; `cutover lock show --environment {environment}` shows who has it"
        ))
}
