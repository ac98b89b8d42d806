//! How environments at GitHub are protected: shown, compared, and made so, by the built program
//! against GitHub's stand-in.

mod apply;
mod guardrail;
mod show;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::world::children::output_meanwhile;
use crate::world::github::environments::Rights;
use crate::world::github::{Github, TOKEN};

/// What is protected in most of these.
const WHOLE: &str = "{ reviewers: [octocat, team:shop/OPS], prevent-self-review: true, wait-timer: 10m, branches: [main, release/*] }";

/// A repository with a config, and its GitHub.
struct Office {
    github: Github,
    home: TempDir,
}

/// What a run came to.
struct Ran {
    code: i32,
    log: String,
    result: Value,
    summary: String,
}

impl Office {
    /// A config with an environment each, and who may review at GitHub.
    async fn open(environments: &[(&str, &str)]) -> Self {
        let mut config = "version: 1\napp: storefront\nenvironments:\n".to_owned();
        for (name, more) in environments {
            config.push_str(&format!(
                "  {}:\n    url: http://shop.invalid\n    slots: {{ a: {{ url: http://a.invalid }}, b: {{ url: http://b.invalid }} }}\n    release: {{ kind: text, path: /release }}\n{more}",
                Value::from(*name)
            ));
        }
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("cutover.yml"), config).unwrap();
        let github = Github::start().await;
        github.people(&[("octocat", 11), ("mona", 12)], &[("ops", 21)]);
        github.grant(Rights::Admin);
        Self { github, home }
    }

    /// With one environment, `production`, and its block.
    async fn of(protection: &str) -> Self {
        Self::open(&[("production", &format!("    protection: {protection}\n"))]).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("INPUT_CONFIG", "cutover.yml")
            .env("INPUT_TOKEN", TOKEN)
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_STEP_SUMMARY", self.path("summary"))
            .env("RUNNER_TEMP", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn cutover(&self, arguments: &[&str]) -> Ran {
        Ran::of(self, self.command(arguments)).await
    }
}

impl Ran {
    async fn of(office: &Office, mut command: Command) -> Self {
        for file in ["output", "summary"] {
            fs::write(office.path(file), "").unwrap();
        }
        let ended = output_meanwhile(&mut command).await;
        let stdout = String::from_utf8(ended.stdout).unwrap();
        let log = stdout.split("\n\n").next().unwrap();
        let times = regex_lite::Regex::new(r"(?m) {2,}\d[\d.]* (ms|s)$").unwrap();
        let outputs = fs::read_to_string(office.path("output")).unwrap();
        let result = outputs.lines().find(|line| line.starts_with("{\"schema"));
        Self {
            code: ended.status.code().unwrap_or(-1),
            log: times.replace_all(log, "").into_owned(),
            result: result.map_or(Value::Null, |line| serde_json::from_str(line).unwrap()),
            summary: fs::read_to_string(office.path("summary")).unwrap(),
        }
    }
}
