//! Whether a unit gets well: it is active, and runs on without a restart.
//!
//! One that ends, or that systemd starts over and over, is not waited for.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::unit::{SHOW, State, Unit};
use super::{Systemd, TargetError};
use crate::platform::text;

/// How often a unit is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// So many starts by systemd itself are a loop.
const LOOP: u64 = 2;

impl Systemd {
    /// Waits until the unit is well, after a restart was ordered; says how it was seen.
    ///
    /// # Errors
    /// When it ends, starts over and over, takes too long, or the run is cancelled.
    pub(super) async fn gets_well(
        &self,
        unit: &Unit,
        wait: Duration,
        cancelled: &CancellationToken,
    ) -> Result<String, TargetError> {
        let (name, began) = (&unit.name, Instant::now());
        let steady = self.options.steady.get();
        let mut since: Option<(String, Instant)> = None;
        loop {
            let seen = self.seen(unit, cancelled).await?;
            let took = || text::duration(began.elapsed());
            if seen.restarts >= LOOP {
                let times = seen.restarts + 1;
                return Err(failed(format!(
                    "{name} keeps crashing: it was started {times} times in {}, and {}",
                    took(),
                    seen.ending()
                )));
            }
            match seen.active.as_str() {
                _ if seen.busy => since = None,
                "active" | "reloading" => {
                    let (start, at) =
                        since.get_or_insert((seen.invocation.clone(), Instant::now()));
                    if *start != seen.invocation {
                        since = None;
                    } else if at.elapsed() >= steady {
                        let ran = text::duration(steady);
                        return Ok(format!("active, it ran for {ran} without a restart"));
                    }
                }
                "failed" | "inactive" => {
                    return Err(failed(format!(
                        "{name} {} after {}, wanted it to run",
                        seen.ending(),
                        took()
                    )));
                }
                _ => since = None,
            }
            if began.elapsed() >= wait {
                return Err(late(unit, &seen, wait));
            }
            pause(cancelled).await;
        }
    }

    /// Waits until the unit has ended, after that was ordered.
    ///
    /// # Errors
    /// When it takes too long, or the run is cancelled.
    pub(super) async fn ends(
        &self,
        unit: &Unit,
        wait: Duration,
        cancelled: &CancellationToken,
    ) -> Result<(), TargetError> {
        let began = Instant::now();
        loop {
            let seen = self.seen(unit, cancelled).await?;
            if !seen.busy && matches!(seen.active.as_str(), "inactive" | "failed") {
                return Ok(());
            }
            if began.elapsed() >= wait {
                return Err(late(unit, &seen, wait));
            }
            pause(cancelled).await;
        }
    }

    async fn seen(&self, unit: &Unit, cancelled: &CancellationToken) -> Result<State, TargetError> {
        let lines = self.ask(SHOW, &[&unit.name], cancelled).await?;
        Ok(State::read(&lines))
    }
}

async fn pause(cancelled: &CancellationToken) {
    tokio::select! {
        biased;
        () = cancelled.cancelled() => {}
        () = tokio::time::sleep(EVERY) => {}
    }
}

fn failed(said: String) -> TargetError {
    TargetError::Failed {
        said,
        last_words: Vec::new(),
    }
}

fn late(unit: &Unit, seen: &State, wait: Duration) -> TargetError {
    TargetError::TimedOut {
        said: format!(
            "{} is {} ({}) after {}, its wait is over",
            unit.name,
            seen.active,
            seen.sub,
            text::duration(wait)
        ),
        after: wait,
        last_words: Vec::new(),
    }
}
