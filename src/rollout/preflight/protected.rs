//! Is the environment at GitHub protected as it must be? An answer that cannot be had is a no:
//! a gate of which nobody knows whether it is shut is open.

use async_trait::async_trait;

use crate::config::protection::{AtLeast, Protection};
use crate::judge::protection::{differences, shortfalls};
use crate::model::finding::{Finding, Group};
use crate::model::protection::{Difference, Standing};

use super::Circumstances;

/// The name of the check.
const NAME: &str = "protected";

/// How the environment must be protected, and who can say how it is.
pub struct Guarded {
    /// How it must be.
    pub wanted: Wanted,
    /// The environment's name, as a shell takes it.
    pub environment: String,
    /// Where a person can change it.
    pub page: String,
    /// GitHub, or why it cannot be asked.
    pub gate: Result<Box<dyn Gate>, String>,
}

/// How an environment must be protected.
pub enum Wanted {
    /// As the block says.
    Exactly(Protection),
    /// At least so. `mendable` is whether a block says more, so that a command can mend it.
    AtLeast {
        /// The least.
        least: AtLeast,
        /// Whether there is a block beside it.
        mendable: bool,
    },
}

/// Who can say how an environment is protected.
#[async_trait]
pub trait Gate: Send + Sync {
    /// How it is; `None` where there is none.
    ///
    /// # Errors
    /// Why that cannot be told.
    async fn standing(&self) -> Result<Option<Standing>, String>;
}

pub(super) async fn look(with: &Circumstances) -> Vec<Finding> {
    let Some(guarded) = &with.protected else {
        return Vec::new();
    };
    let standing = match &guarded.gate {
        Ok(gate) => gate.standing().await,
        Err(why) => Err(why.clone()),
    };
    let standing = match standing {
        Ok(standing) => standing,
        Err(why) => {
            return vec![Finding::failed(
                Group::Guardrail,
                NAME,
                format!("nobody can tell: {why}"),
                "GitHub's word on how the environment is protected",
                "give the job `permissions: { actions: read }`, beside those that it has",
            )];
        }
    };
    let wrong = match &guarded.wanted {
        Wanted::Exactly(block) => differences(block, standing.as_ref()),
        Wanted::AtLeast { least, .. } => shortfalls(least, standing.as_ref()),
    };
    let Some(standing) = standing else {
        return vec![Finding::failed(
            Group::Guardrail,
            NAME,
            "GitHub has no environment of that name; a workflow that names it makes one without any protection",
            "a protected environment",
            next(guarded, false),
        )];
    };
    if wrong.is_empty() {
        return vec![Finding::passed(
            Group::Guardrail,
            NAME,
            standing.to_string(),
        )];
    }
    let finding = |one: &Difference| {
        Finding::failed(
            Group::Guardrail,
            format!("{NAME}.{}", one.key),
            format!("{} at GitHub", one.is),
            one.should.clone(),
            next(guarded, one.by_hand),
        )
    };
    wrong.iter().map(finding).collect()
}

/// How to mend it.
fn next(guarded: &Guarded, by_hand: bool) -> String {
    let Guarded {
        environment, page, ..
    } = guarded;
    let command = format!("`cutover environments --environment {environment} --apply`");
    match (&guarded.wanted, by_hand) {
        (_, true) => format!("only a person can change it: {page}"),
        (Wanted::Exactly(_) | Wanted::AtLeast { mendable: true, .. }, _) => {
            format!("{command} with an admin token, or by hand: {page}")
        }
        _ => format!("change it by hand: {page}; or say it in `protection`, and {command} does it"),
    }
}
