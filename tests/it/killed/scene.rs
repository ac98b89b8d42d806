//! The whole world of one run, with gates before everybody that it asks, and what is left in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::runner::Runner;
use crate::world::gate::{Watchman, open};
use crate::world::github::{Github, TOKEN};
use crate::world::patience::PATIENCE;

pub(super) struct Scene {
    pub(super) runner: Runner,
    pub(super) github: Github,
    world: World,
    api_url: String,
    felt: Arc<[AtomicUsize; 2]>,
    _gates: JoinSet<()>,
}

impl Scene {
    pub(super) async fn set(watchman: &Watchman, strategy: &str) -> Self {
        let mark = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        let names = ["blue".to_owned(), "green".to_owned()];
        let world = World::open(names, Answers::for_checks(mark, []), "v1");
        let world = world.await.unwrap();
        let github = Github::start().await;
        let behind = github.api_url.parse().unwrap();
        let mut gates = JoinSet::new();
        let mut ports = Vec::new();
        for (whom, server) in [
            ("users", &world.public),
            ("blue", &world.slots[0]),
            ("green", &world.slots[1]),
            ("router", &world.router),
            ("github", &behind),
        ] {
            ports.push(open(whom, server, watchman, &mut gates).await);
        }
        let runner = Runner::new();
        let path = runner.folder("workspace").join("cutover.yml");
        std::fs::write(path, config(&ports, strategy)).unwrap();
        let felt: Arc<[AtomicUsize; 2]> = Arc::default();
        gates.spawn(user(world.public.clone(), Arc::clone(&felt)));
        Self {
            api_url: format!("http://127.0.0.1:{}{}", ports[4], behind.path()),
            runner,
            github,
            world,
            felt,
            _gates: gates,
        }
    }

    /// What the workflow gives to each stage of the step.
    pub(super) fn variables(&self) -> [(&str, &str); 13] {
        [
            ("CI", "true"),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_API_URL", &self.api_url),
            ("GITHUB_REPOSITORY", "shop/storefront"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", "1"),
            ("GITHUB_JOB", "deploy"),
            ("GITHUB_ACTION", "rollout"),
            ("GITHUB_SHA", "c0ffee"),
            ("INPUT_MODE", "rollout"),
            ("INPUT_CONFIG", "cutover.yml"),
            ("INPUT_VERSION", "v2"),
            ("INPUT_TOKEN", TOKEN),
        ]
    }

    /// What users get, asked past the gates.
    pub(super) async fn served(&self) -> String {
        let answer = get(&self.world.public).await.unwrap().to_lowercase();
        let release = answer.split("x-release: ").nth(1).unwrap_or("nothing");
        release.lines().next().unwrap_or_default().to_owned()
    }

    /// The share of the second slot, as the router has it.
    pub(super) async fn weight(&self) -> u64 {
        let answer = get(&self.world.router).await.unwrap();
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        body["weights"]["green"].as_u64().unwrap()
    }

    /// How many requests users have sent, and how many of them failed.
    pub(super) fn felt(&self) -> (usize, usize) {
        let [asked, failed] = [0, 1].map(|which| self.felt[which].load(Ordering::SeqCst));
        (asked, failed)
    }

    /// The newest state of each GitHub Deployment.
    pub(super) fn deployments(&self) -> Vec<String> {
        let ids = self.github.deployments();
        let states = ids
            .iter()
            .map(|one| self.github.states(one["id"].as_u64().unwrap()));
        let newest = states.map(|states| states.last().cloned());
        newest
            .map(|state| state.unwrap_or_else(|| "pending".to_owned()))
            .collect()
    }

    /// What is still held: the lock, ledgers and connections.
    pub(super) async fn held(&self, watchman: &Watchman) -> Vec<String> {
        let began = Instant::now();
        // The other end of a connection hears of its end a moment later.
        while watchman.open() > 0 && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut held = Vec::new();
        if !self.github.git(|git| git.is_free()) {
            held.push("the lock".to_owned());
        }
        for folder in ["temp", "commands", "home", "workspace"] {
            let names = std::fs::read_dir(self.runner.folder(folder)).unwrap();
            let names = names.map(|entry| entry.unwrap().file_name());
            let names = names.map(|name| name.to_string_lossy().into_owned());
            held.extend(names.filter(|name| name.starts_with("cutover-") || name.starts_with('.')));
        }
        if watchman.open() > 0 {
            held.push(format!("{} connections", watchman.open()));
        }
        held
    }
}

/// Somebody who goes on asking, past the gates, and never repeats a request.
async fn user(url: url::Url, felt: Arc<[AtomicUsize; 2]>) {
    loop {
        let answer = get(&url).await;
        let failed = !answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "));
        felt[0].fetch_add(1, Ordering::SeqCst);
        felt[1].fetch_add(usize::from(failed), Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An answer whole, on a connection of its own. A client of the library would take longer to
/// make than all the rest.
async fn get(url: &url::Url) -> std::io::Result<String> {
    let address = (url.host_str().unwrap(), url.port().unwrap());
    let mut stream = TcpStream::connect(address).await?;
    let path = url.path();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn config(ports: &[u16], strategy: &str) -> String {
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
    strategy: {strategy}
    proof: {{ answers: 3, within: 5s }}
    prober: {{ rate: 0 }}
",
        ports[0],
        ports[1],
        ports[2],
        api = ports[3]
    )
}
