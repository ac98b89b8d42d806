//! The two commands of the include form, and what a message quotes when one fails.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::platform::host::{Host, on};
use crate::platform::process::{End, Script};
use crate::platform::secret::Vault;
use crate::platform::text;

/// How long `nginx -t` and a reload may take. A test looks up every upstream's name first.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many of the last lines a message quotes.
const LAST_LINES: usize = 3;

/// A command line, and where it is run.
pub(super) struct Shell {
    host: Arc<dyn Host>,
    line: String,
    directory: PathBuf,
    vault: Vault,
}

impl Shell {
    /// In `directory` on this machine, and where logins begin on another.
    pub(super) fn new(host: &Arc<dyn Host>, line: &str, directory: &Path, vault: &Vault) -> Self {
        Self {
            host: Arc::clone(host),
            line: line.to_owned(),
            directory: match host.name() {
                None => directory.to_owned(),
                Some(_) => PathBuf::new(),
            },
            vault: vault.clone(),
        }
    }

    /// The command line as a person would type it.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Runs it to its end. A cancelled run waits for it: it is part of a router's write.
    ///
    /// # Errors
    /// A sentence with its last lines, when it did not end with 0 in time.
    pub(super) async fn run(&self) -> Result<(), String> {
        let line = &self.line;
        let script = Script {
            run: line,
            directory: &self.directory,
            variables: &[],
            timeout: PATIENCE,
            grace: Duration::ZERO,
            vault: &self.vault,
        };
        let live = CancellationToken::new();
        let ran = self.host.run(&script, &[], &|_| {}, &live).await;
        let line = format!("`{line}`{}", on(&*self.host));
        let ran = ran.map_err(|failed| format!("{line} could not be run: {failed}"))?;
        if ran.end == End::Code(0) {
            return Ok(());
        }
        let printed: Vec<&str> = ran
            .last_lines
            .iter()
            .map(String::as_str)
            .filter(|one| !one.trim().is_empty())
            .collect();
        let last = printed[printed.len().saturating_sub(LAST_LINES)..].join(" | ");
        Err(format!("{line} {}: {}", ran.end, text::excerpt(&last, 600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::Local;

    #[tokio::test]
    async fn the_last_lines_of_a_failed_command_are_told() {
        let run = |line: &'static str| async move {
            let here: Arc<dyn Host> = Arc::new(Local);
            let shell = Shell::new(&here, line, Path::new("/"), &Vault::default());
            shell.run().await
        };
        assert_eq!(run("true").await, Ok(()));
        assert_eq!(
            run("echo a; echo b; echo c; echo d; exit 3").await,
            Err("`echo a; echo b; echo c; echo d; exit 3` ended with 3: b | c | d".into())
        );
        assert_eq!(
            run("kill -9 $$").await,
            Err("`kill -9 $$` was ended by signal 9: ".into())
        );
    }
}
