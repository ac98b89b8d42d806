//! A hook that is the user's own command, which is told what the run is about.
//!
//! The command runs in a shell, and its whole process group ends with it when it is out of time or
//! the run is cancelled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Desk, Hook, HookError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::{Variables, and};
use crate::config::units::Span;
use crate::platform::host::{Host, HostError, Kind as At, on};
use crate::platform::process::{self, End, Script};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Hook, Tools> = Kind {
    name: "command",
    about: "Runs a command.",
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
    /// The command, for `sh`. It finds `HOOK`, `APP`, `ENVIRONMENT`, `SLOT`, `SLOT_URL`, `VERSION`,
    /// `PREVIOUS_VERSION` and `FENCE` in its environment; under `on-rollback` and `always` also
    /// `DECISION` and `REASON`.
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
impl Hook for Command {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn timeout(&self) -> Duration {
        self.options.timeout.get()
    }

    async fn run(&self, call: &Call, desk: &Desk<'_>) -> Result<String, HookError> {
        let out_of_reach = |failed: HostError| HookError::OutOfReach(failed.to_string());
        let found = self.host.kind(&self.directory).await;
        if found.map_err(out_of_reach)? != Some(At::Directory) {
            return Err(HookError::OutOfReach(format!(
                "the directory {} of {} is not there",
                self.directory.display(),
                self.told
            )));
        }
        let (hidden, open) = self.options.env.split(&self.vault);
        let script = Script {
            run: &self.options.run,
            directory: &self.directory,
            variables: &and(open, call.variables()),
            timeout: self.options.timeout.get(),
            grace: process::GRACE,
            vault: &self.vault,
        };
        let ran = self.host.run(&script, &hidden, desk.say, desk.cancelled);
        let ran = ran.await.map_err(|failed| match failed {
            HostError::Lost { said, last_lines } => HookError::Failed {
                said: format!("{}: {said}", self.told),
                last_words: last_lines,
            },
            failed => HookError::OutOfReach(format!("{} could not be begun: {failed}", self.told)),
        })?;
        let took = text::duration(ran.took);
        let said = match ran.end {
            End::Code(0) => return Ok(format!("{} ended with 0", self.told)),
            End::Cancelled => return Err(HookError::Cancelled),
            End::TimedOut => format!(
                "{} was ended after {took}, its timeout is {}",
                self.told, self.options.timeout
            ),
            End::Code(_) | End::Signal(_) => {
                format!("{} {} after {took}, wanted 0", self.told, ran.end)
            }
        };
        Err(HookError::Failed {
            said,
            last_words: ran.last_lines,
        })
    }
}
