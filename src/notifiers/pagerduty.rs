//! PagerDuty, by its Events API v2: news open, acknowledge and close incidents.
//!
//! All news of one incident carry one `dedup_key`, so a request that is made twice is one event
//! at PagerDuty. Nothing is cut by PagerDuty itself: it refuses what is too long.

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::news::{Alert, News, Outcome};
use crate::model::severity::Severity;
use crate::platform::http::{USER_AGENT, below};
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{Hook, Repeat, run_link, title};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "pagerduty",
    about: "An incident in PagerDuty, opened, acknowledged and closed by its Events API v2.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let key = options.routing_key.expose().trim();
        if key.len() != KEY || !key.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(format!(
                "routing-key: the secret is not the {KEY} letters and digits of an integration of kind Events API v2"
            ));
        }
        let url = options
            .url
            .map_or(API.to_owned(), |url| url.get().to_string());
        let url = Url::parse(&url).map_err(|failed| format!("url: {failed}"))?;
        Ok(Box::new(PagerDuty {
            hook: Hook::to(url, &tools.http).keeping(&options.routing_key),
            routing_key: options.routing_key,
        }))
    },
};

/// PagerDuty's own API; the one in Europe is `https://events.eu.pagerduty.com`.
const API: &str = "https://events.pagerduty.com";

/// The length of a routing key.
const KEY: usize = 32;
const SUMMARY: usize = 1024;
const DEDUP_KEY: usize = 255;
/// PagerDuty takes 512 kB in all; these leave it far below that.
const FACTS: usize = 100;
const FACT: usize = 1000;
const MESSAGE: usize = 20_000;

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The integration key of a service, of kind Events API v2.
    routing_key: Secret,
    /// The API's address. Default `https://events.pagerduty.com`; in Europe it is
    /// `https://events.eu.pagerduty.com`.
    url: Option<HttpUrl>,
}

/// PagerDuty, by its Events API v2.
struct PagerDuty {
    hook: Hook,
    routing_key: Secret,
}

#[async_trait]
impl Notifier for PagerDuty {
    fn told(&self) -> String {
        "pagerduty".to_owned()
    }

    fn form(&self) -> Form {
        Form::Incidents
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let mut event = event(news);
        event["routing_key"] = self.routing_key.expose().trim().into();
        let url = below(self.hook.url(), "/v2/enqueue");
        let answer = self
            .hook
            .send(Method::POST, &url, &event, Repeat::Once)
            .await?;
        if answer.status == 202 {
            return Ok(());
        }
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let said = body.as_ref().and_then(|body| {
            let errors = body.get("errors").and_then(Value::as_array);
            let errors: Vec<&str> = errors
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let message = body.get("message").and_then(Value::as_str);
            match (message, errors.as_slice()) {
                (None, []) => None,
                (message, errors) => Some(text::sentence(
                    message.unwrap_or_default(),
                    &errors.join(", "),
                )),
            }
        });
        let said = said
            .as_deref()
            .unwrap_or("with something that is no answer of PagerDuty's");
        Err(self.hook.refused(answer.status, said))
    }
}

/// The event as PagerDuty takes it, but for the key.
fn event(news: &News) -> Value {
    let alert = news.incident.as_ref().map(|incident| incident.alert);
    let (action, payload) = match alert {
        Some(Alert::Acknowledge) => ("acknowledge", None),
        Some(Alert::Resolve) => ("resolve", None),
        Some(Alert::Trigger) | None => ("trigger", Some(payload(news))),
    };
    let mut event = json!({ "event_action": action, "client": USER_AGENT });
    if let Some(incident) = &news.incident {
        event["dedup_key"] = dedup_key(&incident.key).into();
    }
    if let Some(payload) = payload {
        event["payload"] = payload;
    }
    if let Some(url) = run_link(news) {
        event["client_url"] = url.into();
        event["links"] = json!([{ "href": url, "text": "The run" }]);
    }
    event
}

fn payload(news: &News) -> Value {
    let mut details = Map::new();
    if !news.message.trim().is_empty() {
        details.insert("message".to_owned(), cut(&news.message, MESSAGE).into());
    }
    for (name, value) in news.facts.iter().take(FACTS) {
        details.insert(text::excerpt(name, 100), text::excerpt(value, FACT).into());
    }
    details.extend(
        news.decision
            .iter()
            .map(|word| ("decision".to_owned(), text::excerpt(word, FACT).into())),
    );
    let mut payload = json!({
        "summary": title(news, SUMMARY),
        "source": news.environment.as_deref().filter(|name| !name.is_empty()).unwrap_or("cutover"),
        "severity": severity(news),
        "class": "deployment",
        "custom_details": details,
    });
    if let Some(app) = &news.app {
        payload["component"] = app.as_str().into();
    }
    payload
}

/// What is bad and not critical is an error, what only might become so a warning.
const fn severity(news: &News) -> &'static str {
    match (news.severity, news.outcome) {
        (Severity::Critical, _) => "critical",
        (Severity::Warning, Outcome::Failed) => "error",
        (Severity::Warning, _) => "warning",
        (Severity::Info, _) => "info",
    }
}

/// The key of an incident; where it is too long, the end of it is told by its hash.
fn dedup_key(key: &str) -> String {
    if key.chars().count() <= DEDUP_KEY {
        return key.to_owned();
    }
    let hash: String = Sha256::digest(key.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let start: String = key.chars().take(DEDUP_KEY - hash.len() - 1).collect();
    format!("{start}-{hash}")
}

fn cut(text: &str, max: usize) -> String {
    super::hook::within(text, max, |_| None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::news::Incident;

    #[test]
    fn a_long_key_stays_one_key_and_another_one_another() {
        let key = |last: &str| dedup_key(&format!("{}{last}", "k".repeat(300)));
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
        assert_eq!(key("a").chars().count(), DEDUP_KEY);
        assert_eq!(dedup_key("cutover/shop/live"), "cutover/shop/live");
    }

    #[test]
    fn severities_are_pagerdutys() {
        let of = |severity, outcome| {
            let news = News {
                severity,
                outcome,
                ..News::default()
            };
            event(&news)["payload"]["severity"].clone()
        };
        assert_eq!(of(Severity::Critical, Outcome::Failed), "critical");
        assert_eq!(of(Severity::Warning, Outcome::Failed), "error");
        assert_eq!(of(Severity::Warning, Outcome::Note), "warning");
        assert_eq!(of(Severity::Info, Outcome::Note), "info");
    }

    #[test]
    fn only_what_triggers_has_a_payload() {
        let of = |alert| {
            event(&News {
                incident: Some(Incident::of("shop", "live", "health", alert)),
                ..News::default()
            })
        };
        assert_eq!(of(Alert::Resolve)["event_action"], "resolve");
        assert_eq!(of(Alert::Resolve).get("payload"), None);
        assert_eq!(of(Alert::Acknowledge)["event_action"], "acknowledge");
        assert_eq!(of(Alert::Trigger)["payload"]["summary"], "cutover");
        assert_eq!(of(Alert::Trigger)["dedup_key"], "cutover/shop/live/health");
    }
}
