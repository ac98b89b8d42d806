//! The `ssh` kind: a machine over SSH, spoken by this program itself; no `ssh` command is needed.
//!
//! There is one connection to a host, kept warm from the first verb on, so that the way back does
//! not begin with a handshake. Who the host is, is pinned (`pins`); who we are, is `login`.

mod connection;
mod login;
mod pins;
mod session;
mod terms;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Tools;
use super::shell::Machine;
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::platform::host::Host;
use crate::platform::secret::Secret;
use connection::{Line, Place};
use login::Login;
use pins::Pins;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Host, Tools> = Kind {
    name: "ssh",
    about: "A machine over SSH.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Machine(Box::new(build(block, tools)?)))),
};

/// The port where none is said.
const PORT: u16 = 22;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Who, and where: `deploy@web1.internal`, `deploy@10.0.0.5:2222`, `deploy@[2001:db8::5]:22`.
    #[schemars(length(min = 3))]
    address: String,
    /// The private key: itself, as `${SSH_KEY}`, or the path of its file. Default: the keys of the
    /// ssh agent.
    key: Option<Secret>,
    /// What the key is encrypted with.
    passphrase: Option<Secret>,
    /// The certificate of the key, as an authority signed it: itself, or the path of its file.
    certificate: Option<String>,
    /// Which key the host shows: its fingerprint, as `SHA256:…`, or the key, as
    /// `ssh-ed25519 AAAA…`. Several stand in lines of their own.
    host_key: Option<String>,
    /// A file as `known_hosts` that has the host's key.
    known_hosts: Option<String>,
    /// The host over which the way leads.
    jump: Option<String>,
}

fn build(block: &Block, tools: &Tools) -> Result<Line, String> {
    let options: Options = block.options()?;
    let (user, host, port) = parts(&options.address)?;
    let mut pins = Pins::default();
    if let Some(lines) = &options.host_key {
        let added = pins.add_lines(lines);
        added.map_err(|said| format!("host-key: {said}"))?;
    }
    if let Some(file) = &options.known_hosts {
        pins.add_known_hosts(&tools.directory.join(file), &host, port)?;
    }
    if pins.is_empty() {
        return Err(match &options.known_hosts {
            Some(file) => format!("known-hosts: {file} has no line for {host}, port {port}"),
            None => format!(
                "host-key: which key does {host} show? `ssh-keyscan -p {port} {host} | ssh-keygen -lf -` says what it shows now; compare that with what its owner says"
            ),
        });
    }
    let jump = match &options.jump {
        None => None,
        Some(name) => {
            let over = tools.others.named(Some(name));
            Some(over.map_err(|said| said.replacen("host:", "jump:", 1))?)
        }
    };
    let login = Login::new(
        user,
        options
            .key
            .as_ref()
            .map(|key| (key, tools.directory.as_path())),
        options.passphrase,
        options.certificate.as_deref(),
        tools,
    )?;
    let place = Place {
        name: tools.name.clone(),
        host,
        port,
        jump,
        pins,
        vault: tools.vault.clone(),
    };
    Ok(Line::new(place, login))
}

/// User, host and port.
fn parts(address: &str) -> Result<(String, String, u16), String> {
    let wrong = || {
        format!(
            "address: \"{address}\" is no address of a host; write it as user@host or user@host:22"
        )
    };
    let (user, place) = address.rsplit_once('@').ok_or_else(wrong)?;
    let (host, port) = match place.strip_prefix('[') {
        Some(six) => {
            let (host, rest) = six.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port.map(str::parse::<u16>) {
        None => PORT,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => return Err(wrong()),
    };
    let odd = |c: char| c.is_whitespace() || c.is_control();
    if user.is_empty() || host.is_empty() || address.contains(odd) || address.contains("://") {
        return Err(wrong());
    }
    Ok((user.to_owned(), host.to_owned(), port))
}

/// A host over which the way leads.
type Over = Arc<dyn Host>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_user_a_host_and_perhaps_a_port() {
        let read = |text: &str| parts(text).ok();
        let whole = |user: &str, host: &str, port| Some((user.to_owned(), host.to_owned(), port));
        assert_eq!(read("deploy@web1"), whole("deploy", "web1", 22));
        assert_eq!(read("a@b@10.0.0.5:2222"), whole("a@b", "10.0.0.5", 2222));
        assert_eq!(read("d@[::1]:23"), whole("d", "::1", 23));
        assert_eq!(read("d@[::1]"), whole("d", "::1", 22));
        for wrong in [
            "web1",
            "@web1",
            "d@",
            "d@h:0",
            "d@h:x",
            "d@h:99999",
            "d@a b",
            "ssh://d@h",
            "d@[::1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
