//! Who waits for the lock of an environment, in the order in which they came.
//!
//! The queue is a part of the claim that is written down: who looks at the lock sees it, too, and
//! it changes only together with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is granted to the first in the queue beside its own pauses.
const GRACE: Duration = Duration::from_secs(2);

/// How many of those ahead are told by name.
const NAMED: usize = 3;

/// A run that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The id of the claim that it will make.
    pub claim: String,
    /// The person behind it.
    pub owner: String,
    /// What for: `rollout of 4f2a9c1`.
    pub reason: String,
    /// The page of the run.
    pub run_url: Option<String>,
    /// Since when, by its own clock; for people.
    pub since: String,
    /// The longest time between two looks of it at the lock.
    pub looks_ms: u64,
}

impl Ticket {
    /// Whose it is and what for.
    pub fn told(&self) -> String {
        format!("{} ({})", self.owner, self.reason)
    }
}

/// Those who wait, first come first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Queue(Vec<Ticket>);

impl Queue {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many wait.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// Whether a claim has its place here.
    pub fn has(&self, claim: &str) -> bool {
        self.0.iter().any(|ticket| ticket.claim == claim)
    }

    /// Those who come before a claim: all of them where it has no place here.
    pub fn ahead_of(&self, claim: &str) -> &[Ticket] {
        let place = self.0.iter().position(|ticket| ticket.claim == claim);
        &self.0[..place.unwrap_or(self.0.len())]
    }

    /// Those who come after a claim: none of them where it has no place here.
    #[must_use]
    pub fn behind(&self, claim: &str) -> Self {
        let place = self.0.iter().position(|ticket| ticket.claim == claim);
        Self(self.0[place.map_or(self.0.len(), |place| place + 1)..].to_vec())
    }

    /// With one more at its end.
    #[must_use]
    pub fn with(&self, ticket: Ticket) -> Self {
        let mut all = self.0.clone();
        all.push(ticket);
        Self(all)
    }

    /// Without a claim.
    #[must_use]
    pub fn without(&self, claim: &str) -> Self {
        let others = self.0.iter().filter(|ticket| ticket.claim != claim);
        Self(others.cloned().collect())
    }

    /// All of them, in order.
    pub fn tickets(&self) -> &[Ticket] {
        &self.0
    }
}

/// How long those ahead may leave a free lock alone before they count as gone: each could have
/// looked at it twice by then.
pub fn grace(ahead: &[Ticket]) -> Duration {
    let of_one = |ticket: &Ticket| {
        let looks = Duration::from_millis(ticket.looks_ms.min(60_000));
        looks * 2 + GRACE
    };
    ahead.iter().map(of_one).sum()
}

/// Those who wait, in a few words: `2 wait: ana (rollout of v2), bo (rollback)`.
pub fn told(tickets: &[Ticket]) -> String {
    let named: Vec<String> = tickets.iter().take(NAMED).map(Ticket::told).collect();
    let more = match tickets.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", named.join(", "))
}

/// What a run's waiting came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Waited {
    /// How many waited before it when it came.
    pub ahead: usize,
    /// The most that waited at once while it did, itself included.
    pub depth: usize,
    /// How long it waited, in milliseconds.
    pub waited_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(claim: &str) -> Ticket {
        Ticket {
            claim: claim.into(),
            owner: format!("ana-{claim}"),
            reason: "rollout".into(),
            run_url: None,
            since: "2026-11-21T08:00:00Z".into(),
            looks_ms: 30_000,
        }
    }

    #[test]
    fn first_come_first_served() {
        let queue = ["a", "b", "c"]
            .iter()
            .fold(Queue::default(), |queue, name| queue.with(ticket(name)));
        let names = |tickets: &[Ticket]| {
            let names: Vec<&str> = tickets.iter().map(|one| one.claim.as_str()).collect();
            names.join(" ")
        };
        assert_eq!(names(queue.ahead_of("a")), "");
        assert_eq!(names(queue.ahead_of("c")), "a b");
        assert_eq!(names(queue.ahead_of("new")), "a b c");
        assert_eq!(names(queue.behind("a").tickets()), "b c");
        assert_eq!(names(queue.behind("new").tickets()), "");
        assert_eq!(names(queue.without("b").tickets()), "a c");
        assert_eq!(grace(queue.ahead_of("c")), Duration::from_secs(124));
        let many = ["d", "e"]
            .iter()
            .fold(queue, |queue, name| queue.with(ticket(name)));
        let told = told(many.tickets());
        assert_eq!(
            told,
            "ana-a (rollout), ana-b (rollout), ana-c (rollout) and 2 more"
        );
    }
}
