//! Slack, by an incoming webhook: a headline, and under it the facts beside a coloured bar.
//!
//! Texts are shown as they are: `&`, `<` and `>` are escaped, so that nothing in them can
//! mention a channel or disguise a link. Lengths are those that Slack refuses to exceed.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::News;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{Hook, colour, title, within};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "slack",
    about: "A message in Slack, by an incoming webhook.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        Ok(Box::new(Slack::at(&options.webhook, tools)?))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The URL of the incoming webhook.
    webhook: Secret,
}

const HEADER: usize = 150;
const TEXT: usize = 3000;
const FIELD: usize = 2000;
const FIELDS_OF_A_SECTION: usize = 10;
/// Far below the 50 blocks that a message may have; more than that nobody reads.
const FACTS: usize = 40;

/// Slack, by an incoming webhook.
pub(super) struct Slack(Hook);

impl Slack {
    pub(super) fn at(webhook: &Secret, tools: &Tools) -> Result<Self, String> {
        Hook::at("webhook", webhook, &tools.http).map(Self)
    }
}

#[async_trait]
impl Notifier for Slack {
    fn told(&self) -> String {
        "slack".to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let answer = self.0.post(&message(news)).await?;
        let said = answer.text();
        let word = said.trim();
        if answer.status == 200 && word == "ok" {
            return Ok(());
        }
        // A refusal is one word, such as `no_service`; anything else is a page that somebody
        // else put in the way.
        let said = if is_word(word) {
            word
        } else {
            "with something that is no answer of Slack's"
        };
        Err(self.0.refused(answer.status, said))
    }
}

/// Whether a text is one of Slack's own words, such as `no_service`.
pub(super) fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word.len() <= 60
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The message as Slack takes it.
pub(super) fn message(news: &News) -> Value {
    let title = title(news, HEADER);
    let mut details = Vec::new();
    if !news.message.trim().is_empty() {
        details.push(json!({ "type": "section", "text": mrkdwn(escaped(&news.message, TEXT)) }));
    }
    let shown = &news.facts[..news.facts.len().min(FACTS)];
    for facts in shown.chunks(FIELDS_OF_A_SECTION) {
        let fields: Vec<Value> = facts
            .iter()
            .map(|(name, value)| field(name, value))
            .collect();
        details.push(json!({ "type": "section", "fields": fields }));
    }
    let context = mrkdwn(context(news, news.facts.len() - shown.len()));
    details.push(json!({ "type": "context", "elements": [context] }));
    json!({
        // With blocks beside it this is what a phone's notification shows.
        "text": escaped(&format!("{}: {title}", news.severity), TEXT),
        "blocks": [{
            "type": "header",
            "text": { "type": "plain_text", "text": escaped(&title, HEADER), "emoji": false },
        }],
        "attachments": [{
            "color": format!("#{:06x}", colour(news)),
            "fallback": escaped(&title, TEXT),
            "blocks": details,
        }],
    })
}

fn field(name: &str, value: &str) -> Value {
    let name = escaped(name, 200);
    let value = link(value, None).unwrap_or_else(|| escaped(value, 1500));
    mrkdwn(format!("*{name}*\n{value}"))
}

/// `warning · rolled-back · the run`.
fn context(news: &News, left_out: usize) -> String {
    let mut parts = vec![news.severity.to_string()];
    parts.extend(news.decision.iter().map(|word| escaped(word, 100)));
    if left_out > 0 {
        parts.push(format!(
            "{} not shown",
            text::count(left_out as u64, "fact")
        ));
    }
    parts.extend(
        news.run_url
            .iter()
            .filter_map(|url| link(url, Some("the run"))),
    );
    parts.join(" · ")
}

/// A link, if the whole of `url` is one. A button would do, but Slack then expects an app
/// behind the webhook that answers the click.
fn link(url: &str, label: Option<&str>) -> Option<String> {
    let url = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let target = escaped(&url.as_str().replace('|', "%7C"), FIELD);
    (target.len() < FIELD - 300).then(|| match label {
        Some(label) => format!("<{target}|{label}>"),
        None => format!("<{target}>"),
    })
}

/// `verbatim` keeps Slack from making links and mentions of its own out of the text.
fn mrkdwn(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

fn escaped(text: &str, max: usize) -> String {
    within(text, max, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_be_mentioned_and_no_link_disguised() {
        let news = News {
            title: "<!channel> a&b".into(),
            message: "<https://evil.example|fine>".into(),
            facts: vec![
                ("version".into(), "<@U1>".into()),
                ("url".into(), "https://shop.example.com/a|b>c".into()),
            ],
            ..News::default()
        };
        let message = message(&news);
        assert_eq!(
            message["blocks"][0]["text"]["text"],
            "&lt;!channel&gt; a&amp;b"
        );
        let details = &message["attachments"][0]["blocks"];
        assert_eq!(
            details[0]["text"]["text"],
            "&lt;https://evil.example|fine&gt;"
        );
        assert_eq!(details[1]["fields"][0]["text"], "*version*\n&lt;@U1&gt;");
        assert_eq!(
            details[1]["fields"][1]["text"],
            "*url*\n<https://shop.example.com/a%7Cb%3Ec>"
        );
    }
}
