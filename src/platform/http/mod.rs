//! HTTP, once: every request of this program goes through a client that is made here.
//!
//! TLS is rustls with the system's roots (`SSL_CERT_FILE` is honoured) and no client waits for
//! ever. A [`Look`] is one request whose answer matters as a whole; when there is none, the
//! [`NoAnswer`] says how far it got: name, connection, TLS or HTTP. Nothing here repeats a
//! request; who may do that knows whether it is safe.

mod cause;
mod clients;
mod phase;
mod road;
mod tunnel;

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::shortage;

pub use cause::Cause;
pub use clients::Http;
pub use phase::Phase;
use phase::{Reached, phase_of};
pub use road::{Papers, Road};

/// What this program calls itself.
pub const USER_AGENT: &str = concat!("cutover/", env!("CARGO_PKG_VERSION"));

/// How much of an answer's body is read. A health page is small; a page that is not is cut.
pub const BODY_CAP: usize = 1 << 20;

/// One request, and how its answer is to be had.
#[derive(Clone, Debug)]
pub struct Look {
    /// The method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers beside the usual ones.
    pub headers: HeaderMap,
    /// The body, if any.
    pub body: Option<Vec<u8>>,
    /// For everything, from the name's look-up to the last byte of the body.
    pub timeout: Duration,
    /// How the connection is made and kept.
    pub manner: Manner,
}

/// How connections are made and kept. Each manner has its own client, made when first needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Manner {
    /// Reuse connections. Off, every request opens a new one, so that a balancer decides anew.
    pub keep_alive: bool,
    /// Follow up to ten redirects.
    pub follow: bool,
    /// Check the server's certificate.
    pub verify: bool,
    /// Take the proxy from `HTTPS_PROXY` and its kin. A look at one's own slots goes straight.
    pub proxy: bool,
}

impl Manner {
    /// For probes: a new connection each time, no redirect, no proxy.
    pub const PROBE: Self = Self {
        keep_alive: false,
        follow: false,
        verify: true,
        proxy: false,
    };
    /// For somebody else's API: connections are kept and proxies are used.
    pub const API: Self = Self {
        keep_alive: true,
        follow: false,
        verify: true,
        proxy: true,
    };
}

impl Look {
    /// A GET on a new connection.
    pub fn at(url: Url, timeout: Duration) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            timeout,
            manner: Manner::PROBE,
        }
    }

    /// The same with a header; one that cannot be written is left out.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to [`BODY_CAP`].
    pub body: Vec<u8>,
    /// From the start of the look to the end of the body.
    pub took: Duration,
}

impl Answer {
    /// The body as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// A header's value, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A request that got no whole answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{phase}: {said} after {}", crate::platform::text::duration(*.took))]
pub struct NoAnswer {
    /// How far it got.
    pub phase: Phase,
    /// What kind of failure it was.
    pub cause: Cause,
    /// The cause in words, without the URL.
    pub said: String,
    /// How long it took to fail.
    pub took: Duration,
    /// Whether the request may have reached the other side, so that its effect is unknown.
    pub may_have_arrived: bool,
}

/// Makes one request by a client of the caller's; its manner is the client's.
///
/// # Errors
/// As for [`Http::look`].
pub async fn ask(client: reqwest::Client, look: &Look) -> Result<Answer, NoAnswer> {
    let mut request = client
        .request(look.method.clone(), look.url.clone())
        .headers(look.headers.clone());
    if let Some(body) = &look.body {
        request = request.body(body.clone());
    }
    let began = Instant::now();
    let reached = Reached::default();
    let asked = reached.follow(receive(request, began));
    let outcome = tokio::time::timeout(look.timeout, asked).await;
    let took = began.elapsed();
    let answered = match outcome {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(failed)) => {
            let phase = phase_of(&failed, reached.get());
            let short = shortage::of(&failed);
            Err(NoAnswer {
                phase,
                said: short.map_or_else(|| cause_of(&failed), ToOwned::to_owned),
                cause: short.map_or_else(|| Cause::of(&failed), |_| Cause::Here),
                took,
                may_have_arrived: phase == Phase::Http,
            })
        }
        Err(_) => Err(NoAnswer {
            phase: reached.get(),
            cause: Cause::Timeout,
            said: "no answer".to_owned(),
            took,
            may_have_arrived: reached.get() == Phase::Http,
        }),
    };
    // The query and the user-info stay out: they are where secrets are.
    tracing::debug!(
        method = %look.method,
        host = look.url.host_str(),
        path = look.url.path(),
        status = answered.as_ref().ok().map(|answer| answer.status),
        failed = answered.as_ref().err().map(tracing::field::display),
        took = %crate::platform::text::duration(took),
    );
    answered
}

async fn receive(
    request: reqwest::RequestBuilder,
    began: Instant,
) -> Result<Answer, reqwest::Error> {
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    while body.len() < BODY_CAP {
        let Some(chunk) = response.chunk().await? else {
            break;
        };
        let room = BODY_CAP - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    Ok(Answer {
        status,
        headers,
        body,
        took: began.elapsed(),
    })
}

/// `path` (which may have a query) below a base address: what the base's own path holds stays
/// in front.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    let below = format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/')
    );
    url.set_path(&below);
    url.set_query(query);
    url
}

/// The innermost cause, which is the one that says something, without the URL around it.
pub fn cause_of(failed: &reqwest::Error) -> String {
    let mut said = String::new();
    let mut source: Option<&dyn std::error::Error> = failed.source();
    while let Some(cause) = source {
        said = cause.to_string();
        source = cause.source();
    }
    if failed.is_timeout() {
        return "no connection".to_owned();
    }
    if said.is_empty() {
        "failed".to_owned()
    } else {
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_its_base() {
        let at = |base: &str, path| below(&Url::parse(base).unwrap(), path).to_string();
        assert_eq!(at("http://h", "/health"), "http://h/health");
        assert_eq!(
            at("http://h/app/", "/health?deep=1"),
            "http://h/app/health?deep=1"
        );
        assert_eq!(at("http://h/app", "/"), "http://h/app/");
        assert_eq!(
            at("http://h", "//evil.example/x"),
            "http://h/evil.example/x"
        );
    }
}
