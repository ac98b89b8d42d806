//! Where a Docker engine is, and how one gets there: a socket here or on another machine, a port, a
//! port behind TLS. Nothing is asked here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::engine::No;
use crate::platform::host::{Host, Socket, on};
use crate::platform::http::{Http, Manner, Papers, Road};
use crate::platform::secret::Secret;

/// Connections are kept: a deployment asks some dozens of times.
pub(super) const MANNER: Manner = Manner {
    keep_alive: true,
    follow: false,
    verify: true,
    proxy: false,
};

/// Certificates, each a file in PEM or the PEM text itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// Who vouches for the engine. Default: those whom the system trusts.
    pub ca: Option<String>,
    /// Our certificate.
    pub certificate: String,
    /// Its key.
    pub key: Secret,
}

/// Where the engine is.
#[derive(Clone)]
pub enum Way {
    /// A socket on this machine.
    Socket(PathBuf),
    /// A socket on another machine.
    Host(Arc<dyn Host>, PathBuf),
    /// A port that speaks plain HTTP.
    Port(Url),
    /// A port behind TLS, with the files of our papers.
    Tls(Url, Files),
    /// None that we can go, and why.
    None(String),
}

/// Where papers are: paths, or PEM itself.
#[derive(Clone, Debug)]
pub struct Files {
    ca: Option<String>,
    certificate: String,
    key: Secret,
    directory: PathBuf,
}

impl Way {
    /// A port behind TLS.
    pub fn behind_tls(url: Url, tls: Tls, directory: &Path) -> Self {
        Self::Tls(
            url,
            Files {
                ca: tls.ca,
                certificate: tls.certificate,
                key: tls.key,
                directory: directory.to_owned(),
            },
        )
    }

    /// The way for a person.
    pub fn told(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Host(host, path) => format!("{}{}", path.display(), on(&**host)),
            Self::Port(url) | Self::Tls(url, _) => format!(
                "{}:{}",
                url.host_str().unwrap_or_default(),
                url.port_or_known_default().unwrap_or_default()
            ),
            Self::None(_) => "nowhere".to_owned(),
        }
    }

    /// A client that goes there, and the address that it asks.
    ///
    /// # Errors
    /// When there is no way, or our papers cannot be read.
    pub(super) fn open(&self, http: &Http) -> Result<(Client, Url), No> {
        let silence = |failed| No::Silence(self.told(), failed);
        let by = |road| Http::client_by(&road, MANNER).map_err(silence);
        // What the engine is called behind its socket, it does not ask.
        let nameless = || {
            let base = Url::parse("http://localhost");
            base.map_err(|failed| No::Nowhere(failed.to_string()))
        };
        match self {
            Self::Socket(path) => Ok((by(Road::Socket(path.clone()))?, nameless()?)),
            Self::Host(host, path) => {
                let road = Road::Over(Arc::clone(host), Socket::Unix(path.clone()));
                Ok((by(road)?, nameless()?))
            }
            Self::Port(url) => {
                let client = http.client_to(url, MANNER).map_err(silence)?;
                Ok((client, url.clone()))
            }
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
