//! The seam: how a release gets into a slot.
//!
//! A target deploys, and never touches traffic. To add a kind: write its file, add its `mod`
//! line and its `KIND` to [`KINDS`]. Whether the slot then serves the release is not asked
//! here; the story looks at the slot itself.

mod command;
mod compose;
mod directory;
mod docker;
mod fleet;
mod http;
mod shell;
mod systemd;

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::config::docker_host::Engine;
use crate::config::kinds::Kind;
use crate::model::release::Release;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Target, Tools>] = &[
    command::KIND,
    compose::KIND,
    directory::KIND,
    docker::KIND,
    fleet::KIND,
    http::KIND,
    systemd::KIND,
];

/// What a target is built with.
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
    /// The Docker engine, as the environment names it.
    pub engine: Engine,
}

/// What to deploy, and where.
#[derive(Clone, Debug)]
pub struct Order {
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The slot's name.
    pub slot: String,
    /// The slot's own address.
    pub slot_url: url::Url,
    /// The release.
    pub release: Release,
    /// Whose turn it is, as `cutover lock check` takes it; `None` without a lock.
    pub fence: Option<String>,
}

impl Order {
    /// The order as variables, for scripts: `APP`, `ENVIRONMENT`, `SLOT`, `SLOT_URL`,
    /// `VERSION`, and `FENCE`, which is empty without a lock. `MEMBER` is `SLOT` by the name that
    /// it has where the environment has members.
    pub fn variables(&self) -> [(&'static str, &str); 7] {
        [
            ("APP", &self.app),
            ("ENVIRONMENT", &self.environment),
            ("SLOT", &self.slot),
            ("MEMBER", &self.slot),
            ("SLOT_URL", self.slot_url.as_str()),
            ("VERSION", self.release.as_str()),
            ("FENCE", self.fence.as_deref().unwrap_or_default()),
        ]
    }

    /// A text with `$APP`, `$ENVIRONMENT`, `$SLOT` and `$VERSION` filled in. Other dollars are left alone.
    fn fill(&self, text: &str) -> String {
        let words = [
            ("APP", self.app.as_str()),
            ("ENVIRONMENT", &self.environment),
            ("SLOT", &self.slot),
            ("VERSION", self.release.as_str()),
        ];
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !of_name(c)).unwrap_or(after.len());
            match words.iter().find(|(name, _)| *name == &after[..end]) {
                Some((_, value)) => {
                    out.push_str(value);
                    rest = &after[end..];
                }
                None => {
                    out.push('$');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }
}

/// Refuses a name of a slot's own that has `$VERSION` in it: the slot's next release would have another one,
/// so the one before would be neither seen nor stopped.
///
/// # Errors
/// When it does, with its key.
fn of_every_version(key: &str, name: &str) -> Result<(), String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = |after: &str| after.split(|c| !of_name(c)).next() == Some("VERSION");
    if name.split('$').skip(1).any(word) {
        return Err(format!(
            "{key}: \"{name}\" is another one for each version, and the release before would run on beside it; take $VERSION out of it"
        ));
    }
    Ok(())
}

/// Where a target says what it does: lines of a script's output, and when to give up.
pub struct Desk<'a> {
    /// Takes a line for the log.
    pub say: &'a (dyn Fn(String) + Send + Sync),
    /// Takes how it went at one of several machines.
    pub went: &'a (dyn Fn(Went) + Send + Sync),
    /// Cancelled when the run is, or when the failover's deadline is over: the target ends what it
    /// began and returns.
    pub cancelled: &'a CancellationToken,
    /// Cancelled when the run itself is: only then may a way back go on when the target has returned,
    /// for nobody follows in the slot.
    pub run: &'a CancellationToken,
}

impl Desk<'_> {
    /// Waits for what changes nothing until the run is cancelled, and then no longer: there is
    /// nothing that would have to be ended, so it is dropped.
    ///
    /// # Errors
    /// Its own, or [`TargetError::Cancelled`].
    pub async fn unless_cancelled<T>(
        &self,
        asked: impl Future<Output = Result<T, TargetError>> + Send,
    ) -> Result<T, TargetError> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(TargetError::Cancelled),
            answer = asked => answer,
        }
    }
}

/// How it went at one of several machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Went {
    /// Whether the release is in the slot there.
    pub well: bool,
    /// The machine and what happened, in a line: `web1: ./deploy.sh ended with 0`.
    pub said: String,
    /// How long it took; zero where it was not begun.
    pub took: Duration,
}

/// Why a release did not get into the slot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It was tried and failed.
    #[error("{said}")]
    Failed {
        /// What happened, in a line: `./deploy.sh ended with 3 after 2.1 s`.
        said: String,
        /// The last lines that were printed, or the first bytes that were answered.
        last_words: Vec<String>,
    },
    /// It took longer than its timeout, and was ended if it can be.
    #[error("{said}")]
    TimedOut {
        /// What took so long.
        said: String,
        /// The timeout.
        after: Duration,
        /// The last lines that were printed.
        last_words: Vec<String>,
    },
    /// It was begun, and how it ends is not known: its answer was lost.
    #[error("{said}")]
    Lost {
        /// What happened, in a line.
        said: String,
        /// The first bytes that were answered, if any were.
        last_words: Vec<String>,
    },
    /// It was begun, and a machine that it needs is out of reach since; nothing of it is at work any more.
    #[error("{said}")]
    Vanished {
        /// What happened, in a line.
        said: String,
        /// The last lines that were printed.
        last_words: Vec<String>,
    },
    /// It could not be begun: no such directory, no connection.
    #[error("{0}")]
    OutOfReach(String),
    /// The run was cancelled; what had been begun was ended.
    #[error("cancelled")]
    Cancelled,
}

/// How a release gets into a slot.
#[async_trait]
pub trait Target: Send + Sync {
    /// What it is, for a line of log: `./scripts/deploy.sh`.
    fn told(&self) -> String;

    /// Whether nothing of what it began goes on when it has returned, also after a timeout.
    fn ends_what_it_begins(&self) -> bool;

    /// Checks what can be checked without changing anything. May be dropped at any time, and
    /// asked while another target is at work in the same slot.
    ///
    /// # Errors
    /// When a deployment could not work.
    async fn prepare(&self, order: &Order) -> Result<(), TargetError>;

    /// Puts the release into the slot. Can be repeated without harm as far as the user's own
    /// script can. Returns what it did in a line: `./deploy.sh ended with 0`.
    ///
    /// # Errors
    /// See [`TargetError`].
    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError>;

    /// What stops a slot; `None` where the kind does not know how.
    fn stops(&self) -> Option<&dyn Stops> {
        None
    }
}

/// What stops a slot that is not needed any more.
#[async_trait]
pub trait Stops: Send + Sync {
    /// Stops what is in the slot; nothing of it is removed, and the next deployment brings it up.
    /// Returns what it did in a line.
    ///
    /// # Errors
    /// See [`TargetError`].
    async fn stop(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError>;
}
