//! The stand-in itself: servers on loopback for the public URL, both slots, the router's API
//! and the deploy API, over one small state.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::answers::Answers;
use super::faults::Faults;

/// From getting traffic to crashing, where that is ordered: late enough that the switch is
/// proved, early enough that nobody has to wait for it.
const CRASH_AFTER: Duration = Duration::from_millis(1200);

/// The largest body that the stand-in reads.
const BODY_CAP: usize = 1 << 20;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// The router, as users see it.
    Public,
    /// The first (0) or the second (1) slot by itself.
    Slot(usize),
    /// The router's and the target's API.
    Api,
}

/// A stand-in of an environment. Dropping it stops its servers.
pub struct World {
    /// Where users reach it.
    pub public: Url,
    /// The slots' own addresses.
    pub slots: [Url; 2],
    /// The router's API: the contract of the `http` router.
    pub router: Url,
    /// The deploy API: POST `{"slot": …, "version": …}`.
    pub deploy: Url,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

struct State {
    names: [String; 2],
    answers: Answers,
    releases: [Option<String>; 2],
    /// The release that the faults belong to.
    marked: Option<String>,
    faults: Faults,
    /// The weight of the second slot.
    weight: u8,
    version: u64,
    /// When the marked release got traffic.
    switched: Option<Instant>,
    /// What the next draw comes from: who is answered by which slot must not hang on whose requests
    /// take turns.
    drawn: u64,
    /// Bresenham counters: shares come out exactly, without a random number. Errors are counted for
    /// those who ask a slot by itself, and for users.
    errors: [f64; 2],
    lost_one: bool,
}

impl World {
    /// Opens an environment with these slots. The first one is live with `live`.
    ///
    /// # Errors
    /// When loopback has no free port.
    pub async fn open(names: [String; 2], answers: Answers, live: &str) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State {
            names,
            answers,
            releases: [Some(live.to_owned()), None],
            marked: None,
            faults: Faults::default(),
            weight: 0,
            version: 1,
            switched: None,
            drawn: 0,
            errors: [0.0; 2],
            lost_one: false,
        }));
        let mut serving = JoinSet::new();
        let mut urls = Vec::new();
        for door in [Door::Public, Door::Slot(0), Door::Slot(1), Door::Api] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            urls.push(Url::parse(&format!("http://{address}")).map_err(io::Error::other)?);
            serving.spawn(serve(listener, door, Arc::clone(&state)));
        }
        let [public, first, second, api] =
            <[Url; 4]>::try_from(urls).map_err(|_| io::Error::other("four doors"))?;
        let below = |path: &str| api.join(path).map_err(io::Error::other);
        Ok(Self {
            router: below("/weights")?,
            deploy: below("/deploy")?,
            slots: [first, second],
            public,
            state,
            _serving: serving,
        })
    }

    /// From now on these faults happen with that release.
    pub fn order(&self, faults: Faults, release: &str) {
        let mut state = lock(&self.state);
        state.faults = faults;
        state.marked = Some(release.to_owned());
        state.switched = None;
        state.lost_one = false;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, door: Door, state: Arc<Mutex<State>>) {
    let mut open = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while open.try_join_next().is_some() {}
        open.spawn(connection(stream, door, Arc::clone(&state)));
    }
}

async fn connection(stream: TcpStream, door: Door, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| answer(request, door, Arc::clone(&state)));
    // A client that went away is its own matter.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What a request gets: an answer, or a connection that closes.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on order")]
struct Closed;

type Answered = Result<Response<Full<Bytes>>, Closed>;

async fn answer(request: Request<Incoming>, door: Door, state: Arc<Mutex<State>>) -> Answered {
    match door {
        Door::Public | Door::Slot(_) => {
            let (slot, slow) = {
                let mut state = lock(&state);
                let slot = match door {
                    Door::Slot(slot) => slot,
                    _ => state.take_turn(),
                };
                (slot, state.faults.slow.filter(|_| state.is_under_way(slot)))
            };
            if let Some(slow) = slow {
                tokio::time::sleep(slow).await;
            }
            lock(&state).page(slot, request.uri().path(), door == Door::Public)
        }
        Door::Api => api(request, &state).await,
    }
}

impl State {
    fn is_marked(&self, slot: usize) -> bool {
        self.marked.is_some() && self.releases[slot] == self.marked
    }

    /// Whether that slot has the marked release, and the release has had users: what goes wrong with
    /// it goes wrong from then on, whoever asks, past all that is looked at before.
    fn is_under_way(&self, slot: usize) -> bool {
        self.is_marked(slot) && self.switched.is_some()
    }

    /// The slot that is drawn, by the numbers of SplitMix64 (Steele, Lea and Flood, 2014).
    fn take_turn(&mut self) -> usize {
        self.drawn = self.drawn.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.drawn;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let slot = usize::from(mixed % 100 < u64::from(self.weight));
        if self.faults.wrong_version && self.is_marked(slot) {
            return 1 - slot;
        }
        slot
    }

