//! What the seams' errors mean for a run: each becomes a fault with its reason and its hint.

use crate::model::ending::Reason;
use crate::model::fault::Fault;
use crate::platform::text;
use crate::routers::RouterError;
use crate::targets::TargetError;

/// How much of somebody's last words is in a message, in characters. A cell of the summary holds a thousand,
/// and cuts off the end.
const LAST_WORDS: usize = 700;

/// What was seen, with the end of what was said last.
pub(super) fn quoting(said: &str, last_words: &[String]) -> String {
    if last_words.is_empty() {
        return said.to_owned();
    }
    let words = text::ending(last_words, LAST_WORDS);
    format!("{said}; it said: {words}")
}

impl From<RouterError> for Fault {
    fn from(failed: RouterError) -> Self {
        let said = failed.to_string();
        match failed {
            RouterError::Conflict { expected, found } => Self::new(
                Reason::ChangedByOthers,
                "the router was changed by someone else",
            )
            .measured(found)
            .wanted(expected)
            .next("see who changed it, then run again; nothing was changed by this run"),
            RouterError::OutOfReach(what) => {
                Self::new(Reason::OutOfReach, "the router is out of reach")
                    .measured(what)
                    .next("check that it runs and that this machine can reach it, then run again")
            }
            RouterError::Refused(what) => Self::new(Reason::RouterRefused, "the router refused")
                .measured(what)
                .next("correct what it says about itself or about the change, then run again"),
            RouterError::NotTaken(what) => Self::new(
                Reason::RouterRefused,
                "the router said yes and kept its old configuration",
            )
            .measured(what)
            .wanted("the new state in force")
            .next("look at the router's own log; does someone or something else write its state?"),
            RouterError::Lost(_) => Self::new(Reason::OutOfReach, said)
                .next("check that it runs and that this machine can reach it, then run again"),
            RouterError::Drifted { said, repair } => {
                Self::new(Reason::RouterDrifted, "the router disagrees with itself")
                    .measured(said)
                    .wanted("both the same")
                    .next(repair)
            }
            RouterError::Divergent(divergence) => {
                let said = match divergence.reading {
                    Some(_) => "the nodes of the router do not agree",
                    None => "not all nodes of the router answer",
                };
                Self::new(Reason::Divergent, said)
                    .measured(divergence.said)
                    .wanted("the same from every node")
                    .next(divergence.repair)
            }
        }
    }
}

impl From<TargetError> for Fault {
    fn from(failed: TargetError) -> Self {
        let said = failed.to_string();
        let with = |fault: Self, words: &[String]| fault.measured(quoting(&said, words));
        let again = "the slot receives no traffic: correct the deployment, then run again";
        match &failed {
            TargetError::Failed { last_words, .. } | TargetError::Vanished { last_words, .. } => {
                let fault = Self::new(Reason::DeployFailed, "the deployment failed");
                with(fault, last_words).next(again)
            }
            TargetError::TimedOut {
                after, last_words, ..
            } => {
                let fault = Self::new(
                    Reason::DeployFailed,
                    "the deployment took too long and was ended",
                )
                .wanted(format!("an end within {}", text::duration(*after)));
                with(fault, last_words).next(again)
            }
            TargetError::Lost { last_words, .. } => {
                let fault = Self::new(Reason::DeployFailed, "how the deployment ends is not known");
                with(fault, last_words).next("the slot receives no traffic: see how the deployment ends there, then run again")
            }
            TargetError::OutOfReach(what) => {
                Self::new(Reason::OutOfReach, "the deployment could not begin")
                    .measured(what.clone())
                    .next("check that it is there and can be reached, then run again")
            }
            TargetError::Cancelled => Self::cancelled(),
        }
    }
}
