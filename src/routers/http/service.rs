//! What is said to the service and what its answers mean.
//!
//! A read is repeated, for it changes nothing. A change is sent once; when its answer is lost
//! the state is read and compared, and only an unchanged state is reason to send it again, with
//! the same idempotency key.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use super::template::Filling;
use crate::model::slot::{Side, Slots};
use crate::model::split::{Split, Weight};
use crate::platform::http::{Answer, Http, Look, Manner};
use crate::platform::retry::{Again, Backoff};
use crate::platform::text::excerpt;
use crate::routers::{Change, RouterError};

/// For one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a change that was accepted (202) may take until it is applied, and how often one looks.
const APPLYING: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_millis(100);

/// A read is repeated, for it changes nothing.
const READS: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    tries: 4,
    deadline: Duration::from_secs(15),
};

/// A service, and how it is spoken to.
pub(super) struct Service {
    pub(super) http: Http,
    pub(super) slots: Slots,
    pub(super) url: Url,
    pub(super) token: Option<HeaderValue>,
    pub(super) template: Option<Filling>,
    /// Makes the idempotency keys of this run its own.
    pub(super) run: uuid::Uuid,
    /// How many changes were made; a state that comes back is not the same change again.
    pub(super) changes: AtomicU64,
    /// Whether the last state came without an ETag.
    pub(super) no_etag: AtomicBool,
}

/// The contract's state.
#[derive(Deserialize)]
struct Body {
    weights: IndexMap<String, u8>,
    version: Option<u64>,
    applied: Option<u64>,
}

/// The contract's change.
#[derive(Serialize)]
struct Wanted<'a> {
    weights: IndexMap<&'a str, u8>,
    reason: &'a str,
}

/// What was read.
pub(super) struct State {
    pub(super) split: Split,
    /// What a change can be tied to by the server itself.
    etag: Option<HeaderValue>,
    pub(super) revision: String,
    /// What is not in force yet: `version 42 is accepted, 41 applied`.
    pub(super) pending: Option<String>,
}

impl State {
    /// Whether the server refuses a change that was made for an earlier state.
    pub(super) const fn is_tied(&self) -> bool {
        self.etag.is_some()
    }
}

/// What became of a change.
enum Sent {
    Applied,
    Accepted,
    /// The answer was lost, or says nothing about the effect.
    Unknown(String),
}

impl Service {
    pub(super) fn place(&self) -> String {
        let mut place = self.url.clone();
        // A URL can carry a password; the query can be a token.
        let _ = place.set_username("");
        let _ = place.set_password(None);
        place.set_query(None);
        place.to_string()
    }

