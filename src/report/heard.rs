//! What a run's listeners remember of it, as it was said: the summary and the page are made of the
//! same.
//!
//! Nothing is escaped or redacted here. That is done when somebody asks, also in the middle of a
//! run: secrets that became known meanwhile are then taken out of all of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::anomaly::Deviation;
use crate::model::assessment::Assessment;
use crate::model::canary::Glance;
use crate::model::ending::Ending;
use crate::model::event::{Event, Fact, Headline};
use crate::model::figures;
use crate::model::finding::{Finding, Verdict};
use crate::model::protection::Comparison;
use crate::model::receipt::Receipt;
use crate::platform::text;

use super::Listener;

/// How many of the script's last lines are kept.
const LINES: usize = 200;

/// What was heard of a run.
#[derive(Default)]
pub struct Heard {
    pub(super) headline: Headline,
    pub(super) steps: Vec<Step>,
    /// Each with its sign.
    pub(super) remarks: Vec<(&'static str, String)>,
    /// The last lines of the script.
    pub(super) lines: VecDeque<String>,
    /// How many there were.
    pub(super) lines_heard: u64,
    pub(super) checks: Vec<Checked>,
    pub(super) judged: Vec<Judged>,
    pub(super) comparisons: Vec<Comparison>,
    /// One for each shift.
    pub(super) receipts: Vec<Receipt>,
    pub(super) gauges: Vec<Assessment>,
    pub(super) anomalies: Vec<Deviation>,
    pub(super) figures: Option<figures::Summary>,
    pub(super) glances: Vec<Glance>,
    pub(super) ending: Option<Ending>,
}

/// A step that is over.
pub(super) struct Step {
    pub(super) good: bool,
    pub(super) name: &'static str,
    pub(super) said: String,
    pub(super) took: Duration,
}

/// A check that is over.
pub(super) struct Checked {
    pub(super) check: String,
    pub(super) passed: bool,
    pub(super) said: String,
    pub(super) wanted: Option<String>,
}

/// Figures that something was decided by.
pub(super) struct Judged {
    pub(super) step: &'static str,
    pub(super) verdict: &'static str,
    pub(super) said: String,
}

impl Heard {
    /// How the run ended, if it has.
    pub const fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// How many lines of the script are kept: `2 lines`, `last 200 of 1,034 lines`.
    pub(super) fn lines_told(&self) -> String {
        let kept = self.lines.len() as u64;
        let all = text::count(self.lines_heard, "line");
        if kept < self.lines_heard {
            format!("last {kept} of {all}")
        } else {
            all
        }
    }

    /// A check of the preflight: those that passed are counted in its row.
    fn checked(&mut self, finding: &Finding) {
        match finding.verdict {
            Verdict::Passed { .. } => {}
            Verdict::Failed { .. } => self.steps.push(Step {
                good: false,
                name: finding.group.name(),
                said: finding.told(),
                took: Duration::ZERO,
            }),
            Verdict::Skipped { .. } => {
                self.remarks
                    .push(("ℹ️", format!("skipped: {}", finding.told())));
            }
        }
    }
}

impl Listener for Heard {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Began(headline) => self.headline = headline.clone(),
            Event::Done { step, said, took } => self.steps.push(Step {
                good: true,
                name: step,
                said: said.clone(),
                took: *took,
            }),
            Event::Failed { step, said, took } => self.steps.push(Step {
                good: false,
                name: step,
                said: said.clone(),
                took: *took,
            }),
            Event::Found(finding) => self.checked(finding),
            Event::Assessed(figure) => self.gauges.push(figure.clone()),
            Event::Deviated(deviation) => self.anomalies.push(deviation.clone()),
            Event::Compared(comparison) => self.comparisons.push(comparison.clone()),
            Event::Line(line) => {
                self.lines_heard += 1;
                if self.lines.len() == LINES {
                    self.lines.pop_front();
                }
                self.lines.push_back(line.clone());
            }
            Event::Noticed(said) => self.remarks.push(("ℹ️", said.clone())),
            Event::Wrong { line, said, .. } => {
                let place = line
                    .map(|line| format!("line {line}: "))
                    .unwrap_or_default();
                self.remarks.push(("❌", format!("{place}{said}")));
            }
            Event::Warned(said) => self.remarks.push(("⚠️", said.clone())),
            Event::Learned(Fact::Figures(figures)) => self.figures = Some(figures.clone()),
            Event::Measured(receipt) => {
                let last = self.receipts.last();
                // The same shift with more figures takes the place of the first telling.
                if last.is_some_and(|last| is_same_shift(last, receipt)) {
                    self.receipts.pop();
                }
                self.receipts.push(receipt.clone());
                if let Some(felt) = &receipt.felt {
                    self.figures = Some(felt.clone());
                }
            }
            Event::Ended(ending) => self.ending = Some(ending.clone()),
            Event::Checked {
                check,
                passed,
                said,
                wanted,
            } => self.checks.push(Checked {
                check: check.clone(),
                passed: *passed,
                said: said.clone(),
                wanted: wanted.clone(),
            }),
            Event::Judged {
                step,
                verdict,
                said,
                ..
            } => self.judged.push(Judged {
                step,
                verdict,
                said: said.clone(),
            }),
            Event::Glanced(glance) => self.glances.push((**glance).clone()),
            Event::Changed { .. }
            | Event::Stands(_)
            | Event::Working { .. }
            | Event::Learned(_) => {}
        }
    }
}

fn is_same_shift(one: &Receipt, other: &Receipt) -> bool {
    let shift = |it: &Receipt| (it.slot.clone(), it.weight_before, it.weight_after);
    shift(one) == shift(other)
}
