//! A look by the user's own command: it ends with 0 where all is well.
//!
//! The command runs in a shell with the subject's variables (`URL`, `SLOT`, `VERSION` and their
//! like) in its environment. Its last line is what it has to say.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{Ailment, Probe, Pulse, Subject, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::script::{Variables, and};
use crate::config::units::Span;
use crate::platform::host::{Host, HostError, on};
use crate::platform::process::{End, Script};
use crate::platform::secret::Vault;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Probe, Tools> = Kind {
    name: "command",
    about: "Runs a command that ends with 0 where all is well.",
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
                None => tools.directory.clone(),
                Some(_) => PathBuf::new(),
            },
            vault: tools.vault.clone(),
            options,
        }))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The command, for `sh`. It finds `URL`, `SLOT`, `VERSION`, `APP` and `ENVIRONMENT`, as far
    /// as they are known, in its environment.
    #[schemars(length(min = 1))]
    run: String,
    /// The machine on which it runs, one of `hosts`. Default: this one.
    host: Option<String>,
    /// How long it may take before it is killed with all its children. Default 30s.
    #[serde(default = "thirty_seconds")]
    timeout: Span,
    /// More variables. On a `host` those with a secret in them are variables of the shell alone:
    /// `export NAME` in `run` hands one on to a program, and to those who may look at its environment.
    #[serde(default)]
    env: Variables,
}

fn thirty_seconds() -> Span {
    Span::secs(30)
}

struct Command {
    options: Options,
    told: String,
    host: Arc<dyn Host>,
    directory: PathBuf,
    vault: Vault,
}

#[async_trait]
impl Probe for Command {
    fn told(&self) -> String {
        self.told.clone()
    }

    async fn look(&self, at: &Subject) -> Result<Pulse, Ailment> {
        let known = at.variables.iter();
        let known = known.map(|(name, value)| (&**name, &**value));
        let (hidden, open) = self.options.env.split(&self.vault);
        let script = Script {
            run: &self.options.run,
            directory: &self.directory,
            variables: &and(open, known),
            timeout: self.options.timeout.get(),
            // A look has no effect that could be put in order, and no time for it.
            grace: std::time::Duration::ZERO,
            vault: &self.vault,
        };
        // Whoever has enough drops the look, which kills the command.
        let never = CancellationToken::new();
        let began = std::time::Instant::now();
        let ran = self.host.run(&script, &hidden, &|_| {}, &never).await;
        let wanted = format!(
            "{} to end with 0 within {}",
            self.told, self.options.timeout
        );
        let ran = match ran {
            Ok(ran) => ran,
            Err(failed) => {
                return Err(Ailment {
                    measured: match failed {
                        HostError::Lost { said, .. } => said,
                        failed => format!("it could not be begun: {failed}"),
                    },
                    wanted,
                    took: began.elapsed(),
                    silent: true,
                    unseen: true,
                });
            }
        };
        let last_line = match ran.last_lines.iter().rfind(|line| !line.trim().is_empty()) {
            Some(line) => format!(": {}", text::excerpt(line, 200)),
            None => String::new(),
        };
        let took = ran.took;
        let said = format!("{} after {}{last_line}", ran.end, text::duration(took));
        if ran.end == End::Code(0) {
            return Ok(Pulse { said, took });
        }
        Err(Ailment {
            measured: format!("it {said}"),
            wanted,
            took,
            silent: ran.end == End::TimedOut,
            unseen: false,
        })
    }
}
