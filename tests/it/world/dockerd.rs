//! A real Docker engine with a socket, a port and a place of its own. It needs root, as Docker does.
//!
//! One that only answers has no network. One that runs containers has a bridge of its own, and its
//! ports are opened by Docker's own proxy, so nothing is changed in the machine's firewall.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use super::authority::Authority;
use super::children::left;
use super::patience::PATIENCE;
use super::ports;

/// The engine. It ends with its owner.
pub(crate) struct Dockerd {
    folder: TempDir,
    pub(crate) port: u16,
    bridge: Option<String>,
    disk: Option<PathBuf>,
    engine: Child,
}

/// What an engine has.
#[derive(Default)]
pub(crate) struct Berth<'a> {
    /// A network, so that it can run containers.
    pub(crate) network: bool,
    /// A disk of its own, of so many megabytes.
    pub(crate) disk: Option<u32>,
    /// Its port asks everybody for a certificate of that CA and shows its own, `engine`.
    pub(crate) tls: Option<&'a Authority>,
}

impl Dockerd {
    /// Starts one and waits until it says that it listens.
    pub(crate) fn start() -> Self {
        Self::with(&Berth::default())
    }

    /// Starts one that runs containers.
    pub(crate) fn serving() -> Self {
        Self::with(&Berth {
            network: true,
            ..Berth::default()
        })
    }

    /// Starts one that has what it is given.
    pub(crate) fn with(yard: &Berth<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let place = |name: &str| folder.path().join(name).into_os_string();
        let bridge = yard.network.then(|| bridge(port));
        fs::create_dir(place("data")).unwrap();
        let disk = yard.disk.map(|megabytes| {
            let size = format!("size={megabytes}m");
            run(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(place("data")));
            PathBuf::from(place("data"))
        });
        let mut engine = Command::new("dockerd");
        engine
            .arg(format!(
                "-Hunix://{}",
                folder.path().join("docker.sock").display()
            ))
            .arg(format!("-Htcp://127.0.0.1:{port}"))
            .arg("--data-root")
            .arg(place("data"))
            .arg("--exec-root")
            .arg(place("exec"))
            .arg("--pidfile")
            .arg(place("pid"))
            .args(["--storage-driver=vfs", "--iptables=false"])
            .arg("--ip6tables=false")
            .arg(format!("--bridge={}", bridge.as_deref().unwrap_or("none")));
        match yard.tls {
            None => engine.arg("--tls=false"),
            Some(ca) => engine
                .arg("--tlsverify")
                .arg(format!("--tlscacert={}", ca.ca()))
                .arg(format!("--tlscert={}", ca.path("engine.pem").display()))
                .arg(format!("--tlskey={}", ca.path("engine.key").display())),
        };
        let engine = engine
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let dockerd = Self {
            folder,
            port,
            bridge,
            disk,
            engine,
        };
        dockerd.wait("API listen on /");
        dockerd
    }

    /// Its API, asked by curl: the status and what was answered.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str, more: &[&str]) -> (u16, String) {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-m",
            "300",
            "-X",
            method,
            "-w",
            "\n%{http_code}",
            "--unix-socket",
        ])
        .arg(self.socket())
        .args(["-H", "Content-Type: application/json"])
        .args(more);
        if !body.is_empty() {
            curl.args(["--data-binary", body]);
        }
        let answered = curl
            .arg(format!("http://localhost{path}"))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&answered.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.trim().to_owned())
    }

    /// The same where it has to say yes, with a document.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let (status, said) = self.api(method, path, body, &[]);
        assert!(status < 400, "{method} {path}: {status} {said}");
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }

    /// The names of all containers, and whether each runs: `shop-blue running`.
    pub(crate) fn containers(&self) -> Vec<String> {
        let rows = self.ask("GET", "/containers/json?all=1", "");
        let row = |row: &Value| {
            let name = row["Names"][0].as_str().unwrap().trim_start_matches('/');
            format!("{name} {}", row["State"].as_str().unwrap())
        };
        let mut names: Vec<_> = rows.as_array().unwrap().iter().map(row).collect();
        names.sort();
        names
    }

    /// One container, by its name.
    pub(crate) fn container(&self, name: &str) -> Value {
        self.ask("GET", &format!("/containers/{name}/json"), "")
    }

    /// The tags and digests of all images.
    pub(crate) fn images(&self) -> Vec<String> {
        let rows = self.ask("GET", "/images/json", "");
        let names = |row: &Value| {
            let tags = row["RepoTags"].as_array().cloned().unwrap_or_default();
            let name = |tag: &Value| tag.as_str().unwrap().to_owned();
            tags.iter().map(name).collect::<Vec<_>>()
        };
        let mut all: Vec<_> = rows.as_array().unwrap().iter().flat_map(names).collect();
        all.sort();
        all
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Ends it as its service does; the socket's file goes with it.
    pub(crate) fn stop(&mut self) {
        // The only failure is that it has ended already.
        let _ = rustix::process::kill_process(Pid::from_child(&self.engine), Signal::TERM);
        left(&mut self.engine);
    }

    fn wait(&self, wanted: &str) {
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
            if log.contains(wanted) {
                return;
            }
            let limit = PATIENCE;
            assert!(began.elapsed() < limit, "dockerd did not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.bridge.is_some() && self.engine.try_wait().is_ok_and(|ended| ended.is_none()) {
            // Containers outlive an engine that is only stopped.
            let (_, rows) = self.api("GET", "/containers/json?all=1", "", &[]);
            let rows: Vec<Value> = serde_json::from_str(&rows).unwrap_or_default();
            for row in rows {
                let id = row["Id"].as_str().unwrap();
                self.api("DELETE", &format!("/containers/{id}?force=1&v=1"), "", &[]);
            }
            // Bridges of networks, such as those of Compose, would outlive it, too.
            self.api("POST", "/networks/prune", "{}", &[]);
        }
        self.stop();
        if let Some(disk) = &self.disk {
            let _ = Command::new("umount").arg("-l").arg(disk).status();
        }
        if let Some(bridge) = &self.bridge {
            let _ = Command::new("ip").args(["link", "del", bridge]).status();
        }
    }
}

/// A bridge for an engine with that port, which nobody else has.
fn bridge(port: u16) -> String {
    let name = format!("cut{port}");
    let [high, low] = port.to_be_bytes();
    let net = format!("10.{}.{low}.1/24", 100 + u32::from(high));
    // One of that name is what a test left that was killed.
    let _ = Command::new("ip").args(["link", "del", &name]).output();
    run(Command::new("ip").args(["link", "add", "name", &name, "type", "bridge"]));
    run(Command::new("ip").args(["addr", "add", &net, "dev", &name]));
    run(Command::new("ip").args(["link", "set", &name, "up"]));
    name
}

fn run(command: &mut Command) {
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{command:?}: {ran:?}");
}
