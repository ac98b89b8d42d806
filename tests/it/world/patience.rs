//! How long a test waits. What must come is waited for on the slowest machine; what never comes
//! fails the test that waits for it, by name, and does not hold up all others.

use std::net::{TcpStream, ToSocketAddrs};
use std::panic::Location;
use std::time::{Duration, Instant};

/// How long a test waits for what must come on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than a run of the program takes on any machine.
pub(crate) const A_RUN: Duration = Duration::from_secs(600);

/// How long it is between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// A wait that has an end.
struct Wait {
    what: String,
    at: &'static Location<'static>,
    began: Instant,
}

impl Wait {
    #[track_caller]
    fn begin(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            at: Location::caller(),
            began: Instant::now(),
        }
    }

    /// Still to be waited; whoever has waited long enough fails.
    fn goes_on(&self) {
        assert!(self.began.elapsed() < PATIENCE, "{}", self.in_vain());
    }

    fn in_vain(&self) -> String {
        format!("waited in vain: {} ({})", self.what, self.at)
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn until<Holds: FnMut() -> bool>(
    what: &str,
    mut holds: Holds,
) -> impl Future<Output = ()> + use<Holds> {
    let wait = Wait::begin(what);
    async move {
        while !holds() {
            wait.goes_on();
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The same without a pause, to hit what is there for a moment only.
#[track_caller]
pub(crate) fn at_once<Holds: FnMut() -> bool>(
    what: &str,
    mut holds: Holds,
) -> impl Future<Output = ()> + use<Holds> {
    let wait = Wait::begin(what);
    async move {
        while !holds() {
            wait.goes_on();
            tokio::task::yield_now().await;
        }
    }
}

/// Waits until something holds, and blocks.
#[track_caller]
pub(crate) fn until_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = Wait::begin(what);
    while !holds() {
        wait.goes_on();
        std::thread::sleep(PAUSE);
    }
}

/// The same without a pause.
#[track_caller]
pub(crate) fn at_once_blocking(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = Wait::begin(what);
    while !holds() {
        wait.goes_on();
        std::thread::yield_now();
    }
}

/// What comes of something that must have an end.
#[track_caller]
pub(crate) fn within<Story: Future>(
    what: &str,
    future: Story,
) -> impl Future<Output = Story::Output> + use<Story> {
    by(PATIENCE, Wait::begin(what), future)
}

/// The same of a whole run, or of a whole deployment.
#[track_caller]
pub(crate) fn in_the_end<Story: Future>(
    what: &str,
    future: Story,
) -> impl Future<Output = Story::Output> + use<Story> {
    by(A_RUN, Wait::begin(what), future)
}

async fn by<Story: Future>(limit: Duration, wait: Wait, future: Story) -> Story::Output {
    let came = tokio::time::timeout(limit, future).await;
    came.unwrap_or_else(|_| panic!("{}", wait.in_vain()))
}

/// A connection on which nobody waits for ever.
pub(crate) fn connect(to: impl ToSocketAddrs) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
