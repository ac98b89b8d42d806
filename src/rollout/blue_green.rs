//! Blue-green: the release goes into the idle slot, is proved there, and gets all traffic in
//! one step, which is taken back if users do not get what was promised.

use std::sync::Arc;

use crate::config::file::BlueGreen;
use crate::config::preflight::Migration;
use crate::judge::limits::Limits;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::split::Split;

use super::drain::{is_about_to_let_go, let_go};
use super::felt::Felt;
use super::hooks;
use super::ledger::WayBack;
use super::saga::{Halt, Saga};
use super::steps::{
    AskSlot, AwaitServed, Deploy, Heed, PrepareWayBack, ProveServed, ReadTraffic, Shift, SmokeTest,
};
use super::testers::ProveTesters;
use super::undos::{LookWhereItStays, PutTrafficBack};
use super::watch::{Watch, felt_in_all};

/// Said before anything is changed.
const NO_WAY_BACK: &str = "migration: contract: the old release does not fit the data afterwards, so there is no automatic way back: once switched, traffic stays on the new release, also when it is bad, and people are told at once";

/// What a blue-green rollout needs to know.
pub struct Plan {
    /// The release.
    pub release: Release,
    /// The slot that must be active before.
    pub expect_active: Option<String>,
    /// What the release does to data that the old one uses, too.
    pub migration: Migration,
    /// The strategy's settings.
    pub settings: BlueGreen,
}

impl Plan {
    fn limits(&self) -> Limits {
        Limits {
            error_rate: self.settings.max_error_rate.share(),
            p95: self.settings.max_p95.map(|limit| limit.get()),
            min_requests: u64::from(self.settings.min_requests),
        }
    }
}

/// The whole story.
///
/// # Errors
/// What stopped it; the saga takes back what must not stay.
pub async fn blue_green(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let release = &plan.release;
    let expected = plan.expect_active.as_deref();
    let before = saga
        .step(ReadTraffic {
            expected,
            heed: Heed::Record,
        })
        .await?;
    let (active, idle) = (before.split.active(), before.split.idle());
    let live = saga.step(AskSlot(active)).await?;
    if before.split.is_whole() && live.as_ref().is_some_and(|live| live.is(release)) {
        return Ok(already_live(saga, release, active));
    }
    let to = Split::all_to(idle);
    let contract = plan.migration == Migration::Contract;
    if contract {
        saga.stage().say(Event::Warned(NO_WAY_BACK.to_owned()));
    }
    saga.stage()
        .is_about(Some(idle), Some(release), live.as_ref());
    hooks::run(saga, Moment::BeforeDeploy).await?;
    saga.step(Deploy {
        into: idle,
        split: before.split,
        release,
    })
    .await?;
    saga.step(AwaitServed {
        by: idle,
        release,
        within: plan.settings.wait.get(),
    })
    .await?;
    hooks::run(saga, Moment::AfterDeploy).await?;
    saga.step(SmokeTest {
        on: idle,
        release: Some(release),
    })
    .await?;
    // Over a contract nobody goes back, so it need not be possible.
    let old = if contract {
        live
    } else {
        saga.step(PrepareWayBack {
            before: &before,
            to,
        })
        .await?
    };
    saga.step(ProveTesters {
        slot: idle,
        release,
    })
    .await?;

    hooks::run(saga, Moment::BeforeSwitch).await?;

    let felt = Arc::new(Felt::begin(
        saga.stage(),
        idle,
        before.split,
        to,
        old.clone(),
        release.clone(),
    ));
    if contract {
        saga.undo_with(LookWhereItStays::new(before.clone(), to))?;
    } else {
        let way_back = WayBack {
            before: before.clone(),
            ours: to,
            passed: Vec::new(),
            old: old.clone(),
        };
        saga.undo_with(PutTrafficBack::new(way_back, Some(Arc::clone(&felt))))?;
    }
    let reason = format!("rollout of {release}");
    saga.step(Shift {
        before: &before,
        to,
        slot: idle,
        reason,
        felt: &felt,
    })
    .await?;
    saga.step(ProveServed {
        release,
        old: old.as_ref(),
        split: to,
        slot: idle,
        felt: &felt,
    })
    .await?;
    let (length, limits) = (plan.settings.watch.get(), plan.limits());
    saga.step(Watch {
        release,
        length,
        limits,
        felt: &felt,
    })
    .await?;

    hooks::run(saga, Moment::AfterSwitch).await?;

    is_about_to_let_go(saga.stage(), before.split, to);
    saga.commit();
    felt.settle(saga.stage()).await;
    let_go(saga, before.split, to).await?;
    let said = felt_in_all(felt.all().as_ref());
    Ok(Ending::good(Decision::Promoted, Reason::Done, said))
}

fn already_live(saga: &Saga<'_>, release: &Release, active: crate::model::slot::Side) -> Ending {
    let slot = saga.stage().slots.name(active);
    let said = format!("{release} is live on {slot} already; nothing was changed");
    Ending::good(Decision::Skipped, Reason::AlreadyThere, said)
}
