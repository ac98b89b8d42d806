//! Who counts what each slot does, for whoever compares them: a source of the config, or the
//! router itself. Who says shares without a count is enough for a plain rule, and for no proof.
//! Which one is asked is settled, and refused with a way out, before traffic moves.

use std::time::Duration;

use crate::config::check::unknown;
use crate::metrics::{BySlot, Counter, NoData, Rater};
use crate::model::arms::{Stand, Told};
use crate::model::ending::Reason;
use crate::model::fault::Fault;
use crate::model::slot::Side;
use crate::routers::{Counting, RouterError, Tally};

use super::gauges::Named;
use super::stage::Stage;

/// The word for the router among sources.
const ROUTER: &str = "router";

/// Counters of both slots. What they count begins with the first look, and what they do in the
/// background ends when this is dropped.
pub struct Arms<'a> {
    told: String,
    by: By<'a>,
}

enum By<'a> {
    Source(Box<dyn Counter + 'a>),
    Router(Box<dyn Tally + 'a>),
    Rater(Box<dyn Rater + 'a>),
}

/// What is to be had of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Counts, without which nothing can be proved.
    Counts,
    /// Shares will do, too.
    SharesToo,
}

/// What one of the sources can do for each slot.
enum Able<'a> {
    Counts(Arms<'a>),
    Shares(Arms<'a>),
    No(Fault),
}

impl Arms<'_> {
    /// Who counts, in a few words.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Where the counters of both slots stand now, or what is said of them.
    ///
    /// # Errors
    /// When nothing is known of a slot. That is no zero.
    pub async fn now(&self) -> Result<Told, NoData> {
        match &self.by {
            By::Source(counter) => counter.now().await.map(Told::Counted),
            By::Router(tally) => tally.stand().await.map(Told::Counted).map_err(no_data),
            By::Rater(rater) => rater.now().await.map(Told::Rated),
        }
    }

    /// Where they stood before, the oldest first and so far apart; empty for what has no memory.
    ///
    /// # Errors
    /// When it has one, and could not be asked for it.
    pub async fn before(&self, back: Duration, every: Duration) -> Result<Vec<Stand>, NoData> {
        match &self.by {
            By::Source(counter) => counter.before(back, every).await,
            By::Router(_) | By::Rater(_) => Ok(Vec::new()),
        }
    }
}

fn no_data(failed: RouterError) -> NoData {
    let out_of_reach = matches!(failed, RouterError::OutOfReach(_) | RouterError::Lost(_));
    NoData {
        said: failed.to_string(),
        out_of_reach,
    }
}

impl Stage {
    /// Who counts what each slot does: the source that is named by its kind (`router` is the
    /// router, with or without a block), or the first in `metrics` that can, or the router.
    /// `canary` is the slot whose release is on trial, for documents that call it so.
    ///
    /// # Errors
    /// When there is none that has what is wanted.
    pub fn arms(
        &self,
        source: Option<&str>,
        canary: Side,
        wanted: Wanted,
    ) -> Result<Arms<'_>, Fault> {
        let mut first_no = None;
        for able in self.able(source, canary)? {
            let no = match able {
                Able::Counts(arms) => return Ok(arms),
                Able::Shares(arms) if wanted == Wanted::SharesToo => return Ok(arms),
                Able::Shares(arms) => {
                    let said = format!(
                        "{} gives shares, and proof needs counts: 1 of 10 and 100 of 1,000 are the same share",
                        arms.told
                    );
                    Fault::new(Reason::BadInput, said).next(
                        "set `method: ratio`, which compares shares and proves nothing; or give `requests` and `errors` in its `by-slot:`, or name a `source` that counts",
                    )
                }
                Able::No(fault) => fault,
            };
            first_no.get_or_insert(no);
        }
        Err(first_no.unwrap_or_else(|| self.nobody()))
    }

    /// What those that are asked for can do, in their order.
    fn able(&self, source: Option<&str>, canary: Side) -> Result<Vec<Able<'_>>, Fault> {
        let all = self.gauges.sources();
        let asked = |named: &Named| source.is_none_or(|kind| named.kind == kind);
        let mut able: Vec<Able<'_>> = all
            .iter()
            .enumerate()
            .filter(|(_, named)| asked(named))
            .map(|(i, named)| self.of_source(i, named, canary))
            .collect();
        match source {
            Some(ROUTER) if able.is_empty() => able.push(self.of_router()),
            Some(kind) if able.is_empty() => {
                let kinds = all.iter().map(|named| named.kind.as_str());
                let said = unknown("source", kind, kinds.chain([ROUTER]));
                return Err(Fault::new(
                    Reason::BadInput,
                    format!("environments.{}.metrics: {said}", self.environment),
                )
                .next(format!("add a block with `kind: {kind}` to `metrics:`")));
            }
            None if self.router.is_some() => able.push(self.of_router()),
            _ => {}
        }
        Ok(able)
    }

    fn of_source<'a>(&'a self, i: usize, named: &'a Named, canary: Side) -> Able<'a> {
        let told = named.source.told();
        match named.source.by_slot(canary) {
            BySlot::Counted(counter) => Able::Counts(Arms {
                told,
                by: By::Source(counter),
            }),
            BySlot::Rated(rater) => Able::Shares(Arms {
                told,
                by: By::Rater(rater),
            }),
            BySlot::Router => self.of_router(),
            BySlot::Whole(next) => {
                let place = format!("environments.{}.metrics[{i}]", self.environment);
                let said = format!("{place} ({told}) does not tell the slots apart");
                Able::No(Fault::new(Reason::BadInput, said).next(next))
            }
        }
    }

    fn of_router(&self) -> Able<'_> {
        let router = match self.router() {
            Ok(router) => router,
            Err(fault) => return Able::No(fault),
        };
        match router.counting() {
            Counting::By(tally) => Able::Counts(Arms {
                told: tally.told(),
                by: By::Router(tally),
            }),
            Counting::Not(why) => {
                let place = format!("environments.{}.router", self.environment);
                let said = format!(
                    "{place} ({}) counts nothing for each slot: {why}",
                    router.told()
                );
                Able::No(Fault::new(Reason::BadInput, said).next(ANOTHER))
            }
        }
    }

    fn nobody(&self) -> Fault {
        let said = format!(
            "environments.{}: nobody counts what each slot does",
            self.environment
        );
        Fault::new(Reason::BadInput, said).next(ANOTHER)
    }
}

/// What to do where nobody counts.
const ANOTHER: &str = "give `metrics:` a source that tells the slots apart, such as `- { kind: prober, path: /health }`, or prometheus or json with `by-slot:`";
