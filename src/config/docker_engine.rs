//! Which Docker engine a block of the config means, and the way to it.

use std::path::Path;
use std::sync::Arc;

use url::Url;

use super::docker_host::{self, Engine};
use crate::platform::docker::{Tls, Way};
use crate::platform::host::Host;

/// The way that a block names, else the one that the environment does. On a `host` it is a socket.
///
/// # Errors
/// What is wrong with what the block says.
pub fn way(
    named: Option<&str>,
    tls: Option<Tls>,
    host: Option<Arc<dyn Host>>,
    environment: &Engine,
    directory: &Path,
) -> Result<Way, String> {
    let engine = || match named {
        Some(named) => docker_host::engine(Some(named), None, false),
        None => environment.clone(),
    };
    if let Some(host) = host {
        // What this process's environment says is not about that machine.
        let there = match named {
            Some(_) => engine(),
            None => Engine::default(),
        };
        return match (there, tls) {
            (Engine::Socket(path), None) => Ok(Way::Host(host, path)),
            _ => Err("engine: on a host it is a socket, such as unix:///var/run/docker.sock, and needs no tls".to_owned()),
        };
    }
    let Some(tls) = tls else {
        return match (engine(), named) {
            (Engine::Socket(path), _) => Ok(Way::Socket(path)),
            (Engine::Port(url), _) => Ok(Way::Port(url)),
            (_, Some(_)) => Err(
                "engine: write it as unix:///var/run/docker.sock, or tcp://host:2376 with tls; one over ssh is reached with `host`, the name of one of the environment's `hosts`"
                    .to_owned(),
            ),
            (Engine::Client(why), _) => Ok(Way::None(format!(
                "the way to the engine is {why}, which only the `docker` command knows; name the machine in the environment's `hosts` and write `host: NAME`, or name the engine with `engine` and `tls`"
            ))),
            (Engine::Wrong(said), _) => Ok(Way::None(said)),
        };
    };
    let rest = named.and_then(|named| named.strip_prefix("tcp://"));
    let url = rest.and_then(|rest| Url::parse(&format!("https://{rest}")).ok());
    let Some(mut url) = url.filter(Url::has_host) else {
        return Err("engine: with tls it is written as tcp://host:2376".to_owned());
    };
    if url.port().is_none() && !docker_host::says_port(rest.unwrap_or_default(), 443) {
        // The only failure is a URL that cannot have a port, and this one can.
        let _ = url.set_port(Some(2376));
    }
    Ok(Way::behind_tls(url, tls, directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::Local;
    use crate::platform::secret::Secret;

    fn told(named: Option<&str>, tls: bool, afar: bool, engine: &Engine) -> Result<String, String> {
        let tls = tls.then(|| Tls {
            ca: None,
            certificate: "c".to_owned(),
            key: Secret::new("k"),
        });
        let host = afar.then(|| Arc::new(Local) as Arc<dyn Host>);
        way(named, tls, host, engine, Path::new("/")).map(|way| match &way {
            Way::Host(_, path) => format!("afar {}", path.display()),
            Way::None(said) => said.clone(),
            way => way.told(),
        })
    }

    #[test]
    fn the_config_counts_before_the_environment() {
        let usual = docker_host::engine(None, None, false);
        let at = |named, tls| told(named, tls, false, &usual);
        assert_eq!(at(None, false).unwrap(), "/var/run/docker.sock");
        assert_eq!(at(Some("unix:///x.sock"), false).unwrap(), "/x.sock");
        assert_eq!(at(Some("tcp://h"), false).unwrap(), "h:2375");
        assert_eq!(at(Some("tcp://h"), true).unwrap(), "h:2376");
        assert_eq!(at(Some("tcp://h:443"), true).unwrap(), "h:443");
        let six = at(Some("tcp://[fd00:4430::1]"), true).unwrap();
        assert_eq!(six, "[fd00:4430::1]:2376");
        for (odd, tls) in [("ssh://h", false), ("h", false), ("unix:///x", true)] {
            assert!(at(Some(odd), tls).is_err(), "{odd}");
        }
        let ssh = docker_host::engine(Some("ssh://h"), None, false);
        assert!(
            told(None, false, false, &ssh)
                .unwrap()
                .contains("`host: NAME`")
        );
    }

    #[test]
    fn on_a_host_it_is_a_socket() {
        let elsewhere = docker_host::engine(Some("tcp://h"), None, false);
        let at = |named, tls| told(named, tls, true, &elsewhere);
        assert_eq!(at(None, false).unwrap(), "afar /var/run/docker.sock");
        assert_eq!(at(Some("unix:///x.sock"), false).unwrap(), "afar /x.sock");
        assert!(at(Some("tcp://h"), false).is_err() && at(None, true).is_err());
    }
}
