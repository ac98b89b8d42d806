//! The seam: who should hear of it.
//!
//! A notifier puts [`News`] into its channel's own form and sends it once; a failure is a
//! warning and never changes a verdict. To add a kind: write its file, add its `mod` line and
//! its `KIND` to [`KINDS`].

mod discord;
mod hook;
mod slack;
mod webhook;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::Kind;
use crate::model::news::News;
use crate::model::severity::Severity;
use crate::platform::http::Http;
use crate::platform::secret::Secret;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Notifier, Tools>] = &[slack::KIND, discord::KIND, webhook::KIND];

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
            ("nonsense", "webhook"),
        ] {
            assert_eq!(guess(url), kind, "{url}");
        }
    }
}
