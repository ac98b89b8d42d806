//! Users with open connections: requests one after the other, never repeated when they fail.
//!
//! A client that repeats what was lost hides what a switch costs; this one counts it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Requests that are being made until they are [`Load::stop`]ped.
pub(crate) struct Load {
    counted: Arc<Counted>,
    users: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counted {
    sent: AtomicU64,
    failed: AtomicU64,
    enough: AtomicBool,
}

impl Load {
    /// So many users on 127.0.0.1, each with a connection of its own.
    pub(crate) fn on(port: u16, users: usize) -> Self {
        let counted = Arc::<Counted>::default();
        let user = |_| {
            let counted = Arc::clone(&counted);
            thread::spawn(move || counted.use_it(([127, 0, 0, 1], port).into()))
        };
        let users = (0..users).map(user).collect();
        Self { counted, users }
    }

    /// How many requests were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.counted.sent.load(Ordering::Relaxed)
    }

    /// Ends it; how many requests were sent, and how many got no good answer.
    pub(crate) fn stop(mut self) -> (u64, u64) {
        self.counted.enough.store(true, Ordering::Relaxed);
        for user in self.users.drain(..) {
            user.join().unwrap();
        }
        (self.sent(), self.counted.failed.load(Ordering::Relaxed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.counted.enough.store(true, Ordering::Relaxed);
    }
}

impl Counted {
    fn use_it(&self, address: SocketAddr) {
        let mut open: Option<TcpStream> = None;
        while !self.enough.load(Ordering::Relaxed) {
            let connected = open.take().map_or_else(|| connect(address), Ok);
            self.sent.fetch_add(1, Ordering::Relaxed);
            match connected.and_then(asked) {
                Ok(connection) => open = connection,
                Err(_) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

/// One request and its answer; the connection, unless the answer was its last.
fn asked(mut connection: TcpStream) -> std::io::Result<Option<TcpStream>> {
    connection.write_all(REQUEST)?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = connection.read(&mut part)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
        if !head.starts_with("http/1.1 200") {
            return Err(std::io::Error::other(head));
        }
        if length.is_some_and(|length| body.len() >= length) {
            return Ok((!head.contains("connection: close")).then_some(connection));
        }
    }
}
