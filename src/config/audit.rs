//! Where the audit goes, in the words of the config.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::platform::secret::Secret;

use super::units::HttpUrl;

/// Where everything that happens is written down.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditOptions {
    /// The file that lines are appended to, relative to the workspace. Default cutover-audit.jsonl.
    #[serde(default = "default_file")]
    #[schemars(length(min = 1))]
    pub file: String,
    /// A Loki that gets the lines of a run when it is over.
    pub loki: Option<LokiOptions>,
}

/// A Loki.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LokiOptions {
    /// Its address, without `/loki/api/v1/push`; a user and a password may be in it.
    pub url: HttpUrl,
    /// Sent as a bearer token.
    pub token: Option<Secret>,
    /// The tenant, sent as `X-Scope-OrgID`.
    #[schemars(length(min = 1))]
    pub tenant: Option<String>,
}

fn default_file() -> String {
    "cutover-audit.jsonl".to_owned()
}
