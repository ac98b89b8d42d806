//! Keeping the lock while a run is at work, and giving it up.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::claim::Claim;
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::rollout::stage::Stage;

use super::held::{FRESH, Held};
use super::traces::Traces;
use super::{Slate, SlateError, queue};

/// How long the question whether a claim still holds may take.
const ASK: Duration = Duration::from_secs(2);

/// How long it may take when traffic is to be put back: a cancelled run has seconds.
const ASK_AGAIN: Duration = Duration::from_millis(1200);

/// How long giving up a claim may take.
const GIVE_UP: Duration = Duration::from_secs(2);

/// Keeps a claim. The default has none and stops nobody: a dry run, a run without a token.
#[derive(Default)]
pub struct Keeper {
    held: Option<Held>,
    /// What may be left of a claim that was not placed as far as is known.
    left: Option<(Arc<dyn Slate>, Claim, Traces)>,
    /// Whether the run has begun to write to the router.
    touched: AtomicBool,
}

impl Keeper {
    /// Of a claim that was placed as `mark`, by a request that was sent at `sent`.
    pub fn of(slate: Arc<dyn Slate>, claim: Claim, mark: String, sent: Instant) -> Self {
        Self {
            held: Some(Held::of(slate, claim, mark, sent)),
            ..Self::default()
        }
    }

    /// Of no claim, but of what may be left of one.
    pub fn of_traces(slate: Arc<dyn Slate>, claim: Claim, traces: Traces) -> Self {
        Self {
            left: Some((slate, claim, traces)),
            ..Self::default()
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
        if claim.queue.has(id) {
            queue::leave(slate.as_ref(), id).await?;
        }
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

    /// Whether there is a claim.
    pub const fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// The id of a claim that may hold, or come to hold, although there is none as far as is known.
    pub fn left(&self) -> Option<&str> {
        let left = self.left.as_ref().filter(|(_, _, traces)| traces.any());
        left.map(|(_, claim, _)| claim.id.as_str())
    }

    /// What a target is told, to see later whether it is still its turn; `None` without a lock.
    pub fn fence(&self) -> Option<String> {
        let held = self.held.as_ref()?;
        Some(held.over().1.fence())
    }

    /// Passes the turn on to the next target of this run. Whoever checks the fence of the turn
    /// before is told from then on that it is over.
    ///
    /// # Errors
    /// As [`Self::ours`]: then nobody's turn has changed for sure.
    pub async fn pass_on(&self) -> Result<(), Fault> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        held.lock().turn += 1;
        let written = tokio::time::timeout(ASK, held.renew()).await;
        match (self.lost(), written) {
            (Some(lost), _) => Err(lost),
            (None, Ok(Ok(_))) => Ok(()),
            (None, Ok(Err(failed))) => Err(unknown(&failed.to_string())),
            (None, Err(_)) => Err(unknown("no answer")),
        }
    }

    /// From here on the router may have been written by this run.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Whether this run may have written to the router.
    pub fn touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Gives up the claim, if it is still ours, or what may be left of one.
    ///
    /// # Errors
    /// When that is not known to have happened; what a person needs to know.
    pub async fn release(&self) -> Result<(), String> {
        let (what, id, outcome) = match (&self.held, &self.left) {
            (Some(held), _) => {
                let released = tokio::time::timeout(GIVE_UP, held.release());
                ("the lock was not released", &held.claim.id, released.await)
            }
            (None, Some((slate, claim, traces))) => {
                let wiped = tokio::time::timeout(GIVE_UP, traces.wipe(slate, claim));
                ("the lock may be held for this run", &claim.id, wiped.await)
            }
            (None, None) => return Ok(()),
        };
        let failed = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failed)) => failed.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        Err(format!(
            "{what} ({failed}); it is free when its lease is over, or with `cutover lock release {id}`"
        ))
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
