//! A real HAProxy in front of two small servers, in a directory of its own.
//!
//! It is started in two steps: the router under test is made first (it needs the socket's and
//! the files' paths), and what it says haproxy.cfg needs is what HAProxy is then started with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use super::children::left;
use super::patience::until_blocking;
use super::ports;
use super::sshd::seeing;

/// A place for a HAProxy, with the slots' servers already running.
pub(crate) struct Ground {
    pub(crate) directory: TempDir,
    pub(crate) blue: SlotServer,
    pub(crate) green: SlotServer,
    /// Where users come in.
    pub(crate) front: u16,
    /// Where HAProxy itself sees the directory, if that is elsewhere.
    pub(crate) seen_at: Option<PathBuf>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self {
            seen_at: None,
            directory: tempfile::tempdir().unwrap(),
            blue: SlotServer::start("blue"),
            green: SlotServer::start("green"),
            front: ports::free(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Starts HAProxy with exactly the lines that a router asked for, and a `bind`.
    pub(crate) fn start(self, lines: &str) -> HaProxy {
        let placeholder = "    # your own `bind` lines stay here\n";
        assert_eq!(lines.matches(placeholder).count(), 1, "{lines}");
        let bind = format!("    bind 127.0.0.1:{}\n", self.front);
        std::fs::write(self.path("lines.cfg"), lines.replace(placeholder, &bind)).unwrap();
        // What every haproxy.cfg has anyway, and a socket for the test to look through.
        let usual = format!(
            "global\n    stats socket {} level admin expose-fd listeners\n\
             defaults\n    timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n",
            self.text_path("observer.sock")
        );
        std::fs::write(self.path("usual.cfg"), usual).unwrap();
        let mut haproxy = HaProxy {
            master: self.master(),
            ground: self,
        };
        haproxy.wait_until_it_answers();
        haproxy
    }

    fn master(&self) -> Child {
        let mut command = match &self.seen_at {
            None => Command::new("haproxy"),
            Some(place) => seeing(self.directory.path(), place, "haproxy"),
        };
        command
            .args(["-W", "-S"])
            .arg(self.path("master.sock"))
            .args(["-f", "usual.cfg", "-f", "lines.cfg"])
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("haproxy.log")).unwrap())
            .spawn()
            .unwrap()
    }
}

/// A running HAProxy. It ends with its owner.
pub(crate) struct HaProxy {
    pub(crate) ground: Ground,
    master: Child,
}

impl HaProxy {
    fn wait_until_it_answers(&mut self) {
        let ground = &self.ground;
        until_blocking("HAProxy answers", || {
            if let Some(ended) = self.master.try_wait().unwrap() {
                let log = std::fs::read_to_string(ground.path("haproxy.log")).unwrap();
                unreachable!("HAProxy ended with {ended}:\n{log}");
            }
            // The master starts itself anew once; a reload before that would be lost.
            talk(&ground.path("master.sock"), "show proc").is_ok_and(|said| said.contains("worker"))
                && talk(&ground.path("observer.sock"), "show info")
                    .is_ok_and(|said| said.contains("Pid:"))
                && TcpStream::connect(("127.0.0.1", ground.front)).is_ok()
        });
    }

    /// Sends a line to the runtime API, past the router under test.
    pub(crate) fn cli(&self, line: &str) -> String {
        let said = talk(&self.ground.path("observer.sock"), line).unwrap();
        said.trim_end().to_owned()
    }

    /// Reloads and waits until only the new worker answers.
    pub(crate) fn reload(&self) {
        self.reloader()();
    }

    /// The same, to be done by somebody else.
    pub(crate) fn reloader(&self) -> impl Fn() + Send + 'static {
        let directory = self.ground.directory.path().to_owned();
        let master = self.ground.path("master.sock");
        let socket = self.ground.path("observer.sock");
        let worker = move || {
            let info = talk(&socket, "show info").ok()?;
            let pid = info.lines().find_map(|line| line.strip_prefix("Pid: "))?;
            Some(pid.to_owned())
        };
        move || {
            let old = worker().unwrap();
            talk(&master, "reload").unwrap();
            // For a while both listen on the same sockets, and either may answer; and the master,
            // which starts itself anew, takes no further reload until it answers again.
            until_blocking("the new worker alone answers", || {
                !listens(&old, &directory)
                    && worker().is_some_and(|now| now != old)
                    && talk(&master, "show proc").is_ok_and(|said| said.contains("worker"))
            });
        }
    }

    /// Ends it at once, by somebody who does not own it, and waits until nobody listens.
    pub(crate) fn killer(&self) -> impl Fn() + Clone + Send + 'static {
        let master = rustix::process::Pid::from_child(&self.master);
        let front = self.ground.front;
        move || {
            let _ = rustix::process::kill_process(master, rustix::process::Signal::TERM);
            until_blocking("HAProxy is gone", || {
                TcpStream::connect(("127.0.0.1", front)).is_err()
            });
        }
    }

    /// Starts it once more where it was.
    pub(crate) fn revive(&mut self) {
        self.stop();
        self.master = self.ground.master();
        self.wait_until_it_answers();
    }

    /// Ends it at once, so that its sockets refuse.
    pub(crate) fn stop(&mut self) {
        let master = rustix::process::Pid::from_child(&self.master);
        let _ = rustix::process::kill_process(master, rustix::process::Signal::TERM);
        left(&mut self.master);
    }

    /// The slot that answers a user, on a new connection.
    pub(crate) fn who(&self) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.ground.front)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    }

    /// How many of `n` users the green slot answers.
    pub(crate) fn green_of(&self, n: usize) -> usize {
        (0..n).filter(|_| self.who() == "green").count()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a process still listens on a socket in a directory.
fn listens(pid: &str, directory: &Path) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let inodes: Vec<_> = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        // Flags, inode and path: one that accepts connections.
        .filter(|row| {
            row.len() > 7 && row[3] == "00010000" && Path::new(row[7]).starts_with(directory)
        })
        .map(|row| format!("socket:[{}]", row[6]))
        .collect();
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut targets = open
        .flatten()
        .filter_map(|one| std::fs::read_link(one.path()).ok());
    targets.any(|target| inodes.iter().any(|inode| target == Path::new(inode)))
}

/// One line to a stats socket and the whole answer.
pub(crate) fn talk(socket: &Path, line: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    // The master's socket waits for the end of the commands.
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A user who keeps the connection, and takes any failure for one.
pub(crate) struct KeptAlive(BufReader<TcpStream>);

impl KeptAlive {
    pub(crate) fn at(front: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", front)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        Self(BufReader::new(stream))
    }

    /// The body of the answer, which is the name of the slot.
    pub(crate) fn ask(&mut self) -> std::io::Result<String> {
        self.0
            .get_mut()
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            if line.trim_end().is_empty() {
                break;
            }
            if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
                length = number.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// A server that answers every request with its name.
pub(crate) struct SlotServer {
    pub(crate) port: u16,
    ended: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl SlotServer {
    pub(crate) fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                thread::spawn(move || answer_all(stream, name));
            }
        });
        Self {
            port,
            ended,
            accepting: Some(accepting),
        }
    }
}

fn answer_all(stream: TcpStream, name: &str) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    // An empty line ends the head, and none of the requests has a body.
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        if line.is_empty() {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
                name.len()
            );
            if writer.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

impl Drop for SlotServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
