//! What an ending means to the people who hear of it: how much it matters, and whether it is a
//! failure at all.

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::news::Outcome;
use crate::model::severity::Severity;

/// How a run stands at its end. Where it was cancelled and a person is needed, that is a failure.
pub const fn outcome_of(ending: &Ending) -> Outcome {
    match (ending.decision, ending.reason) {
        _ if ending.is_good() => Outcome::Good,
        (Decision::Failed | Decision::RolledBack, Reason::Cancelled) => Outcome::Cancelled,
        _ => Outcome::Failed,
    }
}

/// How much an ending matters. Where the release had traffic and was bad, users were affected,
/// also when it was taken back: somebody should know at once that the next one will be too.
/// Where traffic was not touched, today is soon enough; where a person cancelled, they know.
pub fn severity_of(ending: &Ending, mode: &str) -> Severity {
    match (ending.decision, ending.reason) {
        (Decision::Passed, Reason::Degraded) => Severity::Warning,
        _ if ending.is_good() => Severity::Info,
        // A canary that is held has not failed: somebody is to look.
        (Decision::Held, Reason::Inconclusive | Reason::Worse) => Severity::Warning,
        (Decision::Held | Decision::Stuck, _) => Severity::Critical,
        (Decision::RolledBack, Reason::Cancelled) => Severity::Warning,
        (Decision::RolledBack, _) => Severity::Critical,
        (_, Reason::Cancelled) => Severity::Info,
        // Whoever was to help could not.
        (_, Reason::FailoverFailed) => Severity::Critical,
        // Here it is the live service that was looked at.
        (_, Reason::Unhealthy | Reason::LimitPassed) if mode == "health-check" => {
            Severity::Critical
        }
        _ => Severity::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severity_is_what_users_felt() {
        let severity =
            |decision, reason, mode| severity_of(&Ending::good(decision, reason, ""), mode);
        for (decision, reason, mode, wanted) in [
            (Decision::Promoted, Reason::Done, "rollout", Severity::Info),
            (
                Decision::Failed,
                Reason::SmokeFailed,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Failed,
                Reason::FailoverFailed,
                "rollout",
                Severity::Critical,
            ),
            (
                Decision::Failed,
                Reason::Cancelled,
                "rollout",
                Severity::Info,
            ),
            (
                Decision::Failed,
                Reason::Unhealthy,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Failed,
                Reason::Unhealthy,
                "health-check",
                Severity::Critical,
            ),
            (
                Decision::Passed,
                Reason::Degraded,
                "health-check",
                Severity::Warning,
            ),
            (
                Decision::RolledBack,
                Reason::Cancelled,
                "rollout",
                Severity::Warning,
            ),
            (
                Decision::Held,
                Reason::Cancelled,
                "rollout",
                Severity::Critical,
            ),
            (
                Decision::Stuck,
                Reason::Cancelled,
                "rollout",
                Severity::Critical,
            ),
        ] {
            assert_eq!(
                severity(decision, reason, mode),
                wanted,
                "{decision} {reason}"
            );
        }
    }

    #[test]
    fn who_was_cancelled_did_not_fail_unless_a_person_is_needed() {
        let outcome = |decision| outcome_of(&Ending::good(decision, Reason::Cancelled, ""));
        assert_eq!(outcome(Decision::Failed), Outcome::Cancelled);
        assert_eq!(outcome(Decision::RolledBack), Outcome::Cancelled);
        assert_eq!(outcome(Decision::Held), Outcome::Failed);
        assert_eq!(outcome(Decision::Stuck), Outcome::Failed);
        let bad = Ending::good(Decision::RolledBack, Reason::NotProved, "");
        assert_eq!(outcome_of(&bad), Outcome::Failed);
    }
}
