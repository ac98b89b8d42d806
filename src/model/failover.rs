//! Why a deployment went from the primary target to the secondary.

use std::fmt;

use serde::Serialize;

/// Why the secondary deploys. The names are labels of figures, and API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The primary ended badly: an exit code, a signal, a status.
    PrimaryExitCode,
    /// The primary did not end in time.
    PrimaryTimeout,
    /// The primary could not be begun, or its machine was out of reach before it was done.
    PrimaryUnreachable,
    /// Somebody said so.
    Manual,
}

impl Cause {
    /// As the label of a figure.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrimaryExitCode => "primary_exit_code",
            Self::PrimaryTimeout => "primary_timeout",
            Self::PrimaryUnreachable => "primary_unreachable",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
