//! The receipt as it comes about: what was written when, what was proved, what users felt.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::event::Event;
use crate::model::figures::Figures;
use crate::model::receipt::Receipt;
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::model::split::Split;

use super::prober::Prober;
use super::stage::Stage;

/// What is known of a switch so far. The prober runs as long as this lives.
pub struct Felt {
    prober: Option<Prober>,
    slot: Side,
    from: Split,
    old: Option<Release>,
    new: Release,
    known: Mutex<Known>,
    /// Whether the router was asked to move traffic, and has not answered.
    unanswered: AtomicBool,
}

#[derive(Clone, Copy)]
struct Known {
    to: Split,
    written: Option<(Instant, Duration)>,
    proved: Option<Instant>,
}

impl Felt {
    /// Begins to feel: starts the prober. `old` is the release that the other slot serves.
    pub fn begin(
        stage: &Stage,
        slot: Side,
        from: Split,
        to: Split,
        old: Option<Release>,
        new: Release,
    ) -> Self {
        Self {
            prober: Prober::begin(stage),
            slot,
            from,
            old,
            new,
            known: Mutex::new(Known {
                to,
                written: None,
                proved: None,
            }),
            unanswered: AtomicBool::new(false),
        }
    }

    /// From now on traffic is to be divided so. What was proved before counts no more.
    pub fn reaches(&self, to: Split) {
        let mut known = self.lock();
        known.to = to;
        known.proved = None;
    }

    /// The router is asked to move traffic, or has answered that.
    pub fn awaits_answer(&self, awaits: bool) {
        self.unanswered.store(awaits, Ordering::Relaxed);
    }

    /// Whether what the router was asked for may be on its way still.
    pub fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// The router's write began at `at` and took that long.
    pub fn written(&self, at: Instant, took: Duration) {
        self.lock().written = Some((at, took));
    }

    /// The proof ended well just now.
    pub fn proved(&self) {
        self.lock().proved = Some(Instant::now());
    }

    /// How long ago the router was written; `None` where it was not.
    pub fn since_write(&self) -> Option<Duration> {
        self.lock().written.map(|(at, _)| at.elapsed())
    }

    /// What users felt since the proof; `None` where the prober is off or nothing is proved.
    pub fn since_proof(&self) -> Option<Figures> {
        let proved = self.lock().proved?;
        self.prober.as_ref().map(|prober| prober.since(proved))
    }

    /// A release other than the intended one that answered after the proof.
    pub fn other_since_proof(&self) -> Option<Release> {
        let proved = self.lock().proved?;
        self.prober.as_ref()?.other_since(&self.new, proved)
    }

    /// What users felt in all.
    pub fn all(&self) -> Option<Figures> {
        self.prober.as_ref().map(Prober::all)
    }

    /// Stops the prober and says the receipt, if anything was written.
    pub async fn settle(&self, stage: &Stage) {
        if let Some(prober) = &self.prober {
            prober.end().await;
        }
        if let Some(receipt) = self.receipt(stage) {
            stage.say(Event::Measured(receipt));
        }
    }

    fn receipt(&self, stage: &Stage) -> Option<Receipt> {
        let known = *self.lock();
        let (at, took) = known.written?;
        Some(Receipt {
            slot: stage.slots.name(self.slot).to_owned(),
            weight_before: self.from.weight(self.slot).percent(),
            weight_after: known.to.weight(self.slot).percent(),
            release_before: self.old.as_ref().map(|release| release.as_str().to_owned()),
            release_after: Some(self.new.as_str().to_owned()),
            switch_ms: ms(took),
            proved_ms: known.proved.map(|proved| ms(proved - at)),
            last_old_ms: self.last_old(at, known),
            felt: self.all().map(|figures| figures.summary()),
            known_loss: stage
                .router
                .as_deref()
                .and_then(|router| router.known_loss()),
        })
    }

    /// How long the old release went on answering; unknown until the new one is proved.
    fn last_old(&self, at: Instant, known: Known) -> Option<f64> {
        let prober = self.prober.as_ref().filter(|_| known.to.is_whole())?;
        prober.last_other(&self.new, at, known.proved?).map(ms)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds with two decimals.
fn ms(d: Duration) -> f64 {
    (d.as_secs_f64() * 1e5).round() / 100.0
}
