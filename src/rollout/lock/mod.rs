//! The lock: one environment changes once at a time.
//!
//! A claim with an owner, a reason and a lease is written on a slate that everybody sees and
//! that changes only from what was read there. [`taking`] waits for a turn; the [`keeper`]
//! renews the claim, is asked before every change whether it still holds, and gives it up. Who
//! waits stands in the [`queue`], which is a part of what is written.
//! Nobody gives up or overwrites a claim that is somebody else's and holds.

mod held;
pub mod keeper;
pub mod queue;
pub mod taking;
pub mod traces;

use async_trait::async_trait;

use crate::model::claim::{Claim, State};
use crate::model::ending::Reason;
use crate::model::fault::Fault;

/// What was seen on a slate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What tells this writing from any other.
    pub mark: String,
    /// The claim; `None` where it is not one that this program understands.
    pub claim: Option<Claim>,
    /// When it was written, in seconds, by the slate's own clock.
    pub at: i64,
    /// Whether it is known, without reading the claim, that nobody holds it.
    pub is_free: bool,
}

/// A claim that is ready to be placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What tells this writing from any other.
    pub mark: String,
    /// When it was written, in seconds, by the slate's own clock.
    pub at: i64,
}

/// Why a slate could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlateError {
    /// We may not: without a lock then.
    #[error("{0}")]
    NotAllowed(String),
    /// No answer, or none that says anything. What was asked for may have been done.
    #[error("{0}")]
    OutOfReach(String),
    /// The answer is no, and will be.
    #[error("{0}")]
    Refused(String),
}

/// Where the claims to one environment are written. It changes only from what was read.
#[async_trait]
pub trait Slate: Send + Sync {
    /// Its name, for people: `refs/cutover/locks/production`.
    fn told(&self) -> String;

    /// What is written there; `None` where nothing ever was.
    ///
    /// # Errors
    /// See [`SlateError`].
    async fn read(&self) -> Result<Option<Seen>, SlateError>;

    /// The same, and of what is free without the claim, which is cheaper.
    ///
    /// # Errors
    /// See [`SlateError`].
    async fn glance(&self) -> Result<Option<Seen>, SlateError>;

    /// The mark of what is written there, which is cheaper to read; `None` where that was given up.
    ///
    /// # Errors
    /// See [`SlateError`].
    async fn mark(&self) -> Result<Option<String>, SlateError>;

    /// Prepares to write a claim over the writing with that mark. Changes nothing yet.
    ///
    /// # Errors
    /// See [`SlateError`].
    async fn draft(&self, over: Option<&str>, claim: &Claim) -> Result<Draft, SlateError>;

    /// Writes it, if nobody was faster: `false` where somebody was. Tried once.
    ///
    /// # Errors
    /// See [`SlateError`]; when out of reach it may be written nevertheless.
    async fn place(&self, is_new: bool, draft: &Draft) -> Result<bool, SlateError>;

    /// Gives up the claim with that mark, which says nothing of those who wait. `false` where that
    /// must be written over it instead.
    ///
    /// # Errors
    /// See [`SlateError`]; when out of reach it may be given up nevertheless.
    async fn give_up(&self, mark: &str) -> Result<bool, SlateError>;
}

impl Seen {
    /// The claim that somebody holds here, if it is not given up.
    pub fn held(&self) -> Option<&Claim> {
        self.claim
            .as_ref()
            .filter(|claim| claim.state == State::Held)
    }

    /// Whether the lease was over at `at`, by the slate's clock. That clock shows whole seconds,
    /// so a second more must have passed.
    pub fn is_over_at(&self, at: i64) -> bool {
        let lease = i64::try_from(self.lease_seconds()).unwrap_or(i64::MAX);
        at.saturating_sub(self.at) > lease
    }

    /// Since when it is free, if it is, in seconds by the slate's clock.
    pub fn free_at(&self) -> i64 {
        let lease = i64::try_from(self.lease_seconds()).unwrap_or(i64::MAX);
        match self.held() {
            Some(_) => self.at.saturating_add(lease),
            None => self.at,
        }
    }

    /// Until when the claim holds if it is not renewed, for people.
    pub fn until(&self) -> String {
        let lease = i64::try_from(self.lease_seconds()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(self.at.saturating_add(lease))
            .map_or_else(|_| "?".to_owned(), |until| until.to_string())
    }

    fn lease_seconds(&self) -> u64 {
        let lease_ms = self.claim.as_ref().map_or(0, |claim| claim.lease_ms);
        lease_ms.div_ceil(1000)
    }

    /// Who has it, in one line.
    pub fn told(&self) -> String {
        match &self.claim {
            Some(claim) => claim.told(),
            None => "something that is no claim of this program".to_owned(),
        }
    }
}

/// What cannot be read blocks, and is never repaired by a program.
pub fn unreadable(environment: &str, slate: &dyn Slate) -> Fault {
    let place = slate.told();
    Fault::new(
        Reason::Locked,
        format!("the lock of {environment} cannot be understood, so nothing is changed"),
    )
    .measured(format!(
        "{place} has no claim of this version of Cutover"
    ))
    .next(format!(
        "see what it is; if nobody is at work on {environment}, remove it: `git push origin :{place}`"
    ))
}
