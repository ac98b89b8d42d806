//! How long users still get the old slot: a figure of the README, measured by `tests/bench`.
//!
//! From the start of the program, which is the verdict of a person or a workflow, to the end of
//! the last answer of the slot that is left, as seen by users who ask one request after the other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cutover::platform::text::duration;

use crate::figures::{MS, goal, middle, rising, switched};
use crate::world::haproxy::KeptAlive;
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

/// Users without end, and when each slot answered last.
struct Users {
    last: Mutex<[Instant; 2]>,
    asked: AtomicU64,
    enough: AtomicBool,
}

impl Users {
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
        while self.asked.load(Ordering::Relaxed) < asked + more {
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

/// The table's row for a way.
pub(crate) fn row(way: Way, name: &str) -> String {
    let shop = Shop::open(way);
    let users = Arc::new(Users {
        last: Mutex::new([Instant::now(); 2]),
        asked: AtomicU64::new(0),
        enough: AtomicBool::new(false),
    });
    let front = shop.front();
    let all: Vec<_> = (0..USERS)
        .map(|_| {
            let users = Arc::clone(&users);
            thread::spawn(move || users.ask(front))
        })
        .collect();
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
    users.enough.store(true, Ordering::Relaxed);
    for one in all {
        one.join().unwrap();
    }
    let (half, slowest) = (middle(&times), times.last().copied().unwrap_or_default());
    let told = format!("{}, slowest {}", duration(half), duration(slowest));
    let what =
        format!("{name}: `rollback`, from start to the old slot's last answer, median of {TIMES}");
    goal(&what, half < MS * 100, "100 ms", &told)
}
