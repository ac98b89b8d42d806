//! Any other webhook: the news as they are, in one JSON document with a version.
//!
//! The document is API: keys are added, never changed, within one `schema_version`.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::kinds::{Kind, plain_schema};
use crate::model::news::News;
use crate::platform::http::USER_AGENT;
use crate::platform::secret::Secret;

use super::hook::Hook;
use super::{Form, Notifier, NotifyError, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Notifier, Tools> = Kind {
    name: "webhook",
    about: "A POST of JSON to a URL of your own.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let headers = headers_of(&options.headers)?;
        let webhook = Webhook::at("url", &options.url, tools)?;
        Ok(Box::new(Webhook(webhook.0.with(headers))))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Where to.
    url: Secret,
    /// Headers, such as `Authorization`.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
}

/// The document.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    app: &'static str,
    #[serde(flatten)]
    news: &'a News,
}

/// A webhook that takes the news as they are.
pub(super) struct Webhook(Hook);

impl Webhook {
    pub(super) fn at(key: &str, url: &Secret, tools: &Tools) -> Result<Self, String> {
        Hook::at(key, url, &tools.http).map(Self)
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn told(&self) -> String {
        "webhook".to_owned()
    }

    fn form(&self) -> Form {
        Form::Messages
    }

    async fn tell(&self, news: &News) -> Result<(), NotifyError> {
        let document = serde_json::to_value(Document {
            schema_version: 1,
            app: USER_AGENT,
            news,
        })
        .map_err(|failed| NotifyError::Refused(failed.to_string()))?;
        let answer = self.0.post(&document).await?;
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        Err(self.0.refused(answer.status, &answer.text()))
    }
}

fn headers_of(wanted: &BTreeMap<String, Secret>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, secret) in wanted {
        let key: HeaderName = name
            .parse()
            .map_err(|_| format!("headers.{name}: this is not the name of a header"))?;
        let mut value = HeaderValue::from_str(secret.expose().trim()).map_err(|_| {
            format!("headers.{name}: the value has characters that a header cannot")
        })?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
