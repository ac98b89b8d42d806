//! Steps at the router and before users' eyes: read, prepare, shift, prove.

use tokio::time::Instant;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::Split;
use crate::rollout::felt::Felt;
use crate::rollout::looks::Served;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::routers::{Change, Confirmed, Reading, RouterError};

use super::LOOK;

/// Reads the router, and refuses to go on where expectation, record and router differ.
pub struct ReadTraffic<'a> {
    /// The slot that must be active, if the user said so.
    pub expected: Option<&'a str>,
    /// Whose word counts where they differ.
    pub heed: Heed,
}

/// Whose word counts where the router, its nodes and the last record differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heed {
    /// Nobody's: the run stops.
    Record,
    /// The router's; what the record says is told.
    Router,
    /// That of the user, who names the slot to go to and has seen what differs: nodes that do not
    /// agree are told, and made to.
    User,
}

impl Heed {
    /// The record stops a run, unless something else is known of how it came to be.
    pub(crate) const fn unless(known: bool) -> Self {
        if known { Self::Router } else { Self::Record }
    }
}

impl Step for ReadTraffic<'_> {
    type Value = Reading;
    const NAME: &'static str = "traffic";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Reading>, Fault> {
        let reading = match stage.router()?.read().await {
            Err(RouterError::Divergent(found)) if self.heed == Heed::User => {
                let Some(reading) = found.reading else {
                    return Err(RouterError::Divergent(found).into());
                };
                stage.say(Event::Warned(format!(
                    "the nodes of the router do not agree, and will: {}",
                    found.said
                )));
                reading
            }
            other => other?,
        };
        let active = stage.slots.name(reading.split.active());
        stage.learned(Fact::ActiveSlot(active.to_owned()));
        stage.learned(Fact::PreviousSlot(
            stage.slots.name(reading.split.idle()).to_owned(),
        ));
        if let Some(expected) = self.expected
            && expected != active
        {
            return Err(Fault::new(
                Reason::NotAsExpected,
                "another slot is active than expected",
            )
            .measured(format!("{active} is active"))
            .wanted(format!("{expected}, as `expect-active` says"))
            .next("see who switched; then run again with the slot that is active"));
        }
        if let Some(recorded) = &stage.recorded
            && recorded.slot != active
        {
            let told = format!(
                "the router says {active}, {} says {} ({})",
                recorded.place, recorded.slot, recorded.version
            );
            if self.heed == Heed::Record {
                let command = format!(
                    "cutover switch-traffic --environment {} --to",
                    stage.environment
                );
                return Err(Fault::new(Reason::RecordDisagrees, "the router and the last record disagree")
                    .measured(told)
                    .wanted("both the same")
                    .next(format!(
                        "if the router is right: `{command} {active}` (proves it and records it); if the record is right: `{command} {}`",
                        recorded.slot
                    )));
            }
            stage.say(Event::Warned(told));
        }
        let said = reading.split.told(&stage.slots);
        Ok(Made {
            value: reading,
            said,
        })
    }
}

/// Makes sure that there is a slot to go back to and that the router could go there.
pub struct PrepareWayBack<'a> {
    /// What was read before.
    pub before: &'a Reading,
    /// Where traffic shall go.
    pub to: Split,
}

impl Step for PrepareWayBack<'_> {
    /// The release of the old slot; `None` where nothing was live.
    type Value = Option<Release>;
    const NAME: &'static str = "way back";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Option<Release>>, Fault> {
        let router = stage.router()?;
        for to in [self.to, self.before.split] {
            let change = Change {
                from: self.before.clone(),
                to,
                reason: "prepared".to_owned(),
            };
            router.prepare(&change).await?;
        }
        let side = self.before.split.active();
        let old = stage.slots.name(side);
        match stage.served_by(side, LOOK).await {
            Served::Release(release) => {
                let said = format!("{old} serves {release}, restore prepared");
                Ok(Made {
                    value: Some(release),
                    said,
                })
            }
            other => {
                if stage.served_to_users(LOOK).await.release().is_none() {
                    let told = other.told();
                    let said = match other {
                        Served::Unclear(_) => {
                            stage.say(Event::Warned(format!(
                                "{old} does not say which release it serves ({told}): traffic can go back there, and nobody can prove that it did"
                            )));
                            format!("unproved: {old} answers and does not say its release")
                        }
                        _ => format!("none: nothing is live yet ({old}: {told})"),
                    };
                    return Ok(Made { value: None, said });
                }
                Err(Fault::new(
                    Reason::NoWayBack,
                    format!("{old} would not be fit to go back to"),
                )
                .measured(format!("{old}: {}", other.told()))
                .wanted(format!(
                    "{old} to answer with its release in {}",
                    stage.mark.told()
                ))
                .next(format!(
                    "bring {old} up at {}, or correct its URL in the config",
                    stage.slots.on(side).url
                )))
            }
        }
    }
}

