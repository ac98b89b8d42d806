//! A look at a name in the DNS: which records it has, by the server that is named or those of
//! `/etc/resolv.conf`. Neither the hosts file nor any cache of ours is asked.

mod exchange;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use simple_dns::rdata::RData;
use simple_dns::{Name, Packet, RCODE, TYPE};

use super::reach::{self, Progress, Trouble};
use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::secret::Vault;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "dns",
    about: "Asks the DNS for a name's records.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let name = options.name.trim_end_matches('.');
        if name.is_empty() || !name.is_ascii() || Name::new(name).is_err() {
            return Err(format!(
                "name: \"{}\" is not a name of the DNS; others than ASCII are written as xn--…",
                options.name
            ));
        }
        if options.only && options.expect.is_empty() {
            return Err("only: `expect` is missing".to_owned());
        }
        Ok(Box::new(Dns {
            name: name.to_owned(),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The whole name: `shop.example.com`.
    #[schemars(length(min = 1))]
    name: String,
    /// The kind of record. Default A.
    #[serde(default)]
    record: Record,
    /// Values that must be there, as text: an address, a name, `10 mail.example.com`. Default: any.
    #[serde(default)]
    expect: Vec<String>,
    /// Whether there must be no others. Default false.
    #[serde(default)]
    only: bool,
    /// Who is asked: `10.0.0.53`, `10.0.0.53:5353`. Default: the servers of `/etc/resolv.conf`.
    server: Option<Server>,
    /// How long it may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum Record {
    #[default]
    A,
    #[serde(rename = "AAAA")]
    Aaaa,
    #[serde(rename = "CNAME")]
    Cname,
    #[serde(rename = "TXT")]
    Txt,
    #[serde(rename = "MX")]
    Mx,
    #[serde(rename = "NS")]
    Ns,
}

impl Record {
    const fn word(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Txt => "TXT",
            Self::Mx => "MX",
            Self::Ns => "NS",
        }
    }

    const fn of_the_dns(self) -> TYPE {
        match self {
            Self::A => TYPE::A,
            Self::Aaaa => TYPE::AAAA,
            Self::Cname => TYPE::CNAME,
            Self::Txt => TYPE::TXT,
            Self::Mx => TYPE::MX,
            Self::Ns => TYPE::NS,
        }
    }

    /// Whether two values are the same: only a TXT record heeds the case.
    fn same(self, one: &str, other: &str) -> bool {
        if self == Self::Txt {
            return one == other;
        }
        let bare = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
        match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
            (Ok(one), Ok(other)) => one == other,
            _ => bare(one) == bare(other),
        }
    }
}

/// A server's address, with or without a port.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Server(SocketAddr);

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let whole = text.parse::<SocketAddr>().ok();
        let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        whole
            .or_else(|| bare().map(|ip| SocketAddr::new(ip, exchange::PORT)))
            .filter(|server| server.port() > 0)
            .map(Self)
            .ok_or_else(|| {
                format!(
                    "\"{text}\" is not a server's address; write it as 10.0.0.53 or 10.0.0.53:5353"
                )
            })
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "DnsServer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["10.0.0.53", "10.0.0.53:5353"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

struct Dns {
    options: Options,
    name: String,
    vault: Vault,
}

#[async_trait]
impl Probe for Dns {
    fn told(&self) -> String {
        format!("DNS {} {}", self.options.record.word(), self.name)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let limit = self.options.timeout;
        let progress = Progress::default();
        let record = self.options.record.word();
        let wanted = match self.options.expect.join(", ") {
            any if any.is_empty() => format!("any {record} record within {limit}"),
            values if self.options.only => {
                format!("{values} and no other {record} record within {limit}")
            }
            values => format!("{values} among the {record} records within {limit}"),
        };
        let work = self.ask(&progress);
        reach::within(limit.get(), wanted, &self.vault, &progress, work).await
    }
}

impl Dns {
    async fn ask(&self, progress: &Progress) -> Result<String, Trouble> {
        progress.at("DNS");
        let servers = match self.options.server {
            Some(server) => vec![server.0],
            None => exchange::of_the_system().await?,
        };
        let kind = self.options.record.of_the_dns();
        let (server, answer) = exchange::ask(&servers, &self.name, kind).await?;
        let unreadable = || Trouble::wrong(format!("{server} answered what cannot be read"));
        let answer = Packet::parse(&answer).map_err(|_| unreadable())?;
        self.judge(server, &answer)
    }

    fn judge(&self, server: SocketAddr, answer: &Packet<'_>) -> Result<String, Trouble> {
        let Self { name, options, .. } = self;
        let by = format!("says {server}");
        match answer.rcode() {
            RCODE::NoError => {}
            RCODE::NameError => {
                return Err(Trouble::wrong(format!(
                    "there is no name {name} (NXDOMAIN), {by}"
                )));
            }
            RCODE::ServerFailure => {
                let why = format!("{server} could not find out (SERVFAIL)");
                return Err(Trouble::wrong(why));
            }
            RCODE::Refused => {
                return Err(Trouble::wrong(format!(
                    "{server} refuses to answer (REFUSED)"
                )));
            }
            other => return Err(Trouble::wrong(format!("{server} answered {other:?}"))),
        }
        let record = options.record;
        let values = answer.answers.iter();
        let mut values: Vec<String> = values.filter_map(|it| value(record, &it.rdata)).collect();
        values.sort_unstable();
        if values.is_empty() {
            let alias = answer.answers.iter().rev();
            let alias = alias
                .filter_map(|it| value(Record::Cname, &it.rdata))
                .next();
            let alias = alias.map(|to| format!(", only an alias of {to}"));
            return Err(Trouble::wrong(format!(
                "{name} has no {} record{}, {by}",
                record.word(),
                alias.unwrap_or_default()
            )));
        }
        let has = |wanted: &String| values.iter().any(|it| record.same(it, wanted));
        let other = |found: &String| !options.expect.iter().any(|it| record.same(it, found));
        let said = values.join(", ");
        if !options.expect.iter().all(has) || (options.only && values.iter().any(other)) {
            return Err(Trouble::wrong(format!("{said}, {by}")));
        }
        Ok(said)
    }
}

/// A record's value as text, if it is of that kind.
fn value(record: Record, data: &RData<'_>) -> Option<String> {
    match (record, data) {
        (Record::A, RData::A(a)) => Some(std::net::Ipv4Addr::from(a.address).to_string()),
        (Record::Aaaa, RData::AAAA(a)) => Some(std::net::Ipv6Addr::from(a.address).to_string()),
        (Record::Cname, RData::CNAME(name)) => Some(name.0.to_string()),
        (Record::Ns, RData::NS(name)) => Some(name.0.to_string()),
        (Record::Mx, RData::MX(mx)) => Some(format!("{} {}", mx.preference, mx.exchange)),
        (Record::Txt, RData::TXT(text)) => String::try_from(text.clone()).ok(),
        _ => None,
    }
}