    fn page(&mut self, slot: usize, path: &str, public: bool) -> Answered {
        let marked = self.is_marked(slot);
        let crashed = self.switched.is_some_and(|at| at.elapsed() >= CRASH_AFTER);
        if marked && self.faults.crash_after_switch && crashed {
            return if public {
                Ok(plain(StatusCode::BAD_GATEWAY, "bad gateway"))
            } else {
                Err(Closed)
            };
        }
        let Some(release) = self.releases[slot].clone() else {
            return Ok(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "nothing is deployed here",
            ));
        };
        if marked && self.faults.unhealthy && self.answers.is_checked(path) {
            return Ok(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "{\"status\":\"starting\"}",
            ));
        }
        if let Some(share) = self.faults.errors.filter(|_| self.is_under_way(slot)) {
            let errors = &mut self.errors[usize::from(public)];
            *errors += share;
            if *errors >= 1.0 {
                *errors -= 1.0;
                return Ok(plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "an error, as ordered",
                ));
            }
        }
        let page = self.answers.answer(path, &release);
        let mut response = Response::builder().status(page.status);
        for (name, value) in page.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Full::from(page.body)).unwrap_or_else(|_| {
            plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the expected headers cannot be sent",
            )
        }))
    }

    fn weights(&self) -> Response<Full<Bytes>> {
        let body = json!({
            "weights": { self.names[0].as_str(): 100 - self.weight, self.names[1].as_str(): self.weight },
            "version": self.version,
            "applied": self.version,
        });
        let mut response = plain(StatusCode::OK, &body.to_string());
        if let Ok(tag) = self.etag().parse() {
            response.headers_mut().insert("etag", tag);
        }
        response
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.version)
    }

    fn set_weights(&mut self, body: &Value) -> Answered {
        let weight_of = |name: &str| body.pointer("/weights")?.get(name)?.as_u64();
        let (Some(first), Some(second)) = (weight_of(&self.names[0]), weight_of(&self.names[1]))
        else {
            return Ok(plain(
                StatusCode::UNPROCESSABLE_ENTITY,
                "weights of both slots are needed",
            ));
        };
        if first + second != 100 {
            return Ok(plain(
                StatusCode::UNPROCESSABLE_ENTITY,
                "the weights do not add up to 100",
            ));
        }
        let marked = usize::from(self.is_marked(1));
        let gets_more = (second > u64::from(self.weight)) == (marked == 1);
        if self.faults.router_refuses && self.marked.is_some() && gets_more {
            return Ok(plain(
                StatusCode::UNPROCESSABLE_ENTITY,
                "refused, as ordered",
            ));
        }
        self.weight = u8::try_from(second).unwrap_or(100);
        self.version += 1;
        let has_traffic = if marked == 1 {
            self.weight > 0
        } else {
            self.weight < 100
        };
        self.switched = (self.marked.is_some() && has_traffic).then(Instant::now);
        if self.faults.reply_lost && !self.lost_one {
            self.lost_one = true;
            return Err(Closed);
        }
        Ok(self.weights())
    }

    fn deploy(&mut self, body: &Value) -> Response<Full<Bytes>> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let slot = text("slot").and_then(|slot| self.names.iter().position(|name| name == slot));
        match (slot, text("version")) {
            (Some(slot), Some(version)) => {
                self.releases[slot] = Some(version.to_owned());
                plain(StatusCode::OK, "deployed")
            }
            _ => plain(
                StatusCode::UNPROCESSABLE_ENTITY,
                "a slot and a version are needed",
            ),
        }
    }
}

async fn api(request: Request<Incoming>, state: &Mutex<State>) -> Answered {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, BODY_CAP).collect().await;
    let body: Value = match body.map(|body| serde_json::from_slice(&body.to_bytes())) {
        Ok(Ok(body)) => body,
        _ if parts.method == Method::GET => Value::Null,
        _ => return Ok(plain(StatusCode::BAD_REQUEST, "this is not JSON")),
    };
    let mut state = lock(state);
    match (parts.method, parts.uri.path()) {
        (Method::GET, "/weights") => Ok(state.weights()),
        (Method::PUT, "/weights") => {
            let expected = parts
                .headers
                .get("if-match")
                .and_then(|tag| tag.to_str().ok());
            match expected {
                None => Ok(plain(
                    StatusCode::PRECONDITION_REQUIRED,
                    "If-Match is needed",
                )),
                Some(tag) if tag != state.etag() => Ok(plain(
                    StatusCode::PRECONDITION_FAILED,
                    "changed by someone else",
                )),
                Some(_) => state.set_weights(&body),
            }
        }
        (Method::POST, "/deploy") => Ok(state.deploy(&body)),
        _ => Ok(plain(StatusCode::NOT_FOUND, "no such page")),
    }
}

fn plain(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response
}
