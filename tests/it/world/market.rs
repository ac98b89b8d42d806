//! Two applications that count what they do, a real HAProxy in front, users who never stop asking, and
//! the program beside them, as its users run it. What is wrong with an application is ordered.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::backend::Backend;
use super::children::{exit_code, lines, output};
use super::haproxy::{Ground, HaProxy};
use super::patience::PATIENCE;
use super::prometheus::{History, Prometheus};
use super::shop::{Ran, program};

/// How HAProxy divides traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By an entry of a map.
    Map,
    /// By the weights of a backend's servers.
    Weights,
}

/// How many users there are.
const USERS: usize = 2;

/// From an answer to the next question of a user.
const PAUSE: Duration = Duration::from_millis(2);

/// All of it, with v1 on blue, which has all traffic.
pub(crate) struct Market {
    pub(crate) blue: Backend,
    pub(crate) green: Backend,
    pub(crate) haproxy: HaProxy,
    prometheus: Option<Prometheus>,
    users: Users,
}

impl Market {
    /// Opens one with that strategy, for v2 in green. The backends live on the caller's runtime.
    pub(crate) async fn open(form: Form, strategy: &str) -> Self {
        let (blue, green) = (Backend::start().await, Backend::start().await);
        blue.serves("v1");
        green.serves("v2");
        let ground = Ground::new();
        let socket = format!("unix:{}", ground.text_path("admin.sock"));
        let router = match form {
            Form::Weights => json!({ "kind": "haproxy", "address": socket, "backend": "shop" }),
            Form::Map => {
                let map = ground.text_path("weight.map");
                fs::write(&map, "green_weight 0\n").unwrap();
                json!({ "kind": "haproxy", "address": socket, "map": map, "key": "green_weight" })
            }
        };
        let config = json!({
            "version": 1, "app": "storefront",
            "environments": { "production": {
                "url": format!("http://127.0.0.1:{}", ground.front),
                "slots": { "blue": { "url": blue.url() }, "green": { "url": green.url() } },
                "release": { "kind": "text", "path": "/release" },
                "target": { "kind": "command", "run": "true" },
                "router": router,
                "metrics": [],
                "strategy": {},
                "proof": { "answers": 5, "within": "5s" },
                "prober": { "rate": 0 },
            } },
        });
        let config = config.to_string();
        let config = config.replace("\"strategy\":{}", &format!("\"strategy\": {strategy}"));
        fs::write(ground.path("cutover.yml"), config).unwrap();
        let lines = command(ground.directory.path().to_owned(), "router-config");
        let lines = output(&mut { lines });
        assert!(lines.status.success(), "{lines:?}");
        let lines = String::from_utf8(lines.stdout).unwrap();
        let haproxy = tokio::task::spawn_blocking(move || ground.start(&lines));
        let haproxy = haproxy.await.unwrap();
        let users = Users::of(haproxy.ground.front);
        Self {
            blue,
            green,
            haproxy,
            prometheus: None,
            users,
        }
    }

    /// With a Prometheus that looks at both applications, as the source of figures.
    pub(crate) async fn with_prometheus(mut self) -> Self {
        let ports = [("blue", self.blue.port), ("green", self.green.port)];
        let started = tokio::task::spawn_blocking(move || History::new().start_looking_at(&ports));
        let prometheus = started.await.unwrap();
        self.count_by(&prometheus.url);
        self.prometheus = Some(prometheus);
        self
    }

    /// With a Prometheus at that address as the source of figures.
    pub(crate) fn count_by(&self, url: &str) {
        let source: Value = json!({
            "kind": "prometheus", "url": url,
            "by-slot": {
                "requests": "sum(requests_total{slot=\"{{slot}}\"})",
                "errors": "sum(requests_total{slot=\"{{slot}}\",code=~\"5..\"})",
                "latency": "sum by (le) (seconds_bucket{slot=\"{{slot}}\"})",
            },
        });
        self.configure("\"metrics\":[]", &format!("\"metrics\": [{source}]"));
    }

