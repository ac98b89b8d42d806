//! Keeping the lock while a run is at work, and giving it up.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::Claim;
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::rollout::stage::Stage;

use super::{Seen, Slate, SlateError};

/// How long the question whether a claim still holds may take.
const ASK: Duration = Duration::from_secs(2);

/// How long it may take when traffic is to be put back: a cancelled run has seconds.
const ASK_AGAIN: Duration = Duration::from_millis(1200);

/// An answer is good for so long, or for a tenth of the lease.
const FRESH: Duration = Duration::from_secs(5);

/// How long giving up a claim may take.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Keeps a claim. The default has none and stops nobody: a dry run, a run without a token.
#[derive(Default)]
pub struct Keeper {
    held: Option<Held>,
    /// Whether the run has begun to write to the router.
    touched: AtomicBool,
}

struct Held {
    slate: Arc<dyn Slate>,
    claim: Claim,
    known: Mutex<Known>,
}

struct Known {
    mark: String,
    /// Until then nobody may take it from us. By our own clock, from before the renewal was sent.
    until: Instant,
    /// When it was last seen to be ours.
    seen: Instant,
    /// Whose it is now, once it is not ours any more.
    lost: Option<String>,
}

impl Keeper {
    /// Of a claim that was placed as `mark`, by a request that was sent at `sent`.
    pub fn of(slate: Arc<dyn Slate>, claim: Claim, mark: String, sent: Instant) -> Self {
        let known = Mutex::new(Known {
            mark,
            until: sent + claim.lease(),
            seen: sent,
            lost: None,
        });
        Self {
            held: Some(Held {
                slate,
                claim,
                known,
            }),
            touched: AtomicBool::new(false),
        }
    }

    /// Takes up a claim again that a run has left behind.
    ///
    /// # Errors
    /// When that cannot be known.
    pub async fn resume(slate: Arc<dyn Slate>, id: &str) -> Result<Self, SlateError> {
        let Some(seen) = slate.read().await? else {
            return Ok(Self::default());
        };
        let sent = Instant::now();
        let whose = seen.told();
        let Some(claim) = seen.claim else {
            return Ok(Self::default());
        };
        let is_ours = claim.is_held_as(id);
        // It was given up already: nobody else had it.
        if !is_ours && claim.id == id {
            return Ok(Self::default());
        }
        let keeper = Self::of(slate, claim, seen.mark, sent);
        if let Some(held) = &keeper.held {
            if is_ours {
                held.lock().until = sent;
                held.renew().await?;
            } else {
                held.lock().lost = Some(whose);
            }
        }
        Ok(keeper)
    }

    /// Gives up a claim that may have been placed without our knowing.
    pub async fn abandon(slate: Arc<dyn Slate>, claim: &Claim) {
        if let Ok(Some(seen)) = slate.read().await
            && seen.held().is_some_and(|held| held.id == claim.id)
        {
            let _ = Self::of(slate, claim.clone(), seen.mark, Instant::now())
                .release()
                .await;
        }
    }

    /// Renews the claim for as long as it is polled. When the lock is lost, the run is cancelled.
    pub async fn keep(&self, stage: &Stage) -> Infallible {
        let Some(held) = &self.held else {
            return std::future::pending().await;
        };
        let lease = held.claim.lease();
        let mut pause = lease / 3;
        while held.lock().lost.is_none() {
            tokio::time::sleep(pause).await;
            pause = match held.renew().await {
                Ok(_) => lease / 3,
                Err(_) => (lease / 10).min(FRESH),
            };
        }
        if let Some(fault) = self.lost() {
            stage.say(Event::Warned(format!(
                "{}: {}",
                fault.said,
                fault.measured.unwrap_or_default()
            )));
        }
        stage.cancelled.cancel();
        std::future::pending().await
    }

    /// Whether something may be deployed now: the lock is ours, or there is none. Right after it
    /// was taken or renewed nobody is asked again.
    ///
    /// # Errors
    /// As [`Self::ours`].
    pub async fn ours_lately(&self) -> Result<(), Fault> {
        if let Some(held) = &self.held {
            let fresh = held.fresh();
            let known = held.lock();
            if known.lost.is_none()
                && known.seen.elapsed() < fresh
                && Instant::now() + fresh < known.until
            {
                return Ok(());
            }
        }
        self.ours().await
    }

