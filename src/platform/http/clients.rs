//! The clients of this process: one for each manner, and one for each address that only another
//! machine reaches. This is the one place that makes any.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::redirect;
use url::Url;

use super::phase::{MarkConnected, SystemNames};
use super::road::{Road, to_the_same_place};
use super::{Answer, Cause, Look, Manner, NoAnswer, Phase, USER_AGENT, ask, cause_of};
use crate::platform::host::{Host, Socket};

/// How long a connection may take to come about where the whole request may take longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A host and a port, as a URL has them.
type Authority = (String, u16);

/// What a client is for.
type Purpose = (Manner, Option<Authority>);

/// The clients of this process, one for each [`Manner`] and each address that only another machine
/// reaches. Cheap to clone.
#[derive(Clone, Default)]
pub struct Http {
    clients: Arc<Mutex<HashMap<Purpose, reqwest::Client>>>,
    tunnels: Arc<HashMap<Authority, Arc<dyn Host>>>,
}

impl Http {
    /// The same, with addresses that other machines reach for us: a host, an IPv6 address without
    /// its brackets, and a port.
    pub fn with_tunnels(tunnels: impl IntoIterator<Item = (Authority, Arc<dyn Host>)>) -> Self {
        let lower = |((name, port), host): (Authority, _)| ((name.to_lowercase(), port), host);
        Self {
            tunnels: Arc::new(tunnels.into_iter().map(lower).collect()),
            ..Self::default()
        }
    }

    /// The client for a manner, for callers that build their own requests.
    ///
    /// # Errors
    /// When the system has no CA certificates or the TLS set-up is refused.
    pub fn client(&self, manner: Manner) -> Result<reqwest::Client, NoAnswer> {
        self.made((manner, None), |_| None)
    }

    /// The client for a manner and where it is to go.
    ///
    /// # Errors
    /// As for [`Http::client`]; and when no socket can be made here for a way over another machine.
    pub fn client_to(&self, url: &Url, manner: Manner) -> Result<reqwest::Client, NoAnswer> {
        let authority = authority(url).filter(|it| self.tunnels.contains_key(it));
        self.made((manner, authority), |authority| {
            let host = Arc::clone(self.tunnels.get(authority)?);
            let (name, port) = authority.clone();
            Some(Road::Over(host, Socket::Tcp(name, port)))
        })
    }

    fn made(
        &self,
        what: Purpose,
        road: impl FnOnce(&Authority) -> Option<Road>,
    ) -> Result<reqwest::Client, NoAnswer> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&what) {
            return Ok(client.clone());
        }
        let road = what.1.as_ref().and_then(road);
        let client = build(what.0, road.as_ref())?;
        clients.insert(what, client.clone());
        Ok(client)
    }

    /// A client for a road beside the usual one, for callers that go it more than once.
    ///
    /// # Errors
    /// When the papers cannot be read, or as for [`Http::client`].
    pub fn client_by(road: &Road, manner: Manner) -> Result<reqwest::Client, NoAnswer> {
        build(manner, Some(road))
    }

    /// Makes one request and reads the whole answer.
    ///
    /// # Errors
    /// When there was no whole answer in time. A status of 500 is an answer.
    pub async fn look(&self, look: &Look) -> Result<Answer, NoAnswer> {
        ask(self.client_to(&look.url, look.manner)?, look).await
    }

    /// Makes one request to whoever listens at a Unix socket; the URL's host is for them alone.
    ///
    /// # Errors
    /// As for [`Http::look`].
    pub async fn look_through(&self, socket: &Path, look: &Look) -> Result<Answer, NoAnswer> {
        let road = Road::Socket(socket.to_owned());
        ask(build(look.manner, Some(&road))?, look).await
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that builds clients"
)]
fn build(manner: Manner, road: Option<&Road>) -> Result<reqwest::Client, NoAnswer> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .retry(reqwest::retry::never())
        .dns_resolver(Arc::new(SystemNames))
        .redirect(match (manner.follow, road) {
            (true, None) => redirect::Policy::limited(10),
            (true, Some(_)) => to_the_same_place(),
            (false, _) => redirect::Policy::none(),
        })
        .tls_danger_accept_invalid_certs(!manner.verify);
    if !manner.keep_alive {
        builder = builder.pool_max_idle_per_host(0);
    }
    if !manner.proxy {
        builder = builder.no_proxy();
    }
    if let Some(road) = road {
        builder = road.taken(builder).map_err(not_made)?;
    }
    // The outermost: what a road does to connect is a part of connecting.
    let builder = builder.connector_layer(MarkConnected);
    builder.build().map_err(|failed| {
        not_made(format!(
            "no HTTP client could be made ({}); is the package ca-certificates installed, or SSL_CERT_FILE set?",
            cause_of(&failed)
        ))
    })
}

/// There is no client, so nothing was asked.
fn not_made(said: String) -> NoAnswer {
    NoAnswer {
        phase: Phase::Tls,
        cause: Cause::Here,
        said,
        took: Duration::ZERO,
        may_have_arrived: false,
    }
}

/// The host and the port that a URL leads to.
fn authority(url: &Url) -> Option<Authority> {
    let name = url
        .host_str()?
        .trim_start_matches('[')
        .trim_end_matches(']');
    Some((name.to_lowercase(), url.port_or_known_default()?))
}
