//! A few words of shell on a target's machine, for kinds that drive a tool which has no API.
//!
//! What is filled in reaches them as arguments, each one word whatever is in it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::TargetError;
use crate::platform::host::{Host, HostError};
use crate::platform::process::{End, GRACE, LAST_LINES, Script, Sink};
use crate::platform::secret::Vault;
use crate::platform::text;

/// A machine's shell.
pub(super) struct Shell {
    pub host: Arc<dyn Host>,
    pub vault: Vault,
    /// Whether it is root's, by `sudo` that asks nobody.
    pub sudo: bool,
}

/// What is run.
pub(super) struct Words<'a> {
    /// The script, for `sh`.
    pub script: &'a str,
    /// Its `$1`, `$2` and so on.
    pub arguments: &'a [&'a str],
    /// Variables of the machine's shell; `sudo` would not hand them on.
    pub variables: &'a [(String, String)],
    /// Where it runs; empty is where logins begin.
    pub directory: &'a Path,
    pub timeout: Duration,
}

impl<'a> Words<'a> {
    /// A script that finds all that it needs in its arguments.
    pub(super) fn of(script: &'a str, arguments: &'a [&'a str], timeout: Duration) -> Self {
        Self {
            script,
            arguments,
            variables: &[],
            directory: Path::new("/"),
            timeout,
        }
    }
}

/// How it ended.
pub(super) struct Said {
    pub end: End,
    /// All that it printed.
    pub lines: Vec<String>,
}

impl Said {
    /// The last of its lines.
    pub(super) fn last(&self) -> Vec<String> {
        self.lines[self.lines.len().saturating_sub(LAST_LINES)..].to_vec()
    }
}

impl Shell {
    /// Runs words to their end, whatever it is; `say` hears their lines, too.
    ///
    /// # Errors
    /// When they could not be begun, when their end is not known, and when they were cancelled.
    pub(super) async fn run(
        &self,
        words: &Words<'_>,
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Said, TargetError> {
        let lines = Mutex::new(Vec::new());
        let keep = |line: String| {
            say(line.clone());
            if let Ok(mut lines) = lines.lock() {
                lines.push(line);
            }
        };
        let root = if self.sudo { "sudo -n -- " } else { "" };
        let mut run = format!("{root}sh -c {} sh", text::shell_word(words.script));
        for word in words.arguments {
            run += " ";
            run += &text::shell_word(word);
        }
        let script = Script {
            run: &run,
            directory: words.directory,
            variables: words.variables,
            timeout: words.timeout,
            grace: GRACE,
            vault: &self.vault,
        };
        let ran = self.host.run(&script, &[], &keep, cancelled).await;
        let ran = ran.map_err(|failed| match failed {
            HostError::Lost { said, last_lines } => TargetError::Lost {
                said,
                last_words: last_lines,
            },
            failed => TargetError::OutOfReach(failed.to_string()),
        })?;
        match ran.end {
            End::Cancelled => Err(TargetError::Cancelled),
            end => Ok(Said {
                end,
                lines: lines.into_inner().unwrap_or_default(),
            }),
        }
    }
}
