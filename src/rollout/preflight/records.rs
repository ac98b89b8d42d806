//! What records and other environments say: is another deployment under way, and was this
//! version where it had to be before?
//!
//! A record is not the truth: what an environment serves now counts for more than what was once
//! written down about it.

use std::time::Duration;

use futures_util::future::join_all;

use crate::model::finding::{Finding, Group};
use crate::model::release::Release;
use crate::rollout::looks::{Served, served_at};
use crate::rollout::stage::Stage;

use super::{Circumstances, Earlier};

/// How long another environment may take to say what it serves.
const LOOK: Duration = Duration::from_secs(5);

/// Is another run at work here?
pub(super) async fn others(with: &Circumstances) -> Vec<Finding> {
    let name = "other deployments";
    let found = match &with.records {
        Ok(records) => records.others().await,
        Err(why) => Err(why.clone()),
    };
    let others = match found {
        Ok(others) => others,
        Err(why) => {
            let said = format!("nobody can tell: {why}");
            return vec![Finding::skipped(Group::Busy, name, said)];
        }
    };
    let (over, running): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|other| other.over == Some(true));
    let told = |others: &[super::Other]| {
        let told: Vec<&str> = others.iter().map(|other| other.told.as_str()).collect();
        told.join(", ")
    };
    vec![match (running.is_empty(), over.is_empty()) {
        (true, true) => Finding::passed(Group::Busy, name, "none is under way"),
        (true, false) => {
            let said = format!("none; {} was left open by a run that is over", told(&over));
            Finding::passed(Group::Busy, name, said)
        }
        (false, _) => {
            let unsure = running.iter().any(|other| other.over.is_none());
            let hint = if unsure {
                "; if that run is over, `cutover finish` or a status `inactive` closes its record (with `actions: read` it is looked at)"
            } else {
                ""
            };
            Finding::failed(
                Group::Busy,
                name,
                format!("{} is in progress", told(&running)),
                "no other deployment of this environment",
                format!(
                    "wait for its end, then run this again; `concurrency:` in the workflow does that by itself{hint}"
                ),
            )
        }
    }]
}

/// Was this version there before, with success?
pub(super) async fn after(stage: &Stage, with: &Circumstances) -> Vec<Finding> {
    let each = with
        .earlier
        .iter()
        .map(|earlier| after_one(stage, with, earlier));
    join_all(each).await
}

async fn after_one(stage: &Stage, with: &Circumstances, earlier: &Earlier) -> Finding {
    let name = format!("after {}", earlier.name);
    let there = &earlier.name;
    let Some(release) = &with.release else {
        return Finding::failed(
            Group::Guardrail,
            name,
            "no version is given",
            format!("one that {there} has had"),
            "give it with `version`",
        );
    };
    let (served, recorded) = tokio::join!(
        served_at(&stage.http, &earlier.mark, &earlier.url, LOOK),
        recorded(with, there, release),
    );
    let no = |measured: String| {
        Finding::failed(
            Group::Guardrail,
            &name,
            measured,
            format!("{release} on {there}, with success"),
            format!(
                "roll it out there first: `cutover rollout --environment {there} --version {release}`"
            ),
        )
    };
    match (&served, recorded) {
        (Served::Release(now), recorded) if now.is(release) => {
            let record = match recorded {
                Ok(Some(record)) => format!(", and {record} says so"),
                _ => String::new(),
            };
            let said = format!("{there} serves {release}{record}");
            Finding::passed(Group::Guardrail, &name, said)
        }
        (Served::Release(now), Ok(Some(record))) => no(format!(
            "{there} serves {now}; it had {release} before ({record}), and has it no longer"
        )),
        (Served::Release(now), _) => no(format!("{there} serves {now}")),
        (unclear, Ok(Some(record))) => {
            let said = format!(
                "{record} says that {there} got {release}; its URL does not say: {}",
                unclear.told()
            );
            Finding::passed(Group::Guardrail, &name, said)
        }
        (unclear, Ok(None)) => no(format!(
            "no record says that {there} got {release}, and its URL does not say: {}",
            unclear.told()
        )),
        (unclear, Err(why)) => no(format!(
            "nobody can tell: {why}, and the URL of {there} does not say: {}",
            unclear.told()
        )),
    }
}

async fn recorded(
    with: &Circumstances,
    environment: &str,
    release: &Release,
) -> Result<Option<String>, String> {
    match &with.records {
        Ok(records) => records.went_well(environment, release).await,
        Err(why) => Err(why.clone()),
    }
}
