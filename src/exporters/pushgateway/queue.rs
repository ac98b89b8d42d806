//! A line in front of a group of series: one run at a time reads, adds and pushes.
//!
//! These are the rules of Lamport's bakery (1974, "A new solution of Dijkstra's concurrent
//! programming problem"): everybody writes only his own number and reads all. A run first says
//! that it is looking for a number, then takes one above all that it sees; it waits while
//! somebody looks for his, or has a smaller one. The gateway works off writes one after the
//! other, which is all that the rules ask for.
//!
//! A run that died is not waited for: places are renewed while their owner waits, and one that
//! was not for [`LEASE`] counts as left, by the gateway's clock.

use std::time::Duration;

use reqwest::Method;
use tokio::time::Instant;

use super::super::ExportError;
use super::gateway::{Gateway, Group, Held, TICKET, TIMEOUT, Ticket};

/// A place that was not renewed for this long is nobody's. Longer than a request may take, with
/// a second for a clock that shows whole ones.
pub(super) const LEASE: Duration = Duration::from_secs(12);

/// How long a wait may last before the own place is renewed.
const RENEW: Duration = Duration::from_secs(4);

/// Between two looks at the line.
const PAUSE: Duration = Duration::from_millis(10);

/// The own place in the line.
pub(super) struct Place<'a> {
    gateway: &'a Gateway,
    group: &'a Group,
    id: String,
    number: u64,
}

impl<'a> Place<'a> {
    /// Takes a place behind all others.
    pub(super) async fn take(gateway: &'a Gateway, group: &'a Group) -> Result<Self, ExportError> {
        let mut place = Self {
            gateway,
            group,
            id: uuid::Uuid::new_v4().simple().to_string(),
            number: 0,
        };
        let taken = async {
            place.say().await?;
            let seen = place.seen().await?;
            place.number = 1 + seen.tickets.iter().map(|it| it.number).max().unwrap_or(0);
            place.say().await
        };
        let began = Instant::now();
        match taken.await {
            // A number that was looked for too long ago may be too small by now.
            Ok(()) if began.elapsed() + Duration::from_secs(1) > LEASE => {
                place.leave().await;
                Err(ExportError(
                    "it answers too slowly to take turns at it".to_owned(),
                ))
            }
            Ok(()) => Ok(place),
            Err(failed) => {
                place.leave().await;
                Err(failed)
            }
        }
    }

    /// Waits for the own turn, and returns what the gateway holds by then.
    pub(super) async fn turn(&self) -> Result<Held, ExportError> {
        let mut said = Instant::now();
        loop {
            let seen = self.seen().await?;
            let first = !seen.tickets.iter().any(|other| self.waits_for(other));
            // The push that follows must be over before the place counts as left.
            if first && said.elapsed() <= RENEW {
                return Ok(seen);
            }
            if said.elapsed() > RENEW {
                said = Instant::now();
                self.say().await?;
            }
            if !first {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Takes away the places of runs that died long ago; nobody else would.
    pub(super) async fn clear(&self, tickets: &[Ticket]) {
        for dead in tickets.iter().filter(|other| other.age > LEASE * 5) {
            let path = self.group.path_of(&dead.id);
            let _ = self.gateway.send(Method::DELETE, &path, "").await;
        }
    }

    /// Leaves the line. Where that fails, the place is nobody's in [`LEASE`].
    pub(super) async fn leave(&self) {
        let path = self.group.path_of(&self.id);
        let _ = self.gateway.send(Method::DELETE, &path, "").await;
    }

    /// Whether it is another's turn first.
    fn waits_for(&self, other: &Ticket) -> bool {
        let first = (other.number, other.id.as_str()) < (self.number, self.id.as_str());
        other.id != self.id && other.age <= LEASE && first
    }

    /// Writes the own number down.
    async fn say(&self) -> Result<(), ExportError> {
        let path = self.group.path_of(&self.id);
        let text = format!("# TYPE {TICKET} gauge\n{TICKET} {}\n", self.number);
        self.gateway.send(Method::PUT, &path, &text).await
    }

    /// What the gateway holds, once it shows what we said last: it may take a moment.
    async fn seen(&self) -> Result<Held, ExportError> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let held = self.gateway.read(self.group).await?;
            let shown = |it: &Ticket| it.id == self.id && it.number == self.number;
            if held.tickets.iter().any(shown) {
                return Ok(held);
            }
            if Instant::now() > until {
                return Err(ExportError(
                    "it takes what is pushed and does not show it".to_owned(),
                ));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::http::Http;
    use crate::platform::secret::Vault;

    #[test]
    fn who_has_a_smaller_number_or_looks_for_one_goes_first_unless_it_died() {
        let base = "http://127.0.0.1:1".parse().unwrap();
        let gateway = Gateway::at(&base, &Http::default(), &Vault::default());
        let group = Group {
            job: "cutover".to_owned(),
            instance: "a".to_owned(),
        };
        let place = Place {
            gateway: &gateway,
            group: &group,
            id: "m".to_owned(),
            number: 3,
        };
        for (id, number, age, waits) in [
            ("a", 2, 0, true),
            ("z", 2, 0, true),
            ("a", 3, 0, true),
            ("z", 3, 0, false),
            ("a", 4, 0, false),
            ("z", 0, 0, true),
            ("m", 3, 0, false),
            ("a", 2, 12, true),
            ("a", 2, 13, false),
            ("a", 0, 13, false),
        ] {
            let other = Ticket {
                id: id.to_owned(),
                number,
                age: Duration::from_secs(age),
            };
            assert_eq!(place.waits_for(&other), waits, "{other:?}");
        }
    }
}
