//! The form by the admin API: the upstreams and weights of one `reverse_proxy` handler.
//!
//! A change is one PATCH of the handler, tied to its ETag, so two values change at once and
//! nobody's change is overwritten. After a lost answer it never guesses: it looks, and only an
//! unchanged state is reason to send the change again. Caddy itself loses answers: with each
//! change it opens its admin API anew, and who is waiting there is cut off. Whether the handler is the one that
//! users reach is for the proof to see.

use async_trait::async_trait;
use serde_json::Value;

use super::admin::{Admin, Found, Piece, Said};
use super::dial_of;
use super::find;
use super::handler::{self, Dials, Pieces, can_share, new_mark, pieces_for, split, with};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::routers::access_log::Log;
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// How often a restore begins anew when somebody else changes something in between.
const RESTORES: u32 = 5;

/// A router that is the upstreams of one handler.
pub(super) struct Upstreams {
    pub(super) admin: Admin,
    /// As the config names it.
    pub(super) handler: String,
    /// Its place in the admin API.
    pub(super) place: String,
    pub(super) dials: Dials,
    /// From where it is counted what each slot did.
    pub(super) log: Log,
    pub(super) testers: Option<Testers>,
    pub(super) slots: Slots,
    pub(super) lines: String,
}

impl Upstreams {
    /// The handler as it is, whatever its upstreams mean.
    async fn found(&self) -> Result<(Found, Pieces), RouterError> {
        match self.admin.get(&self.place).await? {
            Piece::Found(found) => match handler::pieces(&found.value) {
                Ok(pieces) => Ok((found, pieces)),
                Err(there) => Err(self.unfit(&there).await),
            },
            Piece::Absent(said) => Err(self.unfit(&format!("nothing ({said})")).await),
        }
    }

    /// The handler, if its upstreams are the split of traffic.
    async fn state(&self) -> Result<(Found, Pieces, Split), RouterError> {
        let (found, pieces) = self.found().await?;
        match split(&pieces, &self.dials) {
            Ok(split) => Ok((found, pieces, split)),
            Err(there) => Err(self.unfit(&there).await),
        }
    }

    /// What is said of a handler that does not divide traffic between the slots.
    async fn unfit(&self, there: &str) -> RouterError {
        let [first, second] = &self.dials;
        let others = match self.admin.get("/config/").await {
            Ok(Piece::Found(config)) => find::handlers(&config.value, &self.dials),
            _ => Vec::new(),
        };
        let others: Vec<_> = others
            .into_iter()
            .filter(|other| *other != self.handler)
            .map(|other| format!("`handler: {other}`"))
            .collect();
        let next = match others.as_slice() {
            [] => "`cutover router-config` prints the handler to add".to_owned(),
            some => format!("is {} meant?", some.join(" or ")),
        };
        RouterError::Refused(format!(
            "the handler {} in Caddy is {there}, not a reverse_proxy to {first}, to {second} or by weights to both; {next}",
            self.handler
        ))
    }

    async fn expect(&self, change: &Change) -> Result<(Found, Pieces, Split), RouterError> {
        let (found, pieces, split) = self.state().await?;
        if found.revision() == change.from.revision {
            return Ok((found, pieces, split));
        }
        Err(RouterError::Conflict {
            expected: change.from.revision.clone(),
            found: format!("{} ({})", found.revision(), split.told(&self.slots)),
        })
    }

    /// Whether such a split can be asked for.
    fn can_do(&self, to: Split, handler: &Value) -> Result<(), RouterError> {
        if to.is_whole() {
            return Ok(());
        }
        can_share(handler).map_err(|policy| {
            RouterError::Refused(format!(
                "{} needs the selection policy weighted_round_robin, and the handler {} has {policy}",
                to.told(&self.slots),
                self.handler
            ))
        })
    }

