//! A real HAProxy in front of nothing, told to fail in every way it knows, and what a person
//! reads of each.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover::probes::{Ailment, Pulse};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::looks::{look, made, tools};
use crate::world::app::App;
use crate::world::patience::PATIENCE;
use crate::world::ports;

/// The proxy. It ends with its owner.
struct Faults {
    port: u16,
    _folder: TempDir,
    haproxy: Child,
}

impl Faults {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let config = format!(
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 20s\n  timeout server 20s\n  timeout tarpit 20s\n\
             frontend it\n  bind 127.0.0.1:{port}\n\
             \x20 http-request silent-drop if {{ path /drop }}\n\
             \x20 http-request reject if {{ path /closed }}\n\
             \x20 http-request tarpit if {{ path /tarpit }}\n\
             \x20 http-request return status 200 content-type application/json \
             string '{{\"status\":\"ready\",\"checks\":{{\"database\":\"healthy\"}}}}' if {{ path /ready }}\n\
             \x20 http-request return status 503 content-type application/json \
             string '{{\"status\":\"starting\",\"checks\":{{\"database\":\"down\"}}}}' if {{ path /starting }}\n\
             \x20 http-request deny deny_status 429 if {{ path /often }} {{ rand(100) lt 60 }}\n\
             \x20 http-request return status 200 content-type text/plain string fine if {{ path /often }}\n\
             \x20 use_backend none\n\
             backend none\n  retries 0\n  server gone 127.0.0.1:1\n"
        );
        std::fs::write(folder.path().join("it.cfg"), config).unwrap();
        let haproxy = Command::new("haproxy")
            .args(["-q", "-db", "-f", "it.cfg"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut faults = Self {
            port,
            _folder: folder,
            haproxy,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                faults.haproxy.try_wait().unwrap().is_none(),
                "HAProxy ended"
            );
            assert!(began.elapsed() < PATIENCE, "HAProxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        faults
    }

    fn block(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        json!({ "kind": "http", "url": url, "timeout": "400ms" })
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        let _ = self.haproxy.kill();
        let _ = self.haproxy.wait();
    }
}

async fn seen(block: Value) -> Result<Pulse, Ailment> {
    look(block, &App::start().await).await
}

/// What a dropped connection looks like: HAProxy needs a right of the network's (CAP_NET_ADMIN) to
/// fall silent, and resets the connection where it has not got it, as in some containers.
fn dropped() -> &'static str {
    const NET_ADMIN: u64 = 1 << 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = u64::from_str_radix(rights.unwrap().trim(), 16).unwrap();
    match rights & NET_ADMIN {
        0 => "HTTP: Connection reset by peer",
        _ => "HTTP: no answer after 4",
    }
}

#[tokio::test]
async fn each_fault_of_a_proxy_has_its_own_words() {
    let faults = Faults::start();
    for (path, silent, begins) in [
        ("/drop", true, dropped()),
        ("/tarpit", true, "HTTP: no answer after 4"),
        (
            "/closed",
            true,
            "HTTP: connection closed before message completed after ",
        ),
        ("/starting", false, "503 in "),
        ("/gone", false, "503 in "),
    ] {
        let ailment = seen(faults.block(path)).await.unwrap_err();
        assert!(ailment.measured.starts_with(begins), "{path}: {ailment}");
        assert_eq!(
            (ailment.silent, ailment.unseen),
            (silent, false),
            "{path}: {ailment:?}"
        );
        let wanted = if silent { "2xx within 400 ms" } else { "2xx" };
        assert_eq!(ailment.wanted, wanted, "{path}");
    }
    let mut closed = faults.block("/");
    closed["url"] = json!("http://127.0.0.1:1/");
    let ailment = seen(closed).await.unwrap_err();
    assert!(
        ailment.measured.starts_with("TCP: Connection refused"),
        "{ailment}"
    );
}

#[tokio::test]
async fn a_service_that_is_often_too_busy_passes_with_patience() {
    let faults = Faults::start();
    let block = faults.block("/often");
    let probe = made(block.clone(), &tools("/")).unwrap();
    let subject = cutover::probes::Subject {
        url: "http://127.0.0.1:1/".parse().unwrap(),
        variables: Vec::new(),
    };
    let mut busy = None;
    for _ in 0..200 {
        if let Err(ailment) = probe.look(&subject).await {
            busy = Some(ailment);
            break;
        }
    }
    let busy = busy.unwrap();
    assert!(busy.measured.starts_with("429 in "), "{busy}");
    let check = cutover::rollout::patience::Check {
        kind: "http".to_owned(),
        probe,
        patience: serde_json::from_value(
            json!({ "retries": 50, "interval": "1ms", "deadline": "60s" }),
        )
        .unwrap(),
    };
    let said = check.pass(&subject).await.unwrap();
    assert!(said.starts_with("200 in "), "{said}");
}

/// The body of a readiness endpoint is one line of config.
#[tokio::test]
async fn a_readiness_body_is_held_against_one_line() {
    let faults = Faults::start();
    let mut ready = faults.block("/ready");
    ready["expect"] = json!({ "json": { ".status": "ready", ".checks.database": "healthy" } });
    assert!(seen(ready.clone()).await.is_ok());
    ready["url"] = faults.block("/starting")["url"].clone();
    let ailment = seen(ready).await.unwrap_err();
    assert_eq!(
        ailment.wanted,
        "2xx, .status to be \"ready\", .checks.database to be \"healthy\""
    );
    let said = ".status is \"starting\", .checks.database is \"down\"";
    assert!(ailment.measured.contains(said), "{ailment}");
}
