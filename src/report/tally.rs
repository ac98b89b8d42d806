//! What a run adds to the figures that other systems keep, counted as it goes.

use std::mem;
use std::time::Instant;

use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::model::finding::Verdict;
use crate::model::measure::{
    DEPLOYED, FAILED_OVER, FAILOVERS, LOST, Measure, NOT_DEPLOYED, QUEUED, REFUSED, SWITCHED, TOOK,
    UNHEALTHY,
};
use crate::model::receipt::Receipt;

use super::Listener;

/// Whether a mode counts as a deployment: it puts a release into a slot.
pub fn counts(mode: &str) -> bool {
    matches!(mode, "rollout" | "deploy-slot")
}

/// Counts a run.
pub struct Tally {
    began: Instant,
    mode: &'static str,
    receipt: Option<Receipt>,
    queued: usize,
    measures: Vec<Measure>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            mode: "",
            receipt: None,
            queued: 0,
            measures: Vec::new(),
        }
    }
}

impl Tally {
    /// Everything that was counted, once the run has ended; nothing the next time.
    pub fn take(&mut self) -> Vec<Measure> {
        mem::take(&mut self.measures)
    }

    fn end(&mut self, ending: &Ending) {
        if let Some(receipt) = self.receipt.take() {
            self.add(Measure::of(&SWITCHED, receipt.switch_ms / 1000.0));
            if let Some(felt) = receipt.felt {
                self.add(Measure::of(&LOST, felt.requests_failed as f64));
            }
        }
        if !counts(self.mode) && self.mode != "finish" {
            return;
        }
        let well = match (ending.decision, self.mode) {
            // A canary that waits has not come to its end.
            (Decision::Skipped | Decision::Planned | Decision::Paused, _) => return,
            // The post step puts an end to a run that had none.
            (Decision::RolledBack, "finish") if ending.reason == Reason::Done => {
                self.add(Measure::one(&NOT_DEPLOYED, Reason::Cancelled.to_string()));
                return;
            }
            (_, "finish") => return,
            (Decision::Passed | Decision::Promoted, _) => true,
            _ => false,
        };
        self.add(if well {
            Measure::of(&DEPLOYED, 1.0)
        } else {
            Measure::one(&NOT_DEPLOYED, ending.reason.to_string())
        });
        self.add(Measure::of(&QUEUED, self.queued as f64));
        self.add(Measure::of(&TOOK, self.began.elapsed().as_secs_f64()));
    }

    fn add(&mut self, measure: Measure) {
        self.measures.push(measure);
    }
}

impl Listener for Tally {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(Headline { mode, .. }) => {
                self.began = Instant::now();
                self.mode = mode;
            }
            Event::Found(finding) => {
                if let Verdict::Failed { .. } = finding.verdict {
                    self.add(Measure::one(&REFUSED, finding.group.name()));
                }
            }
            Event::Checked {
                check,
                passed: false,
                ..
            } => {
                self.add(Measure::one(&UNHEALTHY, check.as_str()));
            }
            Event::Learned(Fact::Queue(waited)) => {
                self.queued = waited.depth;
            }
            Event::Learned(Fact::Failover(cause)) => {
                if counts(self.mode) {
                    self.add(Measure::one(&FAILED_OVER, cause.name()));
                }
                self.add(Measure::one(&FAILOVERS, cause.name()));
            }
            Event::Measured(receipt) => self.receipt = Some(receipt.clone()),
            Event::Ended(ending) => self.end(ending),
            _ => {}
        }
    }
}
