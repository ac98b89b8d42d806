//! A gate before a server: passes bytes on, counts what clients ask, and at one of the
//! questions lets something else happen, before or after the server has heard it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, RwLock};
use tokio::task::JoinSet;

/// When the deed is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// The server never hears the question.
    Before,
    /// The server has answered, and nobody hears the answer.
    AfterEffect,
    /// Before, and the question goes on its way as if nothing had been.
    InPassing,
    /// Before, and the question hangs: no answer, no end of the connection.
    Hanging,
    /// Before, and so does every question that comes later, to whatever server.
    Dead,
    /// Before, and the question is on its way until [`Watchman::revive`], when nobody waits for its
    /// answer any more.
    Late,
}

/// What all gates of a world share.
#[derive(Clone)]
pub(crate) struct Watchman {
    asked: Arc<Mutex<Vec<String>>>,
    at: usize,
    when: When,
    deed: Arc<Mutex<Option<Deed>>>,
    /// While the deed is done, everybody waits: it is done at this point, and at no later one.
    still: Arc<RwLock<()>>,
    dead: Arc<AtomicBool>,
    arrives: Arc<Notify>,
    open: Arc<AtomicUsize>,
}

type Deed = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

impl Watchman {
    /// Does a deed at the `at`-th question, counted from 1.
    pub(crate) fn new(at: usize, when: When) -> Self {
        Self {
            asked: Arc::default(),
            at,
            when,
            deed: Arc::default(),
            still: Arc::default(),
            dead: Arc::default(),
            arrives: Arc::default(),
            open: Arc::default(),
        }
    }

    /// What is done. It can be known only when the gates are open.
    pub(crate) fn shall(&self, deed: impl FnOnce() -> BoxFuture<'static, ()> + Send + 'static) {
        *self.deed.lock().unwrap() = Some(Box::new(deed));
    }

    /// What was asked so far: whom, and the first words.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// From now on every question hangs.
    pub(crate) fn dies(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Lets everybody answer again, and what is late arrive.
    pub(crate) fn revive(&self) {
        self.dead.store(false, Ordering::SeqCst);
        self.arrives.notify_one();
    }

    async fn act(&self) {
        let deed = self.deed.lock().unwrap().take();
        if let Some(deed) = deed {
            let _still = self.still.write().await;
            deed().await;
        }
    }

    /// Notes a question, and says whether it is the one.
    fn hears(&self, whom: &str, question: &[u8]) -> bool {
        let head = String::from_utf8_lossy(question);
        let words: Vec<&str> = head.split([' ', '?']).take(2).collect();
        let mut asked = self.asked.lock().unwrap();
        asked.push(format!("{whom} {}", words.join(" ")));
        let ours = asked.len() == self.at;
        if ours && self.when == When::Dead {
            self.dies();
        }
        ours
    }
}

/// Opens a gate before `server` and returns its port. It closes with `gates`.
pub(crate) async fn open(
    whom: &'static str,
    server: &url::Url,
    watchman: &Watchman,
    gates: &mut JoinSet<()>,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{}", server.port().unwrap());
    let watchman = watchman.clone();
    gates.spawn(async move {
        let mut passing = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let (server, watchman) = (server.clone(), watchman.clone());
            passing.spawn(async move {
                watchman.open.fetch_add(1, Ordering::SeqCst);
                pass(whom, client, server, &watchman).await;
                watchman.open.fetch_sub(1, Ordering::SeqCst);
            });
            while passing.try_join_next().is_some() {}
        }
    });
    port
}

/// Every question of our small requests comes in one piece.
async fn pass(
    whom: &str,
    mut client: TcpStream,
    server: String,
    watchman: &Watchman,
) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let (mut question, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = client.read(&mut question).await.ok().filter(|n| *n > 0)?;
        drop(watchman.still.read().await);
        let dead = watchman.dead.load(Ordering::SeqCst);
        let ours = watchman.hears(whom, &question[..n]);
        if ours && watchman.when != When::AfterEffect {
            watchman.act().await;
        }
        match watchman.when {
            When::Before if ours => return None,
            When::Hanging if ours => return gone(client).await,
            When::Dead if ours => return gone(client).await,
            When::Late if ours => {
                gone(client).await;
                watchman.arrives.notified().await;
                server.write_all(&question[..n]).await.ok()?;
                server.readable().await.ok()?;
                return None;
            }
            _ if dead => return gone(client).await,
            _ => {}
        }
        server.write_all(&question[..n]).await.ok()?;
        let n = server.read(&mut answer).await.ok()?;
        if ours && watchman.when == When::AfterEffect {
            watchman.act().await;
            return None;
        }
        client
            .write_all(&answer[..n])
            .await
            .ok()
            .filter(|()| n > 0)?;
    }
}

/// Waits until the client has closed the connection.
async fn gone(mut client: TcpStream) -> Option<()> {
    let mut rest = [0; 1 << 10];
    while client.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    None
}
