//! Slack, by a bot's token: the message of the incoming webhook, edited while a run goes on.
//!
//! The bot needs the scope `chat:write` and must be in the channel. An ending that somebody
//! should look at is also a reply in the message's thread that the channel sees, because an edit
//! calls nobody.

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::news::News;
use crate::platform::http::below;
use crate::platform::secret::Secret;

use super::hook::{Hook, Known, Repeat, calls_somebody, keep_id, known, secret_header};
use super::slack::{is_word, message};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "slack-bot",
    about: "A message in Slack, by a bot's token; edited while a run goes on.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let token = format!("Bearer {}", options.token.expose().trim());
        let headers = secret_header("token", AUTHORIZATION, &token)?;
        let url = options
            .url
            .map_or(API.to_owned(), |url| url.get().to_string());
        let url = Url::parse(&url).map_err(|failed| format!("url: {failed}"))?;
        let hook = Hook::to(url, &tools.http).with(headers);
        Ok(Box::new(SlackBot {
            hook: hook.keeping(&options.token),
            channel: options.channel,
            known: Known::default(),
        }))
    },
};

/// Slack's own API.
const API: &str = "https://slack.com/api";

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The bot's token, `xoxb-…`, with the scope `chat:write`.
    token: Secret,
    /// The channel's id, such as `C024BE91L`, or its name with `#`.
    #[schemars(length(min = 1))]
    channel: String,
    /// The API's address, for a proxy of one's own. Default: Slack's.
    url: Option<HttpUrl>,
}

/// Slack, by a bot's token.
struct SlackBot {
    hook: Hook,
    channel: String,
    /// By thread: the channel's id and the message's time, with a space between.
    known: Known,
}

impl SlackBot {
    /// Calls a method of the API; what Slack says, or its word for why not.
    async fn call(
        &self,
        method: &str,
        body: &Value,
        repeat: Repeat,
    ) -> Result<Result<Value, String>, NotifyError> {
        let url = below(self.hook.url(), method);
        let answer = self.hook.send(Method::POST, &url, body, repeat).await?;
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let word = said.as_ref().and_then(|said| said.get("error")?.as_str());
        match (answer.status, said.as_ref().map(|said| &said["ok"]), word) {
            (200, Some(Value::Bool(true)), _) => Ok(Ok(said.unwrap_or_default())),
            (200, _, Some(word)) if is_word(word) => Ok(Err(word.to_owned())),
            (status, ..) => Err(self
                .hook
                .refused(status, "with something that is no answer of Slack's")),
        }
    }

    /// Posts a message, as a reply where `thread` is the time of one.
    async fn post(&self, news: &News, thread: Option<(&str, &str)>) -> Result<(), NotifyError> {
        let mut body = message(news);
        body["channel"] = thread
            .map_or(self.channel.as_str(), |(channel, _)| channel)
            .into();
        // Slack would show a preview of every link.
        body["unfurl_links"] = false.into();
        if let Some((_, at)) = thread {
            body["thread_ts"] = at.into();
            body["reply_broadcast"] = true.into();
        }
        let posted = self.call("chat.postMessage", &body, Repeat::Never).await?;
        let said = posted.map_err(|word| self.said_no(&word))?;
        if let (None, Some(channel), Some(at)) =
            (thread, said["channel"].as_str(), said["ts"].as_str())
        {
            keep_id(&self.known, news, Some(&format!("{channel} {at}")));
        }
        Ok(())
    }

    fn said_no(&self, word: &str) -> NotifyError {
        let hint = match word {
            "not_in_channel" => "; invite the bot into the channel",
            "channel_not_found" => "; is it the channel's id, and is the bot in it?",
            "missing_scope" => "; the bot needs the scope chat:write",
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" => {
                "; the token is not valid, or no longer"
            }
            _ => "",
        };
        self.hook.refused(200, &format!("{word}{hint}"))
    }
}

#[async_trait]
impl Notifier for SlackBot {
    fn told(&self) -> String {
        "slack-bot".to_owned()
    }

    fn form(&self) -> Form {
        Form::Edited
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let known = known(&self.known, news);
        let Some((channel, at)) = known.as_deref().and_then(|id| id.split_once(' ')) else {
            return self.post(news, None).await;
        };
        let mut body = message(news);
        body["channel"] = channel.into();
        body["ts"] = json!(at);
        match self.call("chat.update", &body, Repeat::Once).await? {
            Ok(_) if calls_somebody(news) => self.post(news, Some((channel, at))).await,
            Ok(_) => Ok(()),
            // Somebody took it away, or it is too old to be edited.
            Err(word) if matches!(word.as_str(), "message_not_found" | "edit_window_closed") => {
                self.post(news, None).await
            }
            Err(word) => Err(self.said_no(&word)),
        }
    }
}
