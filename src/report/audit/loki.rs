//! The lines of an audit in Loki, through its push API, once a run is over.
//!
//! Labels are few and known: environment, mode, app. What differs from run to run is
//! structured metadata, because each value of a label is a stream of its own.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::audit::LokiOptions;
use crate::platform::http::{Http, Look, Manner, below};
use crate::platform::secret::{Secret, Vault};
use crate::platform::text;

use super::{Entry, Origin, clean};

/// Where lines are pushed to.
const PUSH: &str = "/loki/api/v1/push";

/// How much is pushed at once; Loki refuses more than 4 MiB by default.
const AT_ONCE: usize = 1 << 20;

/// A Loki.
pub struct Loki {
    url: Url,
    headers: HeaderMap,
    http: Http,
    vault: Vault,
}

impl Loki {
    /// The one that the options name.
    ///
    /// # Errors
    /// The option that cannot be sent, without its value.
    pub fn new(
        options: &LokiOptions,
        http: &Http,
        vault: &Vault,
    ) -> Result<Self, (&'static str, String)> {
        let base = options.url.get();
        let url = if base.path().ends_with(PUSH) {
            base.clone()
        } else {
            below(base, PUSH)
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        let token = options.token.as_ref().map(Secret::expose);
        for (key, name, value) in [
            (
                "token",
                "authorization",
                token.map(|token| format!("Bearer {token}")),
            ),
            ("tenant", "x-scope-orgid", options.tenant.clone()),
        ] {
            let Some(value) = value else { continue };
            let value = HeaderValue::from_str(&value)
                .map_err(|_| (key, "a header cannot hold this value".to_owned()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(Self {
            url,
            headers,
            http: http.clone(),
            vault: vault.clone(),
        })
    }

    /// Pushes the lines of a run. All of it takes no longer than `within`.
    ///
    /// # Errors
    /// Why not all of them are there.
    pub async fn push(
        &self,
        origin: &Origin,
        entries: &[Entry],
        within: Duration,
    ) -> Result<(), String> {
        let began = Instant::now();
        let mut rest = entries;
        while !rest.is_empty() {
            let mut size = 0;
            let fits = rest.iter().take_while(|entry| {
                size += entry.line.len();
                size <= AT_ONCE
            });
            let (some, others) = rest.split_at(fits.count().max(1));
            rest = others;
            let left = within.saturating_sub(began.elapsed());
            self.push_some(origin, some, left).await?;
        }
        Ok(())
    }

    async fn push_some(
        &self,
        origin: &Origin,
        entries: &[Entry],
        within: Duration,
    ) -> Result<(), String> {
        let look = Look {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Some(self.body(origin, entries).to_string().into_bytes()),
            timeout: within,
            manner: Manner::API,
        };
        let answer = self
            .http
            .look(&look)
            .await
            .map_err(|none| none.to_string())?;
        match answer.status {
            204 => Ok(()),
            status => Err(text::excerpt(&format!("{status} {}", answer.text()), 200)),
        }
    }

    /// The lines have no secrets by now; labels and ids must have none either.
    fn body(&self, origin: &Origin, entries: &[Entry]) -> Value {
        let mut labels = json!({
            "app": origin.app, "environment": origin.environment, "mode": origin.mode,
        });
        let mut ids = Value::Object(ids(origin));
        clean(&mut labels, &self.vault);
        clean(&mut ids, &self.vault);
        let values: Vec<Value> = entries
            .iter()
            .map(|entry| json!([entry.nanoseconds.to_string(), entry.line, ids]))
            .collect();
        json!({ "streams": [{ "stream": labels, "values": values }] })
    }
}

/// What tells one run from another. Loki wants texts.
fn ids(origin: &Origin) -> Map<String, Value> {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    [
        ("run_id", number(origin.run_id)),
        ("run_attempt", number(origin.run_attempt.map(u64::from))),
        ("actor", origin.actor.clone()),
        ("repository", origin.repository.clone()),
        ("runner", origin.runner.clone()),
        ("branch", origin.branch.clone()),
        ("sha", origin.sha.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
    .collect()
}
