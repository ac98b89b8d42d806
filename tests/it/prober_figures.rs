//! The prober's figures beside those of wrk, on the same server: a HAProxy that answers after a
//! time that is drawn, the same for both. `tests/bench` puts them into the README.
//!
//! wrk does not say what it measured where an answer took longer than twice the mean. It takes the
//! server to have stalled, and adds answers that nobody got: one a mean shorter, one two means
//! shorter, and so on. So no answer here takes that long, and what wrk says is what it saw.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::figures::goal;
use crate::world::patience::PATIENCE;
use crate::world::ports;
use crate::world::shop::program;

/// Requests a second, and for how long, in seconds.
const RATE: u32 = 1000;
const LONG: u32 = 20;

/// So many connections of wrk are about as fast, for an answer takes 120 ms on average, and a
/// little for the way.
const CONNECTIONS: u32 = 121;

/// Times from 100 to 200 ms, half of them below 106 and one of twenty above 181. The golden ratio
/// spreads them evenly from the first requests on, so that both are given the same.
const DELAY: &str = r#"
local n = 0
core.register_action("delay", { "http-req" }, function(txn)
    n = n + 1
    local u = (n * 0.6180339887498949) % 1
    core.msleep(math.floor(100 + 100 * u ^ 4 + 0.5))
end)
"#;

/// What wrk says at its end, in microseconds.
const SAY: &str = r#"
done = function(summary, latency, requests)
    for _, p in pairs({ 50, 95, 99 }) do
        io.write(string.format("p%d %d\n", p, latency:percentile(p)))
    end
    io.write(string.format("errors %d\n", summary.errors.connect + summary.errors.read
        + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
"#;

struct Server {
    port: u16,
    folder: TempDir,
    haproxy: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let config = format!(
            "global\n    lua-load delay.lua\n    stats socket unix@{}/stats.sock level admin\n    maxconn 5000\n\
             defaults\n    mode http\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n\
             frontend slow\n    bind 127.0.0.1:{port} backlog 4096\n    http-request lua.delay\n    \
             http-request return status 200 content-type text/plain string ok\n",
            folder.path().display()
        );
        fs::write(folder.path().join("delay.lua"), DELAY).unwrap();
        fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let haproxy = Command::new("haproxy")
            .args(["-db", "-f", "haproxy.cfg"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self {
            port,
            folder,
            haproxy,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// How many requests it got so far.
    fn requests(&self) -> f64 {
        let mut stream = UnixStream::connect(self.folder.path().join("stats.sock")).unwrap();
        stream.write_all(b"show stat -1 1 -1\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        let mut lines = said.lines();
        let names = lines.next().unwrap().trim_start_matches("# ").split(',');
        let column = names.clone().position(|name| name == "req_tot").unwrap();
        let row = lines.find(|line| line.starts_with("slow,")).unwrap();
        row.split(',').nth(column).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

/// The percentiles of wrk, in milliseconds.
fn by_wrk(server: &Server, home: &Path) -> [f64; 3] {
    let script = home.join("say.lua");
    fs::write(&script, SAY).unwrap();
    let run = Command::new("wrk")
        .args([
            "-t2",
            &format!("-c{CONNECTIONS}"),
            &format!("-d{LONG}s"),
            "--timeout",
            "5s",
        ])
        .arg("-s")
        .arg(&script)
        .arg(format!("http://127.0.0.1:{}/", server.port))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let of = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{said}"))
            .trim()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(of("errors "), 0.0, "{said}");
    ["p50 ", "p95 ", "p99 "].map(|name| of(name) / 1000.0)
}

/// The percentiles of the prober, in milliseconds, and its rate as the server saw it.
fn by_the_prober(server: &Server, home: &Path, keep_alive: bool) -> ([f64; 3], f64) {
    let config = format!(
        "version: 1\napp: shop\nenvironments:\n  production:\n    url: http://127.0.0.1:{}\n    slots:\n      \
         blue: {{ url: http://127.0.0.1:1 }}\n      green: {{ url: http://127.0.0.1:2 }}\n    \
         release: {{ kind: header, name: X-Release }}\n    metrics: [{{ kind: prober, rate: {RATE}, duration: {LONG}s, keep-alive: {keep_alive} }}]\n",
        server.port
    );
    fs::write(home.join("cutover.yml"), config).unwrap();
    let output = home.join("output");
    fs::write(&output, "").unwrap();
    let mut run = Command::new(program())
        .args(["health-check", "--config", "cutover.yml"])
        .current_dir(home)
        .env("GITHUB_OUTPUT", &output)
        .env("GITHUB_ACTIONS", "true")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let wait = |seconds: u32| std::thread::sleep(Duration::from_secs(u64::from(seconds)));
    wait(LONG / 6);
    let (began, before) = (Instant::now(), server.requests());
    wait(LONG / 3 * 2);
    let rate = (server.requests() - before) / began.elapsed().as_secs_f64();
    assert!(run.wait().unwrap().success());
    let said = fs::read_to_string(&output).unwrap();
    let of = |name: &str| {
        let mut lines = said
            .lines()
            .skip_while(|line| !line.starts_with(&format!("{name}<<")));
        let value = lines.nth(1).unwrap_or_else(|| panic!("{name}: {said}"));
        value.parse::<f64>().unwrap()
    };
    assert_eq!(of("requests-sent"), f64::from(RATE * LONG));
    assert_eq!(of("requests-failed"), 0.0);
    (["p50-ms", "p95-ms", "p99-ms"].map(of), rate)
}

/// Rows for the README's table of goals. wrk keeps its connections, so the prober does the same
/// where they are compared; its rate is measured with new ones, too.
pub(crate) fn rows() -> String {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let wrk = by_wrk(&server, home.path());
    let (ours, kept) = by_the_prober(&server, home.path(), true);
    let mut rows = String::new();
    for ((name, ours), wrk) in ["p50", "p95", "p99"].iter().zip(ours).zip(wrk) {
        let off = (ours / wrk - 1.0) * 100.0;
        let what = format!("prober at {RATE} a second: {name} beside that of wrk");
        let told = format!("{off:+.1} % ({ours:.1} ms, wrk {wrk:.1} ms)");
        rows += &goal(&what, off.abs() < 2.0, "2 %", &told);
    }
    let (_, new) = by_the_prober(&server, home.path(), false);
    for (connections, rate) in [("kept", kept), ("new", new)] {
        let off = (rate / f64::from(RATE) - 1.0) * 100.0;
        let what = format!(
            "prober: its rate of {RATE} a second, {connections} connections, as the server counts"
        );
        let told = format!("{off:+.2} % ({rate:.1} a second)");
        rows += &goal(&what, off.abs() < 1.0, "1 %", &told);
    }
    rows
}

#[test]
#[ignore = "a measurement of a minute; tests/bench runs it"]
fn beside_wrk() {
    let rows = rows();
    println!("{rows}");
    assert!(!rows.contains("missed"), "{rows}");
}
