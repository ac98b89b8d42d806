//! Where a canary begins: in an idle slot, or where an earlier run has left it.

use crate::config::ladder::Rung;
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::rollout::looks::Served;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::rollout::steps::LOOK;
use crate::routers::{Change, Reading};

use super::Plan;
use super::trial::Trial;

/// Finds out where to begin.
pub(super) struct FindStart<'a> {
    /// What was read.
    pub(super) now: &'a Reading,
    /// What is wanted.
    pub(super) plan: &'a Plan,
}

/// Where to begin.
pub(super) enum Start {
    /// Nowhere: the release has all traffic already.
    Live(Side),
    /// There.
    At(Box<At>),
}

/// Where to begin.
pub(super) struct At {
    /// The slot of the release.
    pub(super) canary: Side,
    /// Where traffic goes back to, as it was read; without a revision where it was not.
    pub(super) home: Reading,
    /// The step at which traffic is divided already.
    pub(super) stands_at: Option<usize>,
    /// The step to begin with.
    pub(super) next: usize,
    /// What is known of it already.
    pub(super) trial: Option<Trial>,
}

impl Step for FindStart<'_> {
    type Value = Start;
    const NAME: &'static str = "start";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Start>, Fault> {
        let release = &self.plan.release;
        let made = |value, said: String| Ok(Made { value, said });
        let served = async |side| stage.served_by(side, LOOK).await.release().cloned();
        let now = self.now.split;
        if now.is_whole() {
            let active = now.active();
            if served(active).await.is_some_and(|live| live.is(release)) {
                return made(Start::Live(active), String::new());
            }
            let at = At {
                canary: now.idle(),
                home: self.now.clone(),
                stands_at: None,
                next: 0,
                trial: None,
            };
            return made(Start::At(Box::new(at)), String::new());
        }
        let [first, second] = [served(Side::First).await, served(Side::Second).await];
        let is_ours = |served: &Option<Release>| served.as_ref().is_some_and(|it| it.is(release));
        let canary = match (is_ours(&first), is_ours(&second)) {
            (true, false) => Side::First,
            (false, true) => Side::Second,
            _ => return Err(self.foreign(stage, [first, second])),
        };
        let weight = now.weight(canary);
        let steps = &self.plan.settings.steps;
        let Some(stands_at) = steps.iter().position(|rung| rung.weight == weight) else {
            return Err(self.no_step(stage, canary));
        };
        let name = stage.slots.name(canary);
        stage.learned(Fact::Slot(name.to_owned()));
        let kept = self.plan.kept.as_ref();
        let kept = kept.filter(|kept| kept.fits(release, (canary, name), weight));
        let said = format!("{name} has {release} and {weight} already");
        let at = |next, trial| {
            Start::At(Box::new(At {
                canary,
                home: home(canary.other()),
                stands_at: Some(stands_at),
                next,
                trial,
            }))
        };
        match kept {
            Some(kept) if kept.allowed => made(
                at(stands_at + 1, Some(kept.trial.clone())),
                format!("{said}; goes on with the next step"),
            ),
            Some(kept) => made(
                at(stands_at, Some(kept.trial.clone())),
                format!("{said}; goes on with what was proved so far"),
            ),
            None => {
                stage.say(Event::Noticed(
                    "nobody knows what was proved of this canary before, so it is judged anew from here".to_owned(),
                ));
                made(at(stands_at, None), said)
            }
        }
    }
}

