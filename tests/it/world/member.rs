//! A member of a crew: a server whose release is a file in its directory.
//!
//! It ends everything that it has when it is deployed to, as a process that is started anew does, so
//! nobody can deploy to one that has traffic without being noticed. What it does else is told by its
//! release: `broken` fails everywhere but where it says its name, `worse` fails every second user
//! and no check, and `mute` says nothing at all. Where there is a file `sick`, it fails as `broken` does.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A server whose release is a file in its directory. It ends with its owner.
pub(super) struct Member {
    pub(super) port: u16,
    counted: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Member {
    pub(super) fn start(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("release"), "v1\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (counted, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (tally, end) = (Arc::clone(&counted), Arc::clone(&over));
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let (directory, tally) = (directory.clone(), Arc::clone(&tally));
                thread::spawn(move || serve(stream, &directory, &tally));
            }
        });
        Self {
            port,
            counted,
            over,
            accepting: Some(accepting),
        }
    }
}

impl Member {
    /// How many requests it has had.
    pub(super) fn had(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Answers until the client goes, or the member goes down.
fn serve(stream: TcpStream, directory: &Path, counted: &AtomicU64) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let down = || directory.join("down").exists();
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut length, mut line) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap_or(0);
            }
            if line.trim_end().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        // `/slow` takes two seconds, unless the member goes down before.
        let steps = if path == "/slow" { 100 } else { 1 };
        for _ in 0..steps {
            if down() {
                return;
            }
            if steps > 1 {
                thread::sleep(Duration::from_millis(20));
            }
        }
        let release = fs::read_to_string(directory.join("release")).unwrap_or_default();
        let release = release.trim();
        let status = match (release, path.as_str()) {
            ("mute", _) => return,
            ("broken", "/release") => "200 OK",
            ("broken", _) => "500 Broken",
            (_, path) if path != "/release" && directory.join("sick").exists() => "500 Sick",
            ("worse", "/") if nth.is_multiple_of(2) => "500 Worse",
            _ => "200 OK",
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{release}",
            release.len()
        );
        if down() || writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
