//! A release gets into a slot by the user's own command, which is told what goes where.
//!
//! The command runs in a shell with `APP`, `ENVIRONMENT`, `SLOT`, `SLOT_URL`, `MEMBER`, `VERSION`
//! and `FENCE` in its environment. What it does is its own matter; here it is run, heard and ended.

use std::path::PathBuf;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Desk, Order, Target, TargetError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::Variables;
use crate::config::units::Span;
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
    /// The command, for `sh`. It finds `APP`, `ENVIRONMENT`, `SLOT` (or `MEMBER`), `SLOT_URL`, `VERSION`
    /// and `FENCE` in its environment. What it leaves running in the background must not keep its output open.
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
impl Target for Command {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, _: &Order) -> Result<(), TargetError> {
        if self.directory.is_dir() {
            return Ok(());
        }
        Err(TargetError::OutOfReach(format!(
            "the directory {} of {} is not there",
            self.directory.display(),
            self.told
        )))
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        self.prepare(order).await?;
        let script = Script {
            run: &self.options.run,
            directory: &self.directory,
            variables: &self.options.env.and(order.variables()),
            timeout: self.options.timeout.get(),
            grace: process::GRACE,
            vault: &self.vault,
        };
        let ran = process::run(&script, desk.say, desk.cancelled)
            .await
            .map_err(|failed| {
                TargetError::OutOfReach(format!("{} could not be begun: {failed}", self.told))
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
