//! Users with requests one after the other, never repeated when they fail.
//!
//! A client that repeats what was lost hides what a switch costs; this one counts it. It does
//! look whether the proxy has closed a connection before it is used again, as good clients do.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How users ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// GETs over a connection that is kept.
    KeepAlive,
    /// GETs, each over a connection of its own.
    NewConnection,
    /// POSTs with a body over a connection that is kept; nobody could repeat those unasked.
    Post,
}

impl Manner {
    pub(crate) const ALL: [Self; 3] = [Self::KeepAlive, Self::NewConnection, Self::Post];

    const fn request(self) -> &'static [u8] {
        match self {
            Self::KeepAlive => b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n",
            Self::NewConnection => b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
            Self::Post => {
                b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 22\r\n\r\n{\"order\":42,\"euro\":19}"
            }
        }
    }
}

/// Requests that are being made until they are [`Load::stop`]ped.
pub(crate) struct Load {
    counted: Arc<Counted>,
    users: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counted {
    sent: AtomicU64,
    failed: AtomicU64,
    /// Why, and how often.
    why: Mutex<BTreeMap<String, u64>>,
    enough: AtomicBool,
}

impl Load {
    /// So many users on 127.0.0.1, each with a connection that is kept.
    pub(crate) fn on(port: u16, users: usize) -> Self {
        Self::of(Manner::KeepAlive, port, users)
    }

    /// So many users on 127.0.0.1 who ask in that manner.
    pub(crate) fn of(manner: Manner, port: u16, users: usize) -> Self {
        let counted = Arc::<Counted>::default();
        let user = |_| {
            let counted = Arc::clone(&counted);
            thread::spawn(move || counted.use_it(manner, ([127, 0, 0, 1], port).into()))
        };
        let users = (0..users).map(user).collect();
        Self { counted, users }
    }

    /// How many requests were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.counted.sent.load(Ordering::Relaxed)
    }

    /// How many of them failed so far.
    pub(crate) fn failed(&self) -> u64 {
        self.counted.failed.load(Ordering::Relaxed)
    }

    /// What failed, in words.
    pub(crate) fn why(&self) -> String {
        format!("{:?}", self.counted.why.lock().unwrap())
    }

    /// Ends it; how many requests were sent, and how many got no good answer.
    pub(crate) fn stop(mut self) -> (u64, u64) {
        self.counted.enough.store(true, Ordering::Relaxed);
        for user in self.users.drain(..) {
            user.join().unwrap();
        }
        (self.sent(), self.failed())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.counted.enough.store(true, Ordering::Relaxed);
    }
}

impl Counted {
    fn use_it(&self, manner: Manner, address: SocketAddr) {
        let mut open: Option<TcpStream> = None;
        while !self.enough.load(Ordering::Relaxed) {
            let kept = open.take().filter(is_open);
            let connected = kept.map_or_else(|| connect(address), Ok);
            self.sent.fetch_add(1, Ordering::Relaxed);
            match connected.and_then(|connection| asked(connection, manner)) {
                Ok(connection) => open = connection,
                Err(why) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    *self.why.lock().unwrap().entry(why.to_string()).or_default() += 1;
                }
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

/// Whether the other side has neither closed nor said anything unasked.
fn is_open(connection: &TcpStream) -> bool {
    let silent = |connection: &TcpStream| {
        connection.set_nonblocking(true)?;
        let peeked = connection.peek(&mut [0]);
        connection.set_nonblocking(false)?;
        Ok::<_, io::Error>(peeked.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock))
    };
    silent(connection).unwrap_or(false)
}

/// One request and its answer; the connection, unless the answer was its last.
fn asked(mut connection: TcpStream, manner: Manner) -> io::Result<Option<TcpStream>> {
    connection.write_all(manner.request())?;
    let (mut answer, mut part) = (Vec::with_capacity(512), [0; 4096]);
    loop {
        let read = connection.read(&mut part)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
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
            return Err(io::Error::other(head.lines().next().unwrap_or_default()));
        }
        if length.is_none_or(|length| body.len() < length) {
            continue;
        }
        if !head.contains("connection: close") {
            return Ok(Some(connection));
        }
        // Whoever closes first keeps the port for a minute; so that is left to the proxy.
        let _ = connection.read(&mut part);
        return Ok(None);
    }
}
