//! Whether the router can be read, stands as recorded and expected, and whether there is a way
//! back: the very steps that a rollout takes, taken before it.

use crate::model::fault::Fault;
use crate::model::finding::{Finding, Group};
use crate::model::split::Split;
use crate::rollout::saga::Step as _;
use crate::rollout::stage::Stage;
use crate::rollout::steps::{PrepareWayBack, ReadTraffic};

use super::Circumstances;

/// What was found, and the idle slot's name where the router says it.
pub(super) async fn look(stage: &Stage, with: &Circumstances) -> (Vec<Finding>, Option<String>) {
    let skipped = |name, why| Finding::skipped(Group::Guardrail, name, why);
    if stage.router.is_none() {
        return (vec![skipped("router", "the config has none")], None);
    }
    let read = ReadTraffic {
        expected: with.expect_active.as_deref(),
        heed_record: true,
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
        Ok(made) => Finding::passed(Group::Guardrail, "way back", made.said),
        Err(fault) => no("way back", fault),
    };
    (vec![router, way_back], Some(name))
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
