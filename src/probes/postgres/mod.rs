//! A look at a PostgreSQL: it lets the user in and answers a query. Without a user it is what
//! `pg_isready` sees.
//!
//! A query that takes too long is cancelled on the server too. The server's words reach people
//! through `words`, by its codes, whatever language it speaks.

mod ready;
mod secure;
mod session;
mod words;

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::reach::{self, Progress};
use super::{Ailment, Probe, Pulse, Subject, Tools, trust};
use crate::config::address::Address;
use crate::config::expect::Scalar;
use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::Span;
use crate::platform::secret::{Secret, Vault};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "postgres",
    about: "Logs in to a PostgreSQL and asks a query; without a user it does what pg_isready does.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        options.fit_together()?;
        Ok(Box::new(Postgres {
            ca: trust::file(options.ca.as_deref(), &tools.directory),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

/// What is asked where nothing else is said, and what it gives.
const USUAL: &str = "SELECT 1";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where it listens: `db.internal:5432`.
    address: Address,
    /// Who logs in. Without it nobody does: the look asks whether connections are accepted.
    user: Option<String>,
    /// The user's password, for the methods scram-sha-256, md5 and password.
    password: Option<Secret>,
    /// The database. Default: the user's name.
    database: Option<String>,
    /// `off`; `prefer`: where the server offers it; `require`: encrypted, whoever it is; `verify`:
    /// the certificate is trusted and is for this host. Default prefer, with `ca` verify.
    tls: Option<Mode>,
    /// A PEM file with the CAs to trust instead of the system's.
    ca: Option<String>,
    /// The query. Default `SELECT 1`.
    query: Option<String>,
    /// What the first column of its first row must be. Default: anything, 1 for the usual query.
    expect: Option<Scalar>,
    /// Whether it must take writes: it is no standby and not read-only. Default false.
    #[serde(default)]
    writable: bool,
    /// How long everything may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    Off,
    Prefer,
    Require,
    Verify,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

impl Options {
    fn fit_together(&self) -> Result<(), String> {
        let blank = |text: &Option<String>| text.as_ref().is_some_and(|it| it.trim().is_empty());
        for (key, text) in [
            ("user", &self.user),
            ("database", &self.database),
            ("query", &self.query),
        ] {
            if blank(text) {
                return Err(format!("{key}: there is nothing in it"));
            }
            if text.as_ref().is_some_and(|it| it.contains('\0')) {
                return Err(format!("{key}: PostgreSQL takes no text with a zero in it"));
            }
        }
        let needs_user = [
            ("password", self.password.is_some()),
            ("database", self.database.is_some()),
            ("tls", self.tls.is_some()),
            ("ca", self.ca.is_some()),
            ("query", self.query.is_some()),
            ("expect", self.expect.is_some()),
            ("writable", self.writable),
        ];
        if let (None, Some((key, _))) = (&self.user, needs_user.iter().find(|(_, given)| *given)) {
            return Err(format!(
                "{key}: `user` is missing; nobody logs in without one"
            ));
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
            (None, None) => Mode::Prefer,
        }
    }

    fn query(&self) -> &str {
        self.query.as_deref().unwrap_or(USUAL)
    }

    /// The value that is wanted, as PostgreSQL writes it.
    fn expected(&self) -> Option<String> {
        match (&self.expect, &self.query) {
            (Some(expect), _) => Some(expect.as_text()),
            (None, None) => Some("1".to_owned()),
            (None, Some(_)) => None,
        }
    }

    fn database(&self) -> &str {
        let named = self.database.as_deref().or(self.user.as_deref());
        named.unwrap_or_default()
    }
}

struct Postgres {
    options: Options,
    ca: Option<PathBuf>,
    vault: Vault,
}

#[async_trait]
impl Probe for Postgres {
    fn told(&self) -> String {
        match self.options.database() {
            "" => format!("PostgreSQL {}", self.options.address),
            database => format!("PostgreSQL {}/{database}", self.options.address),
        }
    }

    async fn look(&self, _: &Subject) -> Result<Pulse, Ailment> {
        let options = &self.options;
        let progress = Progress::default();
        let Some(user) = &options.user else {
            let wanted = format!("it to accept connections within {}", options.timeout);
            let work = ready::ask(&options.address, &progress);
            return reach::within(options.timeout.get(), wanted, &self.vault, &progress, work)
                .await;
        };
        let wanted = format!(
            "a session of {user} in {} within {}",
            options.database(),
            options.timeout
        );
        let work = session::ask(self, user, &progress);
        // The session keeps its own time, and needs a moment more to cancel its query.
        let limit = options.timeout.get() + session::CANCEL;
        reach::within(limit, wanted, &self.vault, &progress, work).await
    }
}