    fn headers(&self) -> Result<HeaderMap, RouterError> {
        let mut headers = match &self.template {
            Some(template) => template.read_headers().map_err(RouterError::Refused)?,
            None => HeaderMap::new(),
        };
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            headers.entry(AUTHORIZATION).or_insert(token.clone());
        }
        Ok(headers)
    }

    /// Reads the state, repeatedly if need be.
    pub(super) async fn state(&self) -> Result<State, RouterError> {
        let look = Look {
            method: Method::GET,
            url: self
                .template
                .as_ref()
                .map_or(&self.url, Filling::read_url)
                .clone(),
            headers: self.headers()?,
            body: None,
            timeout: TIMEOUT,
            manner: Manner::API,
        };
        let ask = || async {
            match self.http.look(&look).await {
                Ok(answer) if answer.status >= 500 => {
                    Err(format!("GET was answered with {}", told(&answer)))
                }
                Ok(answer) => Ok(answer),
                Err(failed) => Err(failed.to_string()),
            }
        };
        let answer = READS
            .run(ask, |_| Again::Yes)
            .await
            .map_err(RouterError::OutOfReach)?;
        if answer.status != 200 {
            return Err(RouterError::Refused(format!(
                "GET was answered with {}",
                told(&answer)
            )));
        }
        self.understand(&answer).map_err(RouterError::Refused)
    }

    fn understand(&self, answer: &Answer) -> Result<State, String> {
        let not_json = |failed: serde_json::Error| {
            format!(
                "GET was answered with \"{}\": {failed}",
                excerpt(&answer.text(), 120)
            )
        };
        let (split, version, pending) = match &self.template {
            Some(template) => {
                let body: Value = serde_json::from_slice(&answer.body).map_err(not_json)?;
                let (split, version) = template.state(&body, &self.slots)?;
                (split, version, None)
            }
            None => {
                let body: Body = serde_json::from_slice(&answer.body).map_err(not_json)?;
                let pending = match (body.version, body.applied) {
                    (Some(version), Some(applied)) if applied < version => Some(format!(
                        "version {version} is accepted and {applied} is applied"
                    )),
                    _ => None,
                };
                (
                    self.split_in(&body)?,
                    body.version.map(|version| version.to_string()),
                    pending,
                )
            }
        };
        let etag = match &self.template {
            Some(_) => None,
            None => answer.headers.get("etag").cloned(),
        };
        self.no_etag.store(etag.is_none(), Ordering::Relaxed);
        let revision = match (&etag, version) {
            (Some(etag), _) => String::from_utf8_lossy(etag.as_bytes()).into_owned(),
            (None, Some(version)) => format!("version {version}, {}", split.second),
            (None, None) => format!("no version, {}", split.second),
        };
        Ok(State {
            split,
            etag,
            revision,
            pending,
        })
    }

    fn split_in(&self, body: &Body) -> Result<Split, String> {
        let of = |side| body.weights.get(self.slots.name(side)).copied();
        match (of(Side::First), of(Side::Second), body.weights.len()) {
            (Some(first), Some(second), 2) if u16::from(first) + u16::from(second) == 100 => {
                let second = Weight::try_from(second)?;
                Ok(Split { second })
            }
            _ => {
                let all: Vec<_> = body
                    .weights
                    .iter()
                    .map(|(name, weight)| format!("{name} {weight}"))
                    .collect();
                Err(format!(
                    "its weights are: {}; {} and {} with a sum of 100 are wanted",
                    all.join(", "),
                    self.slots.first.name,
                    self.slots.second.name
                ))
            }
        }
    }

    /// Reads until nothing is pending.
    pub(super) async fn settled(&self) -> Result<State, RouterError> {
        let began = Instant::now();
        loop {
            let state = self.state().await?;
            match &state.pending {
                Some(said) if began.elapsed() > APPLYING => {
                    return Err(RouterError::Refused(format!(
                        "{said} after {} s",
                        APPLYING.as_secs()
                    )));
                }
                Some(_) => tokio::time::sleep(EVERY).await,
                None => return Ok(state),
            }
        }
    }

    /// The same for the same change, however often it is sent, and never again for another one.
    fn key(&self, revision: &str, to: Split) -> String {
        let changes = self.changes.load(Ordering::Relaxed);
        let text = format!(
            "{}\n{changes}\n{revision}\n{}",
            self.run,
            to.second.percent()
        );
        let hash = Sha256::digest(text);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        uuid::Builder::from_custom_bytes(bytes)
            .into_uuid()
            .to_string()
    }

    pub(super) fn request(
        &self,
        from: &State,
        to: Split,
        reason: &str,
    ) -> Result<Look, RouterError> {
        let mut headers = self.headers()?;
        let (method, url, body) = match &self.template {
            Some(template) => {
                let filled = template
                    .fill(to, &self.slots)
                    .map_err(RouterError::Refused)?;
                headers.extend(filled.headers);
                (filled.method, filled.url, filled.body)
            }
            None => {
                let weight = |side: Side| (self.slots.name(side), to.weight(side).percent());
                let wanted = Wanted {
                    weights: [weight(Side::First), weight(Side::Second)]
                        .into_iter()
                        .collect(),
                    reason,
                };
                let body = serde_json::to_vec(&wanted)
                    .map_err(|failed| RouterError::Refused(failed.to_string()))?;
                (Method::PUT, self.url.clone(), body)
            }
        };
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        if let Some(etag) = &from.etag {
            headers.insert(IF_MATCH, etag.clone());
        }
        if let Ok(key) = HeaderValue::from_str(&self.key(&from.revision, to)) {
            headers.entry("idempotency-key").or_insert(key);
        }
        Ok(Look {
            method,
            url,
            headers,
            body: Some(body),
            timeout: TIMEOUT,
            manner: Manner::API,
        })
    }

    async fn send(&self, look: &Look, from: &State) -> Result<Sent, RouterError> {
        let answer = match self.http.look(look).await {
            Ok(answer) => answer,
            Err(failed) if failed.may_have_arrived => return Ok(Sent::Unknown(failed.to_string())),
            Err(failed) => return Err(RouterError::OutOfReach(failed.to_string())),
        };
        let said = format!("{} was answered with {}", look.method, told(&answer));
        match answer.status {
            202 => Ok(Sent::Accepted),
            200..=299 => Ok(Sent::Applied),
            412 => Err(RouterError::Conflict {
                expected: from.revision.clone(),
                found: self.state().await.map_or_else(|_| said, |now| now.revision),
            }),
            428 => Err(RouterError::Refused(format!(
                "{said}; it wants If-Match and gave no ETag to put there"
            ))),
            401 | 403 => Err(RouterError::Refused(format!("{said}; is `token` right?"))),
            409 => Err(RouterError::Refused(format!("{said}; it is locked"))),
            // A gateway that gave up does not know what happened behind it.
            500.. => Ok(Sent::Unknown(said)),
            _ => Err(RouterError::Refused(said)),
        }
    }

    /// Makes a change from a state, and finds out what became of it.
    pub(super) async fn change(
        &self,
        from: &State,
        to: Split,
        reason: &str,
    ) -> Result<(), RouterError> {
        let look = self.request(from, to, reason)?;
        let lost = |said: &str, failed: String| RouterError::Lost(format!("{said}; then {failed}"));
        let mut again = true;
        loop {
            let said = match self.send(&look, from).await? {
                Sent::Applied => break,
                Sent::Accepted => {
                    let now = self
                        .settled()
                        .await
                        .map_err(|failed| lost("accepted", failed.to_string()))?;
                    if now.split == to {
                        break;
                    }
                    return Err(lost(
                        "accepted",
                        format!("it says {}", now.split.told(&self.slots)),
                    ));
                }
                Sent::Unknown(said) => said,
            };
            let now = self
                .settled()
                .await
                .map_err(|failed| lost(&said, failed.to_string()))?;
            if now.split == to {
                break;
            }
            if now.revision != from.revision || !again {
                return Err(lost(
                    &said,
                    format!("it says {}", now.split.told(&self.slots)),
                ));
            }
            again = false;
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn expect(&self, change: &Change) -> Result<State, RouterError> {
        let now = self.settled().await?;
        if now.revision == change.from.revision {
            return Ok(now);
        }
        Err(RouterError::Conflict {
            expected: change.from.revision.clone(),
            found: format!("{} ({})", now.revision, now.split.told(&self.slots)),
        })
    }
}

/// An answer in a few words.
fn told(answer: &Answer) -> String {
    match excerpt(&answer.text(), 120) {
        said if said.is_empty() => format!("status {}", answer.status),
        said => format!("status {} \"{said}\"", answer.status),
    }
}
