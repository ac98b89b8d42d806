//! What people decided: which branches, which hours. Somebody who gives a reason may pass over the calendar, and is heard; over the rest nobody passes.

use crate::judge::{branches, windows};
use crate::model::event::{Event, Fact};
use crate::model::finding::{Finding, Group};
use crate::rollout::stage::Stage;

use super::{Circumstances, Source};

pub(super) fn look(stage: &Stage, with: &Circumstances) -> Vec<Finding> {
    let said = format!("{} is right", with.config);
    let mut all = vec![Finding::passed(Group::Guardrail, "config", said)];
    all.extend(branch(with));
    all.extend(calendar(stage, with));
    all
}

fn branch(with: &Circumstances) -> Option<Finding> {
    let patterns = &with.guardrails.branches;
    if patterns.is_empty() {
        return None;
    }
    let measured = match &with.source {
        Source::Branch(name) => {
            let fitting = patterns.iter().find(|one| branches::fits(one, name));
            if let Some(pattern) = fitting {
                let said = format!("{name} fits {pattern}");
                return Some(Finding::passed(Group::Guardrail, "branch", said));
            }
            name.clone()
        }
        Source::Tag(name) => format!("{name}, which is a tag"),
        Source::Unsaid => "the workflow does not say (GITHUB_REF_NAME is not set)".to_owned(),
        Source::Terminal => {
            let said = "nobody can tell outside of a workflow";
            return Some(Finding::skipped(Group::Guardrail, "branch", said));
        }
    };
    Some(Finding::failed(
        Group::Guardrail,
        "branch",
        measured,
        patterns.join(" or "),
        "merge it first, or add the branch to `guardrails.branches`",
    ))
}

fn calendar(stage: &Stage, with: &Circumstances) -> Vec<Finding> {
    let (shut, open) = windows::judge(&with.guardrails, with.now);
    let open = open
        .into_iter()
        .map(|(name, said)| Finding::passed(Group::Guardrail, name, said));
    let mut all: Vec<Finding> = open.collect();
    if shut.is_empty() {
        return all;
    }
    if let Some(reason) = &with.override_reason {
        let told: Vec<String> = shut
            .iter()
            .map(|one| format!("{} (wanted {})", one.measured, one.wanted))
            .collect();
        let by = with.actor.as_ref();
        let by = by.map_or_else(String::new, |actor| format!(" by {actor}"));
        stage.say(Event::Warned(format!(
            "override{by}: \"{reason}\" passes over: {}",
            told.join("; ")
        )));
        stage.learned(Fact::Override(reason.clone()));
        all.extend(shut.into_iter().map(|one| {
            let said = format!("{}, passed over: {reason}", one.measured);
            Finding::passed(Group::Guardrail, one.name, said)
        }));
        return all;
    }
    let opens = windows::next_opening(&with.guardrails, with.now).map_or_else(
        || "none opens within a year".to_owned(),
        |at| format!("the next time is {at}"),
    );
    let next = format!("{opens}; who must go earlier gives a reason with `override`");
    all.extend(
        shut.into_iter().map(|one| {
            Finding::failed(Group::Guardrail, one.name, one.measured, one.wanted, &next)
        }),
    );
    all
}
