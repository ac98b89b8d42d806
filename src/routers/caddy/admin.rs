//! Caddy's admin API: a piece of its configuration is read with its ETag, and changed from it.
//!
//! Caddy closes the admin API's connections at each change, so every request has its own. A
//! read is repeated, for it changes nothing; a change is sent as often as the caller says.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::platform::http::{Answer, Http, Look, Manner, NoAnswer, below};
use crate::platform::retry::{Again, Backoff};
use crate::platform::text::excerpt;
use crate::routers::RouterError;

/// For one request. A change takes until the new configuration runs: 0.1 s, more on a big one.
const TIMEOUT: Duration = Duration::from_secs(10);

const READS: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(1),
    tries: 4,
    deadline: Duration::from_secs(15),
};

/// Where the admin API is, and how it is asked.
pub(super) struct Admin {
    http: Http,
    url: Url,
    socket: Option<PathBuf>,
}

/// A piece of the configuration as it is.
pub(super) struct Found {
    pub(super) value: Value,
    /// Caddy's own mark of this piece at this place; sent back as it came.
    pub(super) etag: HeaderValue,
}

impl Found {
    /// The mark, for a message and a record.
    pub(super) fn revision(&self) -> String {
        String::from_utf8_lossy(self.etag.as_bytes()).into_owned()
    }
}

/// An upstream, as Caddy counts it.
#[derive(Deserialize)]
struct Upstream {
    address: String,
    #[serde(default)]
    num_requests: u64,
}

/// What Caddy said to a read.
pub(super) enum Piece {
    Found(Found),
    /// There is nothing at that place, in Caddy's words.
    Absent(String),
}

impl Admin {
    pub(super) fn at(address: &str, http: Http) -> Result<Self, String> {
        let (url, socket) = match address.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => {
                // The host that Caddy expects of who comes through its socket.
                ("http://127.0.0.1/", Some(PathBuf::from(path)))
            }
            _ => (address, None),
        };
        let url = Url::parse(url).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| {
            format!("admin: \"{address}\" is no address; write it as http://127.0.0.1:2019 or unix:/run/caddy/admin.sock")
        })?;
        Ok(Self { http, url, socket })
    }

    /// The address, for a message; without what may be secret.
    pub(super) fn told(&self) -> String {
        match &self.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => {
                let host = self.url.host_str().unwrap_or_default();
                let port = self.url.port_or_known_default().unwrap_or_default();
                format!("{host}:{port}")
            }
        }
    }

    async fn ask(&self, look: &Look) -> Result<Answer, NoAnswer> {
        match &self.socket {
            Some(socket) => self.http.look_through(socket, look).await,
            None => self.http.look(look).await,
        }
    }

    fn look(&self, method: Method, place: &str) -> Look {
        Look {
            method,
            url: below(&self.url, place),
            headers: HeaderMap::new(),
            body: None,
            timeout: TIMEOUT,
            manner: Manner::PROBE,
        }
    }

    /// The requests that what is dialled has in flight, in all of Caddy; `None` where it has no such
    /// upstream, in a handler or with a request from before.
    pub(super) async fn in_flight(&self, dial: &str) -> Result<Option<u64>, String> {
        let look = self.look(Method::GET, "/reverse_proxy/upstreams");
        let answer = self.ask(&look).await;
        let answer = answer.map_err(|failed| format!("{}: {failed}", self.told()))?;
        if answer.status != 200 {
            return Err(told(&look, &answer));
        }
        let all: Vec<Upstream> = serde_json::from_slice(&answer.body)
            .map_err(|failed| format!("{}: {failed}", self.told()))?;
        let mut ours = all.iter().filter(|one| one.address == dial).peekable();
        let there = ours.peek().is_some();
        Ok(there.then(|| ours.map(|one| one.num_requests).sum()))
    }

    /// What is at a place.
    pub(super) async fn get(&self, place: &str) -> Result<Piece, RouterError> {
        let look = self.look(Method::GET, place);
        let ask = || async {
            match self.ask(&look).await {
                Ok(answer) if answer.status >= 500 => Err(told(&look, &answer)),
                Ok(answer) => Ok(answer),
                Err(failed) => Err(format!("{}: {failed}", self.told())),
            }
        };
        let answer = READS.run(ask, |_| Again::Yes).await;
        let answer = answer.map_err(RouterError::OutOfReach)?;
        let refused = |more: &str| Err(RouterError::Refused(told(&look, &answer) + more));
        match answer.status {
            200 => {}
            // No such `@id`, no such field, no such place in an array.
            400 | 404 => return Ok(Piece::Absent(words(&answer))),
            403 => {
                return refused(
                    "; Caddy knows only the hosts in `admin.origins` of its configuration",
                );
            }
            _ => return refused("; is this Caddy's admin API?"),
        }
        let Ok(value) = serde_json::from_slice::<Value>(&answer.body) else {
            return refused(", which is not JSON; is this Caddy's admin API?");
        };
        if value.is_null() {
            return Ok(Piece::Absent("null".to_owned()));
        }
        match answer.headers.get("etag") {
            Some(etag) => Ok(Piece::Found(Found {
                value,
                etag: etag.clone(),
            })),
            None => Err(RouterError::Refused(format!(
                "{} gave no ETag, without which a change by somebody else would be overwritten; Caddy 2.8 and later give one",
                self.told()
            ))),
        }
    }

    /// Sends a change of what is at a place, if that is still what was found.
    pub(super) async fn patch(
        &self,
        place: &str,
        found: &Found,
        body: &Value,
    ) -> Result<Said, NoAnswer> {
        let mut look = self.look(Method::PATCH, place);
        let json = HeaderValue::from_static("application/json");
        look.headers.insert(CONTENT_TYPE, json);
        look.headers.insert(IF_MATCH, found.etag.clone());
        look.body = Some(body.to_string().into_bytes());
        let answer = self.ask(&look).await?;
        Ok(match answer.status {
            200..=299 => Said::Yes,
            412 => Said::Changed,
            _ => Said::No(told(&look, &answer)),
        })
    }
}

/// What Caddy said to a change.
pub(super) enum Said {
    Yes,
    /// What is there is not what was found.
    Changed,
    /// Something else, mostly that the new configuration does not load.
    No(String),
}

/// The error in an answer, or all of it.
fn words(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let error = body.as_ref().and_then(|body| body.get("error")?.as_str());
    excerpt(error.unwrap_or(&answer.text()), 300)
}

fn told(look: &Look, answer: &Answer) -> String {
    let (method, path) = (&look.method, look.url.path());
    match words(answer) {
        said if said.is_empty() => {
            format!("{method} {path} was answered with status {}", answer.status)
        }
        said => format!(
            "{method} {path} was answered with status {} \"{said}\"",
            answer.status
        ),
    }
}
