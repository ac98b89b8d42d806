//! Where a Docker engine is, and how one gets there: a socket, a port, a port behind TLS.
//!
//! Another way (a stream over ssh) is one more case of [`Way`]. Nothing is asked here.

use std::path::{Path, PathBuf};

use reqwest::Client;
use url::Url;

use crate::config::docker_host;
use crate::platform::http::{Http, Manner, Papers, Road};
use crate::platform::secret::Secret;

use super::engine::No;
use super::options::Tls;

/// Connections are kept: a deployment asks some dozens of times.
pub(super) const MANNER: Manner = Manner {
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
    ///
    /// # Errors
    /// When there is no way, or our papers cannot be read.
    pub(super) fn open(&self, http: &Http) -> Result<(Client, Url), No> {
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
