//! Canary: the release gets a little traffic first, and more of it step by step, while it is
//! judged against the old one beside it. From any step there is one jump back.

mod before;
mod kept;
mod observe;
mod opinion;
#[cfg(test)]
mod scripted;
mod start;
mod trial;
mod watch;

use std::sync::Arc;

use crate::config::canary::{Canary, Method};
use crate::config::ladder::Rung;
use crate::config::preflight::Migration;
use crate::judge::canary::Settings;
use crate::judge::canary::ratio::Rules;
use crate::model::arms::Stand;
use crate::model::ending::{Account, Decision, Ending, Reason};
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::hook::Moment;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::routers::Reading;

use super::arms::{Arms, Wanted};
use super::drain::{is_about_to_let_go, let_go};
use super::felt::Felt;
use super::hooks;
use super::ledger::WayBack;
use super::saga::{Halt, Saga};
use super::stage::Stage;
use super::steps::{AwaitServed, Deploy, Heed, ProveServed, ReadTraffic, Shift, SmokeTest};
use super::testers::ProveTesters;
use super::undos::PutTrafficBack;
use super::watch::felt_in_all;

pub use kept::Kept;
pub use observe::observe;
use start::{FindStart, PrepareLadder, Reread, Start};
use trial::Trial;
use watch::{Clock, Outcome, WatchStep};

/// The word for "nobody counts" where a source is named.
pub const NO_SOURCE: &str = "none";

/// What a canary needs to know.
pub struct Plan {
    /// The release.
    pub release: Release,
    /// The slot that must be active before.
    pub expect_active: Option<String>,
    /// What the release does to data that the old one uses, too.
    pub migration: Migration,
    /// The strategy's settings.
    pub settings: Canary,
    /// Where an earlier run has left it.
    pub kept: Option<Kept>,
}

impl Plan {
    fn judged_by(&self) -> Settings {
        let settings = &self.settings;
        let first = settings.steps.first().map(|rung| settings.watch_of(rung));
        Settings {
            max_error_ratio: settings.max_error_ratio,
            max_p95_ratio: settings.max_p95_ratio,
            warm_up: settings.warm_up.get().as_secs_f64(),
            at_least: first.unwrap_or_default().as_secs_f64(),
            negligible_error_rate: settings.negligible_error_rate.share(),
        }
    }

    /// The plain rule, where that is to decide.
    fn rules(&self) -> Option<Rules> {
        (self.settings.method == Method::Ratio).then(|| Rules {
            limits: self.judged_by(),
            min_requests: f64::from(self.settings.min_requests),
            held: self.settings.held_for.get().as_secs_f64(),
            window: self.settings.window.get().as_secs_f64(),
        })
    }
}

/// The whole story.
///
/// # Errors
/// What stopped it; the saga takes back what must not stay.
pub async fn canary(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let release = &plan.release;
    if plan.migration == Migration::Contract {
        return Err(no_two_at_once().into());
    }
    let found = saga
        .step(ReadTraffic {
            expected: plan.expect_active.as_deref(),
            heed: Heed::unless(plan.kept.is_some()),
        })
        .await?;
    let start = FindStart { now: &found, plan };
    let start = match saga.step(start).await? {
        Start::Live(side) => return Ok(already_live(saga.stage(), release, side)),
        Start::At(start) => start,
    };
    let slot = start.canary;
    let arms = counted_by(saga.stage(), &plan.settings, slot)?;
    let old = saga
        .step(PrepareLadder {
            now: &found,
            start: &start,
            steps: &plan.settings.steps,
        })
        .await?;
    saga.stage()
        .is_about(Some(slot), Some(release), old.as_ref());
    let opening = saga.unless_cancelled(before::stand(arms.as_ref())).await?;
    if start.stands_at.is_none() {
        hooks::run(saga, Moment::BeforeDeploy).await?;
        saga.step(Deploy {
            into: slot,
            split: found.split,
            release,
        })
        .await?;
        saga.step(AwaitServed {
            by: slot,
            release,
            within: plan.settings.wait.get(),
        })
        .await?;
        hooks::run(saga, Moment::AfterDeploy).await?;
        saga.step(SmokeTest {
            on: slot,
            release: Some(release),
        })
        .await?;
        saga.step(ProveTesters { slot, release }).await?;
        hooks::run(saga, Moment::BeforeSwitch).await?;
    }
    let climb = Climb {
        plan,
        slot,
        arms: arms.as_ref(),
        home: start.home.clone(),
        old,
        opening,
    };
    climb.story(saga, found.split, start).await
}

