//! What can be done with one member alone: a release goes there while it is out, or it is tested.

use std::time::Duration;

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::Fact;
use crate::model::fault::Fault;
use crate::model::pool::listed;
use crate::model::release::Release;
use crate::model::slot::Slot;
use crate::platform::text;
use crate::rollout::saga::{Halt, Made, Saga, Step};
use crate::rollout::stage::Stage;
use crate::rollout::steps::smoke;

use super::deploy::{AwaitServed, DeployTo, is_out};

/// The member that an input names, and which it is.
///
/// # Errors
/// When the environment has no such member, or none is named.
pub fn member_named<'s>(stage: &'s Stage, name: Option<&str>) -> Result<(usize, &'s Slot), Fault> {
    let members = stage.crew.as_ref().map_or(&[][..], |crew| &crew.members);
    let known = listed(members.iter().map(|member| member.name.as_str()));
    let Some(name) = name else {
        return Err(Fault::new(
            Reason::BadInput,
            format!(
                "{} has members, and none of them is idle",
                stage.environment
            ),
        )
        .wanted(format!("`slot`: {known}"))
        .next("name the member with `slot:`; `rollout` goes over all of them"));
    };
    let mut found = members.iter().enumerate();
    found
        .find(|(_, member)| member.name == name)
        .ok_or_else(|| {
            Fault::new(
                Reason::BadInput,
                format!("`slot` names no member of {}", stage.environment),
            )
            .measured(format!("\"{}\"", text::excerpt(name, 40)))
            .wanted(known)
        })
}

/// Puts a release into one member that gets no traffic, and waits until it serves it.
///
/// # Errors
/// Why it does not.
pub async fn deploy_to(
    saga: &mut Saga<'_>,
    name: Option<&str>,
    release: &Release,
    (wait, dry_run): (Duration, bool),
) -> Result<Ending, Halt> {
    let stage = saga.stage();
    let (member, slot) = member_named(stage, name)?;
    let name = &slot.name;
    stage.learned(Fact::Slot(name.clone()));
    is_out(stage, &[member]).await?;
    if dry_run {
        let said = format!(
            "{release} would go into {name} by {}",
            stage.target()?.told()
        );
        return Ok(Ending::good(Decision::Planned, Reason::DryRun, said));
    }
    let wanted = vec![(member, release.clone())];
    saga.step(DeployTo {
        course: None,
        wanted: &wanted,
    })
    .await?;
    saga.step(AwaitServed {
        wanted: &wanted,
        within: wait,
    })
    .await?;
    let said = format!("{name} serves {release}; it is out of rotation still");
    Ok(Ending::good(Decision::Passed, Reason::Done, said))
}

/// Runs the smoke checks against one member.
///
/// # Errors
/// Those that failed.
pub async fn smoke_test(saga: &mut Saga<'_>, name: Option<&str>) -> Result<Ending, Halt> {
    let stage = saga.stage();
    let (_, slot) = member_named(stage, name)?;
    stage.learned(Fact::Slot(slot.name.clone()));
    saga.step(SmokeOne(slot)).await?;
    stage.learned(Fact::Healthy(true));
    let all = text::count(stage.smoke.len() as u64, "smoke check");
    let said = format!("{all} passed on {}", slot.name);
    Ok(Ending::good(Decision::Passed, Reason::Done, said))
}

struct SmokeOne<'a>(&'a Slot);

impl Step for SmokeOne<'_> {
    type Value = ();
    const NAME: &'static str = "smoke";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        smoke(stage, self.0, None).await?;
        let all = stage.smoke.len();
        let said = format!("{all} of {all} on {}", self.0.name);
        Ok(Made { value: (), said })
    }
}
