//! How a run ends: the decision, the reason, and the four lines that a person needs.
//!
//! Decisions, reasons and exit codes are API: workflows branch on them.

use std::fmt;

use serde::Serialize;

/// What came out, in the words of the `decision` output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// A check or a step on its own went well.
    Passed,
    /// The verdict is no, and traffic was not touched.
    Failed,
    /// The release has the traffic, proved.
    Promoted,
    /// Traffic was put back on the old slot, proved.
    RolledBack,
    /// Failed after the point of no return; traffic stays on the new slot.
    Held,
    /// A way back failed; a person is needed.
    Stuck,
    /// There was nothing to do.
    Skipped,
    /// A dry run: this is what would have been done.
    Planned,
    /// A canary stands before a step that somebody has to allow; the next run goes on with it.
    Paused,
}

/// Why, in one short stable word for the `reason-code` output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It went as asked.
    Done,
    /// Traffic was already there.
    AlreadyThere,
    /// `dry-run`.
    DryRun,
    /// The inputs or the config are wrong.
    BadInput,
    /// Something needed did not answer.
    OutOfReach,
    /// The slot in question receives traffic.
    SlotIsActive,
    /// Another slot is active than `expect-active` says.
    NotAsExpected,
    /// The router and the last record name different slots.
    RecordDisagrees,
    /// The router's own parts disagree, such as its file and its runtime.
    RouterDrifted,
    /// The nodes of the router divide traffic differently, or not all of them answer.
    Divergent,
    /// The target could not put the release into the slot.
    DeployFailed,
    /// A hook that is required failed.
    HookFailed,
    /// The secondary target could not either.
    FailoverFailed,
    /// The slot serves another release than the one deployed.
    WrongVersion,
    /// A smoke check failed.
    SmokeFailed,
    /// The old slot would not be fit to go back to.
    NoWayBack,
    /// The router refused the change.
    RouterRefused,
    /// Somebody else changed the router meanwhile.
    ChangedByOthers,
    /// Somebody else has the lock of the environment.
    Locked,
    /// The lock went to somebody else while the run was at work.
    LockLost,
    /// The people who were asked did not answer in time.
    ApprovalTimedOut,
    /// Somebody who was asked said no.
    ApprovalRejected,
    /// Nobody could be asked.
    ApprovalUnavailable,
    /// What was approved is not what would be done now.
    ApprovalOutdated,
    /// The public URL did not answer with the intended release.
    NotProved,
    /// A health check failed.
    Unhealthy,
    /// A figure passed its limit.
    LimitPassed,
    /// The release is proved to be worse than the one beside it.
    Worse,
    /// Neither was proved in time.
    Inconclusive,
    /// Both releases are bad, so going back would not help.
    SharedIncident,
    /// The next step is one that somebody has to allow.
    ManualStep,
    /// It was only looked at.
    Observed,
    /// A figure is not what it always is at this time.
    Anomaly,
    /// A figure passed a limit that is a warning.
    Degraded,
    /// A look was bad, and it takes more than one to be sure.
    Suspected,
    /// Nothing could be measured.
    NoData,
    /// An environment at GitHub is not protected as the config says.
    ProtectionDiffers,
    /// A record is not as it was written.
    RecordChanged,
    /// Preflight: the machine is too busy or too full.
    PreflightRunner,
    /// Preflight: the Docker engine or Compose does not answer.
    PreflightDocker,
    /// Preflight: something that the config names cannot be reached.
    PreflightNetwork,
    /// Preflight: a secret is missing.
    PreflightSecrets,
    /// Preflight: another deployment of this environment is running.
    PreflightBusy,
    /// Preflight: a guardrail says no.
    PreflightGuardrail,
    /// The run was cancelled.
    Cancelled,
    /// A defect of this program.
    Bug,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        kebab(self, f)
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        kebab(self, f)
    }
}

/// The name that serde gives a unit variant.
fn kebab(word: &impl Serialize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(name)) => f.write_str(&name),
        _ => Err(fmt::Error),
    }
}

/// What a failure has to say, line by line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// What was seen.
    pub measured: Option<String>,
    /// What should have been seen.
    pub wanted: Option<String>,
    /// Where traffic is now, and how that is known.
    pub traffic: Option<String>,
    /// What to run or change next.
    pub next: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// What came out.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// One line for people.
    pub said: String,
    /// The details of a failure; empty where all went well.
    pub account: Account,
}

impl Ending {
    /// A good ending.
    pub fn good(decision: Decision, reason: Reason, said: impl Into<String>) -> Self {
        Self {
            decision,
            reason,
            said: said.into(),
            account: Account::default(),
        }
    }

    /// The exit code, as documented in the README.
    pub const fn exit_code(&self) -> u8 {
        match (self.decision, self.reason) {
            (
                Decision::Passed
                | Decision::Promoted
                | Decision::Skipped
                | Decision::Planned
                | Decision::Paused,
                _,
            ) => 0,
            // What was asked for: the post step of a run that was killed.
            (Decision::RolledBack, Reason::Done) => 0,
            (Decision::Stuck, _) => 40,
            (Decision::Held, _) => 30,
            (Decision::Failed | Decision::RolledBack, Reason::Cancelled) => 130,
            (Decision::RolledBack, _) => 20,
            (Decision::Failed, Reason::BadInput) => 64,
            (Decision::Failed, Reason::OutOfReach) => 69,
            (Decision::Failed, Reason::Bug) => 70,
            (Decision::Failed, _) => 10,
        }
    }

    /// The exit code of mode `preflight`: which kind of check says no. There is nothing else that
    /// could be told by it, for nothing was to be changed.
    pub const fn exit_code_of_preflight(&self) -> u8 {
        match self.reason {
            Reason::PreflightRunner => 1,
            Reason::PreflightDocker => 2,
            Reason::PreflightNetwork => 3,
            Reason::PreflightSecrets => 4,
            Reason::PreflightBusy => 5,
            Reason::PreflightGuardrail => 6,
            _ => self.exit_code(),
        }
    }

    /// Whether the run did what was asked.
    pub const fn is_good(&self) -> bool {
        self.exit_code() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_api() {
        let code = |decision, reason| Ending::good(decision, reason, "").exit_code();
        assert_eq!(code(Decision::Promoted, Reason::Done), 0);
        assert_eq!(code(Decision::Failed, Reason::SmokeFailed), 10);
        assert_eq!(code(Decision::RolledBack, Reason::NotProved), 20);
        assert_eq!(code(Decision::Held, Reason::Unhealthy), 30);
        assert_eq!(code(Decision::Stuck, Reason::Cancelled), 40);
        assert_eq!(code(Decision::Failed, Reason::BadInput), 64);
        assert_eq!(code(Decision::Failed, Reason::OutOfReach), 69);
        assert_eq!(code(Decision::Failed, Reason::Bug), 70);
        assert_eq!(code(Decision::RolledBack, Reason::Cancelled), 130);
        assert_eq!(code(Decision::Failed, Reason::PreflightNetwork), 10);
        let code = |decision, reason| Ending::good(decision, reason, "").exit_code_of_preflight();
        assert_eq!(code(Decision::Passed, Reason::Done), 0);
        assert_eq!(code(Decision::Failed, Reason::PreflightNetwork), 3);
        assert_eq!(code(Decision::Failed, Reason::BadInput), 64);
    }

    #[test]
    fn words_are_kebab_case() {
        assert_eq!(Decision::RolledBack.to_string(), "rolled-back");
        assert_eq!(Reason::ChangedByOthers.to_string(), "changed-by-others");
    }
}
