//! Moving traffic without deploying: `switch-traffic` with a way back, `rollback` without.

use std::sync::Arc;

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::platform::text;

use super::drain::{is_about_to_let_go, let_go};
use super::felt::Felt;
use super::hooks;
use super::ledger::WayBack;
use super::saga::{Halt, Saga};
use super::stage::Stage;
use super::steps::{AskSlot, Heed, PrepareWayBack, ProveServed, ReadTraffic, Shift};
use super::undos::{LookWhereItStays, PutTrafficBack};
use super::watch::felt_in_all;

/// Where traffic shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To the slot that is idle now, which with two slots is the previous one too.
    Idle,
    /// To that slot.
    Slot(Side),
}

/// What a switch needs to know.
pub struct Switch {
    /// Where traffic shall go.
    pub goal: Goal,
    /// How much of it.
    pub weight: Weight,
    /// The release that the slot must serve; where none is given, the one that it serves.
    pub release: Option<Release>,
    /// The slot that must be active before.
    pub expect_active: Option<String>,
}

/// Moves traffic, wholly or by weight, and proves it, or takes it back.
///
/// # Errors
/// What stopped it; the saga takes back what must not stay.
pub async fn switch(saga: &mut Saga<'_>, plan: &Switch) -> Result<Ending, Halt> {
    let expected = plan.expect_active.as_deref();
    let before = saga
        .step(ReadTraffic {
            expected,
            heed: plan.goal.heeds(),
        })
        .await?;
    let slot = plan.goal.side(before.split);
    let to = Split::with(slot, plan.weight);
    saga.stage()
        .learned(Fact::IntendedWeight(plan.weight.percent()));
    let release = &release_of(saga, slot, plan.release.as_ref()).await?;
    let active = saga
        .step(PrepareWayBack {
            before: &before,
            to,
        })
        .await?;
    // Where traffic is divided already, the slot that it leaves may have the smaller part of it.
    let old = match slot == before.split.active() {
        false => active,
        true if before.split.is_whole() => None,
        true => saga.step(AskSlot(slot.other())).await?,
    };

    saga.stage()
        .is_about(Some(slot), Some(release), old.as_ref());
    // Who makes nodes agree moves the users of some, wherever most of them were.
    let moves = before.moves_to(to);
    if moves {
        hooks::run(saga, Moment::BeforeSwitch).await?;
    }

    let felt = Arc::new(Felt::begin(
        saga.stage(),
        slot,
        before.split,
        to,
        old.clone(),
        release.clone(),
    ));
    let way_back = WayBack {
        before: before.clone(),
        ours: to,
        passed: Vec::new(),
        old: old.clone(),
    };
    saga.undo_with(PutTrafficBack::new(way_back, Some(Arc::clone(&felt))))?;
    let reason = format!("switch-traffic to {release}");
    saga.step(Shift {
        before: &before,
        to,
        slot,
        reason,
        felt: &felt,
    })
    .await?;
    saga.step(ProveServed {
        release,
        old: old.as_ref(),
        split: to,
        slot,
        felt: &felt,
    })
    .await?;

    if moves {
        hooks::run(saga, Moment::AfterSwitch).await?;
    }

    // Who had the greater part already may be the old release that gets the rest back: only a
    // version says which of the two it is.
    let goes_out = slot != before.split.active() || plan.release.is_some();
    if moves && goes_out {
        is_about_to_let_go(saga.stage(), before.split, to);
    }
    saga.commit();
    felt.settle(saga.stage()).await;
    if moves && goes_out {
        let_go(saga, before.split, to).await?;
    } else if moves && to.is_whole() && saga.stage().drain.is_some() {
        let left = saga.stage().slots.name(slot.other());
        saga.stage().say(Event::Noticed(format!(
            "{left} is not let go: this may be a way back; give `version` where a release goes out"
        )));
    }
    Ok(ended(saga.stage(), &felt, moves, to))
}

