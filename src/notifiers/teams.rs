//! Microsoft Teams, by the webhook of a workflow: an Adaptive Card with the facts.
//!
//! Texts are runs of a rich text block, which know no markup, so they are shown as they are and
//! mention nobody. Colours are the theme's own words, which can be read on light and on dark.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::{News, Outcome};
use crate::model::severity::Severity;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{Hook, run_link, title, within};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "teams",
    about: "A card in Microsoft Teams, by the webhook of a workflow.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        Ok(Box::new(Teams::at(&options.webhook, tools)?))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The URL of a workflow that posts what a webhook gets (not of an Office 365 connector).
    webhook: Secret,
}

/// A message to Teams may have 28 KB; the workflow puts some of its own around it.
const WHOLE: usize = 26_000;
const TITLE: usize = 300;
const MESSAGE: usize = 8_000;
/// Lines of the message that stand by themselves.
const LINES: usize = 40;
const NAME: usize = 200;
const VALUE: usize = 1_000;

/// Microsoft Teams, by the webhook of a workflow.
pub(super) struct Teams(Hook);

impl Teams {
    pub(super) fn at(webhook: &Secret, tools: &Tools) -> Result<Self, String> {
        Hook::at("webhook", webhook, &tools.http).map(Self)
    }
}

#[async_trait]
impl Notifier for Teams {
    fn told(&self) -> String {
        "teams".to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let answer = self.0.post(&message(news)).await?;
        // The workflow answers 202 before it has posted anything; one that waits answers 200.
        if matches!(answer.status, 200 | 202) {
            return Ok(());
        }
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let said = body.as_ref().and_then(|body| {
            let error = body.get("error")?;
            let part = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
            Some(format!("{} {}", part("code"), part("message")))
        });
        let said = said
            .as_deref()
            .unwrap_or("with something that is no answer of a workflow");
        let hint = match answer.status {
            401 | 403 => "; may anyone trigger the workflow?",
            404 | 410 => "; is the workflow there, and turned on?",
            413 => "; the message is too large",
            _ => "",
        };
        Err(self.0.refused(answer.status, &format!("{said}{hint}")))
    }
}

/// The message as a workflow takes it, with as much of the text and the facts as fits.
fn message(news: &News) -> Value {
    let (mut shown, mut longest) = (news.facts.len(), MESSAGE);
    loop {
        let message = with(news, shown, longest);
        if message.to_string().len() <= WHOLE || (shown, longest) == (0, 0) {
            return message;
        }
        (shown, longest) = (shown.min(60) * 3 / 4, longest * 3 / 4);
    }
}

fn with(news: &News, shown: usize, longest: usize) -> Value {
    let colour = match (news.severity, news.outcome) {
        (Severity::Critical, _) => "Attention",
        (Severity::Warning, _) => "Warning",
        (Severity::Info, Outcome::Good) => "Good",
        (Severity::Info, _) => "Accent",
    };
    let run = |text: String| json!({ "type": "TextRun", "text": text });
    let block = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let mut headline = run(title(news, TITLE));
    headline["weight"] = "Bolder".into();
    headline["size"] = "Medium".into();
    headline["color"] = colour.into();
    let mut body = vec![block(vec![headline])];
    let message = within(&news.message, longest, |c| c.is_control().then_some("\n"));
    let mut lines = message.split('\n').filter(|line| !line.trim().is_empty());
    let first: Vec<&str> = lines.by_ref().take(LINES).collect();
    let rest: Vec<&str> = lines.collect();
    body.extend(
        first
            .iter()
            .map(|line| block(vec![run((*line).to_owned())])),
    );
    if !rest.is_empty() {
        body.push(block(vec![run(rest.join(" · "))]));
    }
    for (name, value) in &news.facts[..shown] {
        let mut name = run(format!("{}: ", text::excerpt(name, NAME)));
        name["weight"] = "Bolder".into();
        let value = match text::excerpt(value, VALUE) {
            empty if empty.is_empty() => "-".to_owned(),
            value => value,
        };
        body.push(block(vec![name, run(value)]));
    }
    let mut footer = vec![news.severity.to_string()];
    footer.extend(news.decision.iter().map(|word| text::excerpt(word, 60)));
    if shown < news.facts.len() {
        let left_out = (news.facts.len() - shown) as u64;
        footer.push(format!("{} not shown", text::count(left_out, "fact")));
    }
    let mut footer = run(footer.join(" · "));
    footer["isSubtle"] = true.into();
    footer["size"] = "Small".into();
    body.push(block(vec![footer]));
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title(news, TITLE),
        "msteams": { "width": "Full" },
        "body": body,
    });
    if let Some(url) = run_link(news) {
        card["actions"] = json!([{ "type": "Action.OpenUrl", "title": "The run", "url": url }]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_stays_within_what_teams_takes() {
        for text in ["x", "\"", "🚀", "\n", "\u{1}", "a\n", "\u{4e00}"] {
            let long = text.repeat(20_000);
            let news = News {
                title: long.clone(),
                message: long.clone(),
                decision: Some(long.clone()),
                facts: vec![(long.clone(), long); 90],
                ..News::default()
            };
            let length = message(&news).to_string().len();
            assert!(length <= WHOLE, "{text:?}: {length}");
        }
    }
}
