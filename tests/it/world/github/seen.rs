//! What a test sees of the stand-in, and how it makes it go wrong.

use std::time::Duration;

use super::{Fault, GitRefs, Github, Verb};
use crate::world::github_comments::Comments;

impl Github {
    pub(crate) fn order(&self, verb: Verb, faults: impl IntoIterator<Item = Fault>) {
        let mut kept = self.kept.lock().unwrap();
        kept.faults.entry(verb).or_default().extend(faults);
    }

    /// Takes back what was ordered and has not happened yet.
    pub(crate) fn forget_faults(&self) {
        self.kept.lock().unwrap().faults.clear();
    }

    /// From now on payloads are texts, as they are for some deployments.
    pub(crate) fn payload_as_text(&self) {
        self.kept.lock().unwrap().payload_as_text = true;
    }

    /// From now on every answer takes so long.
    pub(crate) fn take_your_time(&self, latency: Duration) {
        self.kept.lock().unwrap().latency = latency;
    }

    /// The repository's refs.
    pub(crate) fn git<T>(&self, with: impl FnOnce(&mut GitRefs) -> T) -> T {
        with(&mut self.kept.lock().unwrap().git)
    }

    /// The comments on its pull requests and issues.
    pub(crate) fn talk<T>(&self, with: impl FnOnce(&mut Comments) -> T) -> T {
        with(&mut self.kept.lock().unwrap().comments)
    }

    pub(crate) fn asked(&self, verb: Verb) -> usize {
        let kept = self.kept.lock().unwrap();
        kept.asked.iter().filter(|one| **one == verb).count()
    }

    /// What was asked after so many requests.
    pub(crate) fn verbs(&self, after: usize) -> Vec<Verb> {
        self.kept.lock().unwrap().asked[after..].to_vec()
    }

    /// How many requests came in, of whatever kind.
    pub(crate) fn calls(&self) -> usize {
        self.kept.lock().unwrap().asked.len()
    }
}
