//! Where the Docker engine is, as the variables and the client's own settings say it.

use std::path::PathBuf;

use url::Url;

/// The way to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A socket on this machine.
    Socket(PathBuf),
    /// A port that speaks plain HTTP.
    Port(Url),
    /// A way that only the `docker` command knows, and what says so: ssh, TLS, a context.
    Client(String),
    /// What is set cannot be an address.
    Wrong(String),
}

impl Default for Engine {
    /// The engine's usual socket.
    fn default() -> Self {
        Self::Socket(SOCKET.into())
    }
}

/// The engine's usual socket.
const SOCKET: &str = "/var/run/docker.sock";

/// The way, as the `docker` command would find it: `DOCKER_HOST` counts before a context.
/// `tls` is whether `DOCKER_TLS_VERIFY` or `DOCKER_TLS` is set.
pub fn engine(host: Option<&str>, context: Option<&str>, tls: bool) -> Engine {
    let Some(host) = host.map(str::trim).filter(|host| !host.is_empty()) else {
        return match context.filter(|name| !name.is_empty() && *name != "default") {
            Some(name) => Engine::Client(format!("the context {name}")),
            None => Engine::default(),
        };
    };
    let wrong = || {
        Engine::Wrong(
            "DOCKER_HOST is no address of an engine; write it as unix:///var/run/docker.sock or tcp://host:2375"
                .to_owned(),
        )
    };
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => Engine::Socket(path.into()),
        Some(("tcp" | "http", _)) if tls => Engine::Client("DOCKER_HOST with TLS".to_owned()),
        Some(("tcp" | "http", rest)) => Url::parse(&format!("http://{rest}"))
            .ok()
            .filter(Url::has_host)
            .map_or_else(wrong, |mut url| {
                if url.port().is_none() && !says_port(rest, 80) {
                    // The only failure is a URL that cannot have a port, and this one can.
                    let _ = url.set_port(Some(2375));
                }
                Engine::Port(url)
            }),
        Some(("https", _)) => Engine::Client("DOCKER_HOST with TLS".to_owned()),
        Some(("ssh", _)) => Engine::Client("DOCKER_HOST by ssh".to_owned()),
        _ => wrong(),
    }
}

/// Whether an address without its scheme says that port, which a URL leaves out where it is the
/// scheme's own.
pub fn says_port(rest: &str, port: u16) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.ends_with(&format!(":{port}"))
}

/// The context that the settings of the `docker` command (`config.json`) name.
pub fn context_in(settings: &str) -> Option<String> {
    let settings: serde_json::Value = serde_json::from_str(settings).ok()?;
    let name = settings.get("currentContext")?.as_str()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_say_where_it_is() {
        let port = |text: &str| Engine::Port(Url::parse(text).unwrap());
        let client = |what: &str| Engine::Client(what.to_owned());
        let at = |host: &str| engine(Some(host), Some("rootless"), false);
        assert_eq!(engine(None, None, true), Engine::Socket(SOCKET.into()));
        assert_eq!(
            at("unix:///run/x.sock"),
            Engine::Socket("/run/x.sock".into())
        );
        assert_eq!(at("tcp://h:2376"), port("http://h:2376"));
        assert_eq!(at("tcp://h"), port("http://h:2375"));
        assert_eq!(at("tcp://[::1]:80"), port("http://[::1]:80"));
        assert_eq!(
            at("tcp://[fd00:8000::1]"),
            port("http://[fd00:8000::1]:2375")
        );
        assert_eq!(at("tcp://h/a:80"), port("http://h:2375/a:80"));
        assert_eq!(at("ssh://me@h"), client("DOCKER_HOST by ssh"));
        assert_eq!(
            engine(Some("tcp://h:2376"), None, true),
            client("DOCKER_HOST with TLS")
        );
        assert_eq!(at(" "), client("the context rootless"));
        assert_eq!(
            engine(None, Some("default"), false),
            Engine::Socket(SOCKET.into())
        );
        for odd in ["unix://x", "docker.sock", "tcp://", "npipe:////./pipe/x"] {
            assert!(matches!(at(odd), Engine::Wrong(_)), "{odd}");
        }
    }

    #[test]
    fn the_settings_may_name_a_context() {
        let named = context_in(r#"{ "auths": {}, "currentContext": "rootless" }"#);
        assert_eq!(named.as_deref(), Some("rootless"));
        assert_eq!(context_in("{}"), None);
        assert_eq!(context_in("no json"), None);
    }
}
