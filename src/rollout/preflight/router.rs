//! Whether the router can be read, stands as recorded and expected, and whether there is a way
//! back: the very steps that a rollout takes, taken before it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::finding::{Finding, Group};
use crate::model::slot::Side;
use crate::model::split::Split;
use crate::platform::text;
use crate::probes::{Ailment, Subject};
use crate::rollout::patience::Check;
use crate::rollout::saga::Step as _;
use crate::rollout::stage::Stage;
use crate::rollout::steps::{Heed, PrepareWayBack, ReadTraffic};

use super::Circumstances;

/// How long a health check of the active slot may take.
const LOOK: Duration = Duration::from_secs(5);

/// The pause before an unhealthy slot is looked at once more.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// What was found, and the idle slot's name where the router says it.
pub(super) async fn look(stage: &Stage, with: &Circumstances) -> (Vec<Finding>, Option<String>) {
    let skipped = |name, why| Finding::skipped(Group::Guardrail, name, why);
    if stage.router.is_none() {
        return (vec![skipped("router", "the config has none")], None);
    }
    let read = ReadTraffic {
        expected: with.expect_active.as_deref(),
        heed: Heed::Record,
    };
    let before = match read.act(stage).await {
        Ok(made) => made.value,
        Err(fault) => {
            let why = "the router has to be in order first";
            return (vec![no("router", fault), skipped("way back", why)], None);
        }
    };
    let said = before.split.told(&stage.slots);
    let router = Finding::passed(Group::Guardrail, "router", said);
    let idle = before.split.idle();
    let to = Split::all_to(idle);
    let name = stage.slots.name(idle).to_owned();
    if with.contract {
        let why = "none over `migration: contract`: once switched, traffic stays on the new release, and people are told where it is bad";
        return (vec![router, skipped("way back", why)], Some(name));
    }
    let prepare = PrepareWayBack {
        before: &before,
        to,
    };
    let way_back = match prepare.act(stage).await {
        Ok(made) if made.value.is_some() => {
            let active = before.split.active();
            healthy(stage, with, active, made.said).await
        }
        Ok(made) => Finding::passed(Group::Guardrail, "way back", made.said),
        Err(fault) => no("way back", fault),
    };
    let testers = testers(stage, idle).await;
    let findings = [Some(router), Some(way_back), testers];
    (findings.into_iter().flatten().collect(), Some(name))
}

/// Whether testers reach the idle slot; where they do not, nobody else is worse off.
async fn testers(stage: &Stage, idle: Side) -> Option<Finding> {
    stage.router.as_deref()?.testers()?;
    let skipped = |why: String| Some(Finding::skipped(Group::Guardrail, "testers", why));
    let name = stage.slots.name(idle);
    let there = stage.served_by(idle, LOOK).await;
    let Some(release) = there.release() else {
        return skipped(format!("{name} serves nothing yet: {}", there.told()));
    };
    let active = stage.served_by(idle.other(), LOOK).await;
    if active.release().is_some_and(|it| it.is(release)) {
        return skipped(format!("both slots serve {release}, so nobody can tell"));
    }
    match stage.testers_reach(idle, release).await? {
        Ok(said) => Some(Finding::passed(Group::Guardrail, "testers", said)),
        Err(said) => {
            stage.say(Event::Warned(said));
            skipped("the route does not work, which stops nobody else".to_owned())
        }
    }
}

/// Who goes back should get a slot that is well. Somebody who has to repair what is live gives a
/// reason and passes.
async fn healthy(stage: &Stage, with: &Circumstances, active: Side, said: String) -> Finding {
    let subject = stage.subject(active, None);
    let checks = with
        .slot_health
        .iter()
        .filter_map(|at| stage.health.get(*at));
    let looks = join_all(checks.map(|check| ailment(check, &subject))).await;
    let Some((check, ailment)) = looks.into_iter().flatten().next() else {
        return Finding::passed(Group::Guardrail, "way back", said);
    };
    let slot = stage.slots.name(active);
    let measured = format!("{slot} is not healthy: {check}: {}", ailment.measured);
    if let Some(reason) = &with.override_reason {
        stage.say(Event::Warned(format!(
            "override: \"{reason}\" passes over: {measured}"
        )));
        stage.learned(Fact::Override(reason.clone()));
        let said = format!("{measured}, passed over: {reason}");
        return Finding::passed(Group::Guardrail, "way back", said);
    }
    let next = format!(
        "see what is wrong with {slot}; who deploys to repair it gives a reason with `override`"
    );
    Finding::failed(Group::Guardrail, "way back", measured, ailment.wanted, next)
}

/// What is wrong, if it is so twice: the check in words, and what it saw.
async fn ailment(check: &Check, subject: &Subject) -> Option<(String, Ailment)> {
    let look = async || {
        let looked = tokio::time::timeout(LOOK, check.probe.look(subject)).await;
        looked.unwrap_or_else(|_| {
            Err(Ailment {
                measured: format!("no answer after {}", text::duration(LOOK)),
                wanted: "an answer".to_owned(),
                took: LOOK,
                silent: true,
                unseen: false,
            })
        })
    };
    if look().await.is_ok() {
        return None;
    }
    tokio::time::sleep(ONCE_MORE).await;
    look()
        .await
        .err()
        .map(|ailment| (check.probe.told(), ailment))
}

fn no(name: &str, fault: Fault) -> Finding {
    let (said, next) = (fault.said, fault.next);
    Finding::failed(
        Group::Guardrail,
        name,
        fault
            .measured
            .map_or_else(|| said.clone(), |measured| format!("{said}: {measured}")),
        fault
            .wanted
            .unwrap_or_else(|| "a router that can be read and changed".to_owned()),
        next.unwrap_or_else(|| {
            "is the router up, and does the config name its place? `cutover router-config` prints what it needs".to_owned()
        }),
    )
}
