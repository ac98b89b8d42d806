//! The seam: who should hear of it.
//!
//! A notifier puts [`News`] into its channel's own form and sends it once; a failure is a
//! warning and never changes a verdict. To add a kind: write its file, add its `mod` line and
//! its `KIND` to [`KINDS`].

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::Kind;
use crate::model::news::News;
use crate::model::severity::Severity;
use crate::platform::http::Http;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Notifier, Tools>] = &[];

/// What a notifier is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
}

/// What all kinds take beside their own keys.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// Only news of at least this severity. Default info.
    pub from: Severity,
}

/// Why nobody heard of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// The channel did not answer.
    #[error("no answer: {0}")]
    OutOfReach(String),
    /// The channel said no.
    #[error("refused: {0}")]
    Refused(String),
}

/// Who should hear of it.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// What it is, without its secret: `slack`.
    fn told(&self) -> String;

    /// Tells them.
    ///
    /// # Errors
    /// When they did not hear of it.
    async fn tell(&self, news: &News) -> Result<(), NotifyError>;
}
