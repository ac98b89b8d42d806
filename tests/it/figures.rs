//! The figures of the README, measured: `tests/bench` runs this on the program as it is shipped.
//!
//! Beside each switch of ours stands the script that people have today, under the same load, by
//! the same users, on the same machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::model::event::Event;
use cutover::model::slot::Slot;
use cutover::platform::secret::Vault;
use cutover::platform::text::{duration, thousands};
use cutover::report::Listener as _;
use cutover::report::audit::{Audit, Origin};

use crate::canary_figures;
use crate::prober_figures;
use crate::stories::load::under_load;
use crate::switch_figures;
use crate::world::caddy;
use crate::world::load::Manner;
use crate::world::nginx::{Lines, Nginx, Site};
use crate::world::patience::A_RUN;
use crate::world::shop::{self, Ran, Shop, Way, program};
use crate::world::watchers;

/// Where the tables go.
const FIGURES: &str = "FIGURES";

const STARTS: usize = 50;
const ROLLBACKS: usize = 41;
const CHECKS: usize = 2000;

#[tokio::test]
#[ignore = "a measurement of minutes; tests/bench runs it"]
async fn of_the_readme() {
    let mut tables = format!("{}\n\n", place());
    tables += "| | goal | measured |\n| --- | --- | --- |\n";
    let start = starts();
    tables += &goal(
        "start-up, median of 50",
        start < MS * 5,
        "5 ms",
        &duration(start),
    );
    let verified = audit_verified();
    tables += &goal(
        "`audit verify` of 100,000 lines",
        verified < MS * 1000,
        "1 s",
        &duration(verified),
    );
    let bytes = fs::metadata(program()).unwrap().len();
    tables += &goal("size of the program", bytes < 8 << 20, "8 MB", &mb(bytes));
    let bytes = peak_of_a_rollout();
    tables += &goal(
        "peak memory of a blue-green rollout",
        bytes < 15 << 20,
        "15 MB",
        &mb(bytes),
    );
    let (took, bytes) = many_checks();
    tables += &goal(
        &format!(
            "`health-check` with {} HTTP checks",
            thousands(CHECKS as u64)
        ),
        took < MS * 3000,
        "3 s",
        &duration(took),
    );
    tables += &goal("peak memory of it", bytes < 60 << 20, "60 MB", &mb(bytes));
    let admin = (Way::CaddyHandler, "Caddy, admin API");
    for (way, name) in switch_figures::WAYS.into_iter().chain([admin]) {
        let (writes, runs) = rollbacks(way);
        let (write, run) = (middle(&writes), middle(&runs));
        let slowest = runs.last().copied().unwrap();
        let told = format!("{}, slowest {}", duration(run), duration(slowest));
        let what = format!("{name}: `rollback`, from start to proved, median of {ROLLBACKS}");
        tables += &goal(&what, slowest < MS * 1000, "1 s", &told);
        let what = format!("{name}: the router's write, median of {ROLLBACKS}");
        // Traefik and Envoy take a file by themselves, and are waited for.
        let bar = if matches!(way, Way::Flags | Way::Map) {
            10
        } else {
            100
        };
        tables += &goal(
            &what,
            write < MS * bar,
            &format!("{bar} ms"),
            &duration(write),
        );
        tables += &switch_figures::row(way, name);
    }
    tables += &switch_figures::of_verdicts();
    tables += &canary_figures::rows().await;
    tables += &prober_figures::rows();
    tables +=
        "\nRequests that failed while traffic was switched ten times, of all that were sent:\n\n";
    tables += "| | kept connections | new connections | POST | one switch, to the last check |\n";
    tables += "| --- | --- | --- | --- | --- |\n";
    let reload = (Way::Include, "nginx, include and reload");
    let admin = (Way::CaddyHandler, "Caddy, admin API");
    for (way, name) in switch_figures::WAYS.into_iter().chain([reload, admin]) {
        tables += &switched(way, name).await;
    }
    let script = Script::open();
    let name = "a script: `sed`, `nginx -t && nginx -s reload`, `curl`";
    tables += &row(name, script.nginx.site.port, || script.switch()).await;
    println!("{tables}");
    if let Some(path) = std::env::var_os(FIGURES) {
        fs::write(path, tables).unwrap();
    }
}

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn goal(what: &str, reached: bool, goal: &str, measured: &str) -> String {
    let missed = if reached { "" } else { " (**missed**)" };
    format!("| {what} | < {goal} | {measured}{missed} |\n")
}

fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / f64::from(1 << 20))
}

/// The one in the middle of many in rising order.
pub(crate) fn middle(times: &[Duration]) -> Duration {
    times[times.len() / 2]
}

pub(crate) fn rising(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort_unstable();
    times
}

/// How it was measured, for who wants to compare.
fn place() -> String {
    let said = |command: &str| {
        let said = Command::new("sh").args(["-c", command]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    };
    let nginx = said("nginx -v 2>&1 | sed 's,.*/,,; s, .*,,'");
    let haproxy = said("haproxy -v | sed -n 's/^HAProxy version \\([0-9.]*\\).*/\\1/p'");
    let version = |tool: &str, arguments: &str| {
        let tool = watchers::tool(tool);
        said(&format!(
            "{} {arguments} | grep -om1 '[0-9]*[.][0-9]*[.][0-9]*'",
            tool.display()
        ))
    };
    let (traefik, envoy) = (version("traefik", "version"), version("envoy", "--version"));
    let caddy = said(&format!("{} version", caddy::program().display()));
    let caddy = caddy
        .split(' ')
        .next()
        .unwrap_or_default()
        .trim_start_matches('v');
    let cores = std::thread::available_parallelism().unwrap();
    format!(
        "Measured by `tests/bench` on {cores} cores, nginx {nginx}, HAProxy {haproxy}, Caddy {caddy}, \
         Traefik {traefik} and Envoy {envoy}; users, proxies and slots share the machine. Users never repeat a request."
    )
}

fn audit_verified() -> Duration {
    let home = tempfile::tempdir().unwrap();
    let mut audit = Audit::open(&home.path().join("a"), Origin::default(), Vault::default());
    (1..100_000).for_each(|n: u32| audit.hear(&Event::Noticed(n.to_string())));
    audit.close();
    let began = Instant::now();
    let mut run = Command::new(program());
    run.args(["audit", "verify", "a"]).current_dir(home.path());
    assert!(run.stdout(Stdio::null()).status().unwrap().success());
    began.elapsed()
}

fn starts() -> Duration {
    let start = |_| {
        let began = Instant::now();
        let mut run = Command::new(program());
        let ended = run.arg("--version").stdout(Stdio::null()).status().unwrap();
        assert!(ended.success());
        began.elapsed()
    };
    middle(&rising((0..STARTS).map(start).collect()))
}

/// The most memory that a rollout with a watch under 100 requests a second had at once.
fn peak_of_a_rollout() -> u64 {
    let shop = Shop::open(Way::Flags);
    shop.configure("watch: 0s }", "watch: 5s }\n    prober: { rate: 100 }");
    let run = shop.command("rollout --version=v2").spawn().unwrap();
    let peak = peak_of(&run);
    assert_eq!(Ran::of(run).output("decision"), "promoted");
    peak
}

/// How long checks of all sorts of paths of one shop take, each on a connection of its own, and
/// the memory it takes.
fn many_checks() -> (Duration, u64) {
    let shop = Shop::open(Way::Flags);
    let checks: String = (0..CHECKS)
        .map(|n| format!("        - {{ kind: http, path: \"/?check={n}\", expect: {{ status: 200, under: 5s }} }}\n"))
        .collect();
    shop.configure(
        "    smoke:\n",
        &format!("    health:\n      checks:\n{checks}    smoke:\n"),
    );
    let began = Instant::now();
    let run = shop.command("health-check").spawn().unwrap();
    let peak = peak_of(&run);
    let took = began.elapsed();
    let ran = Ran::of(run);
    assert_eq!(ran.output("decision"), "passed", "{}", ran.log);
    (took, peak)
}

/// The most memory that a run of the program ever had.
fn peak_of(run: &Child) -> u64 {
    let status = PathBuf::from(format!("/proc/{}/status", run.id()));
    let (mut peak, began) = (0, Instant::now());
    // When it has ended, until it is waited for, its memory is gone and the line with it.
    while let Some(kib) = high_water(&status) {
        assert!(began.elapsed() < A_RUN, "it has no end");
        peak = peak.max(kib);
        std::thread::sleep(MS);
    }
    peak << 10
}

fn high_water(status: &PathBuf) -> Option<u64> {
    let text = fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// The times of the router's writes and of whole runs, rising.
fn rollbacks(way: Way) -> (Vec<Duration>, Vec<Duration>) {
    let shop = Shop::open(way);
    let rollback = |_| {
        let began = Instant::now();
        let ran = shop.cutover("rollback");
        let took = began.elapsed();
        assert_eq!(ran.code, 0, "{}", ran.log);
        (
            Duration::from_secs_f64(ran.number("switch-ms") / 1000.0),
            took,
        )
    };
    let (writes, runs) = (0..ROLLBACKS).map(rollback).unzip();
    (rising(writes), rising(runs))
}

/// [`row`] for one of our ways.
pub(crate) async fn switched(way: Way, name: &str) -> String {
    let shop = Shop::open(way);
    let switch = || assert_eq!(shop.cutover("switch-traffic").code, 0);
    row(name, shop.front(), switch).await
}

/// What ten switches cost users of each kind, and how long one takes.
async fn row(name: &str, port: u16, switch: impl Fn()) -> String {
    let mut cells = Vec::new();
    let mut times = Vec::new();
    for manner in Manner::ALL {
        let felt = under_load(port, manner, |_| {
            let began = Instant::now();
            switch();
            times.push(began.elapsed());
        })
        .await;
        let failed = match felt.failed {
            0 => "0".to_owned(),
            some => format!("**{some}**"),
        };
        cells.push(format!("{failed} of {}", thousands(felt.sent)));
    }
    let took = duration(middle(&rising(times)));
    format!("| {name} | {} | {took} |\n", cells.join(" | "))
}

/// What people have today.
struct Script {
    _slots: Nginx,
    nginx: Nginx,
}

const SCRIPT: &str = "
case $(cat live.conf) in *blue*) from=blue to=green ;; *) from=green to=blue ;; esac
sed -i \"s/$from/$to/\" live.conf
NGINX -t -q && NGINX -s reload
for _ in $(seq 50); do
    [ \"$(curl -s URL)\" = $to ] && exit 0
    sleep 0.1
done
exit 1
";

impl Script {
    fn open() -> Self {
        let slots = shop::slots();
        let nginx = Nginx::start(|site: &Site| {
            let live = site.path("live.conf");
            fs::write(&live, "map \"\" $live_slot { default blue; }\n").unwrap();
            let upstream = |slot: Slot| {
                let port = slot.url.port().unwrap();
                let name = slot.name;
                format!("upstream {name} {{ server 127.0.0.1:{port}; keepalive 32; }}\n")
            };
            let both = slots.site.slots();
            Lines {
                http: upstream(both.first)
                    + &upstream(both.second)
                    + &format!("include \"{}\";\n", live.display()),
                server: "location / { proxy_http_version 1.1; proxy_set_header Connection \"\"; \
                         proxy_pass http://$live_slot; }"
                    .to_owned(),
            }
        });
        Self {
            _slots: slots,
            nginx,
        }
    }

    fn switch(&self) {
        let site = &self.nginx.site;
        let script = SCRIPT
            .replace("NGINX", site.command("").trim_end())
            .replace("URL", site.url("/").as_str());
        let mut run = Command::new("sh");
        let ended = run.args(["-c", &script]).current_dir(site.directory());
        assert!(ended.status().unwrap().success());
    }
}
