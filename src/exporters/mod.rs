//! The seam: who keeps the figures of many runs.
//!
//! An exporter hands what one run measured to a system that keeps it; a failure is a warning
//! and never changes a verdict. To add a kind: write its file, add its `mod` line and its
//! `KIND` to [`KINDS`].

mod exposition;
mod otlp;
mod pushgateway;
mod series;
mod textfile;

use std::path::PathBuf;

use async_trait::async_trait;

use crate::config::kinds::Kind;
use crate::model::measure::{Labels, Measure};
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Exporter, Tools>] = &[pushgateway::KIND, otlp::KIND, textfile::KIND];

/// What an exporter is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// The secrets.
    pub vault: Vault,
    /// The application's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
}

/// Why the figures are not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExportError(pub String);

/// Who keeps the figures of many runs.
#[async_trait]
pub trait Exporter: Send + Sync {
    /// What it is, without a secret: `pushgateway at http://push.internal:9091`.
    fn told(&self) -> String;

    /// Hands over what a run measured. Takes as long as the other side does: the caller has a
    /// time limit, and may drop this at any moment.
    ///
    /// # Errors
    /// When the figures are not kept, or perhaps not.
    async fn export(&self, measures: &[Measure], labels: &Labels) -> Result<(), ExportError>;
}
