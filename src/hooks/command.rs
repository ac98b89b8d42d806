//! A hook that is the user's own command, which is told what the run is about.
//!
//! The command runs in a shell, and its whole process group ends with it when it is out of time or
//! the run is cancelled.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Desk, Hook, HookError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::Variables;
use crate::config::units::Span;
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
        Ok(Box::new(Command {
            told: text::excerpt(&tools.vault.redact(&options.run), 60),
            directory: tools
                .directory
                .join(options.directory.as_deref().unwrap_or(".")),
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
    /// Where it runs. Default: the workspace.
    directory: Option<String>,
    /// More variables.
    #[serde(default)]
    env: Variables,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

struct Command {
    options: Options,
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
        if !self.directory.is_dir() {
            return Err(HookError::OutOfReach(format!(
                "the directory {} of {} is not there",
                self.directory.display(),
                self.told
            )));
        }
        let script = Script {
            run: &self.options.run,
            directory: &self.directory,
            variables: &self.options.env.and(call.variables()),
            timeout: self.options.timeout.get(),
            grace: process::GRACE,
            vault: &self.vault,
        };
        let ran = process::run(&script, desk.say, desk.cancelled).await;
        let ran = ran.map_err(|failed| {
            HookError::OutOfReach(format!("{} could not be begun: {failed}", self.told))
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
