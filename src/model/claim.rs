//! A claim to the lock of an environment: whose it is, why, and for how long.
//!
//! It is written down as the message of a Git commit: a line for people, and the claim as JSON.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::queue::Queue;

/// The version of the claim's form. A claim of another form is not understood, and so it blocks.
pub const SCHEMA_VERSION: u32 = 1;

/// Whether a claim holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Until it is released, or its lease has ended.
    Held,
    /// Whoever comes may have the lock.
    Released,
}

/// A claim to the lock of an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The version of this form.
    pub schema_version: u32,
    /// Whether it holds.
    pub state: State,
    /// What tells it from every other claim.
    #[serde(rename = "claim")]
    pub id: String,
    /// The person behind it.
    pub owner: String,
    /// The run, as its id, attempt and job; empty at a terminal.
    pub run: String,
    /// The page of the run.
    pub run_url: Option<String>,
    /// What for: `rollout of 4f2a9c1`.
    pub reason: String,
    /// Since when, by the owner's clock; for people.
    pub since: String,
    /// How long it holds without being renewed.
    pub lease_ms: u64,
    /// Whose turn it is within the run: 0 is the primary target's, 1 the secondary's.
    #[serde(default, skip_serializing_if = "is_first")]
    pub turn: u32,
    /// When its owner wrote it, in seconds by the clock that leases are measured by. Only where
    /// somebody who waits has written it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
    /// Who waits for its end.
    #[serde(default, skip_serializing_if = "Queue::is_empty")]
    pub queue: Queue,
}

impl Claim {
    /// How long it holds without being renewed.
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// The same claim, with those who wait for its end.
    #[must_use]
    pub fn followed_by(&self, queue: Queue) -> Self {
        Self {
            at: None,
            queue,
            ..self.clone()
        }
    }

    /// The same claim, given up.
    #[must_use]
    pub fn released(&self) -> Self {
        Self {
            state: State::Released,
            ..self.clone()
        }
    }

    /// Whether it is that claim and holds.
    pub fn is_held_as(&self, id: &str) -> bool {
        self.state == State::Held && self.id == id
    }

    /// What a target is told, to see later whether it is still its turn.
    pub fn fence(&self) -> String {
        format!("{}.{}", self.id, self.turn)
    }

    /// The message of its commit.
    pub fn message(&self) -> String {
        let word = match self.state {
            State::Held => "held",
            State::Released => "released",
        };
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        let title = format!("{word} by {}: {}", self.owner, self.reason);
        format!("{}\n\n{json}\n", title.replace(['\n', '\r', '{'], " "))
    }

    /// Reads a commit's message; `None` where it is no claim of this form.
    pub fn read(message: &str) -> Option<Self> {
        let json = message.get(message.find('{')?..)?;
        let claim: Self = serde_json::from_str(json).ok()?;
        (claim.schema_version == SCHEMA_VERSION).then_some(claim)
    }

    /// Whose it is and what for, in one line.
    pub fn told(&self) -> String {
        let run = self.run_url.as_ref().map(|url| format!(", {url}"));
        format!(
            "{} ({}{}, since {})",
            self.owner,
            self.reason,
            run.unwrap_or_default(),
            self.since
        )
    }
}

/// The form of a claim whose first turn is not over.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_first(turn: &u32) -> bool {
    *turn == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim {
            schema_version: SCHEMA_VERSION,
            state: State::Held,
            id: "1-2".into(),
            owner: "ana".into(),
            run: "7-1-deploy".into(),
            run_url: Some("https://github.com/shop/storefront/actions/runs/7".into()),
            reason: "rollout of {x}\nv2".into(),
            since: "2026-11-21T08:00:00Z".into(),
            lease_ms: 600_000,
            turn: 0,
            at: None,
            queue: Queue::default(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for claim in [claim(), claim().released()] {
            assert_eq!(Claim::read(&claim.message()), Some(claim));
        }
    }

    #[test]
    fn what_is_not_ours_is_not_understood() {
        let later = claim()
            .message()
            .replace("\"schema_version\": 1", "\"schema_version\": 2");
        let cut = &claim().message()[..60];
        for foreign in ["", "Merge branch", "{}", "{\"claim\": 1}", &later, cut] {
            assert_eq!(Claim::read(foreign), None, "{foreign}");
        }
    }
}