impl FindStart<'_> {
    fn foreign(&self, stage: &Stage, served: [Option<Release>; 2]) -> Fault {
        let [first, second] = served.map(|release| {
            release.map_or_else(|| "no release".to_owned(), |release| release.to_string())
        });
        let slots = &stage.slots;
        Fault::new(
            Reason::SlotIsActive,
            "traffic is divided, and not between this release and another one",
        )
        .measured(format!(
            "{}; {} has {first}, {} has {second}",
            self.now.split.told(slots),
            slots.first.name,
            slots.second.name,
        ))
        .wanted(format!(
            "all traffic on one slot, or {} in one of them",
            self.plan.release
        ))
        .next(format!(
            "end what is under way first: `cutover switch-traffic --environment {} --to {}` or `--to {}`",
            stage.environment, slots.first.name, slots.second.name
        ))
    }

    fn no_step(&self, stage: &Stage, canary: Side) -> Fault {
        let (name, weight) = (stage.slots.name(canary), self.now.split.weight(canary));
        let steps = self.plan.settings.steps.iter();
        let steps: Vec<String> = steps.map(|rung| rung.weight.to_string()).collect();
        Fault::new(
            Reason::SlotIsActive,
            format!("{name} has {weight} of traffic, which is no step of the ladder"),
        )
        .measured(self.now.split.told(&stage.slots))
        .wanted(format!("one of {}", steps.join(", ")))
        .next(format!(
            "add that step, or move traffic to one: `cutover switch-traffic --environment {} --to {name} --weight …`",
            stage.environment
        ))
    }
}

/// All traffic on a slot, as nobody has read it yet.
fn home(stable: Side) -> Reading {
    Reading {
        split: Split::all_to(stable),
        apart: Vec::new(),
        revision: String::new(),
        saved: String::new(),
    }
}

/// Makes sure that every step can be taken, and that there is a slot to go back to.
pub(super) struct PrepareLadder<'a> {
    /// What was read.
    pub(super) now: &'a Reading,
    /// Where it begins.
    pub(super) start: &'a At,
    /// The steps.
    pub(super) steps: &'a [Rung],
}

impl Step for PrepareLadder<'_> {
    /// The release of the old slot; `None` where nothing was live, and nothing is compared.
    type Value = Option<Release>;
    const NAME: &'static str = "way back";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Option<Release>>, Fault> {
        let router = stage.router()?;
        let stable = self.start.canary.other();
        let steps = self.steps.iter().skip(self.start.next);
        let steps = steps.map(|rung| Split::with(self.start.canary, rung.weight));
        for to in steps.chain([Split::all_to(stable)]) {
            let change = Change {
                from: self.now.clone(),
                to,
                reason: "prepared".to_owned(),
            };
            router.prepare(&change).await?;
        }
        let name = stage.slots.name(stable);
        match stage.served_by(stable, LOOK).await {
            Served::Release(release) => Ok(Made {
                said: format!("{name} serves {release}, one jump from any step prepared"),
                value: Some(release),
            }),
            // All traffic in one step is how the first release of all goes out.
            other
                if self.steps.iter().all(|rung| rung.weight == Weight::ALL)
                    && stage.served_to_users(LOOK).await.release().is_none() =>
            {
                let said = format!("none: nothing is live yet ({name}: {})", other.told());
                Ok(Made { value: None, said })
            }
            other => Err(Fault::new(
                Reason::NoWayBack,
                format!("{name} would not be fit to go back to, nor to be compared with"),
            )
            .measured(format!("{name}: {}", other.told()))
            .wanted(format!("{name} to answer with its release in {}", stage.mark.told()))
            .next(format!(
                "bring {name} up at {}; where nothing is live yet, the first release goes out by `strategy: {{ kind: blue-green }}`",
                stage.slots.on(stable).url
            ))),
        }
    }
}

/// Reads the router again: between steps somebody else may have moved traffic.
pub(super) struct Reread {
    /// Where we have left it.
    pub(super) ours: Split,
}

impl Step for Reread {
    type Value = Reading;
    const NAME: &'static str = "traffic";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Reading>, Fault> {
        let value = stage.router()?.read().await?;
        if value.split != self.ours {
            return Err(Fault::new(
                Reason::ChangedByOthers,
                "someone else moved traffic between two steps",
            )
            .measured(value.split.told(&stage.slots))
            .wanted(self.ours.told(&stage.slots))
            .next("see who did so; two tools must not drive one router"));
        }
        Ok(Made {
            value,
            said: String::new(),
        })
    }
}