/// What does not change from step to step.
struct Climb<'a> {
    plan: &'a Plan,
    slot: Side,
    arms: Option<&'a Arms<'a>>,
    /// Where traffic goes back to.
    home: Reading,
    old: Option<Release>,
    /// Where the counters stood before anything was done.
    opening: Option<Stand>,
}

impl Climb<'_> {
    async fn story(
        &self,
        saga: &mut Saga<'_>,
        from: Split,
        start: Box<start::At>,
    ) -> Result<Ending, Halt> {
        let (plan, slot, release) = (self.plan, self.slot, &self.plan.release);
        let steps = &plan.settings.steps;
        let mut trial = match start.trial {
            // An outage that is over, and that no run watched, would hold it again.
            Some(mut trial) => {
                if self.opening.is_some() {
                    trial.begin_at(self.opening.clone());
                }
                trial
            }
            None => {
                let opening = self.opening.clone();
                let learned = before::calibrated(saga.stage(), plan, self.arms, slot, opening);
                saga.unless_cancelled(learned).await?
            }
        };
        before::foretell(saga.stage(), plan, &trial);
        let clock = Clock::since(trial.at());
        let felt = Arc::new(Felt::begin(
            saga.stage(),
            slot,
            self.home.split,
            from,
            self.old.clone(),
            release.clone(),
        ));
        let mut stands = from;
        let mut passed = vec![from];
        for (nth, rung) in steps.iter().enumerate().skip(start.next) {
            let to = Split::with(slot, rung.weight);
            if rung.manual && nth > start.next && to != stands {
                return Ok(self
                    .pause(saga, &felt, &trial, stands.weight(slot), rung)
                    .await);
            }
            let way_back = WayBack {
                before: self.home.clone(),
                ours: to,
                passed: passed.clone(),
                old: self.old.clone(),
            };
            let promise = PutTrafficBack::new(way_back, Some(Arc::clone(&felt)));
            saga.undo_anew_with(promise)?;
            trial.next_step();
            trial.begin_at(saga.unless_cancelled(before::stand(self.arms)).await?);
            if to != stands {
                let now = saga.step(Reread { ours: stands }).await?;
                felt.reaches(to);
                saga.step(Shift {
                    before: &now,
                    to,
                    slot,
                    reason: format!("canary of {release}"),
                    felt: &felt,
                })
                .await?;
            }
            if to != stands {
                passed.push(to);
            }
            stands = to;
            saga.step(ProveServed {
                release,
                old: self.old.as_ref(),
                split: to,
                slot,
                felt: &felt,
            })
            .await?;
            let watch = WatchStep {
                plan,
                rung,
                nth,
                split: to,
                arms: self.arms,
                trial: &mut trial,
                clock: &clock,
                felt: &felt,
            };
            if let Outcome::Hold(fault) = saga.step(watch).await? {
                return Ok(self.hold(saga, &felt, &trial, rung.weight, *fault).await);
            }
        }
        // Whoever cancels in the midst of the last look means it.
        saga.unless_cancelled(std::future::ready(())).await?;
        hooks::run(saga, Moment::AfterSwitch).await?;
        is_about_to_let_go(saga.stage(), self.home.split, stands);
        saga.commit();
        felt.settle(saga.stage()).await;
        let_go(saga, self.home.split, stands).await?;
        let said = felt_in_all(felt.all().as_ref());
        Ok(Ending::good(Decision::Promoted, Reason::Done, said))
    }

    /// Ends before a step that somebody has to allow; traffic stays where it is.
    async fn pause(
        &self,
        saga: &mut Saga<'_>,
        felt: &Felt,
        trial: &Trial,
        share: Weight,
        next: &Rung,
    ) -> Ending {
        saga.commit();
        let stage = saga.stage();
        let kept = Kept::of(stage, self.plan, trial, share, true);
        stage.say(Event::Stands(Box::new(kept.told())));
        felt.settle(stage).await;
        let name = stage.slots.name(self.slot);
        let said = format!(
            "{name} stands at {share} and was judged good so far; the next step, {}, waits for a person",
            next.weight
        );
        Ending {
            account: Account {
                next: Some(format!(
                    "run `{}` again to go on: in a job whose environment asks for approval, for one; or {}",
                    again(stage, &self.plan.release),
                    back(stage)
                )),
                traffic: stage.traffic_now().await,
                ..Account::default()
            },
            ..Ending::good(Decision::Paused, Reason::ManualStep, said)
        }
    }

    /// Ends where neither back nor on is proved to be right; traffic stays where it is.
    async fn hold(
        &self,
        saga: &mut Saga<'_>,
        felt: &Felt,
        trial: &Trial,
        share: Weight,
        fault: Fault,
    ) -> Ending {
        saga.commit();
        let stage = saga.stage();
        let kept = Kept::of(stage, self.plan, trial, share, false);
        stage.say(Event::Stands(Box::new(kept.told())));
        felt.settle(stage).await;
        let name = stage.slots.name(self.slot);
        let next = format!(
            "look at both releases; then `{}` goes on from here, {}, and `cutover switch-traffic --environment {} --to {name}` gives it all traffic",
            again(stage, &self.plan.release),
            back(stage),
            stage.environment,
        );
        Ending {
            decision: Decision::Held,
            reason: fault.reason,
            said: format!("{}; {name} stays at {share}", fault.said),
            account: Account {
                measured: fault.measured,
                wanted: fault.wanted,
                traffic: stage.traffic_now().await,
                next: Some(next),
            },
        }
    }
}

