//! One environment changes once at a time: the built program, many at once, against one lock.

mod alone;
mod late;
mod lost;
mod queue;
mod turns;
mod unlocked;

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::world::children::ended_meanwhile;
use crate::world::github::{Github, TOKEN};
use crate::world::yard::Yard;

pub(crate) use crate::world::patience::PATIENCE;

/// An environment, GitHub, and a place for each run's files.
pub(crate) struct Scene {
    pub(crate) yard: Yard,
    pub(crate) github: Github,
    pub(crate) home: tempfile::TempDir,
}

/// What became of a run.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) log: String,
}

impl Scene {
    pub(crate) async fn set(watch: &str, lock: &str) -> Self {
        let yard = Yard::open().await;
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("cutover.yml"), yard.config(watch, lock)).unwrap();
        Self {
            yard,
            github: Github::start().await,
            home,
        }
    }

    /// A step of a workflow run of its own, which `version` names.
    pub(crate) fn command(&self, arguments: &[&str], version: &str) -> Command {
        let temp = self.home.path().join(version);
        std::fs::create_dir_all(&temp).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments)
            .env_clear()
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_ACTOR", format!("ana-{version}"))
            .env("GITHUB_RUN_ID", version.trim_start_matches('v'))
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_JOB", "deploy")
            .env("GITHUB_SHA", "c0ffee")
            .env("GITHUB_WORKSPACE", self.home.path())
            .env("RUNNER_TEMP", temp)
            .env("INPUT_CONFIG", "cutover.yml")
            .env("INPUT_VERSION", version)
            .env("INPUT_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn rollout(&self, version: &str) -> Child {
        self.command(&["rollout"], version).spawn().unwrap()
    }

    pub(crate) async fn run(&self, arguments: &[&str], version: &str) -> Ran {
        ended(self.command(arguments, version).spawn().unwrap()).await
    }

    /// Nobody wrote the lock of somebody else who held it: each claim is released before the
    /// next one, or taken over when its lease was over.
    fn takeovers(&self) -> usize {
        let claims = self.github.git(|git| git.claims());
        let pairs = claims.iter().zip(claims.iter().skip(1));
        pairs
            .filter(|((state, before), (_, after))| {
                state == "held" && before["claim"] != after["claim"]
            })
            .count()
    }
}

pub(crate) async fn ended(child: Child) -> Ran {
    let output = ended_meanwhile(child).await;
    Ran {
        code: output.status.code(),
        log: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

/// Sends a process a signal.
pub(crate) fn signal(signal: &str, pid: &str) {
    let kill = std::process::Command::new("kill")
        .args([signal, pid])
        .status();
    assert!(kill.unwrap().success());
}
