//! A real Docker engine with a socket, a port and a place of its own. It needs root, as Docker does.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::ports;

/// The engine. It ends with its owner.
pub(crate) struct Dockerd {
    folder: TempDir,
    pub(crate) port: u16,
    engine: Child,
}

impl Dockerd {
    /// Starts one and waits until it says that it listens.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = ports::free();
        let place = |name: &str| folder.path().join(name).into_os_string();
        let engine = Command::new("dockerd")
            .arg(format!(
                "-Hunix://{}",
                folder.path().join("docker.sock").display()
            ))
            .arg(format!("-Htcp://127.0.0.1:{port}"))
            .arg("--tls=false")
            .arg("--data-root")
            .arg(place("data"))
            .arg("--exec-root")
            .arg(place("exec"))
            .arg("--pidfile")
            .arg(place("pid"))
            .args(["--storage-driver=vfs", "--bridge=none"])
            .args(["--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let dockerd = Self {
            folder,
            port,
            engine,
        };
        dockerd.wait("API listen on /");
        dockerd
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Ends it as its service does; the socket's file goes with it.
    pub(crate) fn stop(&mut self) {
        // The only failure is that it has ended already.
        let _ = rustix::process::kill_process(Pid::from_child(&self.engine), Signal::TERM);
        let _ = self.engine.wait();
    }

    fn wait(&self, wanted: &str) {
        let began = Instant::now();
        loop {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
            if log.contains(wanted) {
                return;
            }
            let limit = Duration::from_secs(60);
            assert!(began.elapsed() < limit, "dockerd did not start: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.stop();
    }
}
