//! What a config says of a slot's project.
//!
//! Which words are filled in where is told at each; the version goes into the environment, never
//! into a line of shell.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::script::Variables;
use crate::config::units::Span;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// The file, such as `compose.yml`, or `$SLOT.yml`. It finds `VERSION`, `SLOT`, `APP` and the rest of
    /// what a `command` does, and `SLOT_PORT`, which is the port of the slot's own address:
    /// `image: "shop:${VERSION}"`, `ports: ["127.0.0.1:${SLOT_PORT}:8080"]`. On a `host` it is that machine's.
    #[schemars(length(min = 1))]
    pub file: String,
    /// The slot's project, the same for every version. `$APP`, `$ENVIRONMENT` and `$SLOT` are filled in.
    /// Default `$APP-$SLOT`.
    #[serde(default = "app_and_slot")]
    pub project: String,
    /// The machine on which it is done, one of `hosts`. Default: this one.
    pub host: Option<String>,
    /// The command. Default `docker compose`, or `docker-compose` where that is version 2.
    #[serde(default)]
    pub command: String,
    /// More variables for the file.
    #[serde(default)]
    pub env: Variables,
    /// When images are pulled. Default always; those that the file builds are not.
    #[serde(default)]
    pub pull: Pull,
    /// How long it may take until all is healthy, or runs where there is no health check. Default 2m.
    #[serde(default = "two_minutes")]
    pub wait: Span,
    /// How long all of it has to run on without a restart then. Default 5s.
    #[serde(default = "five_seconds")]
    pub steady: Span,
    /// How long the pull may take. Default 10m.
    #[serde(default = "ten_minutes")]
    pub timeout: Span,
}

/// When images are pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pull {
    /// Each time.
    #[default]
    Always,
    /// Where the engine does not have them.
    Missing,
    /// Never: they were built on the engine.
    Never,
}

fn app_and_slot() -> String {
    "$APP-$SLOT".to_owned()
}

fn two_minutes() -> Span {
    Span::secs(120)
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn ten_minutes() -> Span {
    Span::secs(600)
}