    /// Waits until Prometheus knows of all errors that there were, also where it is asked for a second ago.
    pub(crate) async fn errors_are_known(&self) {
        let url = &self.prometheus.as_ref().unwrap().url;
        let known = async |slot: &str| {
            let query = format!("sum(requests_total{{slot=\"{slot}\",code=~\"5..\"}} offset 1s)");
            let place = format!("{url}/api/v1/query");
            let asked = reqwest::Url::parse_with_params(&place, [("query", query)]).unwrap();
            let answer: Value = reqwest::get(asked).await.unwrap().json().await.unwrap();
            let number = answer["data"]["result"][0]["value"][1].as_str();
            number.and_then(|number| number.parse::<u64>().ok())
        };
        let began = Instant::now();
        for (slot, backend) in [("blue", &self.blue), ("green", &self.green)] {
            while known(slot).await != Some(backend.counted().1) {
                assert!(began.elapsed() < PATIENCE, "not known");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Changes a line of the config.
    pub(crate) fn configure(&self, from: &str, to: &str) {
        let path = self.haproxy.ground.path("cutover.yml");
        let old = fs::read_to_string(&path).unwrap();
        assert!(old.contains(from), "{from} is not in {old}");
        fs::write(&path, old.replace(from, to)).unwrap();
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &str) -> Child {
        let directory = self.haproxy.ground.directory.path().to_owned();
        command(directory, arguments).spawn().unwrap()
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &'static str) -> Ran {
        self.run_and(arguments, |_| {}).await
    }

    /// The same; each line of the log is seen as it is printed.
    pub(crate) async fn run_and(&self, arguments: &'static str, mut sees: impl FnMut(&str)) -> Ran {
        let directory = self.haproxy.ground.directory.path().to_owned();
        let (says, mut hears) = tokio::sync::mpsc::unbounded_channel();
        let running = tokio::task::spawn_blocking(move || {
            let mut child = command(directory, arguments).spawn().unwrap();
            let mut printed = String::new();
            for line in lines(child.stdout.take()) {
                printed += &format!("{line}\n");
                says.send(line).unwrap();
            }
            (exit_code(&mut child), printed)
        });
        while let Some(line) = hears.recv().await {
            sees(&line);
        }
        let (code, printed) = running.await.unwrap();
        Ran::read(code, printed.trim_end())
    }

    /// The slot that answers users; both with a `/`.
    pub(crate) async fn who(&self) -> String {
        // A slow request may have been on its way when traffic moved, and be counted afterwards.
        let mut who = self.asked().await;
        for _ in 0..5 {
            if !who.contains('/') {
                break;
            }
            who = self.asked().await;
        }
        who
    }

    async fn asked(&self) -> String {
        let before = self.counted();
        // Enough for both to be drawn, where both have a share.
        let began = Instant::now();
        let sum = |counted: [u64; 2]| counted.iter().sum::<u64>();
        let mut after = before;
        while sum(after) < sum(before) + 60 {
            assert!(began.elapsed() < PATIENCE, "nobody asks");
            tokio::time::sleep(Duration::from_millis(5)).await;
            after = self.counted();
        }
        let grown = [("blue", 0), ("green", 1)].into_iter();
        let grown = grown.filter(|(_, i)| after[*i] > before[*i]);
        grown.map(|(name, _)| name).collect::<Vec<_>>().join("/")
    }

    fn counted(&self) -> [u64; 2] {
        [self.blue.counted().0, self.green.counted().0]
    }

    /// How many requests users sent so far, how many were answered with an error, and how many were
    /// not answered at all.
    pub(crate) fn felt(&self) -> [u64; 3] {
        self.users.felt()
    }
}

fn command(directory: PathBuf, arguments: &str) -> Command {
    let mut command = Command::new(program());
    command
        .args(arguments.split_whitespace())
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("INPUT_CONFIG", "cutover.yml")
        .env("RUNNER_TEMP", &directory)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// Users who ask one request after the other, and pause in between.
struct Users {
    counted: Arc<[AtomicU64; 3]>,
    enough: Arc<AtomicBool>,
    all: Vec<JoinHandle<()>>,
}

impl Users {
    fn of(front: u16) -> Self {
        let counted = Arc::<[AtomicU64; 3]>::default();
        let enough = Arc::<AtomicBool>::default();
        let user = |_| {
            let (counted, enough) = (Arc::clone(&counted), Arc::clone(&enough));
            thread::spawn(move || use_it(front, &counted, &enough))
        };
        Self {
            all: (0..USERS).map(user).collect(),
            counted,
            enough,
        }
    }

    fn felt(&self) -> [u64; 3] {
        self.counted
            .each_ref()
            .map(|one| one.load(Ordering::SeqCst))
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::SeqCst);
        for user in self.all.drain(..) {
            let _ = user.join();
        }
    }
}

fn use_it(front: u16, counted: &[AtomicU64; 3], enough: &AtomicBool) {
    let mut connection = None;
    while !enough.load(Ordering::SeqCst) {
        counted[0].fetch_add(1, Ordering::SeqCst);
        match asked(front, &mut connection) {
            Some(200) => {}
            Some(_) => {
                counted[1].fetch_add(1, Ordering::SeqCst);
            }
            None => {
                connection = None;
                counted[2].fetch_add(1, Ordering::SeqCst);
            }
        }
        thread::sleep(PAUSE);
    }
}

/// The code of an answer, over a connection that is kept.
fn asked(front: u16, connection: &mut Option<BufReader<TcpStream>>) -> Option<u16> {
    if connection.is_none() {
        let stream = TcpStream::connect(("127.0.0.1", front)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        *connection = Some(BufReader::new(stream));
    }
    let stream = connection.as_mut()?;
    let question = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
    stream.get_mut().write_all(question).ok()?;
    let (mut code, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if code.is_none() {
            code = line.split(' ').nth(1)?.parse().ok();
        }
        if let Some(number) = line.strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
    }
    stream.read_exact(&mut vec![0; length]).ok()?;
    code
}
