//! What a run may have written on a slate without knowing it, and how that is taken back.
//!
//! An answer can get lost, and who is cancelled waits for none: then what was to be written may be
//! there, or come later still. Reading says nothing of that. But a slate changes only from what was
//! read there: where the same is written once more, whatever was to come on top of it is refused.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::model::claim::Claim;

use super::held::Held;
use super::{Slate, SlateError, queue};

/// How often it is written anew when somebody else was faster.
const TRIES: usize = 4;

/// The traces of a run that does not have the lock.
#[derive(Default)]
pub struct Traces(Mutex<Sent>);

#[derive(Default)]
struct Sent {
    /// Whether anything was ever written.
    any: bool,
    /// What it was to be written over, where it is not known what became of it: the mark, or
    /// nothing where there was none.
    unanswered: Vec<Option<String>>,
    /// Whether it is not known either what it was to be written over.
    anywhere: bool,
}

impl Traces {
    /// Those of a run that has ended: anything of it may be there, or come later.
    pub fn of_another_run() -> Self {
        Self(Mutex::new(Sent {
            any: true,
            anywhere: true,
            ..Sent::default()
        }))
    }

    /// Whether something may be there, or come later.
    pub(super) fn any(&self) -> bool {
        self.lock().any
    }

    /// Writes over what has that mark, and remembers it until there is an answer.
    pub(super) async fn write<T>(
        &self,
        over: Option<&str>,
        write: impl Future<Output = Result<T, SlateError>>,
    ) -> Result<T, SlateError> {
        {
            let mut sent = self.lock();
            sent.any = true;
            sent.unanswered.push(over.map(ToOwned::to_owned));
        }
        let written = write.await;
        if !matches!(written, Err(SlateError::OutOfReach(_))) {
            self.lock().unanswered.pop();
        }
        written
    }

    /// Gives up the claim that may have been placed or may yet be, or its place in the queue.
    ///
    /// # Errors
    /// When that is not known to have happened.
    pub(super) async fn wipe(
        &self,
        slate: &Arc<dyn Slate>,
        claim: &Claim,
    ) -> Result<(), SlateError> {
        if !self.any() {
            return Ok(());
        }
        for _ in 0..TRIES {
            let Some(seen) = slate.read().await? else {
                if !self.may_come_over(None) {
                    return Ok(());
                }
                let draft = slate.draft(None, &claim.released()).await?;
                if slate.place(true, &draft).await? {
                    return Ok(());
                }
                continue;
            };
            let Some(found) = &seen.claim else {
                return Ok(());
            };
            if found.is_held_as(&claim.id) {
                let (found, now) = (found.clone(), Instant::now());
                return Held::of(Arc::clone(slate), found, seen.mark, now)
                    .release()
                    .await;
            }
            if !found.queue.has(&claim.id) && !self.may_come_over(Some(&seen.mark)) {
                return Ok(());
            }
            let others = found.queue.without(&claim.id);
            if queue::rewrite(slate.as_ref(), &seen, others)
                .await?
                .is_some()
            {
                return Ok(());
            }
        }
        Err(SlateError::OutOfReach("it kept changing".to_owned()))
    }

    /// Whether something may yet be written over what has that mark.
    fn may_come_over(&self, mark: Option<&str>) -> bool {
        let sent = self.lock();
        let over = |over: &Option<String>| over.as_deref() == mark;
        sent.anywhere || sent.unanswered.iter().any(over)
    }

    fn lock(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
