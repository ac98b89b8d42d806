//! A rollout that is killed outright at every single point, and the post step after it: traffic
//! is on one good slot, the record is closed, and nothing is left.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use futures_util::future::join_all;
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::world::gate::{Watchman, When, open};
use crate::world::github::{Github, TOKEN};

/// More than a rollout asks questions.
const POINTS: usize = 24;

const KILL: &str = "-KILL";

/// The whole world of one run.
struct Scene {
    world: World,
    github: Github,
    home: tempfile::TempDir,
    /// Answers to users, and how many of them failed.
    felt: Arc<[AtomicUsize; 2]>,
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
        let felt: Arc<[AtomicUsize; 2]> = Arc::default();
        gates.spawn(user(world.public.clone(), Arc::clone(&felt)));
        Self {
            world,
            felt,
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

    /// How many ledgers there are.
    fn ledgers(&self) -> usize {
        let names = std::fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("cutover-ledger"))
            .count()
    }

    /// Runs the post step, which must end well, and returns its log.
    async fn finished(&self) -> String {
        let output = self.command("finish").output().await.unwrap();
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{log}");
        log
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

/// Somebody who goes on asking, past the gates, and never repeats a request.
async fn user(url: url::Url, felt: Arc<[AtomicUsize; 2]>) {
    loop {
        let answer = reqwest::get(url.clone()).await;
        let failed = !answer.is_ok_and(|answer| answer.status().is_success());
        felt[0].fetch_add(1, Ordering::SeqCst);
        felt[1].fetch_add(usize::from(failed), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
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

/// A signalled run ends within 7 s by its own clock. On a busy machine, with all points side by
/// side, it may take longer by ours; what goes on after this long would go on for ever.
const FOR_EVER: Duration = Duration::from_secs(60);

/// Sends a rollout a signal at its `at`-th question; `None` when it ended before.
async fn signalled_at(signal: &'static str, at: usize, when: When) -> Option<String> {
    let watchman = Watchman::new(at, when);
    let scene = Scene::set(&watchman).await;
    let mut rollout = scene.command("rollout").spawn().unwrap();
    let pid = rollout.id().unwrap().to_string();
    let signalled = Arc::new(OnceLock::new());
    let now = Arc::clone(&signalled);
    watchman.shall(move || {
        now.get_or_init(Instant::now);
        let kill = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(kill.unwrap().success());
    });
    let point = format!("{signal} {when:?} at {at:>2}");
    let status = tokio::time::timeout(FOR_EVER, rollout.wait()).await;
    let took = signalled.get().map(Instant::elapsed).unwrap_or_default();
    let status = status
        .unwrap_or_else(|_| panic!("{point}: it goes on"))
        .unwrap();
    if watchman.asked() < at {
        assert!(status.success(), "{status}");
        assert_eq!((scene.served().await.as_str(), scene.ledgers()), ("v2", 0));
        return None;
    }
    if signal != KILL {
        assert!(
            matches!(status.code(), Some(0 | 40 | 130)),
            "{point}: {status}"
        );
    }
    let before = scene.weights().await;
    let log = scene.finished().await;
    let (weights, served) = (scene.weights().await, scene.served().await);
    let expected = match (
        weights.contains("\"blue\":100"),
        weights.contains("\"green\":100"),
    ) {
        (true, _) => "v1",
        (_, true) => "v2",
        _ => panic!("{point}: {weights}\n{log}"),
    };
    assert_eq!(served, expected, "{point}");
    assert_eq!(scene.left_open(), [""; 0], "{point}: {log}");
    assert_eq!(scene.ledgers(), 0, "{point}");
    assert!(scene.github.git(|git| git.is_free()), "{point}: {log}");
    assert!(
        scene.finished().await.contains("nothing was left open"),
        "{point}"
    );
    let [asked, failed] = [0, 1].map(|which| scene.felt[which].load(Ordering::SeqCst));
    assert!(
        asked > 0 && failed == 0,
        "{point}: {failed} of {asked} requests failed"
    );
    let traffic = if before == weights {
        "stays"
    } else {
        "goes back"
    };
    Some(format!(
        "{point}: {status} after {took:.1?}; then users get {served}: traffic {traffic}; {failed} of {asked} requests failed"
    ))
}

/// All points side by side: a hanging one takes its seconds.
async fn at_every_point(signal: &'static str, when: When) {
    let rows = join_all((1..=POINTS).map(|at| signalled_at(signal, at, when))).await;
    let rows: Vec<String> = rows.into_iter().flatten().collect();
    println!("{}", rows.join("\n"));
    assert!(
        (10..POINTS).contains(&rows.len()),
        "{} points of a rollout",
        rows.len()
    );
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_point_is_finished_by_the_post_step() {
    for when in [When::Before, When::AfterEffect] {
        at_every_point(KILL, when).await;
    }
}

#[tokio::test]
async fn a_run_that_is_cancelled_at_any_point_ends_in_time_by_itself() {
    at_every_point("-INT", When::InPassing).await;
    at_every_point("-TERM", When::Hanging).await;
}