    /// Whether traffic may be moved now: the lock is ours, or there is none.
    ///
    /// # Errors
    /// `lock-lost` where somebody else has it; `out-of-reach` where the lease is over and nobody
    /// can say.
    pub async fn ours(&self) -> Result<(), Fault> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let asked = tokio::time::timeout(ASK, held.look_or_renew()).await;
        if let Some(lost) = self.lost() {
            return Err(lost);
        }
        match asked {
            Ok(Ok(())) => Ok(()),
            // Nobody may have taken it yet, whether we are answered or not.
            _ if Instant::now() + held.fresh() < held.lock().until => Ok(()),
            Ok(Err(failed)) => Err(unknown(&failed.to_string())),
            Err(_) => Err(unknown("no answer")),
        }
    }

    /// The fault of a run whose lock is somebody else's now, if that is known.
    pub fn lost(&self) -> Option<Fault> {
        let held = self.held.as_ref()?;
        let whose = held.lock().lost.clone()?;
        let fault = Fault::new(
            Reason::LockLost,
            "the lock is not this run's any more, so it changes nothing",
        );
        let fault = fault.measured(whose);
        Some(
            fault
                .wanted(format!("claim {}", held.claim.id))
                .next("see how that run ends, then run again"),
        )
    }

    /// Asks once more whether the lock is somebody else's. What cannot be known in time is no.
    pub async fn lost_now(&self) -> Option<Fault> {
        if let Some(held) = &self.held
            && held.lock().lost.is_none()
        {
            let _ = tokio::time::timeout(ASK_AGAIN, held.look()).await;
        }
        self.lost()
    }

    /// From here on the router may have been written by this run.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Whether this run may have written to the router.
    pub fn touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Gives up the claim, if it is still ours.
    ///
    /// # Errors
    /// When that is not known to have happened; what a person needs to know.
    pub async fn release(&self) -> Result<(), String> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let outcome = tokio::time::timeout(GIVE_UP, held.release()).await;
        let failed = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(format!(
            "the lock was not released ({failed}); it is free when its lease is over, or with `cutover lock release {}`",
            held.claim.id
        ))
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Duration {
        FRESH.min(self.claim.lease() / 10)
    }

    fn mark(&self) -> String {
        self.lock().mark.clone()
    }

    /// Whether it is still ours, as the slate says.
    async fn look(&self) -> Result<bool, SlateError> {
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
    async fn renew(&self) -> Result<bool, SlateError> {
        let sent = Instant::now();
        let over = self.mark();
        let draft = self.slate.draft(Some(&over), &self.claim).await?;
        if self.slate.place(false, &draft).await? {
            let mut known = self.lock();
            known.mark = draft.mark;
            known.until = sent + self.claim.lease();
            known.seen = sent;
            return Ok(true);
        }
        // Somebody else's, or our own one whose answer got lost: that one is renewed the next time.
        let seen = self.slate.read().await?;
        Ok(self.learn(seen, sent))
    }

    /// A claim whose lease is over may be anybody's in the next moment: it is renewed first.
    async fn look_or_renew(&self) -> Result<(), SlateError> {
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
        if self.slate.give_up(mark).await? {
            return Ok(true);
        }
        let draft = self.slate.draft(Some(mark), given_up).await?;
        self.slate.place(false, &draft).await
    }

    async fn release(&self) -> Result<(), SlateError> {
        let given_up = self.claim.released();
        let mut last = None;
        for _ in 0..3 {
            if self.lock().lost.is_some() {
                return Ok(());
            }
            let over = self.mark();
            match self.write_over(&over, &given_up).await {
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

fn unknown(said: &str) -> Fault {
    Fault::new(
        Reason::OutOfReach,
        "whether the lock is still this run's is unknown, so it changes nothing",
    )
    .measured(said)
    .wanted("an answer before the lease was over")
    .next("see that GitHub answers, then run again")
}
