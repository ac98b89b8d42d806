//! Our own requests to both slots at once, counted slot by slot.
//!
//! They begin with the first look and end with the counter, at the same rate on each slot's own
//! address, past the router: so a canary that has no users yet can be compared. What is over is
//! counted and forgotten, however long it goes on.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::Prober;
use crate::metrics::load::Load;
use crate::metrics::{Counter, NoData, now};
use crate::model::arms::{Counters, Stand};
use crate::model::slot::Side;
use crate::platform::text;

/// A load on each slot, once somebody has looked.
pub(super) struct Both<'a> {
    prober: &'a Prober,
    running: Mutex<Option<[Arm; 2]>>,
}

struct Arm {
    load: Load<()>,
    counters: Counters,
    unsent: u64,
}

impl<'a> Both<'a> {
    pub(super) fn new(prober: &'a Prober) -> Self {
        Self {
            prober,
            running: Mutex::default(),
        }
    }

    fn arm(&self, side: Side) -> Arm {
        Arm {
            load: self.prober.load(&self.prober.slots.on(side).url, None),
            counters: Counters::of_latency(),
            unsent: 0,
        }
    }
}

impl Arm {
    /// Counts what is over since the last look.
    fn count(&mut self, slot: &str) -> Result<Counters, NoData> {
        for shot in self.load.shots().drain(..) {
            if shot.is_sent() {
                let seconds = shot.latency().as_secs_f64();
                self.counters.add(seconds, shot.outcome.is_failure());
            } else {
                self.unsent += 1;
            }
        }
        if self.counters.requests == 0.0 && self.unsent > 0 {
            return Err(NoData::out_of_reach(format!(
                "none of {} to {slot} could be sent: this machine has no more ports, files or memory for it",
                text::count(self.unsent, "request")
            )));
        }
        Ok(self.counters.clone())
    }
}

#[async_trait]
impl Counter for Both<'_> {
    async fn now(&self) -> Result<Stand, NoData> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let sides = [Side::First, Side::Second];
        let [first, second] = running.get_or_insert_with(|| sides.map(|side| self.arm(side)));
        let name = |side| self.prober.slots.name(side);
        Ok(Stand {
            at: now(),
            first: first.count(name(Side::First))?,
            second: second.count(name(Side::Second))?,
        })
    }

    async fn before(&self, _: Duration, _: Duration) -> Result<Vec<Stand>, NoData> {
        Ok(Vec::new())
    }
}
