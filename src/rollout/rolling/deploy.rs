//! The steps on members that are out: the release gets there, is waited for, and is tested.

use std::time::Duration;

use futures_util::future::join_all;

use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::pool::Place;
use crate::model::release::Release;
use crate::platform::text;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::rollout::steps::{await_served, deploy_into, smoke};

use super::course::Course;
use super::rotation::names;

/// How much is said of what was seen at one, in characters: all of it, the end of its last words too.
const MEASURED: usize = 1000;

/// Members, and what each is to serve.
pub(super) type Wanted = Vec<(usize, Release)>;

/// Has the target put a release into members that get no traffic, all at once.
pub(super) struct DeployTo<'a> {
    /// Whose changes these are, where they are a rollout's.
    pub(super) course: Option<&'a Course>,
    pub(super) wanted: &'a Wanted,
}

impl Step for DeployTo<'_> {
    type Value = ();
    const NAME: &'static str = "deploy";
    // The target watches for the end of the run itself, and ends what it began.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        if self.wanted.is_empty() {
            return Ok(Made {
                value: (),
                said: String::new(),
            });
        }
        let (members, _) = stage.pool()?;
        stage.lock.ours().await?;
        stage.lock.touch();
        let all: Vec<usize> = self.wanted.iter().map(|(member, _)| *member).collect();
        is_out(stage, &all).await?;
        if let Some(course) = self.course {
            course.changes(&all);
        }
        let one = async |(member, release): &(usize, Release)| {
            let slot = &members[*member];
            let did = deploy_into(stage, slot, release, async || {
                is_out(stage, &[*member]).await
            });
            did.await
        };
        let mut outcomes = Vec::new();
        if stage.failover.is_some() {
            // The lock is passed on to a secondary, and there is one lock.
            for wanted in self.wanted {
                outcomes.push(one(wanted).await);
            }
        } else {
            outcomes = join_all(self.wanted.iter().map(one)).await;
        }
        let mut did = Vec::new();
        for outcome in gathered(stage, outcomes) {
            did.push(outcome?);
        }
        did.dedup();
        let release = self.wanted.first().map(|(_, release)| release.to_string());
        let said = format!(
            "{} <- {}      {}",
            names(members, &all),
            release.unwrap_or_default(),
            did.join(", ")
        );
        Ok(Made { value: (), said })
    }
}

/// That members were taken out, read anew: somebody may have put them in meanwhile. Who is down only
/// by the router's own checks would get traffic with the first of them that passes.
pub(super) async fn is_out(stage: &Stage, some: &[usize]) -> Result<(), Fault> {
    let (members, pool) = stage.pool()?;
    let rota = pool.read().await?;
    for member in some {
        let (name, place) = (&members[*member].name, &rota.places[*member]);
        let (said, measured) = match place {
            Place::Out | Place::Barred(_) => continue,
            Place::In => ("receives traffic", "in rotation"),
            Place::Down(why) => ("receives traffic as soon as it is up", why.as_str()),
        };
        return Err(Fault::new(
            Reason::SlotIsActive,
            format!("{name} {said}, so nothing is deployed to it"),
        )
        .measured(format!("{name} is {measured}, says {}", pool.told()))
        .wanted("out of rotation")
        .next(format!(
            "`cutover rollout --environment {}` takes members out by itself; or take {name} out in the router first (HAProxy: `state drain`)",
            stage.environment
        )));
    }
    Ok(())
}

/// Waits until members serve what they are to serve, and pass the smoke checks.
pub(super) struct AwaitServed<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) within: Duration,
}

impl Step for AwaitServed<'_> {
    type Value = ();
    const NAME: &'static str = "serves";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let (members, _) = stage.pool()?;
        let waits = self
            .wanted
            .iter()
            .map(|(member, release)| await_served(stage, &members[*member], release, self.within));
        let mut said = Vec::new();
        for outcome in gathered(stage, join_all(waits).await) {
            said.push(outcome?);
        }
        let said = match said.as_slice() {
            [first, _, _, _, ..] => format!("{first}, and {} more do", said.len() - 1),
            _ => said.join(", "),
        };
        Ok(Made { value: (), said })
    }
}

/// Runs the smoke checks against members.
pub(super) struct SmokeTest<'a> {
    pub(super) wanted: &'a Wanted,
}

impl Step for SmokeTest<'_> {
    type Value = ();
    const NAME: &'static str = "smoke";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let (members, _) = stage.pool()?;
        let all = stage.smoke.len();
        let tests = self
            .wanted
            .iter()
            .map(|(member, release)| smoke(stage, &members[*member], Some(release)));
        for outcome in gathered(stage, join_all(tests).await) {
            outcome?;
        }
        let some: Vec<usize> = self.wanted.iter().map(|(member, _)| *member).collect();
        let said = match all {
            0 => String::new(),
            all => format!("{all} of {all} on {}", names(members, &some)),
        };
        Ok(Made { value: (), said })
    }
}

/// Of several that failed, an ending has room for the first; the others are said beside it.
fn gathered<T>(stage: &Stage, outcomes: Vec<Result<T, Fault>>) -> Vec<Result<T, Fault>> {
    let failed = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    for fault in failed.skip(1) {
        if fault.reason != Reason::Cancelled {
            let measured = fault.measured.as_deref().unwrap_or_default();
            stage.say(Event::Warned(format!(
                "{}: {}",
                fault.said,
                text::excerpt(measured, MEASURED)
            )));
        }
    }
    outcomes
}
