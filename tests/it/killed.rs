//! A rollout that is killed outright at every single point, and the post step after it: traffic
//! is on one good slot, the record is closed, and nothing is left.

use std::path::Path;
use std::process::{Output, Stdio};

use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::world::gate::{Watchman, When, open};
use crate::world::github::{Github, TOKEN};

/// The whole world of one run.
struct Scene {
    world: World,
    github: Github,
    home: tempfile::TempDir,
    _gates: JoinSet<()>,
}

impl Scene {
    async fn set(watchman: &Watchman) -> Self {
        let mark = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        let names = ["blue".to_owned(), "green".to_owned()];
        let world = World::open(names, Answers::for_checks(mark, []), "v1")
            .await
            .unwrap();
        let mut gates = JoinSet::new();
        let mut ports = Vec::new();
        for server in [
            &world.public,
            &world.slots[0],
            &world.slots[1],
            &world.router,
        ] {
            ports.push(open(server, watchman, &mut gates).await);
        }
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("cutover.yml"), config(&ports)).unwrap();
        Self {
            world,
            github: Github::start().await,
            home,
            _gates: gates,
        }
    }

    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .arg(mode)
            .env_clear()
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &self.github.api_url)
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_RUN_ID", "7")
            .env("GITHUB_RUN_ATTEMPT", "1")
            .env("GITHUB_JOB", "deploy")
            .env("GITHUB_ACTION", "rollout")
            .env("GITHUB_SHA", "c0ffee")
            .env("GITHUB_WORKSPACE", self.home.path())
            .env("RUNNER_TEMP", self.home.path())
            .env("INPUT_CONFIG", "cutover.yml")
            .env("INPUT_VERSION", "v2")
            .env("INPUT_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// What users get, asked past the gates.
    async fn served(&self) -> String {
        let answer = reqwest::get(self.world.public.clone()).await.unwrap();
        answer.headers()["x-release"].to_str().unwrap().to_owned()
    }

    async fn weights(&self) -> String {
        let body = reqwest::get(self.world.router.clone())
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        body.split("\"version\"").next().unwrap().to_owned()
    }

    fn left_open(&self) -> Vec<String> {
        let ids = self.github.deployments();
        let states = ids
            .iter()
            .map(|one| self.github.states(one["id"].as_u64().unwrap()));
        let newest = states.filter_map(|states| states.last().cloned());
        newest
            .filter(|state| matches!(state.as_str(), "in_progress" | "queued" | "pending"))
            .collect()
    }
}

fn config(ports: &[u16]) -> String {
    format!(
        "version: 1
app: storefront
environments:
  production:
    url: http://127.0.0.1:{}
    slots: {{ blue: {{ url: 'http://127.0.0.1:{}' }}, green: {{ url: 'http://127.0.0.1:{}' }} }}
    release: {{ kind: header, name: X-Release }}
    router: {{ kind: http, url: 'http://127.0.0.1:{api}/weights' }}
    target: {{ kind: http, url: 'http://127.0.0.1:{api}/deploy' }}
    strategy: {{ kind: blue-green, watch: 0s }}
    proof: {{ answers: 3, within: 5s }}
    prober: {{ rate: 0 }}
",
        ports[0],
        ports[1],
        ports[2],
        api = ports[3]
    )
}

fn ledgers(home: &Path) -> usize {
    let names = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("cutover-ledger"))
        .count()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Kills a rollout at its `at`-th question; `None` when it ended before.
async fn killed_at(at: usize, when: When) -> Option<String> {
    let watchman = Watchman::new(at, when);
    let scene = Scene::set(&watchman).await;
    let mut rollout = scene.command("rollout").spawn().unwrap();
    let pid = rollout.id().unwrap();
    watchman.shall(move || {
        std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap();
    });
    let status = rollout.wait().await.unwrap();
    if watchman.asked() < at {
        assert!(status.success(), "{status}");
        assert_eq!(
            (scene.served().await.as_str(), ledgers(scene.home.path())),
            ("v2", 0)
        );
        return None;
    }
    let before = scene.weights().await;
    let finished = scene.command("finish").output().await.unwrap();
    let log = said(&finished);
    assert!(finished.status.success(), "killed at {at} {when:?}: {log}");
    let (weights, served) = (scene.weights().await, scene.served().await);
    let whole = weights.contains("\"blue\":100") || weights.contains("\"green\":100");
    assert!(whole, "killed at {at} {when:?}: {weights}\n{log}");
    let expected = if weights.contains("\"blue\":100") {
        "v1"
    } else {
        "v2"
    };
    assert_eq!(served, expected, "killed at {at} {when:?}");
    assert_eq!(scene.left_open(), [""; 0], "killed at {at} {when:?}: {log}");
    assert_eq!(ledgers(scene.home.path()), 0, "killed at {at} {when:?}");
    let again = scene.command("finish").output().await.unwrap();
    assert!(
        again.status.success() && said(&again).contains("nothing was left open"),
        "{}",
        said(&again)
    );
    let moved = if before == weights {
        "where it was"
    } else {
        "put back"
    };
    Some(format!(
        "killed {when:?} question {at:>2}: users get {served}, traffic {moved}"
    ))
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_point_is_finished_by_the_post_step() {
    for when in [When::Before, When::AfterEffect] {
        let mut at = 1;
        while let Some(row) = killed_at(at, when).await {
            println!("{row}");
            at += 1;
        }
        assert!(at > 12, "a rollout asks more often than {at} times");
    }
}
