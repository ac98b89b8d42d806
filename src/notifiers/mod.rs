//! The seam: who should hear of it.
//!
//! A notifier puts [`News`] into its channel's own form and sends it once; a failure is a
//! warning and never changes a verdict. Which news a channel gets, and when, is `report`'s
//! matter. To add a kind: write its file, add its `mod` line and its `KIND` to [`KINDS`].

mod datadog;
mod discord;
mod email;
mod github_comment;
mod hook;
mod pagerduty;
mod slack;
mod slack_bot;
mod smtp;
mod teams;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::Kind;
use crate::config::preflight::Window;
use crate::config::units::Span;
use crate::model::news::News;
use crate::model::severity::Severity;
use crate::platform::http::Http;
use crate::platform::secret::Secret;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Notifier, Tools>] = &[
    slack::KIND,
    slack_bot::KIND,
    discord::KIND,
    teams::KIND,
    email::KIND,
    pagerduty::KIND,
    datadog::KIND,
    github_comment::KIND,
    webhook::KIND,
];

/// What a notifier is built with.
#[derive(Clone, Default)]
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// Where comments are left; `None` without a token or a repository.
    pub comments: Option<Arc<dyn Comments>>,
}

/// The comments of pull requests and issues, whoever keeps them.
#[async_trait]
pub trait Comments: Send + Sync {
    /// Leaves `body` on the pull request or issue of that number, or on the one that this run is
    /// about. With a marker, which is then the first line of `body`, the comment that has it
    /// already is edited instead.
    ///
    /// # Errors
    /// When it is not there afterwards, or that is not known.
    async fn leave(
        &self,
        number: Option<u64>,
        marker: Option<&str>,
        body: &str,
    ) -> Result<(), NotifyError>;
}

/// What all kinds take beside their own keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// What it is called elsewhere in the config. Default: its kind.
    pub name: Option<String>,
    /// Only news of at least this severity. Default info.
    pub from: Severity,
    /// Hours in which nothing but critical news goes out; the rest is in the log. Default: none.
    pub quiet: Option<Window>,
    /// News that follow a message within this time wait, and go out as one. `0s` is each by
    /// itself. Default 30s.
    pub digest: Span,
    /// The word after `kind:`.
    #[serde(skip)]
    pub kind: String,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            name: None,
            from: Severity::Info,
            quiet: None,
            digest: Span::secs(30),
            kind: String::new(),
        }
    }
}

/// What a channel makes of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each is a message.
    Messages,
    /// Those of one thread are one message, which is edited.
    Edited,
    /// They open and close incidents; what means nothing to one is not for it.
    Incidents,
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
    /// Some of those behind the channel were told, and some not: who, and why.
    #[error("not all: {0}")]
    Partly(String),
}

/// Who should hear of it.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// What it is, without its secret: `slack`.
    fn told(&self) -> String;

    /// What it makes of news.
    fn form(&self) -> Form;

    /// Tells them.
    ///
    /// # Errors
    /// When they did not hear of it.
    async fn tell(&self, news: &News) -> Result<(), NotifyError>;
}

/// The kind that a webhook's URL most likely belongs to, by its host and path.
pub fn guess(url: &str) -> &'static str {
    let Ok(url) = url::Url::parse(url.trim()) else {
        return "webhook";
    };
    match url.host_str() {
        Some("hooks.slack.com" | "hooks.slack-gov.com") => "slack",
        Some("discord.com" | "discordapp.com" | "ptb.discord.com" | "canary.discord.com")
            if url.path().starts_with("/api/webhooks/") =>
        {
            "discord"
        }
        Some(host)
            if host.ends_with(".logic.azure.com") || host.ends_with(".api.powerplatform.com") =>
        {
            "teams"
        }
        _ => "webhook",
    }
}

/// The notifier for a bare webhook, by [`guess`].
///
/// # Errors
/// When it is not a URL; the secret is not quoted.
pub fn for_webhook(webhook: &Secret, tools: &Tools) -> Result<Box<dyn Notifier>, String> {
    Ok(match guess(webhook.expose()) {
        "slack" => Box::new(slack::Slack::at(webhook, tools)?),
        "discord" => Box::new(discord::Discord::at(webhook, tools)?),
        "teams" => Box::new(teams::Teams::at(webhook, tools)?),
        _ => Box::new(webhook::Webhook::at("webhook", webhook, tools)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_webhook_is_known_by_its_host() {
        for (url, kind) in [
            (" https://hooks.slack.com/services/T0/B0/x", "slack"),
            ("https://discord.com/api/webhooks/1/x", "discord"),
            ("https://discordapp.com/api/webhooks/1/x", "discord"),
            ("https://discord.com/channels/1", "webhook"),
            ("https://hooks.slack.com.evil.example/services/", "webhook"),
            (
                "https://prod-1.westeurope.logic.azure.com/workflows/x",
                "teams",
            ),
            ("https://logic.azure.com.evil.example/workflows/", "webhook"),
            ("nonsense", "webhook"),
        ] {
            assert_eq!(guess(url), kind, "{url}");
        }
    }
}
