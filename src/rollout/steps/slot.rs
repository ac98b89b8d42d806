//! Steps on one slot, past the router: deploy, wait, ask, test. None of them moves traffic.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::slot::{Side, Slot};
use crate::model::split::Split;
use crate::platform::text;
use crate::rollout::failover;
use crate::rollout::looks::Served;
use crate::rollout::patience::pass_all;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::targets::Order;

use super::LOOK;

/// How long a slot may take to say what is about to be replaced in it.
const REPLACED: Duration = Duration::from_secs(1);

/// The slot that an input names.
///
/// # Errors
/// When the environment has no such slot.
pub fn side_named(stage: &Stage, input: &str, name: &str) -> Result<Side, Fault> {
    stage.slots.side_of(name).ok_or_else(|| {
        let (first, second) = (&stage.slots.first.name, &stage.slots.second.name);
        Fault::new(
            Reason::BadInput,
            format!("`{input}` names no slot of {}", stage.environment),
        )
        .measured(format!("\"{}\"", text::excerpt(name, 40)))
        .wanted(format!("{first} or {second}"))
    })
}

/// Asks a slot which release it serves; silence is an answer here.
pub struct AskSlot(pub Side);

impl Step for AskSlot {
    type Value = Option<Release>;
    const NAME: &'static str = "asked";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Option<Release>>, Fault> {
        let value = stage.served_by(self.0, LOOK).await.release().cloned();
        Ok(Made {
            value,
            said: String::new(),
        })
    }
}

/// Puts a release into a slot that receives no traffic.
pub struct Deploy<'a> {
    /// The slot.
    pub into: Side,
    /// How traffic is divided, as far as is known where there is no router to ask.
    pub split: Split,
    /// The release.
    pub release: &'a Release,
}

impl Step for Deploy<'_> {
    type Value = ();
    const NAME: &'static str = "deploy";
    // The target watches for the end of the run itself, and ends what it began.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        stage.lock.ours_lately().await?;
        let slot = stage.slots.on(self.into);
        self.is_idle(stage).await?;
        stage.learned(Fact::Slot(slot.name.clone()));
        let did = deploy_into(stage, slot, self.release, async || {
            self.is_idle(stage).await
        });
        let did = did.await?;
        let said = format!("{} <- {}      {did}", slot.name, self.release);
        Ok(Made { value: (), said })
    }
}

/// Has the target put a release into a slot or a member, which `is_idle` looks at again before a
/// second target does. Returns what it did.
///
/// # Errors
/// Why it is not there.
pub(in crate::rollout) async fn deploy_into(
    stage: &Stage,
    slot: &Slot,
    release: &Release,
    is_idle: impl AsyncFn() -> Result<(), Fault>,
) -> Result<String, Fault> {
    let order = order_for(stage, slot, release);
    // What is replaced is asked for the record only: nobody waits long for it.
    let replaced = tokio::select! {
        biased;
        () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
        served = stage.served_at(&slot.url, REPLACED) => served.release().cloned(),
    };
    let did = failover::deploy(stage, &order, is_idle).await?;
    stage.say(Event::Changed {
        what: format!("release in {}", slot.name),
        before: replaced.map(|release| release.as_str().to_owned()),
        after: release.as_str().to_owned(),
    });
    Ok(did)
}

/// What the target is told.
pub(in crate::rollout) fn order_for(stage: &Stage, slot: &Slot, release: &Release) -> Order {
    Order {
        app: stage.app.clone(),
        environment: stage.environment.clone(),
        slot: slot.name.clone(),
        slot_url: slot.url.clone(),
        release: release.clone(),
        fence: stage.lock.fence(),
    }
}

