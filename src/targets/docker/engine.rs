//! A Docker engine and its answers: one request in, one answer or one `no` out.
//!
//! Nothing is repeated here, and nothing here knows what a deployment is.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::platform::http::{self, Answer, Cause, Http, Look, NoAnswer, Phase, below};
use crate::platform::text;

use super::seen::{Said, Version};
use super::way::{MANNER, Way};

/// How long a question may take that the engine answers by looking.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// The form of the API that is spoken, if the engine knows it; else the nearest that it does.
const SPOKEN: (u32, u32) = (1, 41);

/// Why there is no good answer.
#[derive(Clone, Debug)]
pub(super) enum No {
    /// There was none, from there.
    Silence(String, NoAnswer),
    /// The engine refused.
    Said(u16, String),
    /// There is no way to it.
    Nowhere(String),
}

impl No {
    /// Whether what was asked may have been done all the same.
    pub(super) fn is_doubt(&self) -> bool {
        matches!(self, Self::Silence(_, failed) if failed.may_have_arrived)
    }

    /// Whether there is no such thing.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Said(404, _))
    }
}

impl std::fmt::Display for No {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence(place, failed) => {
                write!(f, "the engine at {place} does not answer: {failed}")
            }
            Self::Said(_, said) => f.write_str(said),
            Self::Nowhere(said) => f.write_str(said),
        }
    }
}

/// An engine, reached when it is first asked.
pub(super) struct Engine {
    pub(super) way: Way,
    http: Http,
    open: OnceCell<Open>,
}

struct Open {
    client: Client,
    /// With the form of the API: `http://localhost/v1.41`.
    base: Url,
}

impl Engine {
    pub(super) fn new(way: Way, http: Http) -> Self {
        Self {
            way,
            http,
            open: OnceCell::new(),
        }
    }

    fn silence(&self, failed: NoAnswer) -> No {
        No::Silence(self.way.told(), failed)
    }

    /// A request that broke off; what it asked for may be done all the same.
    pub(super) fn broken(&self, failed: &reqwest::Error, began: Instant) -> No {
        let connected = !failed.is_connect();
        self.silence(NoAnswer {
            phase: if connected { Phase::Http } else { Phase::Tcp },
            cause: Cause::Other,
            said: http::cause_of(failed),
            took: began.elapsed(),
            may_have_arrived: connected,
        })
    }

    /// Asks what it speaks, once.
    async fn open(&self) -> Result<&Open, No> {
        let open = async || {
            let (client, base) = self.way.open(&self.http)?;
            let look = look(Method::GET, below(&base, "/version"), None, SOON);
            let answer = http::ask(client.clone(), &look).await;
            let answer = answer.map_err(|failed| self.silence(failed))?;
            let version: Version = read(&good(answer)?)?;
            let base = below(&base, &format!("/v{}", version.spoken(SPOKEN)));
            Ok(Open { client, base })
        };
        self.open.get_or_try_init(open).await
    }

    /// What the engine says when it is asked for something.
    ///
    /// # Errors
    /// When it says no, nothing, or something else.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, No> {
        read(&self.ask(Method::GET, path, None, SOON).await?)
    }

    /// The same of what may not be there.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, No> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(no) if no.is_none() => Ok(None),
            Err(no) => Err(no),
        }
    }

    /// Has the engine do something.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub(super) async fn post(
        &self,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answer, No> {
        self.ask(Method::POST, path, body, timeout).await
    }

    /// Has it remove something; whether it was there.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub(super) async fn delete(&self, path: &str) -> Result<bool, No> {
        match self.ask(Method::DELETE, path, None, SOON).await {
            Ok(_) => Ok(true),
            Err(no) if no.is_none() => Ok(false),
            Err(no) => Err(no),
        }
    }

    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answer, No> {
        let open = self.open().await?;
        let look = look(method, below(&open.base, path), body, timeout);
        let answer = http::ask(open.client.clone(), &look).await;
        good(answer.map_err(|failed| self.silence(failed))?)
    }

    /// A request whose answer is read bit by bit, with what we are to a registry.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub(super) async fn stream(
        &self,
        method: Method,
        path: &str,
        registry: Option<&HeaderValue>,
    ) -> Result<reqwest::Response, No> {
        let open = self.open().await?;
        let began = Instant::now();
        let mut request = open.client.request(method, below(&open.base, path));
        if let Some(registry) = registry {
            request = request.header("X-Registry-Auth", registry);
        }
        let response = request
            .send()
            .await
            .map_err(|failed| self.broken(&failed, began))?;
        let status = response.status().as_u16();
        if status < 400 {
            return Ok(response);
        }
        let body = response
            .bytes()
            .await
            .map_err(|failed| self.broken(&failed, began))?;
        Err(No::Said(status, said(&body)))
    }
}

fn look(method: Method, url: Url, body: Option<&Value>, timeout: Duration) -> Look {
    let mut headers = HeaderMap::new();
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Look {
        method,
        url,
        headers,
        body: body.map(|body| body.to_string().into_bytes()),
        timeout,
        manner: MANNER,
    }
}

fn good(answer: Answer) -> Result<Answer, No> {
    if answer.status < 400 {
        return Ok(answer);
    }
    Err(No::Said(answer.status, said(&answer.body)))
}

/// The engine's words in an answer that says no.
fn said(body: &[u8]) -> String {
    let words = serde_json::from_slice::<Said>(body).map(|said| said.message);
    let words = words.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned());
    text::excerpt(&words, 400)
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, No> {
    serde_json::from_slice(&answer.body).map_err(|failed| {
        No::Said(
            answer.status,
            format!("the engine's answer was not understood: {failed}"),
        )
    })
}

/// A value as a part of a query.
pub(super) fn query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
