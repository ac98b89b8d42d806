//! How long users still get the old slot: a figure of the README, measured by `tests/bench`.
//!
//! From the start of the program, which is the verdict of a person or a workflow, to the end of
//! the last answer of the slot that is left, as seen by users who ask one request after the other.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cutover::platform::text::duration;
use jiff::Timestamp;
use serde_json::Value;

use crate::figures::{MS, goal, middle, rising, switched};
use crate::world::haproxy::KeptAlive;
use crate::world::patience::PATIENCE;
use crate::world::shop::{Shop, Way};

/// The ways to switch that lose nothing.
pub(crate) const WAYS: [(Way, &str); 5] = [
    (Way::Flags, "nginx, flag file"),
    (Way::Map, "HAProxy, map"),
    (Way::CaddyFlags, "Caddy, flag file"),
    (Way::Traefik, "Traefik, watched file"),
    (Way::Envoy, "Envoy, watched file"),
];

const USERS: usize = 4;
const TIMES: usize = 21;
const VERDICTS: usize = 7;

/// Users without end, and when each slot answered last.
struct Users {
    last: Mutex<[Instant; 2]>,
    asked: AtomicU64,
    enough: AtomicBool,
}

impl Users {
    /// Some who ask at that port, until they are sent home.
    fn begin(front: u16) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let users = Arc::new(Self {
            last: Mutex::new([Instant::now(); 2]),
            asked: AtomicU64::new(0),
            enough: AtomicBool::new(false),
        });
        let one = |_| {
            let users = Arc::clone(&users);
            thread::spawn(move || users.ask(front))
        };
        let all = (0..USERS).map(one).collect();
        (users, all)
    }

    fn go_home(&self, all: Vec<JoinHandle<()>>) {
        self.enough.store(true, Ordering::Relaxed);
        for one in all {
            one.join().unwrap();
        }
    }

    fn ask(&self, front: u16) {
        let mut user = KeptAlive::at(front);
        while !self.enough.load(Ordering::Relaxed) {
            // A proxy ends a connection after so many requests; then there is a new one.
            let Ok(answer) = user.ask() else {
                user = KeptAlive::at(front);
                continue;
            };
            let slot = usize::from(answer.trim() == "green");
            self.last.lock().unwrap()[slot] = Instant::now();
            self.asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for so many more answers.
    fn wait(&self, more: u64) {
        let asked = self.asked.load(Ordering::Relaxed);
        let began = Instant::now();
        while self.asked.load(Ordering::Relaxed) < asked + more {
            assert!(began.elapsed() < PATIENCE, "nobody is answered");
            thread::sleep(MS);
        }
    }
}

#[tokio::test]
#[ignore = "a part of what tests/bench measures, for whoever looks at one router"]
async fn of_the_watched_files() {
    for (way, name) in [(Way::Traefik, "Traefik"), (Way::Envoy, "Envoy")] {
        print!("{}{}", row(way, name), switched(way, name).await);
    }
}

/// The ways that promise it, and nothing else of the table.
#[tokio::test]
#[ignore = "a part of what tests/bench measures, for whoever looks at canaries"]
async fn of_bad_canaries() {
    print!("{}", of_verdicts());
}

/// A row for each way that promises it.
pub(crate) fn of_verdicts() -> String {
    let [flags, map, .., envoy] = WAYS;
    let rows = [flags, map, envoy].into_iter();
    rows.map(|(way, name)| taken_back(way, name)).collect()
}

/// The row of a canary that is bad: from the verdict to the last answer that users had of it.
fn taken_back(way: Way, name: &str) -> String {
    let shop = Shop::open(way);
    let canary = "kind: canary, steps: [50%, 100%], every: 250ms, warm-up: 0s, wait: 5s, watch: 60s, source: prober";
    shop.configure("kind: blue-green, wait: 5s, watch: 0s", canary);
    let counted = "    metrics: [{ kind: prober, path: /work, rate: 100 }]\n    audit: { file: audit.jsonl }\n    proof:";
    shop.configure("    proof:", counted);
    for slot in ["blue", "green"] {
        fs::write(shop.path(slot).join("work"), "x".repeat(1000)).unwrap();
    }
    fs::write(shop.path("green/broken"), "").unwrap();
    let (users, all) = Users::begin(shop.front());
    let back = |nth: usize| {
        let _ = fs::remove_file(shop.path("audit.jsonl"));
        users.wait(100);
        let ran = shop.cutover(&format!("rollout --version=v{nth}"));
        assert_eq!(ran.code, 20, "{}", ran.log);
        users.wait(400);
        let verdict = verdict_in(&fs::read_to_string(shop.path("audit.jsonl")).unwrap());
        let last = users.last.lock().unwrap()[1].elapsed();
        let since = Timestamp::now().duration_since(verdict);
        Duration::try_from(since).unwrap().saturating_sub(last)
    };
    let times: Vec<Duration> = rising((2..2 + VERDICTS).map(back).collect());
    users.go_home(all);
    let (half, slowest) = (middle(&times), times.last().copied().unwrap_or_default());
    let told = format!("{}, slowest {}", duration(half), duration(slowest));
    let what =
        format!("{name}: a bad canary, from the verdict to its last answer, median of {VERDICTS}");
    goal(&what, half < MS * 100, "100 ms", &told)
}

/// When the audit says that the release was judged.
fn verdict_in(audit: &str) -> Timestamp {
    let lines = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut bad = lines
        .filter(|line: &Value| line["event"] == "judged" && line["data"]["verdict"] == "unhealthy");
    let judged = bad
        .next()
        .unwrap_or_else(|| panic!("no verdict in {audit}"));
    judged["at"].as_str().unwrap().parse().unwrap()
}

/// The table's row for a way.
pub(crate) fn row(way: Way, name: &str) -> String {
    let shop = Shop::open(way);
    let (users, all) = Users::begin(shop.front());
    let back = |nth: usize| {
        users.wait(100);
        let began = Instant::now();
        let ran = shop.cutover("rollback");
        assert_eq!(ran.code, 0, "{}", ran.log);
        users.wait(400);
        // The first way back is from blue, where a shop begins.
        let last = users.last.lock().unwrap()[nth % 2];
        last.saturating_duration_since(began)
    };
    let times: Vec<Duration> = rising((0..TIMES).map(back).collect());
    users.go_home(all);
    let (half, slowest) = (middle(&times), times.last().copied().unwrap_or_default());
    let told = format!("{}, slowest {}", duration(half), duration(slowest));
    let what =
        format!("{name}: `rollback`, from start to the old slot's last answer, median of {TIMES}");
    goal(&what, half < MS * 100, "100 ms", &told)
}
