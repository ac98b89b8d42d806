//! The promises: how each step that changes something is taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::split::Split;
use crate::routers::{Change, Reading, Router, RouterError};

use super::felt::Felt;
use super::ledger::{Ledger, WayBack};
use super::saga::{Undo, Undone};
use super::stage::Stage;

/// How long the proof of a way back may take: a cancelled run has seconds.
const PROOF: Duration = Duration::from_secs(3);

/// Puts traffic back to where it was, and proves it.
pub struct PutTrafficBack {
    way_back: WayBack,
    felt: Option<Arc<Felt>>,
    /// Whether our change was seen: from then on it is one that was taken back.
    was_there: AtomicBool,
}

impl PutTrafficBack {
    /// With what users feel of it, where that is measured.
    pub fn new(way_back: WayBack, felt: Option<Arc<Felt>>) -> Self {
        Self {
            way_back,
            felt,
            was_there: AtomicBool::new(false),
        }
    }

    /// Whether our change may be on its way still. Of a run that was killed nobody knows.
    fn may_be_on_its_way(&self) -> bool {
        let felt = self.felt.as_ref();
        felt.is_none_or(|felt| felt.is_unanswered()) && !self.was_there.load(Ordering::Relaxed)
    }

    /// How traffic is divided, if the router is to be written: not if it is as before, never over
    /// somebody else's change.
    async fn is_ours_to_restore(&self, stage: &Stage) -> Result<Option<Split>, Fault> {
        let WayBack {
            before,
            ours,
            passed,
            ..
        } = &self.way_back;
        match stage.router()?.read_soon().await {
            // Nodes that did not agree before, and do now, were moved all the same.
            Ok(now) if now.split == before.split => {
                let healed = !before.apart.is_empty();
                self.was_there.fetch_or(healed, Ordering::Relaxed);
                Ok(None)
            }
            Ok(now) if now.split == *ours || passed.contains(&now.split) => Ok(Some(now.split)),
            Ok(now) => Err(moved_by_others(stage, now.split)),
            // A write that stopped half way is what restoring is for.
            Err(RouterError::Drifted { .. } | RouterError::Refused(_)) => Ok(Some(*ours)),
            // So is one that not all nodes took, unless others moved some of them.
            Err(RouterError::Divergent(found)) => {
                let as_it_was = |now: &Reading| now.saved == before.saved;
                if !before.apart.is_empty() && found.reading.as_ref().is_some_and(as_it_was) {
                    return Ok(None);
                }
                let known = [*ours, before.split];
                let known = [&known, before.apart.as_slice(), passed].concat();
                let foreign = |it: &&Split| !known.contains(*it);
                match found.splits.iter().find(foreign) {
                    Some(split) => Err(moved_by_others(stage, *split)),
                    None => Ok(Some(*ours)),
                }
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// As it was, literally. Where another run has read that, it is made so instead: whatever was
    /// saved then may be outdated.
    async fn put_back(&self, router: &dyn Router) -> Result<(), RouterError> {
        let before = &self.way_back.before;
        if !before.saved.is_empty() {
            return router.restore(before).await;
        }
        let change = Change {
            from: router.read_soon().await?,
            to: before.split,
            reason: "way back".to_owned(),
        };
        router.apply(&change).await
    }
}

#[async_trait(?Send)]
impl Undo for PutTrafficBack {
    fn name(&self) -> &'static str {
        "back"
    }

    fn way_back(&self) -> Option<WayBack> {
        Some(self.way_back.clone())
    }

    fn by_hand(&self, stage: &Stage) -> String {
        format!(
            "cutover switch-traffic --environment {} --to {} --weight {}",
            stage.environment,
            stage.slots.name(self.way_back.before.split.active()),
            self.way_back
                .before
                .split
                .weight(self.way_back.before.split.active())
                .percent()
        )
    }

    fn was_made(&self) -> bool {
        // The first that was passed is where it began.
        self.way_back.passed.len() > 1 || self.was_there.load(Ordering::Relaxed)
    }

    async fn take_back(&self, stage: &Stage) -> Result<(Undone, String), Fault> {
        // Whoever has the lock now has read the router as it is, and decides.
        if stage.lock.lost_now().await.is_some() {
            let undone = if stage.lock.touched() {
                Undone::Stays
            } else {
                Undone::Untouched
            };
            return Ok((undone, String::new()));
        }
        let mut to_restore = self.is_ours_to_restore(stage).await?;
        // What was found as before may be moved yet by a change that is on its way.
        if to_restore.is_none() && self.may_be_on_its_way() {
            match stage.router()?.forestall().await {
                Ok(()) => {}
                Err(RouterError::Conflict { .. }) => {
                    to_restore = self.is_ours_to_restore(stage).await?;
                }
                Err(failed) => return Err(failed.into()),
            }
        }
        // Noted before it is put back: the answer to that may get lost after its effect, too.
        let is_there = to_restore.is_some();
        let was_there = self.was_there.fetch_or(is_there, Ordering::Relaxed) || is_there;
        if !was_there {
            return Ok((Undone::Untouched, String::new()));
        }
        let router = stage.router()?;
        let from = to_restore.unwrap_or(self.way_back.ours);
        if is_there {
            stage.ledger.goes_back(self.way_back.before.split);
            self.put_back(router).await?;
            stage.say(Event::Changed {
                what: "traffic".to_owned(),
                before: Some(from.told(&stage.slots)),
                after: self.way_back.before.split.told(&stage.slots),
            });
        }
        router.confirm(self.way_back.before.split).await?;
        let side = self.way_back.before.split.active();
        let slot = side.other();
        let mut proved = "read back".to_owned();
        if let Some(old) = self
            .way_back
            .old
            .as_ref()
            .filter(|_| self.way_back.before.split.is_whole())
        {
            stage
                .prove(old, PROOF.min(stage.proof.within.get()))
                .await?;
            proved = format!("proved on {} ({old})", stage.slots.name(side));
        }
        stage.learned(Fact::ActiveSlot(stage.slots.name(side).to_owned()));
        stage.learned(Fact::PreviousSlot(stage.slots.name(slot).to_owned()));
        stage.learned(Fact::Weight(
            self.way_back.before.split.weight(slot).percent(),
        ));
        if let Some(felt) = &self.felt {
            felt.settle(stage).await;
        }
        let said = format!(
            "{} {} -> {}    {proved}",
            stage.slots.name(slot),
            from.weight(slot),
            self.way_back.before.split.weight(slot),
        );
        Ok((Undone::TakenBack, said))
    }
}

/// Finds out whether a rollback has reached the router. It is not taken back: what it came from
/// is what somebody wanted to be rid of.
pub struct LookWhereItStays {
    before: Reading,
    to: Split,
}

impl LookWhereItStays {
    /// After what was read before `to` was applied.
    pub const fn new(before: Reading, to: Split) -> Self {
        Self { before, to }
    }
}

#[async_trait(?Send)]
impl Undo for LookWhereItStays {
    fn name(&self) -> &'static str {
        "stays"
    }

    fn way_back(&self) -> Option<WayBack> {
        None
    }

    fn write_down(&self, ledger: &Ledger) -> Result<(), Fault> {
        // Whether traffic has got there the router says, to whoever reads this.
        ledger.commit_to(self.to);
        Ok(())
    }

    fn by_hand(&self, stage: &Stage) -> String {
        format!(
            "cutover switch-traffic --environment {} --to {}",
            stage.environment,
            stage.slots.name(self.to.active())
        )
    }

    async fn take_back(&self, stage: &Stage) -> Result<(Undone, String), Fault> {
        let now = stage.router()?.read_soon().await?.split;
        if now == self.before.split {
            return Ok((Undone::Untouched, String::new()));
        }
        if now == self.to {
            return Ok((Undone::Stays, now.told(&stage.slots)));
        }
        Err(moved_by_others(stage, now))
    }
}

fn moved_by_others(stage: &Stage, now: Split) -> Fault {
    Fault::new(
        Reason::ChangedByOthers,
        format!(
            "someone else moved traffic meanwhile: {}; it was left there",
            now.told(&stage.slots)
        ),
    )
}
