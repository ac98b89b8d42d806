//! The seam: what is run beside a rollout, such as a migration or a call to somebody.
//!
//! A hook never touches traffic, and whether its failure matters is not known here. To add a kind:
//! write its file, add its `mod` line and its `KIND` to [`KINDS`].

mod command;
mod http;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::config::kinds::Kind;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Hook, Tools>] = &[command::KIND, http::KIND];

/// What a hook is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// What must not be shown: text is cleaned before it is cut, for half a secret is not
    /// known as one.
    pub vault: Vault,
    /// The machines that a block may name as its host.
    pub hosts: Hosts,
}

/// What a hook is told. What is not known, or is not there at its moment, is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The moment, such as `before-deploy`.
    pub hook: String,
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The slot that the run is about.
    pub slot: String,
    /// Its own address.
    pub slot_url: String,
    /// The release of that slot.
    pub version: String,
    /// The release that had the traffic before.
    pub previous_version: String,
    /// Whose turn it is, as `cutover lock check` takes it.
    pub fence: String,
    /// How the run ended, at its end.
    pub decision: String,
    /// Why.
    pub reason: String,
}

/// The names in a template.
const NAMES: [&str; 10] = [
    "hook",
    "app",
    "environment",
    "slot",
    "slot-url",
    "version",
    "previous-version",
    "fence",
    "decision",
    "reason",
];

impl Call {
    /// All of it as variables, for scripts.
    pub fn variables(&self) -> [(&'static str, &str); 10] {
        [
            ("HOOK", &self.hook),
            ("APP", &self.app),
            ("ENVIRONMENT", &self.environment),
            ("SLOT", &self.slot),
            ("SLOT_URL", &self.slot_url),
            ("VERSION", &self.version),
            ("PREVIOUS_VERSION", &self.previous_version),
            ("FENCE", &self.fence),
            ("DECISION", &self.decision),
            ("REASON", &self.reason),
        ]
    }

    /// What stands for a name in a template.
    fn value(&self, name: &str) -> &str {
        let nth = NAMES.iter().position(|known| *known == name);
        nth.map_or("", |nth| self.variables()[nth].1)
    }
}

/// Where a hook says what it does: lines of a script's output, and when to give up.
pub struct Desk<'a> {
    /// Takes a line for the log.
    pub say: &'a (dyn Fn(String) + Send + Sync),
    /// Cancelled when it is to end: the hook ends what it began and returns.
    pub cancelled: &'a CancellationToken,
}

/// Why a hook did not do what it is for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It was tried and failed.
    #[error("{said}")]
    Failed {
        /// What happened, in a line: `./migrate.sh ended with 3 after 2.1 s, wanted 0`.
        said: String,
        /// The last lines that were printed, or how the answer begins.
        last_words: Vec<String>,
    },
    /// It could not be begun: no such directory, no connection.
    #[error("{0}")]
    OutOfReach(String),
    /// It was cancelled; what had been begun was ended.
    #[error("cancelled")]
    Cancelled,
}

/// What is run beside a rollout.
#[async_trait]
pub trait Hook: Send + Sync {
    /// What it is, for a line of log: `./scripts/migrate.sh`.
    fn told(&self) -> String;

    /// How long it may take.
    fn timeout(&self) -> Duration;

    /// Runs it once. Returns what it did in a line: `./migrate.sh ended with 0`.
    ///
    /// # Errors
    /// See [`HookError`].
    async fn run(&self, call: &Call, desk: &Desk<'_>) -> Result<String, HookError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_the_names_of_the_variables() {
        for (name, (variable, _)) in NAMES.iter().zip(Call::default().variables()) {
            assert_eq!(name.to_uppercase().replace('-', "_"), variable);
        }
    }
}
