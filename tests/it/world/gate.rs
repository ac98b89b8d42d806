//! A gate before a server: passes bytes on, counts what clients ask, and at one of the
//! questions lets something else happen, before or after the server has heard it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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
}

/// What all gates of a world share.
#[derive(Clone)]
pub(crate) struct Watchman {
    asked: Arc<AtomicUsize>,
    at: usize,
    when: When,
    deed: Arc<Mutex<Option<Deed>>>,
}

type Deed = Box<dyn FnOnce() + Send>;

impl Watchman {
    /// Does a deed at the `at`-th question, counted from 1.
    pub(crate) fn new(at: usize, when: When) -> Self {
        Self {
            asked: Arc::default(),
            at,
            when,
            deed: Arc::default(),
        }
    }

    /// What is done. It can be known only when the gates are open.
    pub(crate) fn shall(&self, deed: impl FnOnce() + Send + 'static) {
        *self.deed.lock().unwrap() = Some(Box::new(deed));
    }

    /// How much was asked so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn act(&self) {
        if let Some(deed) = self.deed.lock().unwrap().take() {
            deed();
        }
    }
}

/// Opens a gate before `server` and returns its port. It closes with `gates`.
pub(crate) async fn open(server: &url::Url, watchman: &Watchman, gates: &mut JoinSet<()>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{}", server.port().unwrap());
    let watchman = watchman.clone();
    gates.spawn(async move {
        let mut open = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            open.spawn(pass(client, server.clone(), watchman.clone()));
        }
    });
    port
}

/// Every question of our small requests comes in one piece.
async fn pass(mut client: TcpStream, server: String, watchman: Watchman) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    let (mut question, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let n = client.read(&mut question).await.ok().filter(|n| *n > 0)?;
        let ours = watchman.asked.fetch_add(1, Ordering::SeqCst) + 1 == watchman.at;
        if ours && watchman.when == When::Before {
            watchman.act();
            return None;
        }
        if ours && watchman.when == When::Hanging {
            watchman.act();
            std::future::pending::<()>().await;
        }
        if ours && watchman.when == When::InPassing {
            watchman.act();
        }
        server.write_all(&question[..n]).await.ok()?;
        let n = server.read(&mut answer).await.ok()?;
        if ours && watchman.when == When::AfterEffect {
            watchman.act();
            return None;
        }
        client
            .write_all(&answer[..n])
            .await
            .ok()
            .filter(|()| n > 0)?;
    }
}
