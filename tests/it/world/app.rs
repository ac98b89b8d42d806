//! A stand-in for an application: routes with answers and faults to order, on a real socket.
//!
//! It keeps every request that it got. A path that has no route answers 404.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// What a route does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers.
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
        /// Before the first byte.
        after: Duration,
    },
    /// Reads the request and is silent.
    Hang,
    /// Reads the request and resets the connection.
    Reset,
    /// Promises more of a body than it sends, and closes.
    HalfBody,
    /// Promises more of a body than it sends, and is silent.
    HalfBodyThenHang,
}

impl Reply {
    /// An answer at once.
    pub(crate) fn with(status: u16, body: impl Into<String>) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
            after: Duration::ZERO,
        }
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.into()));
        }
        self
    }

    /// The same, later.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        if let Self::Answer { after, .. } = &mut self {
            *after = delay;
        }
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// The first byte of a client that speaks TLS.
const TLS_HELLO: u8 = 22;

#[derive(Default)]
struct State {
    routes: HashMap<String, Reply>,
    seen: Vec<Seen>,
}

/// The stand-in. It ends when it is dropped.
pub(crate) struct App {
    pub(crate) url: Url,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

impl App {
    /// Begins to listen on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, state.clone()));
        Self {
            url: url.parse().unwrap(),
            state,
            _serving: serving,
        }
    }

    /// Sets what a path (without its query) does from now on.
    pub(crate) fn route(&self, path: &str, reply: Reply) {
        let mut state = self.state.lock().unwrap();
        state.routes.insert(path.to_owned(), reply);
    }

    /// Where a path is.
    pub(crate) fn at(&self, path: &str) -> String {
        self.url.join(path).unwrap().into()
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = state.clone();
        connections.spawn(async move {
            // A client that goes away is not a failure of the test.
            let _ = serve(stream, &state).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut stream, &mut buffer).await? {
        let path = seen.path.split('?').next().unwrap_or_default();
        let reply = {
            let mut state = state.lock().unwrap();
            let reply = state.routes.get(path).cloned();
            state.seen.push(seen);
            reply.unwrap_or_else(|| Reply::with(404, "no such route"))
        };
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of";
        match reply {
            Reply::Hang => return std::future::pending().await,
            Reply::Reset => return stream.set_zero_linger(),
            Reply::HalfBody => return stream.write_all(half).await,
            Reply::HalfBodyThenHang => {
                stream.write_all(half).await?;
                return std::future::pending().await;
            }
            Reply::Answer {
                status,
                headers,
                body,
                after,
            } => {
                tokio::time::sleep(after).await;
                let mut head = format!("HTTP/1.1 {status} .\r\n");
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
                stream.write_all((head + &body).as_bytes()).await?;
            }
        }
    }
    Ok(())
}

/// Reads one request; `None` where the client closed.
pub(super) async fn request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<Seen>> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break buffer.drain(..end + 4).collect::<Vec<u8>>();
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
        if buffer.first() == Some(&TLS_HELLO) {
            let said = b"HTTP/1.1 400 Bad Request\r\n\r\nthis is a plain HTTP port\n";
            stream.write_all(said).await?;
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (first.next(), first.next());
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length");
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
    let body: Vec<u8> = buffer.drain(..length).collect();
    Ok(Some(Seen {
        method: method.unwrap_or_default().to_owned(),
        path: path.unwrap_or_default().to_owned(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }))
}
