//! The seam: one look at something, and what was seen.
//!
//! A probe looks once and has no patience; retries, streaks and deadlines are in
//! `rollout::patience`, above all probes. To add a kind: write its file, add its `mod` line
//! and its `KIND` to [`KINDS`].

mod command;
mod dns;
mod file;
mod http;
mod postgres;
mod reach;
mod redis;
mod tcp;
mod tls_expiry;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::config::kinds::Kind;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Probe, Tools>] = &[
    http::KIND,
    tcp::KIND,
    postgres::KIND,
    redis::KIND,
    dns::KIND,
    tls_expiry::KIND,
    command::KIND,
    file::KIND,
];

/// What a probe is built with.
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

/// What is looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// A slot's own address, or the public URL. A probe with a `path` looks there.
    pub url: Url,
    /// Names for commands: `APP`, `ENVIRONMENT`, `SLOT`, `VERSION`, `URL`, as far as known.
    pub variables: Vec<(String, String)>,
}

/// What a healthy look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// In a few words: `200 in 12 ms`.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// What an unhealthy look saw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{measured}, wanted {wanted}")]
pub struct Ailment {
    /// What was seen: status, first bytes of the body, timing, or the phase that failed.
    pub measured: String,
    /// What should have been seen.
    pub wanted: String,
    /// How long it took.
    pub took: Duration,
    /// Whether nothing answered at all, as against a wrong answer.
    pub silent: bool,
    /// Whether it could not be looked at, for want of something on this machine: files, ports,
    /// memory. It says nothing about what was to be looked at.
    pub unseen: bool,
}

/// One look.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What it looks at, for a line of log: `GET /health`.
    fn told(&self) -> String;

    /// The URL that it asks whoever the subject is; `None` where it follows the subject, or asks
    /// none.
    fn fixed(&self) -> Option<&Url> {
        None
    }

    /// Looks once. Always returns within the probe's own timeout.
    ///
    /// # Errors
    /// What was seen instead of health.
    async fn look(&self, at: &Subject) -> Result<Pulse, Ailment>;
}