fn again(stage: &Stage, release: &Release) -> String {
    let environment = &stage.environment;
    format!("cutover rollout --environment {environment} --version {release}")
}

fn back(stage: &Stage) -> String {
    format!(
        "`cutover rollback --environment {}` takes it back",
        stage.environment
    )
}

/// Whether there is somebody to judge by, before anything is begun.
///
/// # Errors
/// When nobody counts what each slot does, or not in a way that the method can judge by.
pub fn can_be_judged(stage: &Stage, settings: &Canary) -> Result<(), Fault> {
    // Which slot it will be is not known yet, and whoever counts knows both.
    by(stage, settings, Side::Second).map(drop)
}

/// Who counts what each slot does.
fn counted_by<'s>(
    stage: &'s Stage,
    settings: &Canary,
    canary: Side,
) -> Result<Option<Arms<'s>>, Fault> {
    if settings.source.as_deref() == Some(NO_SOURCE) {
        let said = "source: none: the two releases are not compared; health checks and limits alone decide";
        stage.say(Event::Warned(said.to_owned()));
    }
    by(stage, settings, canary)
}

fn by<'s>(stage: &'s Stage, settings: &Canary, canary: Side) -> Result<Option<Arms<'s>>, Fault> {
    if settings.source.as_deref() == Some(NO_SOURCE) {
        return Ok(None);
    }
    let wanted = match settings.method {
        Method::Evidence => Wanted::Counts,
        Method::Ratio => Wanted::SharesToo,
    };
    let arms = stage.arms(settings.source.as_deref(), canary, wanted);
    arms.map(Some)
}

/// A release that the old data does not fit cannot serve beside the old one.
fn no_two_at_once() -> Fault {
    Fault::new(
        Reason::BadInput,
        "a canary has both releases at work at once, and migration: contract means that the old one cannot be",
    )
    .measured("migration: contract")
    .wanted("expand first; or strategy blue-green, which has no way back then")
    .next("split the migration in two: expand now, contract with the release after this one")
}

fn already_live(stage: &Stage, release: &Release, active: Side) -> Ending {
    let slot = stage.slots.name(active);
    let said = format!("{release} is live on {slot} already; nothing was changed");
    Ending::good(Decision::Skipped, Reason::AlreadyThere, said)
}
