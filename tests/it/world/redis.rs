//! A real Redis in a directory of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::patience::PATIENCE;
use super::patience::connect;
use super::ports;

/// A running Redis. It ends with its owner.
pub(crate) struct Redis {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    server: Child,
}

impl Redis {
    /// Starts one with more lines in its configuration, and waits until it listens.
    pub(crate) fn start(lines: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), lines)
    }

    pub(crate) fn start_in(folder: TempDir, lines: &str) -> Self {
        let port = ports::free();
        let listens = if lines.contains("tls-port") { 0 } else { port };
        let lines = lines.replace("PORT", &port.to_string());
        let config = format!(
            "port {listens}\nbind 127.0.0.1\nappendonly no\nsave \"\"\ndir {}\nlogfile log\n{lines}\n",
            folder.path().display()
        );
        fs::write(folder.path().join("redis.conf"), config).unwrap();
        let server = Command::new("redis-server")
            .arg(folder.path().join("redis.conf"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut redis = Self {
            port,
            folder,
            server,
        };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = redis.server.try_wait().unwrap();
            let log = || fs::read_to_string(redis.path("log")).unwrap_or_default();
            assert!(ended.is_none(), "redis ended: {}", log());
            assert!(began.elapsed() < PATIENCE, "{}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
        redis
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Says lines to it and returns the first answers.
    pub(crate) fn say(&self, lines: &str) -> String {
        let mut stream = connect(("127.0.0.1", self.port)).unwrap();
        stream
            .write_all(format!("{lines}\r\nQUIT\r\n").as_bytes())
            .unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
