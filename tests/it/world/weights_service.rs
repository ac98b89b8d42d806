//! A service that keeps the weights, by the contract that the `http` router publishes, to the
//! letter: what the contract does not allow is refused. It can be told to lose answers.
//!
//! Beside it, at `/foreign`, stands an API of somebody else's making, for templates.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

/// The one token that is accepted.
pub(crate) const TOKEN: &str = "let-me-in-please";

/// What happens to the next PUT.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    /// It has its effect, and the connection is closed without an answer.
    LoseTheAnswer,
    /// The connection is closed and nothing else.
    Lose,
    /// It is answered with that status and nothing else.
    Say(u16),
    /// It is accepted, and applied after so many further GETs.
    Accept(u32),
    /// It has its effect, but the answer is that status.
    DoAndSay(u16),
    /// Somebody else's change comes first.
    BeOvertaken,
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

pub(crate) struct Book {
    pub(crate) green: u64,
    pub(crate) version: u64,
    pub(crate) applied: u64,
    /// Whether answers carry an ETag and a version, and changes must carry If-Match.
    pub(crate) etags: bool,
    /// GETs until what was accepted is applied.
    pub(crate) until_applied: u32,
    pub(crate) next: VecDeque<Next>,
    pub(crate) requests: Vec<Request>,
    /// What was answered to an idempotency key.
    keys: HashMap<String, u16>,
    over: bool,
}

impl Book {
    pub(crate) fn puts(&self) -> Vec<&Request> {
        self.requests
            .iter()
            .filter(|one| one.method != "GET")
            .collect()
    }

    fn set(&mut self, green: u64) {
        self.green = green;
        self.version += 1;
        self.applied = self.version;
    }
}

/// A running service. Its thread ends with it.
pub(crate) struct Service {
    pub(crate) port: u16,
    pub(crate) book: Arc<Mutex<Book>>,
}

impl Service {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let book = Arc::new(Mutex::new(Book {
            green: 0,
            version: 41,
            applied: 41,
            etags: true,
            until_applied: 0,
            next: VecDeque::new(),
            requests: Vec::new(),
            keys: HashMap::new(),
            over: false,
        }));
        let shared = Arc::clone(&book);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.lock().unwrap_or_else(PoisonError::into_inner).over {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { port, book }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.book
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .over = true;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(stream: &TcpStream, book: &Mutex<Book>) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = receive(&mut reader) {
        let mut book = book.lock().unwrap();
        book.requests.push(request.clone());
        let Some((status, etag, body)) = answer(&mut book, &request) else {
            return;
        };
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let etag = etag
            .map(|etag| format!("ETag: {etag}\r\n"))
            .unwrap_or_default();
        let text = format!(
            "HTTP/1.1 {status} X\r\n{etag}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if (&*stream).write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut BufReader<&TcpStream>) -> Option<Request> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method: first.next()?.to_owned(),
        path: first.next()?.to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// Status, ETag and body; nothing if the connection is to be closed.
type Said = Option<(u16, Option<String>, Value)>;

fn answer(book: &mut Book, request: &Request) -> Said {
    let plain = |status: u16| Some((status, None, Value::Null));
    if request.path.starts_with("/foreign") {
        return foreign(book, request);
    }
    if request.headers.get("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return plain(401);
    }
    match request.method.as_str() {
        "GET" => {
            let etag = book.etags.then(|| format!("\"{}\"", book.version));
            let mut body = json!({
                "weights": {"blue": 100 - book.green, "green": book.green},
            });
            if book.etags {
                body["version"] = book.version.into();
                body["applied"] = book.applied.into();
            }
            match book.until_applied {
                0 => book.applied = book.version,
                n => book.until_applied = n - 1,
            }
            Some((200, etag, body))
        }
        "PUT" => match book.next.pop_front() {
            None => plain(put(book, request)),
            Some(Next::Lose) => None,
            Some(Next::Say(status)) => plain(status),
            Some(Next::LoseTheAnswer) => {
                put(book, request);
                None
            }
            Some(Next::DoAndSay(status)) => {
                put(book, request);
                plain(status)
            }
            Some(Next::BeOvertaken) => {
                let theirs = if book.green == 77 { 78 } else { 77 };
                book.set(theirs);
                plain(put(book, request))
            }
            Some(Next::Accept(gets)) => {
                let before = book.applied;
                let status = put(book, request);
                if status != 200 {
                    return plain(status);
                }
                book.applied = before;
                book.until_applied = gets;
                plain(202)
            }
        },
        _ => plain(405),
    }
}

fn put(book: &mut Book, request: &Request) -> u16 {
    let Some(key) = request.headers.get("idempotency-key") else {
        return 400;
    };
    if uuid::Uuid::parse_str(key).is_err() {
        return 400;
    }
    if let Some(status) = book.keys.get(key) {
        return *status;
    }
    if book.etags {
        match request.headers.get("if-match") {
            None => return 428,
            Some(etag) if *etag != format!("\"{}\"", book.version) => return 412,
            Some(_) => {}
        }
    }
    let Ok(Value::Object(body)) = serde_json::from_str(&request.body) else {
        return 422;
    };
    let weights = body.get("weights").and_then(Value::as_object);
    let weight = |name: &str| weights.and_then(|all| all.get(name)?.as_u64());
    let reason = body.get("reason").is_some_and(Value::is_string);
    let (Some(blue), Some(green), true, 2) = (weight("blue"), weight("green"), reason, body.len())
    else {
        return 422;
    };
    if blue + green != 100 || weights.is_none_or(|all| all.len() != 2) {
        return 422;
    }
    book.set(green);
    book.keys.insert(key.clone(), 200);
    200
}

/// Somebody else's: `GET /foreign/state`, `POST /foreign/switch/<slot>`.
fn foreign(book: &mut Book, request: &Request) -> Said {
    if request.headers.get("x-api-key").map(String::as_str) != Some("k3y") {
        return Some((403, None, json!({"error": "no key"})));
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/foreign/state") => {
            let state = json!({"data": {"percent": book.green.to_string(), "live": if book.green > 50 { "green" } else { "blue" }, "rev": book.version}});
            Some((200, None, state))
        }
        ("POST", path) if path.starts_with("/foreign/switch/") => {
            let Ok(body) = serde_json::from_str::<Value>(&request.body) else {
                return Some((400, None, Value::Null));
            };
            let green = match body["green"].as_u64() {
                Some(green) => green,
                None if path.ends_with("/green") => 100,
                None => 0,
            };
            book.set(green);
            Some((204, None, Value::Null))
        }
        _ => Some((404, None, Value::Null)),
    }
}
