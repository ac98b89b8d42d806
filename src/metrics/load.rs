//! Requests at a set rate: an open loop, by which users' own arrival is imitated.
//!
//! A request is sent when it is due, whether or not the one before has come back, and its
//! latency counts from when it was due. So a server that stalls is seen as users see it: those
//! who come meanwhile wait, too. Nothing is sent twice, and nothing is left out.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Method;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::platform::http::{Answer, Cause, Http, Look, NoAnswer, Phase};

/// How many requests may be out at once. More wait for their turn, and their time runs meanwhile:
/// a server that stalls must not exhaust this machine.
const MOST_OPEN: usize = 1000;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// No whole answer in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The connection ended before the answer was whole.
    Reset,
    /// TLS was not agreed on.
    Tls,
    /// The name was not found.
    Dns,
    /// No answer, for another reason.
    Other,
    /// It was never sent, because something ran out on this machine.
    Unsent,
}

impl Outcome {
    /// What became of a request, from its answer.
    pub const fn of(answer: &Result<Answer, NoAnswer>) -> Self {
        match answer {
            Ok(answer) => Self::Status(answer.status),
            Err(none) => match (none.cause, none.phase) {
                (Cause::Here, _) => Self::Unsent,
                (Cause::Timeout, _) => Self::Timeout,
                (_, Phase::Dns) => Self::Dns,
                (_, Phase::Tls) => Self::Tls,
                (Cause::Refused, _) => Self::Refused,
                (Cause::Reset, _) => Self::Reset,
                (Cause::Other, _) => Self::Other,
            },
        }
    }

    /// Whether a user would have been failed: no answer, or one of 500 and above.
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Status(status) => status >= 500,
            Self::Unsent => false,
            _ => true,
        }
    }

    /// Its kind in a word: `2xx`, `timeout`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status(..200) => "1xx",
            Self::Status(..300) => "2xx",
            Self::Status(..400) => "3xx",
            Self::Status(..500) => "4xx",
            Self::Status(_) => "5xx",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Tls => "TLS",
            Self::Dns => "DNS",
            Self::Other => "no answer",
            Self::Unsent => "unsent",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct Shot<Seen> {
    /// When it should have been sent.
    pub due: Instant,
    /// When this machine came to it.
    pub begun: Instant,
    /// When its answer was whole, or nothing more was to be hoped for.
    pub ended: Instant,
    /// What became of it.
    pub outcome: Outcome,
    /// What the answer says.
    pub seen: Seen,
}

impl<Seen> Shot<Seen> {
    /// How long a user would have waited.
    pub fn latency(&self) -> Duration {
        self.ended - self.due
    }

    /// Whether it left this machine at all.
    pub fn is_sent(&self) -> bool {
        self.outcome != Outcome::Unsent
    }
}

/// Makes one request. It ends within the time that it is given.
pub trait Gun: Send + Sync + 'static {
    /// What is kept of an answer.
    type Seen: Default + Send + 'static;

    /// Makes one request.
    fn shoot(&self, within: Duration) -> impl Future<Output = (Outcome, Self::Seen)> + Send;
}

/// A gun for a request over HTTP.
pub struct HttpGun<Read> {
    /// The request; its timeout is set by the load.
    pub look: Look,
    /// The HTTP clients.
    pub http: Http,
    /// What is kept of an answer.
    pub read: Read,
}

impl<Seen, Read> Gun for HttpGun<Read>
where
    Seen: Default + Send + 'static,
    Read: Fn(&Answer) -> Seen + Send + Sync + 'static,
{
    type Seen = Seen;

    async fn shoot(&self, within: Duration) -> (Outcome, Seen) {
        debug_assert_eq!(self.look.method, Method::GET, "a load changes nothing");
        let look = Look {
            timeout: within,
            ..self.look.clone()
        };
        let answer = self.http.look(&look).await;
        let seen = answer.as_ref().map(&self.read).unwrap_or_default();
        (Outcome::of(&answer), seen)
    }
}

/// How fast, how long, how patiently.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests a second; at least 1.
    pub rate: u32,
    /// From when a request was due to the end of its answer.
    pub timeout: Duration,
    /// How many requests in all; `None` until it is stopped.
    pub requests: Option<u64>,
}

/// A running load; dropping it stops it.
pub struct Load<Seen> {
    shots: Arc<Mutex<Vec<Shot<Seen>>>>,
    stop: CancellationToken,
    running: tokio::sync::Mutex<JoinSet<()>>,
}

impl<Seen: Default + Send + 'static> Load<Seen> {
    /// Begins to send.
    pub fn begin(gun: impl Gun<Seen = Seen>, pace: Pace) -> Self {
        let shots = Arc::default();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(fire(gun, pace, stop.clone(), Arc::clone(&shots)));
        Self {
            shots,
            stop,
            running: tokio::sync::Mutex::new(running),
        }
    }

    /// The requests that are over, in the order in which they ended.
    pub fn shots(&self) -> MutexGuard<'_, Vec<Shot<Seen>>> {
        lock(&self.shots)
    }

    /// Waits until all requests were sent and are over. One without an end has none either.
    pub async fn finished(&self) {
        self.running.lock().await.join_next().await;
    }

    /// Sends no more, and waits so long for the answers that are out.
    pub async fn end(&self, patience: Duration) {
        self.stop.cancel();
        let mut running = self.running.lock().await;
        let _ = tokio::time::timeout(patience, running.join_next()).await;
    }
}

