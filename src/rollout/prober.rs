//! What users feel while traffic moves: our own requests through the public URL, at a set rate.
//!
//! Open loop: a request is sent when it is due, whether or not the one before has come back,
//! and its latency counts from when it was due. So a proxy that stalls is seen as users see
//! it. Requests are never repeated, and each has a connection of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::model::figures::Figures;
use crate::model::release::{Mark, Release};
use crate::platform::http::{Http, Look, below};

use super::stage::Stage;

/// How long the end waits for answers that are still out.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How many requests may be out at once; beyond it they are counted as failed unsent, so that
/// a stalled proxy cannot exhaust this machine.
const MOST_OPEN: usize = 1000;

/// One request of the prober.
#[derive(Clone, Debug)]
struct Shot {
    due: Instant,
    ended: Instant,
    failed: bool,
    release: Option<Release>,
}

/// The running prober; dropping it stops it.
pub struct Prober {
    shots: Arc<Mutex<Vec<Shot>>>,
    stop: tokio_util::sync::CancellationToken,
    running: tokio::sync::Mutex<JoinSet<()>>,
}

impl Prober {
    /// Begins to send, if the config has a rate above 0.
    pub fn begin(stage: &Stage) -> Option<Self> {
        let settings = &stage.prober;
        if settings.rate == 0 {
            return None;
        }
        let path = settings
            .path
            .as_deref()
            .unwrap_or_else(|| stage.mark.path());
        let gun = Gun {
            look: Look::at(below(&stage.url, path), settings.timeout.get()),
            http: stage.http.clone(),
            mark: stage.mark.clone(),
            shots: Arc::default(),
        };
        let shots = Arc::clone(&gun.shots);
        let stop = tokio_util::sync::CancellationToken::new();
        let mut running = JoinSet::new();
        let interval = Duration::from_secs(1) / settings.rate;
        running.spawn(fire(gun, interval, stop.clone()));
        Some(Self {
            shots,
            stop,
            running: tokio::sync::Mutex::new(running),
        })
    }

    /// What users felt since a moment.
    pub fn since(&self, moment: Instant) -> Figures {
        let mut figures = Figures::default();
        for shot in self.lock().iter().filter(|shot| shot.due >= moment) {
            figures.add(shot.ended - shot.due, shot.failed);
        }
        figures
    }

    /// What users felt in all.
    pub fn all(&self) -> Figures {
        let mut figures = Figures::default();
        for shot in self.lock().iter() {
            figures.add(shot.ended - shot.due, shot.failed);
        }
        figures
    }

    /// From `from` to the end of the last answer of another release than `intended`, among those
    /// asked for until `until`.
    pub fn last_other(
        &self,
        intended: &Release,
        from: Instant,
        until: Instant,
    ) -> Option<Duration> {
        let other = |shot: &&Shot| {
            shot.release
                .as_ref()
                .is_some_and(|release| !release.is(intended))
        };
        self.lock()
            .iter()
            .filter(|shot| shot.due <= until)
            .filter(other)
            .filter_map(|shot| shot.ended.checked_duration_since(from))
            .max()
    }

    /// The newest answer of another release than `intended` among those asked for since `moment`.
    pub fn other_since(&self, intended: &Release, moment: Instant) -> Option<Release> {
        let shots = self.lock();
        let mut others = shots.iter().rev().filter(|shot| shot.due >= moment);
        others.find_map(|shot| shot.release.clone().filter(|release| !release.is(intended)))
    }

    /// Sends no more and waits, briefly, for the answers that are out.
    pub async fn end(&self) {
        self.stop.cancel();
        let mut running = self.running.lock().await;
        let _ = tokio::time::timeout(LAST_ANSWERS, running.join_next()).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Shot>> {
        self.shots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Gun {
    look: Look,
    http: Http,
    mark: Mark,
    shots: Arc<Mutex<Vec<Shot>>>,
}

async fn fire(gun: Gun, interval: Duration, stop: tokio_util::sync::CancellationToken) {
    let gun = Arc::new(gun);
    let mut open = JoinSet::new();
    let mut clock = tokio::time::interval(interval);
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        let due = tokio::select! {
            () = stop.cancelled() => break,
            due = clock.tick() => due,
        };
        while open.try_join_next().is_some() {}
        if open.len() >= MOST_OPEN {
            gun.keep(due, true, None);
        } else {
            let gun = Arc::clone(&gun);
            open.spawn(async move { gun.shoot(due).await });
        }
    }
    while open.join_next().await.is_some() {}
}

impl Gun {
    async fn shoot(&self, due: Instant) {
        match self.http.look(&self.look).await {
            Ok(answer) => {
                let release = self.mark.read(|name| answer.header(name), &answer.body);
                self.keep(due, answer.status >= 500, release);
            }
            Err(_) => self.keep(due, true, None),
        }
    }

    fn keep(&self, due: Instant, failed: bool, release: Option<Release>) {
        let shot = Shot {
            due,
            ended: Instant::now(),
            failed,
            release,
        };
        self.shots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(shot);
    }
}
