//! Everything that a run in a workflow has around it: the rehearsal's environment for traffic, the
//! stand-in for GitHub, and the runner's variables. The program is the real one.

use std::process::Stdio;

use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::children::output_meanwhile;
use super::github::{Github, TOKEN};
use super::patience::{in_the_end, within};
use super::shop::program;

/// The commit of the run.
pub(crate) const SHA: &str = "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d";

/// The run, and the check run of its job where that has no `environment:`.
pub(crate) const RUN: u64 = 42;
pub(crate) const CHECK_RUN: u64 = 900;

/// An environment with v1 on blue, which has all traffic; and GitHub.
pub(crate) struct Scene {
    pub(crate) github: Github,
    pub(crate) home: tempfile::TempDir,
    world: World,
    variables: Vec<(&'static str, String)>,
}

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) log: String,
}

impl Scene {
    pub(crate) async fn set(records: &str) -> Self {
        let mark = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        let names = ["blue".to_owned(), "green".to_owned()];
        let world = World::open(names, Answers::for_checks(mark, []), "v1").await;
        let world = world.unwrap();
        let config = format!(
            "version: 1
app: storefront
environments:
  production:
    url: {}
    slots: {{ blue: {{ url: '{}' }}, green: {{ url: '{}' }} }}
    release: {{ kind: header, name: X-Release }}
    router: {{ kind: http, url: '{}' }}
    target: {{ kind: http, url: '{}' }}
    smoke: [{{ kind: http, path: /, timeout: 30s }}]
    health: {{ checks: [{{ kind: http, path: /, timeout: 30s }}] }}
    strategy: {{ kind: blue-green, watch: 0s }}
    proof: {{ answers: 3, within: 30s }}
    prober: {{ rate: 0 }}
    records: {records}
",
            world.public, world.slots[0], world.slots[1], world.router, world.deploy
        );
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("cutover.yml"), config).unwrap();
        let github = Github::start().await;
        github.check_run_without_environment(CHECK_RUN);
        Self {
            github,
            home,
            world,
            variables: Vec::new(),
        }
    }

    /// From now on the program has that variable, too.
    pub(crate) fn with(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// Changes a line of the config.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.home.path().join("cutover.yml");
        let old = std::fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        std::fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Runs the program as a step of a job with that check run.
    pub(crate) async fn run(&self, check_run: u64, arguments: &str) -> Ran {
        let output = output_meanwhile(&mut self.command(check_run, arguments)).await;
        Ran {
            code: output.status.code().unwrap_or(-1),
            log: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// The same, until a line begins so: then the machine goes away.
    pub(crate) async fn run_until(&self, check_run: u64, arguments: &str, line: &str) {
        let mut command = self.command(check_run, arguments);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let printed = in_the_end("it prints a line", lines.next_line()).await;
            let printed = printed.unwrap();
            if printed.expect(line).starts_with(line) {
                break;
            }
        }
        child.kill().await.unwrap();
    }

    fn command(&self, check_run: u64, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments.split_whitespace())
            .env_clear()
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_RUN_ID", RUN.to_string())
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_JOB", "deploy")
            .env("GITHUB_SHA", SHA)
            .env("GITHUB_WORKSPACE", self.home.path())
            .env("RUNNER_TEMP", self.home.path())
            .env("INPUT_CONFIG", "cutover.yml")
            .env("INPUT_TOKEN", TOKEN)
            .env("INPUT_CHECK-RUN-ID", check_run.to_string())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Puts a record of ours there, of another run.
    pub(crate) fn record(&self, slot: &str, version: &str, run: u64, state: &str) -> u64 {
        let previous = if slot == "blue" { "green" } else { "blue" };
        let payload = json!({ "cutover": {
            "schema_version": 1, "mode": "rollout", "slot": slot, "version": version, "weight": 100,
            "previous": previous, "run_id": run.to_string(), "run_attempt": "1", "job": "deploy",
            "mark": format!("{run}"),
        }});
        let github = &self.github;
        github.put("production", "deploy:cutover", payload, state)
    }

    /// The release that users get.
    pub(crate) async fn served(&self) -> String {
        let answer = reqwest::get(self.world.public.clone());
        let answer = within("users are served", answer).await.unwrap();
        answer.headers()["x-release"].to_str().unwrap().to_owned()
    }

    /// The newest state of a deployment.
    pub(crate) fn state(&self, id: u64) -> String {
        self.github.states(id).pop().unwrap_or_default()
    }
}