/// Puts all traffic on the previous slot at once. There is no way back from the way back: once
/// the router has it, traffic stays there, proved or not. `stable` is the slot that a canary came
/// from, where one is known to be under way.
///
/// # Errors
/// What stopped it.
pub async fn rollback(
    saga: &mut Saga<'_>,
    expect_active: Option<&str>,
    stable: Option<Side>,
) -> Result<Ending, Halt> {
    let before = saga
        .step(ReadTraffic {
            expected: expect_active,
            heed: Heed::Router,
        })
        .await?;
    let slot = way_back(saga.stage(), before.split, stable)?;
    let to = Split::all_to(slot);
    let release = &release_of(saga, slot, None).await?;
    let bad = saga.step(AskSlot(slot.other())).await?;
    saga.stage()
        .is_about(Some(slot.other()), bad.as_ref(), Some(release));

    let felt = Felt::begin(
        saga.stage(),
        slot,
        before.split,
        to,
        bad.clone(),
        release.clone(),
    );
    let moves = before.moves_to(to);
    if moves {
        saga.stage().ledger.goes_back(to);
    }
    saga.undo_with(LookWhereItStays::new(before.clone(), to))?;
    saga.step(Shift {
        before: &before,
        to,
        slot,
        reason: "rollback".to_owned(),
        felt: &felt,
    })
    .await?;
    saga.commit();
    saga.step(ProveServed {
        release,
        old: bad.as_ref(),
        split: to,
        slot,
        felt: &felt,
    })
    .await?;
    felt.settle(saga.stage()).await;
    Ok(ended(saga.stage(), &felt, moves, to))
}

/// The slot to go back to: the previous one. Where traffic is divided, which one that is can only
/// be known from what was kept or recorded: the smaller share may be a canary, or what is left.
///
/// # Errors
/// When nobody knows.
pub fn way_back(stage: &Stage, now: Split, stable: Option<Side>) -> Result<Side, Fault> {
    if now.is_whole() {
        return Ok(now.idle());
    }
    let recorded = || stage.slots.side_of(&stage.recorded.as_ref()?.slot);
    stable.or_else(recorded).ok_or_else(|| {
        let (slots, environment) = (&stage.slots, &stage.environment);
        let command = |slot: &str| {
            format!("`cutover switch-traffic --environment {environment} --to {slot}`")
        };
        Fault::new(
            Reason::NoWayBack,
            "traffic is divided, and nobody knows which of the two slots it came from",
        )
        .measured(now.told(slots))
        .wanted("all traffic on one slot, or a record of who had it before")
        .next(format!(
            "say where to: {} or {}",
            command(&slots.first.name),
            command(&slots.second.name)
        ))
    })
}

/// The release that a slot serves, which must be the wanted one where one is wanted.
async fn release_of(
    saga: &mut Saga<'_>,
    slot: Side,
    wanted: Option<&Release>,
) -> Result<Release, Halt> {
    let stage = saga.stage();
    let name = stage.slots.name(slot);
    stage.learned(Fact::Slot(name.to_owned()));
    let Some(served) = saga.step(AskSlot(slot)).await? else {
        let reason = if wanted.is_none() {
            Reason::NoWayBack
        } else {
            Reason::WrongVersion
        };
        return Err(Fault::new(
            reason,
            format!("{name} does not say which release it serves, so traffic is not sent there"),
        )
        .measured(format!(
            "no {} from {}",
            stage.mark.told(),
            stage.slots.on(slot).url
        ))
        .wanted(wanted.map_or_else(|| "a release".to_owned(), ToString::to_string))
        .next(format!(
            "is {name} up? `cutover smoke-test --slot {name}` looks closer"
        ))
        .into());
    };
    if let Some(wanted) = wanted
        && !served.is(wanted)
    {
        return Err(Fault::new(
            Reason::WrongVersion,
            format!("{name} serves another release than the one to switch to"),
        )
        .measured(format!("{name} says {served}"))
        .wanted(wanted.to_string())
        .next(format!(
            "deploy it first: `cutover deploy-slot --slot {name} --version {wanted}`"
        ))
        .into());
    }
    stage.learned(Fact::Version(served.as_str().to_owned()));
    Ok(served)
}

impl Goal {
    /// Who names the slot has seen where the router and others differ.
    pub const fn heeds(&self) -> Heed {
        match self {
            Self::Idle => Heed::Record,
            Self::Slot(_) => Heed::User,
        }
    }

    const fn side(&self, split: Split) -> Side {
        match self {
            Self::Idle => split.idle(),
            Self::Slot(side) => *side,
        }
    }
}

fn ended(stage: &Stage, felt: &Felt, moved: bool, to: Split) -> Ending {
    let felt = felt_in_all(felt.all().as_ref());
    if !moved {
        let said = format!(
            "traffic was there already ({}), proved again; {felt}",
            to.told(&stage.slots)
        );
        return Ending::good(Decision::Passed, Reason::AlreadyThere, said);
    }
    let decision = if to.is_whole() {
        Decision::Promoted
    } else {
        Decision::Passed
    };
    Ending::good(
        decision,
        Reason::Done,
        text::sentence(&to.told(&stage.slots), &felt),
    )
}
