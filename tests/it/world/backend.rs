//! A slot's server that counts what it did, as applications do: `/` is answered with 200, `/fail`
//! with 500, `/slow` after 150 ms, `/hang` when its asker has gone, and `/drop` not at all. `/metrics` and `/release`
//! are not counted. A share of what comes to `/` can be ordered to fail or to be slow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::app::request;

/// How long `/slow` takes.
const SLOW: Duration = Duration::from_millis(150);

#[derive(Default)]
struct Counted {
    by_code: BTreeMap<u16, u64>,
    fast: u64,
}

/// What is wrong with `/`.
#[derive(Default)]
struct Ordered {
    release: String,
    /// Shares that fail, and that are slow.
    failing: f64,
    slow: f64,
    /// So long after the first request everything is slow.
    cold: Option<Duration>,
    first: Option<Instant>,
    draws: u64,
}

impl Ordered {
    /// A number from 0 to 1, the next of a row that looks like chance.
    fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.draws;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The code of the next answer, and whether it is slow.
    fn next(&mut self) -> (u16, bool) {
        let first = *self.first.get_or_insert_with(Instant::now);
        let cold = self.cold.is_some_and(|cold| first.elapsed() < cold);
        let code = if self.draw() < self.failing { 500 } else { 200 };
        (code, cold || self.draw() < self.slow)
    }
}

/// The server. It ends when it is dropped.
pub(crate) struct Backend {
    pub(crate) port: u16,
    counted: Arc<Mutex<Counted>>,
    ordered: Arc<Mutex<Ordered>>,
    _serving: JoinSet<()>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let counted = Arc::new(Mutex::new(Counted::default()));
        let ordered = Arc::new(Mutex::new(Ordered::default()));
        let mut serving = JoinSet::new();
        let both = (Arc::clone(&counted), Arc::clone(&ordered));
        serving.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let both = both.clone();
                open.spawn(async move {
                    // A client that goes away is not a failure of the test.
                    let _ = serve(stream, &both.0, &both.1).await;
                });
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            port,
            counted,
            ordered,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What `/release` says from now on.
    pub(crate) fn serves(&self, release: &str) {
        self.ordered.lock().unwrap().release = release.to_owned();
    }

    /// From now on that share of requests to `/` fails.
    pub(crate) fn fails(&self, share: f64) {
        self.ordered.lock().unwrap().failing = share;
    }

    /// From now on that share of requests to `/` is slow.
    pub(crate) fn slows(&self, share: f64) {
        self.ordered.lock().unwrap().slow = share;
    }

    /// All requests to `/` are slow for so long from the next one on.
    pub(crate) fn is_cold_for(&self, long: Duration) {
        let mut ordered = self.ordered.lock().unwrap();
        (ordered.cold, ordered.first) = (Some(long), None);
    }

    /// As after a restart of the process.
    pub(crate) fn count_anew(&self) {
        *self.counted.lock().unwrap() = Counted::default();
    }

    /// Requests so far, and those of them that failed.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let counted = self.counted.lock().unwrap();
        let of = |wanted: fn(&u16) -> bool| {
            let some = counted.by_code.iter().filter(move |(code, _)| wanted(code));
            some.map(|(_, n)| n).sum()
        };
        (of(|_| true), of(|code| *code >= 500))
    }
}

async fn serve(
    mut stream: TcpStream,
    counted: &Mutex<Counted>,
    ordered: &Mutex<Ordered>,
) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(seen) = request(&mut stream, &mut buffer).await? {
        let path = seen.path.split('?').next().unwrap_or_default();
        let (code, slow) = match path {
            "/metrics" => {
                let text = exposition(&counted.lock().unwrap());
                answer(&mut stream, 200, &text).await?;
                continue;
            }
            "/release" => {
                let text = ordered.lock().unwrap().release.clone();
                answer(&mut stream, 200, &text).await?;
                continue;
            }
            "/" => ordered.lock().unwrap().next(),
            "/drop" => return Ok(()),
            "/hang" => return std::future::pending().await,
            "/fail" => (500, false),
            "/slow" => (200, true),
            _ => (200, false),
        };
        if slow {
            tokio::time::sleep(SLOW).await;
        }
        {
            let mut counted = counted.lock().unwrap();
            *counted.by_code.entry(code).or_default() += 1;
            counted.fast += u64::from(!slow);
        }
        answer(&mut stream, code, "so it is").await?;
    }
    Ok(())
}

async fn answer(stream: &mut TcpStream, code: u16, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {code} .\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await
}

fn exposition(counted: &Counted) -> String {
    let mut text = String::new();
    let all: u64 = counted.by_code.values().sum();
    for (code, n) in &counted.by_code {
        let _ = writeln!(text, "requests_total{{code=\"{code}\"}} {n}");
    }
    // An application that has answered nothing yet has no series yet.
    if all > 0 {
        for (edge, n) in [("0.1", counted.fast), ("0.5", all), ("+Inf", all)] {
            let _ = writeln!(text, "seconds_bucket{{le=\"{edge}\"}} {n}");
        }
    }
    text
}
