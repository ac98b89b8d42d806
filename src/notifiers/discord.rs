//! Discord, by a webhook: one embed with the facts as fields, edited while a run goes on.
//!
//! Texts are shown as they are: what Discord would take for markup is escaped, and nothing in
//! them can mention anybody. Lengths are those that Discord refuses to exceed, the 6,000
//! characters of an embed as a whole included.

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::News;
use crate::platform::http::Answer;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{
    Hook, Known, Repeat, calls_somebody, colour, keep_id, known, run_link, title, units, within,
};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "discord",
    about: "A message in Discord, by a webhook.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        Ok(Box::new(Discord::at(&options.webhook, tools)?))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The URL of the webhook.
    webhook: Secret,
}

const TITLE: usize = 256;
const DESCRIPTION: usize = 4096;
const FIELDS: usize = 25;
const NAME: usize = 256;
const VALUE: usize = 1024;
const WHOLE: usize = 6000;
/// What the footer is given of the whole.
const FOOTER: usize = 200;

/// Discord, by a webhook.
pub(super) struct Discord {
    hook: Hook,
    known: Known,
}

impl Discord {
    pub(super) fn at(webhook: &Secret, tools: &Tools) -> Result<Self, String> {
        Ok(Self {
            hook: Hook::at("webhook", webhook, &tools.http)?,
            known: Known::default(),
        })
    }

    /// Posts a message and keeps its id, which Discord tells where it is asked to wait.
    async fn post(&self, news: &News) -> Result<(), NotifyError> {
        let mut url = self.hook.url().clone();
        if !url.query_pairs().any(|(key, _)| key == "wait") {
            url.query_pairs_mut().append_pair("wait", "true");
        }
        let answer = self
            .hook
            .send(Method::POST, &url, &message(news), Repeat::Never)
            .await?;
        if !matches!(answer.status, 200 | 204) {
            return Err(self.refused(&answer));
        }
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let id = body.as_ref().and_then(|body| body.get("id")?.as_str());
        keep_id(&self.known, news, id);
        Ok(())
    }

    /// Edits a message; whether it was still there.
    async fn edit(&self, id: &str, news: &News) -> Result<bool, NotifyError> {
        let mut url = self.hook.url().clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["messages", id]);
        }
        let answer = self
            .hook
            .send(Method::PATCH, &url, &message(news), Repeat::Once)
            .await?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused(&answer)),
        }
    }

    fn refused(&self, answer: &Answer) -> NotifyError {
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let said = body.as_ref().and_then(|body| {
            let message = body.get("message")?.as_str()?;
            Some(match body.get("errors") {
                Some(errors) => format!("{message}: {errors}"),
                None => message.to_owned(),
            })
        });
        let said = said
            .as_deref()
            .unwrap_or("with something that is no answer of Discord's");
        self.hook.refused(answer.status, said)
    }
}

#[async_trait]
impl Notifier for Discord {
    fn told(&self) -> String {
        "discord".to_owned()
    }

    fn form(&self) -> Form {
        Form::Edited
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let Some(id) = known(&self.known, news) else {
            return self.post(news).await;
        };
        let there = self.edit(&id, news).await?;
        if !there || calls_somebody(news) {
            self.post(news).await?;
        }
        Ok(())
    }
}

/// The message as Discord takes it.
fn message(news: &News) -> Value {
    let title = escaped(&title(news, TITLE), TITLE);
    let description = escaped(&news.message, DESCRIPTION);
    let mut room = WHOLE - FOOTER - units(&title) - units(&description);
    let mut fields = Vec::new();
    for (name, value) in news.facts.iter().take(FIELDS) {
        let (name, value) = (named(name, NAME), named(value, VALUE));
        let needed = units(&name) + units(&value);
        if needed > room {
            break;
        }
        room -= needed;
        fields.push(json!({ "name": name, "value": value, "inline": true }));
    }
    let mut footer = vec![news.severity.to_string()];
    footer.extend(news.decision.iter().map(|word| text::excerpt(word, 60)));
    if fields.len() < news.facts.len() {
        let left_out = (news.facts.len() - fields.len()) as u64;
        footer.push(format!("{} not shown", text::count(left_out, "fact")));
    }
    let mut embed = Map::from_iter([
        ("title".to_owned(), title.into()),
        ("color".to_owned(), colour(news).into()),
        ("fields".to_owned(), fields.into()),
        ("footer".to_owned(), json!({ "text": footer.join(" · ") })),
    ]);
    if !description.is_empty() {
        embed.insert("description".to_owned(), description.into());
    }
    if let Some(url) = run_link(news) {
        embed.insert("url".to_owned(), url.into());
    }
    json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } })
}

/// A name or a value, which Discord wants not to be empty.
fn named(text: &str, max: usize) -> String {
    match escaped(text, max) {
        empty if empty.is_empty() => "-".to_owned(),
        text => text,
    }
}

fn escaped(text: &str, max: usize) -> String {
    within(text, max, |c| {
        Some(match c {
            '\\' => "\\\\",
            '*' => "\\*",
            '_' => "\\_",
            '~' => "\\~",
            '`' => "\\`",
            '|' => "\\|",
            '>' => "\\>",
            '<' => "\\<",
            '#' => "\\#",
            '[' => "\\[",
            ']' => "\\]",
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embed_stays_within_the_whole() {
        let news = News {
            title: "t".repeat(500),
            message: "*".repeat(5000),
            facts: vec![("n".repeat(300), "v".repeat(2000)); 40],
            ..News::default()
        };
        let message = message(&news);
        let embed = &message["embeds"][0];
        let fields = embed["fields"].as_array().unwrap();
        let length = |value: &Value| units(value.as_str().unwrap());
        let whole: usize = length(&embed["title"])
            + length(&embed["description"])
            + length(&embed["footer"]["text"])
            + fields
                .iter()
                .map(|field| length(&field["name"]) + length(&field["value"]))
                .sum::<usize>();
        assert!(whole <= WHOLE, "{whole}");
        assert_eq!(embed["footer"]["text"], "info · 39 facts not shown");
        assert_eq!(message["allowed_mentions"], json!({ "parse": [] }));
    }
}
