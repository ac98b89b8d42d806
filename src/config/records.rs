//! Who keeps the record of what was deployed at GitHub.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which GitHub Deployments record what was deployed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Records {
    /// The one that GitHub has made for a job with `environment:`; one of our own where there is none.
    #[default]
    Auto,
    /// Always one of our own.
    Create,
    /// Only the one that GitHub has made.
    Adopt,
    /// None; and none is read.
    None,
}
