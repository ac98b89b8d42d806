//! A look at a Redis: it lets the user in, answers `PING`, and has the role that is wanted.

mod resp;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::reach::{self, Progress, Trouble};
use super::{Ailment, Probe, Pulse, Subject, Tools, trust};
use crate::config::address::Address;
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::secret::{Secret, Vault};
use crate::platform::tls::Trust;

use resp::Talk;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "redis",
    about: "Logs in to a Redis, pings it, and looks at its role and its lag.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        options.fit_together()?;
        Ok(Box::new(Redis {
            ca: trust::file(options.ca.as_deref(), &tools.directory),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where it listens: `cache.internal:6379`.
    address: Address,
    /// Who logs in, where it has users. Default: its default user.
    user: Option<String>,
    /// The password.
    password: Option<Secret>,
    /// `off`; `require`: encrypted, whoever it is; `verify`: the certificate is trusted and is for
    /// this host. Default off, with `ca` verify.
    tls: Option<Mode>,
    /// A PEM file with the CAs to trust instead of the system's.
    ca: Option<String>,
    /// What it must be.
    role: Option<Role>,
    /// How long ago a replica may have heard of its master at most. A master is heard of every 10s
    /// where nothing is written. The role is then a replica's.
    max_lag: Option<Span>,
    /// How long everything may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Off,
    Require,
    Verify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Role {
    Master,
    Replica,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

fn five_seconds() -> Span {
    Span::secs(5)
}

impl Options {
    fn fit_together(&self) -> Result<(), String> {
        if self.user.is_some() && self.password.is_none() {
            return Err("user: `password` is missing; nobody logs in without one".to_owned());
        }
        if self.max_lag.is_some() && self.role == Some(Role::Master) {
            return Err(
                "max-lag: a master has none; leave it out, or say `role: replica`".to_owned(),
            );
        }
        if self.ca.is_some() && self.tls.is_some_and(|mode| mode != Mode::Verify) {
            return Err("ca: it is only looked at with `tls: verify`".to_owned());
        }
        Ok(())
    }

    fn mode(&self) -> Mode {
        match (self.tls, &self.ca) {
            (Some(mode), _) => mode,
            (None, Some(_)) => Mode::Verify,
            (None, None) => Mode::Off,
        }
    }

    fn role(&self) -> Option<Role> {
        self.role.or(self.max_lag.map(|_| Role::Replica))
    }
}

struct Redis {
    options: Options,
    ca: Option<PathBuf>,
    vault: Vault,
}

#[async_trait]
impl Probe for Redis {
    fn told(&self) -> String {
        format!("Redis {}", self.options.address)
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let limit = self.options.timeout;
        let progress = Progress::default();
        let work = self.ask(&progress);
        let wanted = format!("PONG within {limit}");
        reach::within(limit.get(), wanted, &self.vault, &progress, work).await
    }
}

impl Redis {
    async fn ask(&self, progress: &Progress) -> Result<String, Trouble> {
        let trust = match self.options.mode() {
            Mode::Off => None,
            Mode::Require => Some(Trust::Anybody),
            Mode::Verify => Some(trust::with(self.ca.as_deref()).await?),
        };
        let address = &self.options.address;
        let stream = reach::connect(address, progress).await?;
        let talk = match trust {
            None => Talk::over(Box::new(stream)),
            Some(trust) => {
                let secure = trust::secure(stream, address.host(), &trust, progress).await?;
                Talk::over(Box::new(secure))
            }
        };
        self.talk(talk, progress).await
    }

    async fn talk(&self, mut talk: Talk, progress: &Progress) -> Result<String, Trouble> {
        if let Some(password) = &self.options.password {
            progress.at("AUTH");
            let user = self.options.user.as_deref();
            let words: Vec<&str> = ["AUTH"]
                .into_iter()
                .chain(user)
                .chain([password.expose()])
                .collect();
            talk.ask(&words).await?;
        }
        progress.at("PING");
        let pong = talk.ask(&["PING"]).await?;
        if pong != "PONG" {
            return Err(Trouble::wrong(format!("it said {pong}")));
        }
        let Some(role) = self.options.role() else {
            return Ok(pong);
        };
        progress.at("INFO");
        let info = talk.ask(&["INFO", "replication"]).await?;
        self.replication(role, &info)
    }

    /// Holds what it says of its replication against what is wanted.
    fn replication(&self, wanted: Role, info: &str) -> Result<String, Trouble> {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let role = match field("role") {
            Some("master") => Role::Master,
            Some("slave" | "replica") => Role::Replica,
            other => {
                let said = other.unwrap_or("nothing");
                return Err(
                    Trouble::wrong(format!("of its role it says {said}")).wanted(wanted.word())
                );
            }
        };
        if role != wanted {
            return Err(Trouble::wrong(format!("it is a {}", role.word()))
                .wanted(format!("a {}", wanted.word())));
        }
        let Some(most) = self.options.max_lag else {
            return Ok(format!("a {}", role.word()));
        };
        let limit = format!("a replica that heard of its master at most {most} ago");
        if field("master_link_status") != Some("up") {
            let since = match field("master_link_down_since_seconds") {
                Some(seconds) if !seconds.starts_with('-') => format!(" for {seconds} s"),
                _ => String::new(),
            };
            return Err(
                Trouble::wrong(format!("its link to the master is down{since}")).wanted(limit),
            );
        }
        match field("master_last_io_seconds_ago").and_then(|it| it.parse::<u64>().ok()) {
            Some(ago) if ago <= most.get().as_secs() => {
                Ok(format!("a replica that heard of its master {ago} s ago,"))
            }
            Some(ago) => {
                Err(Trouble::wrong(format!("it heard of its master {ago} s ago")).wanted(limit))
            }
            None => {
                Err(Trouble::wrong("it does not say when it heard of its master").wanted(limit))
            }
        }
    }
}
