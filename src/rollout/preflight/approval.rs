//! Whether the run was approved at GitHub: by enough people, by none who may not, not too long ago.

use crate::judge::reviews::judge;
use crate::model::finding::{Finding, Group};

use super::Circumstances;

/// Its name.
const NAME: &str = "approval";

pub(super) async fn look(environment: &str, with: &Circumstances) -> Option<Finding> {
    let rule = with.guardrails.approval.as_ref()?;
    let reviews = match &with.gates {
        Ok(gates) => gates.reviews(environment).await,
        Err(why) => Err(why.clone()),
    };
    let reviews = match reviews {
        Ok(reviews) => reviews,
        Err(why) => {
            return Some(Finding::failed(
                Group::Guardrail,
                NAME,
                format!("nobody can tell: {why}"),
                format!("an approval of this run for {environment}"),
                "give the job `permissions: { actions: read, checks: read, deployments: read }` and the step its token",
            ));
        }
    };
    let actors: Vec<&str> = with.actors.iter().map(String::as_str).collect();
    Some(
        match judge(rule, &reviews, &actors, environment, with.now) {
            Ok(said) => Finding::passed(Group::Guardrail, NAME, said),
            Err(no) => Finding::failed(Group::Guardrail, NAME, no.measured, no.wanted, no.next),
        },
    )
}
