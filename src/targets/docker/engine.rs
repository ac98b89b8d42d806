//! The way to a Docker engine, and its answers: one request in, one answer or one `no` out.
//!
//! How the engine is reached is [`Way`] alone; another way (a stream over ssh) is one more case
//! there. Nothing is repeated here, and nothing here knows what a deployment is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::config::docker_host;
use crate::platform::http::{
    self, Answer, Cause, Http, Look, Manner, NoAnswer, Papers, Phase, Road, below,
};
use crate::platform::secret::Secret;
use crate::platform::text;

use super::options::Tls;
use super::seen::{Said, Version};

/// How long a question may take that the engine answers by looking.
pub(super) const SOON: Duration = Duration::from_secs(30);

/// The form of the API that is spoken, if the engine knows it; else the nearest that it does.
const SPOKEN: (u32, u32) = (1, 41);

/// Connections are kept: a deployment asks some dozens of times.
const MANNER: Manner = Manner {
    keep_alive: true,
    follow: false,
    verify: true,
    proxy: false,
};

/// Where the engine is.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// A socket on this machine.
    Socket(PathBuf),
    /// A port that speaks plain HTTP.
    Port(Url),
    /// A port behind TLS, with the files of our papers.
    Tls(Url, Files),
    /// None that we can go, and why.
    None(String),
}

/// Where papers are: paths, or PEM itself.
#[derive(Clone, Debug)]
pub(super) struct Files {
    ca: Option<String>,
    certificate: String,
    key: Secret,
    directory: PathBuf,
}

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

impl Way {
    /// The way that a config names, else the one that the environment does.
    pub(super) fn of(
        named: Option<&str>,
        tls: Option<Tls>,
        environment: &docker_host::Engine,
        directory: &Path,
    ) -> Result<Self, String> {
        let Some(tls) = tls else {
            let engine = match named {
                Some(named) => docker_host::engine(Some(named), None, false),
                None => environment.clone(),
            };
            return match (engine, named) {
                (docker_host::Engine::Socket(path), _) => Ok(Self::Socket(path)),
                (docker_host::Engine::Port(url), _) => Ok(Self::Port(url)),
                (_, Some(_)) => Err(
                    "engine: write it as unix:///var/run/docker.sock, or tcp://host:2376 with tls"
                        .to_owned(),
                ),
                (docker_host::Engine::Client(why), _) => Ok(Self::None(format!(
                    "the way to the engine is {why}, which only the `docker` command knows; name it with `engine` and `tls`"
                ))),
                (docker_host::Engine::Wrong(said), _) => Ok(Self::None(said)),
            };
        };
        let rest = named.and_then(|named| named.strip_prefix("tcp://"));
        let url = rest.and_then(|rest| Url::parse(&format!("https://{rest}")).ok());
        let Some(mut url) = url.filter(Url::has_host) else {
            return Err("engine: with tls it is written as tcp://host:2376".to_owned());
        };
        if url.port().is_none() && !rest.unwrap_or_default().contains(":443") {
            // The only failure is a URL that cannot have a port, and this one can.
            let _ = url.set_port(Some(2376));
        }
        let files = Files {
            ca: tls.ca,
            certificate: tls.certificate,
            key: tls.key,
            directory: directory.to_owned(),
        };
        Ok(Self::Tls(url, files))
    }

    /// The way for a person.
    pub(super) fn told(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Port(url) | Self::Tls(url, _) => format!(
                "{}:{}",
                url.host_str().unwrap_or_default(),
                url.port_or_known_default().unwrap_or_default()
            ),
            Self::None(_) => "nowhere".to_owned(),
        }
    }

    /// Whether the engine is on this machine, as far as one can know.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self, Self::Socket(_))
    }

    /// A client that goes there, and the address that it asks.
    fn open(&self, http: &Http) -> Result<(Client, Url), No> {
        let silence = |failed| No::Silence(self.told(), failed);
        let by = |road| Http::client_by(&road, MANNER).map_err(silence);
        match self {
            Self::Socket(path) => {
                // What the engine is called behind its socket, it does not ask.
                let base = Url::parse("http://localhost");
                let base = base.map_err(|failed| No::Nowhere(failed.to_string()))?;
                Ok((by(Road::Socket(path.clone()))?, base))
            }
            Self::Port(url) => Ok((http.client(MANNER).map_err(silence)?, url.clone())),
            Self::Tls(url, files) => {
                let papers = files.read().map_err(No::Nowhere)?;
                Ok((by(Road::Papers(papers))?, url.clone()))
            }
            Self::None(said) => Err(No::Nowhere(said.clone())),
        }
    }
}

impl Files {
    fn read(&self) -> Result<Papers, String> {
        let certificate = self.pem("tls.certificate", &self.certificate)?;
        let key = self.pem("tls.key", self.key.expose())?;
        let ca = self.ca.as_deref().map(|ca| self.pem("tls.ca", ca));
        Ok(Papers {
            identity: Secret::new(format!("{certificate}\n{key}\n")),
            ca: ca.transpose()?.map(String::into_bytes),
        })
    }

    /// The text itself where it is PEM, else the file that it names.
    fn pem(&self, key: &str, text: &str) -> Result<String, String> {
        if text.contains("-----BEGIN") {
            return Ok(text.to_owned());
        }
        std::fs::read_to_string(self.directory.join(text))
            .map_err(|failed| format!("the file of {key} cannot be read: {failed}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn way(
        named: Option<&str>,
        tls: bool,
        environment: &docker_host::Engine,
    ) -> Result<String, String> {
        let tls = tls.then(|| Tls {
            ca: None,
            certificate: "c".to_owned(),
            key: Secret::new("k"),
        });
        Way::of(named, tls, environment, Path::new("/")).map(|way| way.told())
    }

    #[test]
    fn the_config_counts_before_the_environment() {
        let usual = docker_host::engine(None, None, false);
        let told = |named, tls| way(named, tls, &usual);
        assert_eq!(told(None, false).unwrap(), "/var/run/docker.sock");
        assert_eq!(told(Some("unix:///x.sock"), false).unwrap(), "/x.sock");
        assert_eq!(told(Some("tcp://h"), false).unwrap(), "h:2375");
        assert_eq!(told(Some("tcp://h"), true).unwrap(), "h:2376");
        assert_eq!(told(Some("tcp://h:443"), true).unwrap(), "h:443");
        for (odd, tls) in [("ssh://h", false), ("h", false), ("unix:///x", true)] {
            assert!(told(Some(odd), tls).is_err(), "{odd}");
        }
        let ssh = docker_host::engine(Some("ssh://h"), None, false);
        assert_eq!(way(None, false, &ssh).unwrap(), "nowhere");
    }
}
