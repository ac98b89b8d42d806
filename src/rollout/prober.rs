//! What users feel while traffic moves: our own requests through the public URL, at a set rate.
//!
//! The load is that of `metrics::load`: open loop, latency from when a request was due, nothing
//! repeated. Here each has a connection of its own, and what it says of its release is kept.

use std::time::Duration;

use tokio::time::Instant;

use crate::metrics::load::{HttpGun, Load, Pace, Shot};
use crate::model::figures::Figures;
use crate::model::release::Release;
use crate::platform::http::{Answer, Look, below};

use super::stage::Stage;

/// How long the end waits for answers that are still out.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// The running prober; dropping it stops it.
pub struct Prober(Load<Option<Release>>);

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
        let mark = stage.mark.clone();
        let timeout = settings.timeout.get();
        let gun = HttpGun {
            look: Look::at(below(&stage.url, path), timeout),
            http: stage.http.clone(),
            read: move |answer: &Answer| {
                mark.read(answer.status, |name| answer.header(name), &answer.body)
            },
        };
        let pace = Pace {
            rate: settings.rate,
            timeout,
            requests: None,
        };
        Some(Self(Load::begin(gun, pace)))
    }

    /// What users felt since a moment.
    pub fn since(&self, moment: Instant) -> Figures {
        self.felt(|shot| shot.due >= moment)
    }

    /// What users felt in all.
    pub fn all(&self) -> Figures {
        self.felt(|_| true)
    }

    fn felt(&self, counts: impl Fn(&Shot<Option<Release>>) -> bool) -> Figures {
        let mut figures = Figures::default();
        let shots = self.0.shots();
        for shot in shots.iter().filter(|shot| shot.is_sent() && counts(shot)) {
            figures.add(shot.latency(), shot.outcome.is_failure());
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
        let other = |shot: &&Shot<Option<Release>>| {
            shot.seen
                .as_ref()
                .is_some_and(|release| !release.is(intended))
        };
        let shots = self.0.shots();
        shots
            .iter()
            .filter(|shot| shot.due <= until)
            .filter(other)
            .filter_map(|shot| shot.ended.checked_duration_since(from))
            .max()
    }

    /// The newest answer of another release than `intended` among those asked for since `moment`.
    pub fn other_since(&self, intended: &Release, moment: Instant) -> Option<Release> {
        let shots = self.0.shots();
        let mut others = shots.iter().rev().filter(|shot| shot.due >= moment);
        others.find_map(|shot| shot.seen.clone().filter(|release| !release.is(intended)))
    }

    /// Sends no more and waits, briefly, for the answers that are out.
    pub async fn end(&self) {
        self.0.end(LAST_ANSWERS).await;
    }
}