impl Deploy<'_> {
    /// Reads again: somebody may have moved traffic since the story began.
    async fn is_idle(&self, stage: &Stage) -> Result<(), Fault> {
        let split = match stage.router.as_deref() {
            Some(router) => router.read().await?.split,
            None => self.split,
        };
        let weight = split.weight(self.into);
        if weight.percent() == 0 {
            return Ok(());
        }
        let (name, other) = (
            stage.slots.name(self.into),
            stage.slots.name(self.into.other()),
        );
        Err(Fault::new(Reason::SlotIsActive, format!("{name} receives traffic, so nothing is deployed to it"))
            .measured(format!("{weight} of traffic on {name}"))
            .wanted("none")
            .next(format!("deploy to {other}, or move all traffic there first: `cutover switch-traffic --to {other}`")))
    }
}

/// Waits until a slot serves a release.
pub struct AwaitServed<'a> {
    /// The slot.
    pub by: Side,
    /// The release.
    pub release: &'a Release,
    /// How long it may take.
    pub within: Duration,
}

impl Step for AwaitServed<'_> {
    type Value = ();
    const NAME: &'static str = "serves";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let slot = stage.slots.on(self.by);
        let said = await_served(stage, slot, self.release, self.within).await?;
        Ok(Made { value: (), said })
    }
}

/// Waits until a slot or a member serves a release. Returns the line that says so.
///
/// # Errors
/// What it serves instead.
pub(in crate::rollout) async fn await_served(
    stage: &Stage,
    slot: &Slot,
    wanted: &Release,
    within: Duration,
) -> Result<String, Fault> {
    let name = &slot.name;
    let deadline = Instant::now() + within;
    let mut pause = Duration::from_millis(20);
    loop {
        let served = stage.served_at(&slot.url, LOOK.min(within)).await;
        if let Some(release) = served.release() {
            stage.learned(Fact::ServedVersion(release.as_str().to_owned()));
            if release.is(wanted) {
                return Ok(format!("{name} says {release}"));
            }
        }
        if Instant::now() + pause > deadline {
            let (reason, said) = match &served {
                Served::Release(_) => (
                    Reason::WrongVersion,
                    "serves another release than the one deployed",
                ),
                Served::Unclear(_) => {
                    (Reason::WrongVersion, "does not say which release it serves")
                }
                Served::Silent(_) => (Reason::DeployFailed, "does not answer after the deployment"),
            };
            return Err(Fault::new(reason, format!("{name} {said}"))
                .measured(format!("{name}: {}", served.told()))
                .wanted(format!("{wanted} in {}, within {}", stage.mark.told(), text::duration(within)))
                .next(format!("look at the log of {name}; did the deployment put this version there and start it?")));
        }
        stage.say(Event::Working {
            step: "serves",
            said: format!("{name}: {}", served.told()),
        });
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Runs the smoke checks against a slot, all at once.
pub struct SmokeTest<'a> {
    /// The slot.
    pub on: Side,
    /// The release that is in it, for commands.
    pub release: Option<&'a Release>,
}

impl Step for SmokeTest<'_> {
    type Value = ();
    const NAME: &'static str = "smoke";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let slot = stage.slots.on(self.on);
        smoke(stage, slot, self.release).await?;
        let said = match stage.smoke.len() {
            0 => String::new(),
            all => format!("{all} of {all} on {}", slot.name),
        };
        Ok(Made { value: (), said })
    }
}

/// Runs the smoke checks against a slot or a member, all at once.
///
/// # Errors
/// Those that failed.
pub(in crate::rollout) async fn smoke(
    stage: &Stage,
    slot: &Slot,
    release: Option<&Release>,
) -> Result<(), Fault> {
    let subject = stage.subject_of(slot, release);
    let Err(failed) = pass_all(&stage.smoke, &subject, &stage.say).await else {
        return Ok(());
    };
    let all = text::count(stage.smoke.len() as u64, "smoke check");
    let fault = failed.fault(Reason::SmokeFailed, &all, &format!(" on {}", slot.name));
    if fault.reason == Reason::NoData {
        return Err(fault);
    }
    Err(fault.next(format!("look at {} itself: {}", slot.name, slot.url)))
}