    /// Makes a change of a handler, and finds out what became of it.
    async fn change(&self, from: &Found, to: &Pieces) -> Result<(), RouterError> {
        let body = with(&from.value, to);
        let mut again = true;
        loop {
            let sent = self.admin.patch(&self.place, from, &body).await;
            let (said, refused) = match sent {
                Ok(Said::Yes) => return Ok(()),
                Ok(Said::Changed) => ("it is not as it was".to_owned(), false),
                Ok(Said::No(said)) => (said, true),
                Err(failed) if failed.may_have_arrived || !again => (failed.to_string(), false),
                Err(failed) => {
                    let place = self.admin.told();
                    return Err(RouterError::OutOfReach(format!("{place}: {failed}")));
                }
            };
            // Caddy answers a read when it is done with the change that came before.
            let (now, pieces) = self
                .found()
                .await
                .map_err(|failed| RouterError::Lost(format!("{said}; then {failed}")))?;
            if pieces == *to {
                return Ok(());
            }
            if now.etag != from.etag {
                return Err(RouterError::Conflict {
                    expected: from.revision(),
                    found: now.revision(),
                });
            }
            if refused {
                return Err(RouterError::Refused(said));
            }
            if !again {
                return Err(RouterError::Lost(said));
            }
            again = false;
        }
    }

    /// A state in words: `blue 127.0.0.1:8001 3, green 127.0.0.1:8002 1`.
    fn told_pieces(&self, pieces: &Pieces) -> String {
        let weights = pieces.weights.as_deref().unwrap_or_default();
        let parts = pieces.upstreams.iter().enumerate().map(|(nth, upstream)| {
            let dial = handler::dial(upstream);
            match (pieces.upstreams.len(), weights.get(nth)) {
                (2.., Some(weight)) => format!("{dial} {weight}"),
                _ => format!("{dial} only"),
            }
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

#[async_trait]
impl Router for Upstreams {
    fn told(&self) -> String {
        format!("caddy handler {} at {}", self.handler, self.admin.told())
    }

    fn known_loss(&self) -> Option<String> {
        Some("Caddy restarts its HTTP app at each change, which can lose requests (1.2 to 2.5 per switch were measured) and closes WebSockets that have no `stream_close_delay`; `flags` does neither. Only with `caddy run --resume` does a change outlive a restart of Caddy, and no change outlives a `caddy reload`".to_owned())
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        self.lines.clone()
    }

    fn counting(&self) -> Counting<'_> {
        self.log.counting()
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        match self.admin.in_flight(dial_of(&self.dials, slot)).await {
            // It keeps one that is in no handler any more for as long as it has a request.
            Ok(some) => InFlight::Requests(some.unwrap_or_default()),
            Err(said) => InFlight::Unknown(said),
        }
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let (found, pieces, split) = self.state().await?;
        let saved = serde_json::to_string(&pieces)
            .map_err(|failed| RouterError::Refused(failed.to_string()))?;
        Ok(Reading {
            split,
            apart: Vec::new(),
            revision: found.revision(),
            saved,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let (found, _, _) = self.expect(change).await?;
        self.can_do(change.to, &found.value)
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let (found, pieces, split) = self.expect(change).await?;
        self.can_do(change.to, &found.value)?;
        if split == change.to {
            return Ok(());
        }
        let by_weights = can_share(&found.value).is_ok();
        let to = pieces_for(change.to, &pieces, &self.dials, by_weights, &new_mark());
        self.change(&found, &to).await
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let (_, pieces, now) = self.state().await?;
        let said = format!("{} has {}", self.handler, self.told_pieces(&pieces));
        if now == split {
            Ok(Confirmed::ByState(said))
        } else {
            Err(RouterError::NotTaken(format!(
                "{said}; wanted {}",
                split.told(&self.slots)
            )))
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let to: Pieces = serde_json::from_str(&saved.saved).map_err(|failed| {
            RouterError::Refused(format!(
                "this is not the saved state of a handler: {failed}"
            ))
        })?;
        split(&to, &self.dials).map_err(|there| {
            let [first, second] = [Side::First, Side::Second].map(|side| self.slots.name(side));
            RouterError::Refused(format!(
                "the saved state is {there}, no split between {first} and {second}"
            ))
        })?;
        let mut tried = 1;
        loop {
            // Not `state`: upstreams that make no sense are a reason to be here.
            let (now, pieces) = self.found().await?;
            if pieces == to {
                return Ok(());
            }
            match self.change(&now, &to).await {
                Err(RouterError::Conflict { .. }) if tried < RESTORES => tried += 1,
                outcome => return outcome,
            }
        }
    }
}
