//! One request to a Docker engine in, one answer or one `no` out.
//!
//! Nothing is repeated here, and nothing here knows what a deployment is.

use std::time::{Duration, Instant};

use reqwest::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, UPGRADE};
use reqwest::{Client, Method, Upgraded};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::platform::http::{self, Answer, Cause, Http, Look, NoAnswer, Phase, below};
use crate::platform::text;

use super::way::{MANNER, Way};

/// How long a question may take that the engine answers by looking.
pub const SOON: Duration = Duration::from_secs(30);

/// The form of the API that is spoken, if the engine knows it; else the nearest that it does.
const SPOKEN: (u32, u32) = (1, 41);

/// Why there is no good answer.
#[derive(Clone, Debug)]
pub enum No {
    /// There was none, from there.
    Silence(String, NoAnswer),
    /// The engine refused.
    Said(u16, String),
    /// There is no way to it.
    Nowhere(String),
}

impl No {
    /// Whether what was asked may have been done all the same.
    pub fn is_doubt(&self) -> bool {
        matches!(self, Self::Silence(_, failed) if failed.may_have_arrived)
    }

    /// Whether there is no such thing.
    pub fn is_none(&self) -> bool {
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
pub struct Engine {
    /// How it is reached.
    pub way: Way,
    http: Http,
    open: OnceCell<Open>,
}

struct Open {
    client: Client,
    /// With the form of the API: `http://localhost/v1.41`.
    base: Url,
}

impl Engine {
    /// An engine that nobody has asked so far.
    pub fn new(way: Way, http: Http) -> Self {
        Self {
            way,
            http,
            open: OnceCell::new(),
        }
    }

    fn silence(&self, failed: NoAnswer) -> No {
        match &self.way {
            Way::Host(..) if failed.phase == Phase::Tcp => No::Nowhere(format!(
                "the engine at {} is out of reach: {}; does it run there, and may that user use its socket?",
                self.way.told(),
                failed.said
            )),
            _ => No::Silence(self.way.told(), failed),
        }
    }

    /// A request that broke off; what it asked for may be done all the same.
    pub fn broken(&self, failed: &reqwest::Error, began: Instant) -> No {
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
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, No> {
        read(&self.ask(Method::GET, path, None, SOON).await?)
    }

    /// The same of what may not be there.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, No> {
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
    pub async fn post(
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
    pub async fn delete(&self, path: &str) -> Result<bool, No> {
        match self.ask(Method::DELETE, path, None, SOON).await {
            Ok(_) => Ok(true),
            Err(no) if no.is_none() => Ok(false),
            Err(no) => Err(no),
        }
    }

    /// Asks it anything, with a body or without, within a time.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub async fn ask(
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
    pub async fn stream(
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

    /// A request after which the connection is no longer HTTP: what a command reads and prints.
    ///
    /// # Errors
    /// As for [`Engine::get`].
    pub async fn hijack(&self, path: &str, body: &Value) -> Result<Upgraded, No> {
        let open = self.open().await?;
        let began = Instant::now();
        let request = open.client.post(below(&open.base, path));
        let request = request
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "tcp")
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        let broken = |failed: reqwest::Error| self.broken(&failed, began);
        let taken = async {
            let response = request.send().await.map_err(broken)?;
            let status = response.status().as_u16();
            if status == 101 {
                return response.upgrade().await.map_err(broken);
            }
            Err(No::Said(
                status,
                said(&response.bytes().await.map_err(broken)?),
            ))
        };
        let late = |_| No::Nowhere(format!("the engine at {} is too slow", self.way.told()));
        tokio::time::timeout(SOON, taken).await.map_err(late)?
    }
}

/// Why it says no.
#[derive(Deserialize)]
struct Said {
    message: String,
}

/// Which forms of its API it knows.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
}

impl Version {
    /// The form that both know, `wanted` if the engine does.
    fn spoken(&self, wanted: (u32, u32)) -> String {
        let read = |text: &str| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let newest = read(&self.api_version).unwrap_or(wanted);
        let oldest = read(&self.min_api_version).unwrap_or((1, 0));
        let (major, minor) = wanted.max(oldest).min(newest);
        format!("{major}.{minor}")
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
    match answer.status < 400 {
        true => Ok(answer),
        false => Err(No::Said(answer.status, said(&answer.body))),
    }
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
pub fn query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_know_the_form_that_is_spoken() {
        let spoken = |newest: &str, oldest: &str| {
            let version = Version {
                api_version: newest.to_owned(),
                min_api_version: oldest.to_owned(),
            };
            version.spoken((1, 41))
        };
        assert_eq!(spoken("1.41", "1.12"), "1.41");
        assert_eq!(spoken("1.52", "1.44"), "1.44");
        assert_eq!(spoken("1.40", "1.12"), "1.40");
        assert_eq!(spoken("1.41", ""), "1.41");
    }
}
