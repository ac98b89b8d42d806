//! A release gets into a slot by one request to somebody's deployment API.
//!
//! The request is made once and never repeated: whether it may be is not known here. An answer
//! that was lost leaves the slot in an unknown state, and the error says so.

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Desk, Order, Target, TargetError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::{Headers, Statuses, Verb};
use crate::config::template::{bare, fill, in_json, in_url};
use crate::config::units::{HttpUrl, Span};
use crate::platform::http::{Answer, Http, Look, Manner, NoAnswer};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "http",
    about: "Asks a deployment API to put the release into the slot.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Request::new(block.options()?, tools)?)),
};

/// Sent where no body is configured.
const DEFAULT_BODY: &str = r#"{"app":"{{app}}","environment":"{{environment}}","slot":"{{slot}}","version":"{{version}}"}"#;

/// A deployment may use a connection of its own, and is not sent elsewhere by a redirect.
const MANNER: Manner = Manner {
    keep_alive: false,
    follow: false,
    verify: true,
    proxy: true,
};

/// What is filled in.
const NAMES: [&str; 5] = ["app", "environment", "slot", "version", "fence"];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where to. `{{app}}`, `{{environment}}`, `{{slot}}`, `{{version}}` and `{{fence}}` are
    /// filled in, here percent-encoded.
    #[schemars(with = "HttpUrl")]
    url: String,
    /// The method. Default POST.
    #[serde(default = "post")]
    method: Verb,
    /// Headers of the request. Default: `Content-Type: application/json`.
    #[serde(default)]
    headers: Headers,
    /// The body, filled in like the URL, here as in a JSON text. Default: a JSON object with
    /// `app`, `environment`, `slot` and `version`.
    body: Option<String>,
    /// How long the answer may take. Default 5m.
    #[serde(default = "five_minutes")]
    timeout: Span,
    /// The statuses that mean success: one or a list. Default: any from 200 to 299.
    #[serde(default)]
    expect_status: Statuses,
}

fn post() -> Verb {
    Verb::POST
}

fn five_minutes() -> Span {
    Span::secs(300)
}

struct Request {
    options: Options,
    headers: HeaderMap,
    told: String,
    http: Http,
    vault: Vault,
}

impl Request {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        fill(&options.url, &NAMES, |_| Ok("x".to_owned()))
            .and_then(|sample| sample.parse::<HttpUrl>())
            .map_err(|said| format!("url: {said}"))?;
        if let Some(body) = &options.body {
            fill(body, &NAMES, |_| Ok(String::new())).map_err(|said| format!("body: {said}"))?;
        }
        let mut headers = options.headers.get().clone();
        if !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let told = format!("{} {}", options.method, bare(&options.url));
        Ok(Self {
            told: tools.vault.redact(&told).into_owned(),
            headers,
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            options,
        })
    }

    /// The request for an order.
    fn look(&self, order: &Order) -> Result<Look, TargetError> {
        let refused =
            |said| TargetError::OutOfReach(format!("{} cannot be asked: {said}", self.told));
        let url = fill(&self.options.url, &NAMES, |name| {
            match value_of(order, name) {
                "" => Err(format!("the {name} \"\" cannot be part of a URL")),
                value => in_url(name, value),
            }
        })
        .and_then(|filled| filled.parse::<HttpUrl>())
        .map_err(refused)?;
        let template = self.options.body.as_deref().unwrap_or(DEFAULT_BODY);
        let body =
            fill(template, &NAMES, |name| Ok(in_json(value_of(order, name)))).map_err(refused)?;
        Ok(Look {
            method: self.options.method.get().clone(),
            url: url.get().clone(),
            headers: self.headers.clone(),
            body: Some(body.into_bytes()),
            timeout: self.options.timeout.get(),
            manner: MANNER,
        })
    }

    /// The beginning of an answer, for a person.
    fn first_bytes(&self, answer: &Answer) -> Vec<String> {
        let said = text::excerpt(&self.vault.redact(&answer.text()), 200);
        if said.is_empty() {
            Vec::new()
        } else {
            vec![said]
        }
    }

    fn unanswered(&self, failed: &NoAnswer) -> TargetError {
        let timeout = self.options.timeout;
        if !failed.may_have_arrived {
            return TargetError::OutOfReach(format!("{} was not reached: {failed}", self.told));
        }
        if failed.took >= timeout.get() {
            return TargetError::TimedOut {
                said: format!(
                    "{} gave no answer within {timeout}; the deployment may have begun",
                    self.told
                ),
                after: timeout.get(),
                last_words: Vec::new(),
            };
        }
        TargetError::Lost {
            said: format!(
                "the answer to {} was lost ({failed}); the deployment may have begun",
                self.told
            ),
            last_words: Vec::new(),
        }
    }
}

#[async_trait]
impl Target for Request {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        false
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        self.look(order).map(drop)
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let look = self.look(order)?;
        let answer = tokio::select! {
            biased;
            () = desk.cancelled.cancelled() => return Err(TargetError::Cancelled),
            answer = self.http.look(&look) => answer.map_err(|failed| self.unanswered(&failed))?,
        };
        let wanted = &self.options.expect_status;
        if wanted.welcome(answer.status) {
            return Ok(format!("{} answered {}", self.told, answer.status));
        }
        let said = format!(
            "{} answered {} after {}, wanted {wanted}",
            self.told,
            answer.status,
            text::duration(answer.took)
        );
        let last_words = self.first_bytes(&answer);
        Err(if may_be_a_gateway_s(answer.status) {
            TargetError::Lost { said, last_words }
        } else {
            TargetError::Failed { said, last_words }
        })
    }
}

/// Whether a gateway says so of somebody behind it, who may be at work: a time-out, an answer that was
/// cut off, or Cloudflare's own. A 503 may be the API's own no, but is also the time-out of Heroku's
/// router and Envoy's lost connection; a `Retry-After` tells them not apart, for Varnish sends it, too.
fn may_be_a_gateway_s(status: u16) -> bool {
    matches!(status, 408 | 502..=504 | 520..=527 | 598 | 599)
}

fn value_of<'a>(order: &'a Order, name: &str) -> &'a str {
    match name {
        "app" => &order.app,
        "environment" => &order.environment,
        "slot" => &order.slot,
        "fence" => order.fence.as_deref().unwrap_or_default(),
        _ => order.release.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_body_is_json_whatever_is_filled_in() {
        let body = fill(DEFAULT_BODY, &NAMES, |_| Ok(in_json("a\"b\\\n"))).unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["version"], "a\"b\\\n");
    }
}