fn lock<Seen>(shots: &Mutex<Vec<Shot<Seen>>>) -> MutexGuard<'_, Vec<Shot<Seen>>> {
    shots.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fire<G: Gun>(
    gun: G,
    pace: Pace,
    stop: CancellationToken,
    shots: Arc<Mutex<Vec<Shot<G::Seen>>>>,
) {
    let gun = Arc::new(gun);
    let turns = Arc::new(Semaphore::new(MOST_OPEN));
    let mut open = JoinSet::new();
    let mut clock = tokio::time::interval(Duration::from_secs(1) / pace.rate.max(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = 0;
    while pace.requests.is_none_or(|all| sent < all) {
        let due = tokio::select! {
            () = stop.cancelled() => break,
            due = clock.tick() => due,
        };
        sent += 1;
        while open.try_join_next().is_some() {}
        let (gun, turns, shots) = (Arc::clone(&gun), Arc::clone(&turns), Arc::clone(&shots));
        open.spawn(async move {
            let begun = Instant::now();
            let end = due + pace.timeout;
            let shot = async {
                let turn = turns.acquire().await;
                let left = end.saturating_duration_since(Instant::now());
                let said = gun.shoot(left).await;
                drop(turn);
                said
            };
            let said = tokio::time::timeout_at(end, shot).await;
            let (outcome, seen) = said.unwrap_or((Outcome::Timeout, G::Seen::default()));
            lock(&shots).push(Shot {
                due,
                begun,
                ended: Instant::now(),
                outcome,
                seen,
            });
        });
    }
    while open.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::figures::Figures;

    /// A server that answers in 10 ms, but for one second in which it does nothing.
    struct Stalling {
        stalls: Instant,
    }

    impl Gun for Stalling {
        type Seen = ();

        async fn shoot(&self, _: Duration) -> (Outcome, ()) {
            let over = self.stalls + Duration::from_secs(1);
            let now = Instant::now();
            if now >= self.stalls && now < over {
                tokio::time::sleep_until(over).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            (Outcome::Status(200), ())
        }
    }

    fn pace(requests: u64) -> Pace {
        Pace {
            rate: 100,
            timeout: Duration::from_secs(5),
            requests: Some(requests),
        }
    }

    fn figures(load: &Load<()>) -> Figures {
        let mut figures = Figures::default();
        for shot in load.shots().iter() {
            figures.add(shot.latency(), shot.outcome.is_failure());
        }
        figures
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_felt_by_all_who_come_meanwhile() {
        let stalls = Instant::now() + Duration::from_secs(3);
        let load = Load::begin(Stalling { stalls }, pace(1000));
        load.finished().await;
        let figures = figures(&load);
        assert_eq!(figures.sent(), 1000);
        // One client that waits for each answer would have seen a single slow one of about 900.
        let ms = |share| figures.percentile(share).unwrap().as_millis();
        assert_eq!((ms(0.5), ms(0.9)), (10, 10));
        assert!((500..=530).contains(&ms(0.95)), "{}", ms(0.95));
        assert!((900..=930).contains(&ms(0.99)), "{}", ms(0.99));
        assert!((1000..=1011).contains(&ms(1.0)), "{}", ms(1.0));
    }

    /// Never answers.
    struct Dead;

    impl Gun for Dead {
        type Seen = ();

        async fn shoot(&self, _: Duration) -> (Outcome, ()) {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_get_no_turn_wait_as_long_as_the_others() {
        let pace = Pace {
            rate: 1000,
            timeout: Duration::from_secs(2),
            requests: Some(3000),
        };
        let load = Load::begin(Dead, pace);
        load.finished().await;
        let figures = figures(&load);
        assert_eq!((figures.sent(), figures.failed()), (3000, 3000));
        let shortest = figures.percentile(0.0).unwrap();
        assert_eq!(shortest.as_secs(), 2, "nobody is failed in no time");
    }

    #[test]
    fn what_failed_here_says_nothing_of_the_server() {
        let none = |cause, phase| {
            Outcome::of(&Err(NoAnswer {
                phase,
                cause,
                said: String::new(),
                took: Duration::ZERO,
                may_have_arrived: false,
            }))
        };
        let unsent = none(Cause::Here, Phase::Tcp);
        assert!(unsent == Outcome::Unsent && !unsent.is_failure());
        for (cause, phase, name) in [
            (Cause::Timeout, Phase::Http, "timeout"),
            (Cause::Refused, Phase::Tcp, "refused"),
            (Cause::Reset, Phase::Http, "reset"),
            (Cause::Reset, Phase::Tls, "TLS"),
            (Cause::Other, Phase::Dns, "DNS"),
            (Cause::Other, Phase::Tcp, "no answer"),
        ] {
            let outcome = none(cause, phase);
            assert!(
                outcome.name() == name && outcome.is_failure(),
                "{outcome:?}"
            );
        }
        assert_eq!(Outcome::Status(429).name(), "4xx");
        assert!(!Outcome::Status(429).is_failure() && Outcome::Status(500).is_failure());
    }
}
