//! Datadog, by its events API: an event with tags, to lay over a dashboard's graphs.

use async_trait::async_trait;
use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::news::{News, Outcome};
use crate::model::severity::Severity;
use crate::platform::http::below;
use crate::platform::secret::Secret;
use crate::platform::text;

use super::hook::{Hook, run_link, secret_header, title, within};
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "datadog",
    about: "An event in Datadog.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let name = HeaderName::from_static("dd-api-key");
        let headers = secret_header("api-key", name, options.api_key.expose().trim())?;
        let site = options.site.host();
        let url = options.url.map_or_else(
            || format!("https://api.{site}"),
            |url| url.get().to_string(),
        );
        let url = Url::parse(&url).map_err(|failed| format!("url: {failed}"))?;
        let url = below(&url, "/api/v1/events");
        let hook = Hook::to(url, &tools.http).with(headers);
        Ok(Box::new(Datadog {
            hook: hook.keeping(&options.api_key),
            tags: options.tags,
        }))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// An API key (not an application key).
    api_key: Secret,
    /// The site that the account is at. Default datadoghq.com.
    #[serde(default)]
    site: Site,
    /// Tags beside `app:…`, `env:…`, `version:…`, `decision:…` and the like.
    #[serde(default)]
    tags: Vec<String>,
    /// The API's address, for a proxy of one's own. Default: that of the site.
    url: Option<HttpUrl>,
}

/// Datadog's sites.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
enum Site {
    #[default]
    #[serde(rename = "datadoghq.com")]
    Us1,
    #[serde(rename = "us3.datadoghq.com")]
    Us3,
    #[serde(rename = "us5.datadoghq.com")]
    Us5,
    #[serde(rename = "datadoghq.eu")]
    Eu1,
    #[serde(rename = "ap1.datadoghq.com")]
    Ap1,
    #[serde(rename = "ap2.datadoghq.com")]
    Ap2,
    #[serde(rename = "ddog-gov.com")]
    Gov,
}

impl Site {
    const fn host(self) -> &'static str {
        match self {
            Self::Us1 => "datadoghq.com",
            Self::Us3 => "us3.datadoghq.com",
            Self::Us5 => "us5.datadoghq.com",
            Self::Eu1 => "datadoghq.eu",
            Self::Ap1 => "ap1.datadoghq.com",
            Self::Ap2 => "ap2.datadoghq.com",
            Self::Gov => "ddog-gov.com",
        }
    }
}

const TITLE: usize = 100;
const TEXT: usize = 4000;
const TAG: usize = 200;
const AGGREGATION_KEY: usize = 100;

/// Datadog, by its events API.
struct Datadog {
    hook: Hook,
    tags: Vec<String>,
}

#[async_trait]
impl Notifier for Datadog {
    fn told(&self) -> String {
        "datadog".to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let answer = self.hook.post(&event(news, &self.tags)).await?;
        if answer.status == 202 {
            return Ok(());
        }
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let errors = body
            .as_ref()
            .and_then(|body| body.get("errors")?.as_array())
            .map(|errors| {
                let words: Vec<&str> = errors.iter().filter_map(Value::as_str).collect();
                words.join(", ")
            });
        let hint = match answer.status {
            403 => "; is it an API key, and of this site?",
            _ => "",
        };
        let said =
            errors.unwrap_or_else(|| "with something that is no answer of Datadog's".to_owned());
        Err(self.hook.refused(answer.status, &format!("{said}{hint}")))
    }
}

/// The event as Datadog takes it.
fn event(news: &News, tags: &[String]) -> Value {
    let mut lines = vec![news.message.trim().to_owned()];
    for (name, value) in &news.facts {
        lines.push(format!(
            "{}: {}",
            text::excerpt(name, 100),
            text::excerpt(value, 500)
        ));
    }
    lines.extend(run_link(news).map(ToOwned::to_owned));
    lines.retain(|line| !line.is_empty());
    let decision = news.decision.as_deref().map(|word| ("decision", word));
    let facts = ["app", "environment", "version", "slot"]
        .into_iter()
        .filter_map(|wanted| {
            let (_, value) = news.facts.iter().find(|(name, _)| name == wanted)?;
            Some((
                if wanted == "environment" {
                    "env"
                } else {
                    wanted
                },
                value.as_str(),
            ))
        });
    let mut all: Vec<String> = facts
        .chain(decision)
        .map(|(name, value)| tag(&format!("{name}:{value}")))
        .collect();
    all.extend(tags.iter().map(|one| tag(one)));
    let mut event = json!({
        "title": title(news, TITLE),
        // Markdown is read between `%%%` alone, so the text is shown as it is.
        "text": within(&lines.join("\n").replace("%%%", "% % %"), TEXT, |_| None),
        "alert_type": alert_type(news),
        "priority": if news.severity == Severity::Info { "low" } else { "normal" },
        "source_type_name": "cutover",
        "tags": all,
    });
    if let Some(thread) = &news.thread {
        event["aggregation_key"] = within(thread, AGGREGATION_KEY, |_| None).into();
    }
    event
}

const fn alert_type(news: &News) -> &'static str {
    match (news.severity, news.outcome) {
        (Severity::Critical, _) => "error",
        (Severity::Warning, _) => "warning",
        (Severity::Info, Outcome::Good) => "success",
        (Severity::Info, _) => "info",
    }
}

/// A tag as Datadog would make it itself: lower case, and `_` for what it does not take.
fn tag(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-:./".contains(c);
    text.trim()
        .to_lowercase()
        .chars()
        .map(|c| if plain(c) { c } else { '_' })
        .take(TAG)
        .collect()
}
