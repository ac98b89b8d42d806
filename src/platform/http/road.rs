//! Roads to a server beside the usual one: a Unix socket, or TLS with a certificate of our own.
//!
//! What is wrong with a certificate is said without showing any of it.

use std::path::PathBuf;

use reqwest::{Certificate, ClientBuilder, Error, Identity};

use super::cause_of;
use crate::platform::secret::Secret;

/// A road to a server beside the usual one.
#[derive(Clone, Debug)]
pub enum Road {
    /// A Unix socket; the URL's host is then for whoever listens there alone.
    Socket(PathBuf),
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
            Self::Papers(papers) => papers.shown(client),
        }
    }
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
