//! A claim that a run holds: what is known of it, and how it is renewed and given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::Claim;
use crate::model::queue::Queue;

use super::{Seen, Slate, SlateError};

/// An answer is good for so long, or for a tenth of the lease.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// How often a claim is written anew when somebody who waits has written it meanwhile.
const RENEWALS: usize = 4;

pub(super) struct Held {
    pub(super) slate: Arc<dyn Slate>,
    pub(super) claim: Claim,
    pub(super) known: Mutex<Known>,
}

pub(super) struct Known {
    pub(super) mark: String,
    /// Whose turn it is within the run.
    pub(super) turn: u32,
    /// Who waits for it, as it was last seen.
    pub(super) queue: Queue,
    /// Until then nobody may take it from us. By our own clock, from before the renewal was sent.
    pub(super) until: Instant,
    /// When it was last seen to be ours.
    pub(super) seen: Instant,
    /// Whose it is now, once it is not ours any more.
    pub(super) lost: Option<String>,
}

impl Held {
    /// Of a claim that was placed as `mark`, by a request that was sent at `sent`.
    pub(super) fn of(slate: Arc<dyn Slate>, claim: Claim, mark: String, sent: Instant) -> Self {
        let known = Mutex::new(Known {
            mark,
            turn: claim.turn,
            queue: claim.queue.clone(),
            until: sent + claim.lease(),
            seen: sent,
            lost: None,
        });
        Self {
            slate,
            claim,
            known,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fresh(&self) -> Duration {
        FRESH.min(self.claim.lease() / 10)
    }

    fn mark(&self) -> String {
        self.lock().mark.clone()
    }

    /// What it was last seen as, and what is to be written over that: the claim, and who waits.
    pub(super) fn over(&self) -> (String, Claim) {
        let known = self.lock();
        let mut claim = self.claim.followed_by(known.queue.clone());
        claim.turn = known.turn;
        (known.mark.clone(), claim)
    }

    /// Whether it is still ours, as the slate says.
    pub(super) async fn look(&self) -> Result<bool, SlateError> {
        let asked = Instant::now();
        let ours = self.mark();
        if self.slate.mark().await?.is_some_and(|mark| mark == ours) {
            self.lock().seen = asked;
            return Ok(true);
        }
        let seen = self.slate.read().await?;
        Ok(self.learn(seen, asked))
    }

    fn learn(&self, seen: Option<Seen>, asked: Instant) -> bool {
        let mut known = self.lock();
        match seen {
            Some(seen)
                if seen
                    .claim
                    .as_ref()
                    .is_some_and(|claim| claim.is_held_as(&self.claim.id)) =>
            {
                known.mark = seen.mark;
                known.queue = seen.claim.map(|claim| claim.queue).unwrap_or_default();
                known.seen = asked;
                true
            }
            Some(seen) => {
                known.lost = Some(if seen.held().is_some() {
                    format!("{}; its lease is until {}", seen.told(), seen.until())
                } else {
                    format!("released; the last claim was {}", seen.told())
                });
                false
            }
            None => {
                known.lost = Some("somebody has removed it".to_owned());
                false
            }
        }
    }

    /// Writes the claim anew, over our own one only.
    pub(super) async fn renew(&self) -> Result<bool, SlateError> {
        for _ in 0..RENEWALS {
            let sent = Instant::now();
            let (over, claim) = self.over();
            let draft = self.slate.draft(Some(&over), &claim).await?;
            if self.slate.place(false, &draft).await? {
                let mut known = self.lock();
                known.mark = draft.mark;
                known.until = sent + self.claim.lease();
                known.seen = sent;
                return Ok(true);
            }
            // Somebody else's; or our own one, whose answer got lost, or that somebody waits for.
            let seen = self.slate.read().await?;
            if !self.learn(seen, sent) {
                return Ok(false);
            }
        }
        Err(SlateError::OutOfReach("it kept changing".to_owned()))
    }

    /// A claim whose lease is over may be anybody's in the next moment: it is renewed first.
    pub(super) async fn look_or_renew(&self) -> Result<(), SlateError> {
        if !self.look().await? {
            return Ok(());
        }
        let margin = self.claim.lease() / 10;
        for _ in 0..2 {
            if Instant::now() + margin < self.lock().until {
                return Ok(());
            }
            if !self.renew().await? {
                return Ok(());
            }
        }
        if Instant::now() < self.lock().until {
            Ok(())
        } else {
            Err(SlateError::OutOfReach(
                "the lease could not be renewed".to_owned(),
            ))
        }
    }

    /// Gives up the claim with that mark: in one step where that can be.
    async fn write_over(&self, mark: &str, given_up: &Claim) -> Result<bool, SlateError> {
        // Those who wait have to see at once that others do.
        if given_up.queue.is_empty() && self.slate.give_up(mark).await? {
            return Ok(true);
        }
        let draft = self.slate.draft(Some(mark), given_up).await?;
        self.slate.place(false, &draft).await
    }

    pub(super) async fn release(&self) -> Result<(), SlateError> {
        let mut last = None;
        for _ in 0..RENEWALS {
            if self.lock().lost.is_some() {
                return Ok(());
            }
            let (over, claim) = self.over();
            match self.write_over(&over, &claim.released()).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failed) => last = Some(failed),
            }
            // It may be released, renewed by an answer that got lost, or somebody else's.
            let seen = self.slate.read().await?;
            if !self.learn(seen, Instant::now()) {
                return Ok(());
            }
        }
        Err(last.unwrap_or_else(|| SlateError::OutOfReach("it kept changing".to_owned())))
    }
}
