//! Roads to a server beside the usual one: a Unix socket, another machine that connects for us, or
//! TLS with a certificate of our own.
//!
//! What is wrong with a certificate is said without showing any of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Certificate, ClientBuilder, Error, Identity, redirect};

use super::cause_of;
use super::tunnel::{Through, Tunnel};
use crate::platform::host::{Host, Socket};
use crate::platform::secret::Secret;

/// How long a connection over another machine may take: the first has the log-in there before it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How many redirects are followed.
const REDIRECTS: usize = 10;

/// A road to a server beside the usual one.
#[derive(Clone)]
pub enum Road {
    /// A Unix socket; the URL's host is then for whoever listens there alone.
    Socket(PathBuf),
    /// What another machine connects to for us; the same of the URL's host.
    Over(Arc<dyn Host>, Socket),
    /// TLS with a certificate of our own.
    Papers(Papers),
}

/// Who we are to a server, and who may vouch for it.
#[derive(Clone, Debug)]
pub struct Papers {
    /// Our certificate and its key, in PEM.
    pub identity: Secret,
    /// The CA's certificates in PEM; `None` is those whom the system trusts.
    pub ca: Option<Vec<u8>>,
}

impl Road {
    /// A client that goes this road.
    pub(super) fn taken(&self, client: ClientBuilder) -> Result<ClientBuilder, String> {
        match self {
            Self::Socket(path) => Ok(client.unix_socket(path.as_path())),
            Self::Over(host, to) => {
                let tunnel = Tunnel::open(Arc::clone(host), to.clone());
                let tunnel = tunnel.map_err(|failed| {
                    format!("no socket for the way over another machine can be made here: {failed}")
                })?;
                let client = client.unix_socket(tunnel.socket());
                let client = client.connect_timeout(CONNECT_TIMEOUT);
                Ok(client.connector_layer(Through(Arc::new(tunnel))))
            }
            Self::Papers(papers) => papers.shown(client),
        }
    }
}

/// Follows redirects only to where one came from: all others lead elsewhere than the road does.
pub(super) fn to_the_same_place() -> redirect::Policy {
    redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(url::Url::origin);
        if from != Some(attempt.url().origin()) {
            return attempt.error("it redirects to another address, which is not reached this way");
        }
        match attempt.previous().len() > REDIRECTS {
            true => attempt.error("too many redirects"),
            false => attempt.follow(),
        }
    })
}

impl Papers {
    fn shown(&self, client: ClientBuilder) -> Result<ClientBuilder, String> {
        let unread = |what: &str, failed: &Error| {
            format!("{what} cannot be read as PEM: {}", cause_of(failed))
        };
        let identity = Identity::from_pem(self.identity.expose().as_bytes())
            .map_err(|failed| unread("our certificate and its key", &failed))?;
        let client = client.identity(identity);
        let Some(pem) = &self.ca else {
            return Ok(client);
        };
        let roots = Certificate::from_pem_bundle(pem)
            .map_err(|failed| unread("the CA's certificate", &failed))?;
        if roots.is_empty() {
            return Err("the CA's file holds no certificate; it should be PEM".to_owned());
        }
        Ok(client.tls_certs_only(roots))
    }
}
