//! Ports, mounts and commands, in the short form that people know from the `docker` command.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A port of the container, and where it is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Port {
    /// The address of the machine; empty is all of them.
    pub ip: String,
    /// The port of the machine.
    pub host: u16,
    /// The port in the container, with its protocol: `8080/tcp`.
    pub inside: String,
}

impl Port {
    /// The machine's side: `127.0.0.1:8001`.
    pub(super) fn outside(&self) -> String {
        match self.ip.as_str() {
            "" => format!("port {}", self.host),
            ip if ip.contains(':') => format!("[{ip}]:{}", self.host),
            ip => format!("{ip}:{}", self.host),
        }
    }

    /// `tcp` or `udp`.
    pub(super) fn protocol(&self) -> &str {
        self.inside.rsplit('/').next().unwrap_or("tcp")
    }

    /// Whether both cannot be open at once.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.is_at(&other.ip, other.host, other.protocol())
    }

    /// Whether this port, and that one of the machine, cannot be open at once.
    pub(super) fn is_at(&self, ip: &str, port: u16, protocol: &str) -> bool {
        let all = |ip: &str| matches!(ip, "" | "0.0.0.0" | "::");
        let meets = self.ip == ip || all(&self.ip) || all(ip);
        meets && self.host == port && self.protocol() == protocol
    }
}

impl TryFrom<String> for Port {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a port; write it as 127.0.0.1:8001:8080, where 8080 is the container's"
            )
        };
        let (rest, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        if !matches!(protocol, "tcp" | "udp") {
            return Err(wrong());
        }
        let (rest, inside) = rest.rsplit_once(':').ok_or_else(wrong)?;
        let (ip, host) = rest.rsplit_once(':').unwrap_or(("", rest));
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let (Some(host), Some(inside)) = (number(host), number(inside)) else {
            return Err(wrong());
        };
        if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
            return Err(wrong());
        }
        Ok(Self {
            ip: ip.to_owned(),
            host,
            inside: format!("{inside}/{protocol}"),
        })
    }
}

/// One port or a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a port is written as 127.0.0.1:8001:8080, where 8080 is the container's; one or a list"
)]
pub(super) enum Ports {
    One(Port),
    List(Vec<Port>),
}

impl Ports {
    pub(super) fn all(&self) -> &[Port] {
        match self {
            Self::One(port) => std::slice::from_ref(port),
            Self::List(ports) => ports,
        }
    }
}

impl JsonSchema for Ports {
    fn schema_name() -> Cow<'static, str> {
        "Ports".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string" },
            "examples": ["127.0.0.1:8001:8080"],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A command in a container.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a command is a text, or a list of its words")]
pub(super) enum Command {
    /// For its shell.
    Shell(String),
    /// Word by word.
    Words(Vec<String>),
}

impl Command {
    /// Whether nothing is commanded.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.trim().is_empty(),
            Self::Words(words) => words.is_empty(),
        }
    }
}

impl JsonSchema for Command {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string" },
            "examples": ["wget -q -O /dev/null http://127.0.0.1:8080/health", ["/healthy", "--quick"]],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A folder of the machine, or a volume, and where it is in the container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Mount {
    /// A path, or a volume's name.
    pub source: String,
    /// The path in the container.
    pub target: String,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

impl Mount {
    /// The engine's word for what it is.
    pub(super) fn kind(&self) -> &'static str {
        if self.source.starts_with('/') {
            "bind"
        } else {
            "volume"
        }
    }
}

impl TryFrom<String> for Mount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not a mount; write it as /srv/uploads:/uploads, or with a volume as data:/data, and :ro behind it where it is only read"
            )
        };
        let (source, rest) = text.split_once(':').ok_or_else(wrong)?;
        let (target, read_only) = match rest.split_once(':') {
            None => (rest, false),
            Some((target, "ro")) => (target, true),
            Some((target, "rw")) => (target, false),
            Some(_) => return Err(wrong()),
        };
        let volume = |c: char| c.is_ascii_alphanumeric() || "_.-$".contains(c);
        let named = source.starts_with('/')
            || (!source.is_empty() && !source.starts_with('.') && source.chars().all(volume));
        if !named || !target.starts_with('/') {
            return Err(wrong());
        }
        Ok(Self {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
        })
    }
}

impl JsonSchema for Mount {
    fn schema_name() -> Cow<'static, str> {
        "Mount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["/srv/uploads:/uploads:ro", "data:/data"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_of_the_machine_and_of_the_container() {
        let read = |text: &str| Port::try_from(text.to_owned());
        let port = read("127.0.0.1:8001:8080").unwrap();
        assert_eq!(
            (port.outside(), &*port.inside),
            ("127.0.0.1:8001".into(), "8080/tcp")
        );
        assert_eq!(read("53:53/udp").unwrap().protocol(), "udp");
        assert_eq!(read("[::1]:81:80").unwrap().outside(), "[::1]:81");
        let meets = |a: &str, b: &str| read(a).unwrap().meets(&read(b).unwrap());
        assert!(meets("80:80", "127.0.0.1:80:81"));
        assert!(!meets("127.0.0.2:80:80", "127.0.0.1:80:80") && !meets("80:80", "80:80/udp"));
        for odd in ["8080", "0:1", "1:70000", "x:1:1", "1:1/sctp", "1:2:3:4", ""] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn a_mount_is_a_path_or_a_volume() {
        let read = |text: &str| Mount::try_from(text.to_owned());
        let mount = read("/srv/up:/up:ro").unwrap();
        assert_eq!((mount.kind(), mount.read_only), ("bind", true));
        assert_eq!(read("data-$SLOT:/data").unwrap().kind(), "volume");
        for odd in ["/a", "./a:/b", "a:b", "a:/b:rx", ":/b", "../x:/y"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }
}
