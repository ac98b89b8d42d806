//! Whether the checks of the commit went well that have to: those that the config names, or those
//! that GitHub requires of the branch.

use crate::config::gates::RequiredChecks;
use crate::judge::required::{Answer, judge};
use crate::model::finding::{Finding, Group};
use crate::model::gates::Wanted;
use crate::platform::text;

use super::{Circumstances, Gates, Source};

/// The name of what is said of all checks together.
const NAME: &str = "required checks";

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    let required = &with.guardrails.required_checks;
    if *required == RequiredChecks::None {
        return Vec::new();
    }
    let looked = match &with.gates {
        Ok(gates) => ask(gates.as_ref(), required, with).await,
        Err(why) => Err(Box::new(cannot(format!("nobody can tell: {why}")))),
    };
    looked.unwrap_or_else(|no| vec![*no])
}

fn cannot(measured: String) -> Finding {
    let next = "give the job `permissions: { checks: read, statuses: read, contents: read }` and the step its token";
    Finding::failed(Group::Guardrail, NAME, measured, "all of them well", next)
}

/// The findings, or the one that stands for all of them.
async fn ask(
    gates: &dyn Gates,
    required: &RequiredChecks,
    with: &Circumstances,
) -> Result<Vec<Finding>, Box<Finding>> {
    let failed = |why: String| Box::new(cannot(format!("nobody can tell: {why}")));
    let Some(sha) = &with.commit else {
        let said = "the commit is not known (GITHUB_SHA is not set, and the version is no commit)";
        return Err(failed(said.to_owned()));
    };
    let wanted = async {
        match (required, &with.source) {
            (RequiredChecks::Named(names), _) => {
                let wanted = names.iter().map(|name| Wanted {
                    name: name.clone(),
                    app: None,
                });
                Ok(wanted.collect())
            }
            (_, Source::Branch(branch)) => of_branch(gates, branch).await,
            (_, Source::Tag(_)) => {
                let said = "a tag has no branch protection; name the checks in `guardrails.required-checks`";
                Err(failed(said.to_owned()))
            }
            (_, Source::Unsaid | Source::Terminal) => {
                let said = "the branch is not known (GITHUB_REF_NAME is not set)";
                Err(failed(said.to_owned()))
            }
        }
    };
    let seen = async { gates.checks(sha).await.map_err(failed) };
    let (wanted, seen) = tokio::join!(wanted, seen);
    let (wanted, seen): (Vec<Wanted>, _) = (wanted?, seen?);
    let short = text::short_sha(sha);
    let finding = |one: &Wanted| {
        let name = format!("check {}", text::excerpt(&one.name, 80));
        match judge(one, &seen) {
            Answer::Yes(said) => Finding::passed(Group::Guardrail, name, said),
            Answer::No { measured, next } => {
                let wanted = format!("a success on {short}");
                Finding::failed(Group::Guardrail, name, measured, wanted, next)
            }
        }
    };
    Ok(wanted.iter().map(finding).collect())
}

async fn of_branch(gates: &dyn Gates, branch: &str) -> Result<Vec<Wanted>, Box<Finding>> {
    let wanted = gates.required(branch).await;
    let wanted = wanted.map_err(|why| Box::new(cannot(format!("nobody can tell: {why}"))))?;
    if wanted.is_empty() {
        return Err(Box::new(Finding::failed(
            Group::Guardrail,
            NAME,
            format!("GitHub requires no check of {branch}"),
            "at least one",
            "require them there (branch protection, or a ruleset), or name them in `guardrails.required-checks`",
        )));
    }
    Ok(wanted)
}