/// Changes the router and reads the change back.
pub struct Shift<'a> {
    /// What was read before.
    pub before: &'a Reading,
    /// Where traffic shall go.
    pub to: Split,
    /// The slot that this is about.
    pub slot: Side,
    /// Why, for routers that keep a note.
    pub reason: String,
    /// Keeps the times.
    pub felt: &'a Felt,
}

impl Step for Shift<'_> {
    type Value = ();
    const NAME: &'static str = "switch";
    // Never stop in the middle of a router write.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let router = stage.router()?;
        let change = Change {
            from: self.before.clone(),
            to: self.to,
            reason: self.reason,
        };
        stage.lock.ours().await?;
        stage.lock.touch();
        let at = Instant::now();
        self.felt.awaits_answer(true);
        let applied = router.apply(&change).await;
        let is_lost = matches!(applied, Err(RouterError::Lost(_)));
        self.felt.awaits_answer(is_lost);
        self.felt.written(at, at.elapsed());
        let mut note = "";
        match applied {
            Ok(()) => {}
            // The effect may be there without the answer: the router itself knows.
            Err(RouterError::Lost(_)) if router.read_soon().await?.split == self.to => {
                self.felt.awaits_answer(false);
                note = " (its answer was lost; read back)";
            }
            // Somebody was faster and made the same change, or ours was made twice: what is
            // there is what is wanted, and is proved like any other.
            Err(RouterError::Conflict { .. })
                if router.read().await.is_ok_and(|now| now.split == self.to) =>
            {
                note = " (it was there already)";
            }
            Err(failed) => return Err(failed.into()),
        }
        if self.before.moves_to(self.to) {
            stage.say(Event::Changed {
                what: "traffic".to_owned(),
                before: Some(self.before.told(&stage.slots)),
                after: self.to.told(&stage.slots),
            });
        }
        // Reading back changes nothing: who is cancelled meanwhile goes back at once.
        let confirmed = tokio::select! {
            biased;
            confirmed = router.confirm(self.to) => confirmed?,
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
        };
        let confirmed = match confirmed {
            Confirmed::ByDataPlane(what) | Confirmed::ByState(what) => what,
        };
        stage.ledger.moved(self.to);
        stage.learned(Fact::ActiveSlot(
            stage.slots.name(self.to.active()).to_owned(),
        ));
        stage.learned(Fact::PreviousSlot(
            stage.slots.name(self.before.split.active()).to_owned(),
        ));
        stage.learned(Fact::Weight(self.to.weight(self.slot).percent()));
        let said = format!(
            "{} {} -> {}    {confirmed}{note}",
            stage.slots.name(self.slot),
            self.before.split.weight(self.slot),
            self.to.weight(self.slot),
        );
        Ok(Made { value: (), said })
    }
}

/// Proves that users get the release, wholly or by weight.
pub struct ProveServed<'a> {
    /// The release of the slot that got the traffic.
    pub release: &'a Release,
    /// The release of the other slot.
    pub old: Option<&'a Release>,
    /// How traffic is divided now.
    pub split: Split,
    /// The slot that this is about.
    pub slot: Side,
    /// Keeps the times.
    pub felt: &'a Felt,
}

impl Step for ProveServed<'_> {
    type Value = ();
    const NAME: &'static str = "proved";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let same = self.old.is_some_and(|old| old.is(self.release));
        if same {
            let said = format!(
                "both slots serve {}: answers cannot tell them apart",
                self.release
            );
            stage.say(Event::Warned(said));
        }
        let said = if self.split.is_whole() || same {
            let proved = stage.prove(self.release, stage.proof.within.get()).await?;
            match self.old {
                Some(old) if !same => format!("{proved}, none {old}"),
                _ => proved,
            }
        } else {
            stage
                .prove_share(self.release, self.split.weight(self.slot))
                .await?
        };
        self.felt.proved();
        Ok(Made { value: (), said })
    }
}
