//! What a canary costs the machine that judges it: figures of the README, measured by `tests/bench`.
//!
//! A real HAProxy divides traffic and counts it, users never stop asking, and the kernel says what
//! the program has used. Half an hour is too long for a bench: three minutes of watching stand for
//! it, looked at as often as by default, with all that comes before and after.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use crate::figures::goal;
use crate::world::market::{Form, Market};
use crate::world::patience::A_RUN;
use crate::world::shop::Ran;

/// Two steps, and what is not said is as by default: a look every ten seconds, and the prober.
const STRATEGY: &str =
    "{ kind: canary, steps: [10%, 100%], watch: 90s, at-most: 10m, source: router }";

/// What the kernel counts a second of work in, as everywhere on Linux.
const TICKS: f64 = 100.0;

/// What the program has used.
struct Used {
    cpu: Duration,
    peak: u64,
}

#[tokio::test]
#[ignore = "a part of what tests/bench measures, for whoever looks at canaries"]
async fn of_a_canary() {
    print!("{}", rows().await);
}

pub(crate) async fn rows() -> String {
    let market = Market::open(Form::Map, STRATEGY).await;
    market.configure("\"prober\":{\"rate\":0}", "\"prober\":{}");
    let began = Instant::now();
    let child = market.start("rollout --version=v2");
    let ran = tokio::task::spawn_blocking(move || watched(child));
    let (used, ran) = ran.await.unwrap();
    let took = began.elapsed();
    assert_eq!(ran.output("decision"), "promoted", "{}", ran.log);
    let [sent, errors, lost] = market.felt();
    assert_eq!((errors, lost), (0, 0), "of {sent}");
    let share = used.cpu.as_secs_f64() / took.as_secs_f64() * 100.0;
    let cpu = format!(
        "{share:.2} % ({:.2} s in {:.0} s)",
        used.cpu.as_secs_f64(),
        took.as_secs_f64()
    );
    let mb = used.peak as f64 / 1024.0;
    goal(
        "a canary that is watched for 3 minutes: share of one core, start to end",
        share < 1.0,
        "1 %",
        &cpu,
    ) + &goal(
        "peak memory of it",
        mb < 30.0,
        "30 MB",
        &format!("{mb:.1} MB"),
    )
}

/// Waits for the end, and reads what the kernel knows until then: the memory is gone with the
/// process, and its time is there until somebody asks how it ended.
fn watched(child: Child) -> (Used, Ran) {
    let place = format!("/proc/{}", child.id());
    let (mut peak, began) = (0, Instant::now());
    loop {
        assert!(began.elapsed() < A_RUN, "it has no end");
        let status = fs::read_to_string(format!("{place}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = kib.map_or(peak, |kib: u64| peak.max(kib));
        if status.contains("State:\tZ") {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let stat = fs::read_to_string(format!("{place}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // The state is the first of them, and the third of the line.
    let ticks = fields.split(' ').skip(11).take(2);
    let ticks: f64 = ticks.map(|it| it.parse::<f64>().unwrap()).sum();
    let used = Used {
        cpu: Duration::from_secs_f64(ticks / TICKS),
        peak,
    };
    (used, Ran::of(child))
}
