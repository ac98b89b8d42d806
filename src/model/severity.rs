//! How much something matters to the people who are told.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From good to know to get up.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Somebody should look at it today.
    Warning,
    /// Users are affected, or would be.
    Critical,
}

impl Severity {
    /// All of them, for messages that list the choice.
    pub const NAMES: [&'static str; 3] = ["info", "warning", "critical"];
}

impl std::str::FromStr for Severity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "info" => Ok(Self::Info),
            "warning" => Ok(Self::Warning),
            "critical" => Ok(Self::Critical),
            _ => Err(()),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::NAMES[*self as usize])
    }
}
