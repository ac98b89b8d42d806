//! What one check of a preflight found, and which kind of check it was.

use serde::Serialize;

use super::ending::Reason;

/// Kinds of checks, from the least grave to the gravest. The machine may be quiet again in a
/// minute; a guardrail is a decision that somebody made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// The machine that this runs on.
    Runner = 1,
    /// The Docker engine.
    Docker = 2,
    /// Names and connections.
    Network = 3,
    /// Variables that must be there.
    Secrets = 4,
    /// Another deployment of this environment.
    Busy = 5,
    /// What people decided, and what a rollout relies on.
    Guardrail = 6,
}

impl Group {
    /// Its short name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Docker => "docker",
            Self::Network => "network",
            Self::Secrets => "secrets",
            Self::Busy => "busy",
            Self::Guardrail => "guardrail",
        }
    }

    /// Why a run stops at one of its checks.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Runner => Reason::PreflightRunner,
            Self::Docker => Reason::PreflightDocker,
            Self::Network => Reason::PreflightNetwork,
            Self::Secrets => Reason::PreflightSecrets,
            Self::Busy => Reason::PreflightBusy,
            Self::Guardrail => Reason::PreflightGuardrail,
        }
    }
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Yes.
    Passed {
        /// What was seen.
        measured: String,
    },
    /// No.
    Failed {
        /// What was seen.
        measured: String,
        /// What should have been seen.
        wanted: String,
        /// What to do about it.
        next: String,
    },
    /// It could not be looked at, or there was no need to.
    Skipped {
        /// Why.
        measured: String,
    },
}

/// A check of a preflight, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of check it was.
    pub group: Group,
    /// What was looked at: `disk`, `branch`, `db.internal:5432`.
    pub name: String,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Finding {
    /// A yes.
    pub fn passed(group: Group, name: impl Into<String>, measured: impl Into<String>) -> Self {
        let measured = measured.into();
        Self {
            group,
            name: name.into(),
            verdict: Verdict::Passed { measured },
        }
    }

    /// A no.
    pub fn failed(
        group: Group,
        name: impl Into<String>,
        measured: impl Into<String>,
        wanted: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            group,
            name: name.into(),
            verdict: Verdict::Failed {
                measured: measured.into(),
                wanted: wanted.into(),
                next: next.into(),
            },
        }
    }

    /// Neither, and why.
    pub fn skipped(group: Group, name: impl Into<String>, why: impl Into<String>) -> Self {
        let measured = why.into();
        Self {
            group,
            name: name.into(),
            verdict: Verdict::Skipped { measured },
        }
    }

    /// In one line: what was looked at, what was seen, wanted, and what to do.
    pub fn told(&self) -> String {
        let name = &self.name;
        match &self.verdict {
            Verdict::Passed { measured } | Verdict::Skipped { measured } => {
                format!("{name}: {measured}")
            }
            Verdict::Failed {
                measured,
                wanted,
                next,
            } => format!("{name}: {measured}; wanted {wanted}; next: {next}"),
        }
    }
}
