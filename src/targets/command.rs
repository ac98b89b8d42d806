//! A release gets into a slot by the user's own command, which is told what goes where.
//!
//! The command runs in a shell with `APP`, `ENVIRONMENT`, `SLOT`, `SLOT_URL`, `MEMBER`, `VERSION`
//! and `FENCE` in its environment. What it does is its own matter; here it is run, heard and ended.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Desk, Order, Target, TargetError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::{Variables, and};
use crate::config::units::Span;
use crate::platform::host::{Host, HostError, Kind as At, on};
use crate::platform::process::{self, End, Script};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "command",
    about: "Runs a command that puts the release into the slot.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        if options.run.trim().is_empty() {
            return Err("run: there is no command".to_owned());
        }
        let host = tools.hosts.named(options.host.as_deref())?;
        let run = text::excerpt(&tools.vault.redact(&options.run), 60);
        Ok(Box::new(Command {
            told: format!("{run}{}", on(&*host)),
            host,
            directory: match options.host {
                None => tools
                    .directory
                    .join(options.directory.as_deref().unwrap_or(".")),
                Some(_) => options.directory.clone().unwrap_or_default().into(),
            },
            vault: tools.vault.clone(),
            options,
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The command, for `sh`. It finds `APP`, `ENVIRONMENT`, `SLOT` (or `MEMBER`), `SLOT_URL`, `VERSION`
    /// and `FENCE` in its environment. What it leaves running in the background must not keep its output open.
    #[schemars(length(min = 1))]
    run: String,
    /// How long it may take before it is ended with all its children. Default 10m.
    #[serde(default = "ten_minutes")]
    timeout: Span,
    /// The machine on which it runs, one of `hosts`. Default: this one.
    host: Option<String>,
    /// Where it runs. Default: the workspace; on a `host` where its logins begin.
    directory: Option<String>,
    /// More variables. On a `host` those with a secret in them are variables of the shell alone:
    /// `export NAME` in `run` hands one on to a program, and to those who may look at its environment.
    #[serde(default)]
    env: Variables,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

struct Command {
    options: Options,
    host: Arc<dyn Host>,
    told: String,
    directory: PathBuf,
    vault: Vault,
}

#[async_trait]
impl Target for Command {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, _: &Order) -> Result<(), TargetError> {
        let found = self.host.kind(&self.directory).await;
        if found.map_err(out_of_reach)? == Some(At::Directory) {
            return Ok(());
        }
        Err(TargetError::OutOfReach(format!(
            "the directory {} of {} is not there",
            self.directory.display(),
            self.told
        )))
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        desk.unless_cancelled(self.prepare(order)).await?;
        let (hidden, open) = self.options.env.split(&self.vault);
        let variables = and(open, order.variables());
        let script = Script {
            run: &self.options.run,
            directory: &self.directory,
            variables: &variables,
            timeout: self.options.timeout.get(),
            grace: process::GRACE,
            vault: &self.vault,
        };
        let ran = self.host.run(&script, &hidden, desk.say, desk.cancelled);
        let ran = ran.await.map_err(|failed| match failed {
            HostError::Lost { said, last_lines } => TargetError::Lost {
                said: format!("{}: {said}", self.told),
                last_words: last_lines,
            },
            failed => {
                TargetError::OutOfReach(format!("{} could not be begun: {failed}", self.told))
            }
        })?;
        match ran.end {
            End::Code(0) => Ok(format!("{} ended with 0", self.told)),
            End::Code(_) | End::Signal(_) => Err(TargetError::Failed {
                said: format!(
                    "{} {} after {}, wanted 0",
                    self.told,
                    ran.end,
                    text::duration(ran.took)
                ),
                last_words: ran.last_lines,
            }),
            End::TimedOut => Err(TargetError::TimedOut {
                said: format!(
                    "{} was ended after {}, its timeout is {}",
                    self.told,
                    text::duration(ran.took),
                    self.options.timeout
                ),
                after: self.options.timeout.get(),
                last_words: ran.last_lines,
            }),
            End::Cancelled => Err(TargetError::Cancelled),
        }
    }
}

fn out_of_reach(failed: HostError) -> TargetError {
    TargetError::OutOfReach(failed.to_string())
}
