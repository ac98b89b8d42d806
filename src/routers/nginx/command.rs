//! The two commands of the include form, run by the shell with an end to patience.
//!
//! Only the last lines of what a command prints are kept, for the message when it failed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::platform::text;

/// How long `nginx -t` and a reload may take. A test looks up every upstream's name first.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many of the last lines a message quotes.
const LAST_LINES: usize = 3;

/// A command line, and where it is run.
pub(super) struct Shell {
    line: String,
    directory: PathBuf,
}

impl Shell {
    pub(super) fn new(line: &str, directory: &Path) -> Self {
        Self {
            line: line.to_owned(),
            directory: directory.to_owned(),
        }
    }

    /// The command line as a person would type it.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// A sentence with its last lines, when it did not end with 0 in time.
    pub(super) async fn run(&self) -> Result<(), String> {
        let line = &self.line;
        let ran = Command::new("sh")
            .args(["-c", line])
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(PATIENCE, ran).await {
            Ok(Ok(output)) => output,
            Ok(Err(failed)) => return Err(format!("`{line}` could not be run: {failed}")),
            Err(_) => {
                let took = text::duration(PATIENCE);
                return Err(format!("`{line}` did not end within {took}"));
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().filter(|l| !l.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join(" | ");
        let ended = match output.status.code() {
            Some(code) => format!("ended with {code}"),
            None => "was ended by a signal".to_owned(),
        };
        Err(format!("`{line}` {ended}: {}", text::excerpt(&last, 600)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_of_a_failed_command_are_told() {
        let run = |line: &'static str| async move { Shell::new(line, Path::new("/")).run().await };
        assert_eq!(run("true").await, Ok(()));
        assert_eq!(
            run("echo a; echo b; echo c >&2; echo d >&2; exit 3").await,
            Err("`echo a; echo b; echo c >&2; echo d >&2; exit 3` ended with 3: b | c | d".into())
        );
        assert_eq!(
            run("kill -9 $$").await,
            Err("`kill -9 $$` was ended by a signal: ".into())
        );
    }
}
