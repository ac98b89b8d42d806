//! Steps on one slot, past the router: deploy, wait, ask, test. None of them moves traffic.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::slot::Side;
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
        let order = Order {
            app: stage.app.clone(),
            environment: stage.environment.clone(),
            slot: slot.name.clone(),
            slot_url: slot.url.clone(),
            release: self.release.clone(),
            fence: stage.lock.fence(),
        };
        // What is replaced is asked for the record only: nobody waits long for it.
        let replaced = tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
            served = stage.served_by(self.into, REPLACED) => served.release().cloned(),
        };
        let did = failover::deploy(stage, &order, async || self.is_idle(stage).await).await?;
        stage.say(Event::Changed {
            what: format!("release in {}", slot.name),
            before: replaced.map(|release| release.as_str().to_owned()),
            after: self.release.as_str().to_owned(),
        });
        let said = format!("{} <- {}      {did}", slot.name, self.release);
        Ok(Made { value: (), said })
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
        let slot = stage.slots.name(self.by);
        let deadline = Instant::now() + self.within;
        let mut pause = Duration::from_millis(20);
        loop {
            let served = stage.served_by(self.by, LOOK.min(self.within)).await;
            if let Some(release) = served.release() {
                stage.learned(Fact::ServedVersion(release.as_str().to_owned()));
                if release.is(self.release) {
                    let said = format!("{slot} says {release}");
                    return Ok(Made { value: (), said });
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
                    Served::Silent(_) => {
                        (Reason::DeployFailed, "does not answer after the deployment")
                    }
                };
                return Err(Fault::new(reason, format!("{slot} {said}"))
                    .measured(format!("{slot}: {}", served.told()))
                    .wanted(format!("{} in {}, within {}", self.release, stage.mark.told(), text::duration(self.within)))
                    .next(format!("look at the log of {slot}; did the deployment put this version there and start it?")));
            }
            stage.say(Event::Working {
                step: "serves",
                said: format!("{slot}: {}", served.told()),
            });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
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
        let slot = stage.slots.name(self.on);
        let subject = stage.subject(self.on, self.release);
        let all = stage.smoke.len();
        if let Err(failed) = pass_all(&stage.smoke, &subject, &stage.say).await {
            let all = text::count(all as u64, "smoke check");
            let fault = failed.fault(Reason::SmokeFailed, &all, &format!(" on {slot}"));
            if fault.reason == Reason::NoData {
                return Err(fault);
            }
            return Err(fault.next(format!(
                "look at {slot} itself: {}",
                stage.slots.on(self.on).url
            )));
        }
        let said = if all == 0 {
            String::new()
        } else {
            format!("{all} of {all} on {slot}")
        };
        Ok(Made { value: (), said })
    }
}
