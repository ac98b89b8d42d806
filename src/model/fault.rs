//! Why a step could not be taken: what was seen, what was wanted, what to do next.
//!
//! A fault does not know whether traffic moved; the ending that is made of it does.

use super::ending::Reason;

/// Why a step could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// In one stable word.
    pub reason: Reason,
    /// In one line: `the public URL kept answering with the old release`.
    pub said: String,
    /// What was seen.
    pub measured: Option<String>,
    /// What should have been seen.
    pub wanted: Option<String>,
    /// What to run or change next.
    pub next: Option<String>,
}

impl Fault {
    /// A fault with nothing but its reason and its line.
    pub fn new(reason: Reason, said: impl Into<String>) -> Self {
        Self {
            reason,
            said: said.into(),
            measured: None,
            wanted: None,
            next: None,
        }
    }

    /// With what was seen.
    #[must_use]
    pub fn measured(mut self, what: impl Into<String>) -> Self {
        self.measured = Some(what.into());
        self
    }

    /// With what should have been seen.
    #[must_use]
    pub fn wanted(mut self, what: impl Into<String>) -> Self {
        self.wanted = Some(what.into());
        self
    }

    /// With what to do next.
    #[must_use]
    pub fn next(mut self, what: impl Into<String>) -> Self {
        self.next = Some(what.into());
        self
    }

    /// The run was cancelled.
    pub fn cancelled() -> Self {
        Self::new(Reason::Cancelled, "the run was cancelled")
            .next("run it again when it suits; it begins anew")
    }
}
