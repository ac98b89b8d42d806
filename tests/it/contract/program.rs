//! The built program, run as the runner or a person runs it, with nothing of our environment.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use super::files::as_the_runner_reads;
use crate::world::children::output_meanwhile;

/// The files that the runner hands in, by their variables.
const FILES: [&str; 3] = ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_STATE"];

/// Where the page of a run goes, in tests that ask for one.
pub(super) const REPORT: &str = "report.html";

/// Where the program runs: a workspace of its own.
pub(super) struct Program {
    workspace: TempDir,
    environment: BTreeMap<String, String>,
}

/// What a run left.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    /// As the runner reads them; empty outside of a workflow.
    pub(super) outputs: BTreeMap<String, String>,
    pub(super) summary: String,
    /// The file of the outputs as it is.
    pub(super) output_file: String,
    /// The runner's files as they are.
    pub(super) files: String,
}

impl Program {
    /// At a terminal, with nothing but a `PATH`.
    pub(super) fn at_a_terminal() -> Self {
        let program = Self {
            workspace: tempfile::tempdir().unwrap(),
            environment: BTreeMap::new(),
        };
        let path = std::env::var_os("PATH").unwrap();
        program.with("PATH", path.to_string_lossy())
    }

    /// In a workflow on GitHub, or what looks like it.
    pub(super) fn in_a_workflow() -> Self {
        let mut program = Self::at_a_terminal();
        for name in FILES {
            let path = program.workspace.path().join(name);
            fs::write(&path, "").unwrap();
            program = program.with(name, path.to_string_lossy());
        }
        let workspace = program.workspace.path().to_string_lossy().into_owned();
        program
            .with("GITHUB_WORKSPACE", &workspace)
            .with("RUNNER_TEMP", &workspace)
            .with("GITHUB_ACTIONS", "true")
            .with("GITHUB_REPOSITORY", "shop/storefront")
            .with("GITHUB_SHA", "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d")
            .with("GITHUB_RUN_ID", "4711")
            .with("GITHUB_RUN_ATTEMPT", "1")
            .with("GITHUB_JOB", "deploy")
    }

    /// With a variable.
    pub(super) fn with(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref().to_owned();
        self.environment.insert(name.to_owned(), value);
        self
    }

    /// With that config in its usual place.
    pub(super) fn config(self, text: &str) -> Self {
        self.file(".github/cutover.yml", text)
    }

    /// With a file in the workspace.
    pub(super) fn file(self, path: &str, text: &str) -> Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// A place in the workspace.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.workspace.path().join(path)
    }

    /// The command, not started.
    pub(super) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.workspace.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ran {
        self.ended(self.command(arguments)).await
    }

    /// Runs it to its end where it may have so many files open, and no more.
    pub(super) async fn run_with_files(&self, files: u32, arguments: &[&str]) -> Ran {
        let plain = self.command(arguments);
        let plain = plain.as_std();
        let mut command = tokio::process::Command::new("sh");
        command
            .arg("-c")
            .arg(format!("ulimit -n {files}; exec \"$0\" \"$@\""))
            .arg(plain.get_program())
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.workspace.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        self.ended(command).await
    }

    async fn ended(&self, mut command: tokio::process::Command) -> Ran {
        let ended = output_meanwhile(&mut command).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let read = |name: &&str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let [outputs, summary, state] = [FILES[0], FILES[1], FILES[2]].map(|name| read(&name));
        let ran = Ran {
            code: ended.status.code().unwrap_or(-1),
            stdout: text(ended.stdout),
            stderr: text(ended.stderr),
            outputs: as_the_runner_reads(&outputs).unwrap().into_iter().collect(),
            files: format!("{outputs}\n{summary}\n{state}\n{}", read(&REPORT)),
            output_file: outputs,
            summary,
        };
        assert!(ran.code != 101 && ran.code != -1, "it panicked: {ran:?}");
        assert!(!ran.stderr.contains("a defect at"), "{ran:?}");
        ran
    }
}

impl Ran {
    /// That it ended so, and that the runner was told the same.
    pub(super) fn ends(&self, code: i32, decision: &str, reason: &str) {
        assert_eq!(self.code, code, "{self:#?}");
        let output = |name: &str| self.outputs.get(name).map(String::as_str);
        assert_eq!(output("decision"), Some(decision), "{self:#?}");
        assert_eq!(output("reason-code"), Some(reason), "{self:#?}");
        let result: Value = serde_json::from_str(&self.outputs["result"]).unwrap();
        assert_eq!(result["decision"], decision);
        assert_eq!(result["schema_version"], 1);
        let word = decision.replace('-', " ");
        assert!(self.summary.contains(&word), "{}", self.summary);
        assert!(self.stdout.contains(&word), "{}", self.stdout);
    }

    /// That all of these are said on stdout.
    pub(super) fn says(&self, all: &[&str]) {
        for said in all {
            assert!(
                self.stdout.contains(said),
                "no {said:?} in\n{}",
                self.stdout
            );
        }
    }
}
