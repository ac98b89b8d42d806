//! The step summary: the ending first, then the steps, the receipt, and the details folded away.
//!
//! Events are collected as they were said and made into Markdown when somebody asks, also in the
//! middle of a run: secrets that became known meanwhile are then taken out of all of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::actions::commands;
use crate::model::assessment::Assessment;
use crate::model::ending::{Decision, Ending};
use crate::model::event::{Event, Fact, Headline};
use crate::model::figures;
use crate::model::finding::{Finding, Verdict};
use crate::model::protection::Comparison;
use crate::model::receipt::Receipt;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::markdown::{fenced, inline, row};
use super::{Listener, compared, gauges, words};

/// How many of the script's last lines are kept, and how much of each is shown.
const LINES: usize = 200;
const LINE: usize = 500;

/// How many rows a table has, and how many remarks there are, before `… and 7 more`.
const ROWS: usize = 100;

/// Collects a run for its summary.
pub struct Summary {
    vault: Vault,
    headline: Headline,
    steps: Vec<Step>,
    remarks: Vec<(&'static str, String)>,
    lines: VecDeque<String>,
    lines_heard: u64,
    comparisons: Vec<Comparison>,
    receipts: Vec<Receipt>,
    gauges: Vec<Assessment>,
    figures: Option<figures::Summary>,
    ending: Option<Ending>,
}

/// A step that is over.
struct Step {
    good: bool,
    name: &'static str,
    said: String,
    took: Duration,
}

impl Summary {
    /// Nothing heard yet.
    pub fn new(vault: Vault) -> Self {
        Self {
            vault,
            headline: Headline::default(),
            steps: Vec::new(),
            remarks: Vec::new(),
            lines: VecDeque::new(),
            lines_heard: 0,
            comparisons: Vec::new(),
            receipts: Vec::new(),
            gauges: Vec::new(),
            figures: None,
            ending: None,
        }
    }

    /// The run so far.
    pub fn markdown(&self) -> String {
        let blocks = [
            self.status(),
            self.account(),
            compared::table(&self.comparisons, &self.vault),
            self.steps(),
            self.receipt(),
            gauges::table(&self.gauges, |text| self.text(text)),
            self.remarks(),
            self.output(),
        ];
        let blocks: Vec<String> = blocks.into_iter().filter(|it| !it.is_empty()).collect();
        // The parts were redacted before they were escaped; this is for what only the whole shows.
        self.vault.redact(&blocks.join("\n")).into_owned()
    }

    fn text(&self, text: &str) -> String {
        inline(&words::clean(text, &self.vault))
    }

    fn status(&self) -> String {
        let status = match &self.ending {
            None => "⏳ not finished".to_owned(),
            Some(ending) => {
                let (sign, word) = (sign(ending.decision), words::decision(ending.decision));
                format!("{sign} {word}: {}", self.text(&ending.said))
            }
        };
        let headline = self.text(&words::headline(&self.headline));
        format!("### {status}\n\n{headline}\n")
    }

    fn account(&self) -> String {
        let account = self.ending.iter().map(|ending| &ending.account);
        account
            .flat_map(words::account)
            .map(|(label, said)| format!("- **{label}** {}\n", self.text(said)))
            .collect()
    }

    fn steps(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut out = "| step | what happened | time |\n|---|---|--:|\n".to_owned();
        for step in self.steps.iter().take(ROWS) {
            let sign = if step.good { "✅" } else { "❌" };
            let took = if step.took.is_zero() {
                String::new()
            } else {
                text::duration(step.took)
            };
            let said = self.text(&step.said);
            out.push_str(&row(&[format!("{sign} {}", step.name), said, took]));
        }
        out.push_str(&more(self.steps.len()));
        out
    }

    /// The figures of the last shift, and those before it in short.
    fn receipt(&self) -> String {
        let mut rows = Vec::new();
        if let Some(receipt) = self.receipts.last() {
            self.shift_rows(receipt, &mut rows);
        }
        if let Some(figures) = &self.figures {
            figure_rows(figures, &mut rows);
        }
        if rows.is_empty() {
            return String::new();
        }
        let mut out = "#### Receipt\n\n| | measured |\n|---|---|\n".to_owned();
        out.extend(rows.iter().map(|(name, value)| row(&[*name, value])));
        if let Some((_, earlier)) = self.receipts.split_last()
            && !earlier.is_empty()
        {
            out.push_str(&self.earlier(earlier));
        }
        out
    }

    fn earlier(&self, receipts: &[Receipt]) -> String {
        let mut out = "\n| earlier shift | router's write | proved | requests failed | p95 |\n\
                       |---|--:|--:|--:|--:|\n"
            .to_owned();
        for receipt in receipts.iter().take(ROWS) {
            let felt = receipt.felt.as_ref();
            out.push_str(&row(&[
                self.shift(receipt),
                ms(Some(receipt.switch_ms)),
                ms(receipt.proved_ms),
                felt.map_or_else(String::new, failed_of),
                ms(felt.and_then(|felt| felt.p95_ms)),
            ]));
        }
        out + &more(receipts.len())
    }

    fn shift(&self, receipt: &Receipt) -> String {
        let slot = self.text(&receipt.slot);
        let (before, after) = (receipt.weight_before, receipt.weight_after);
        format!("{slot} {before} % → {after} %")
    }

    fn shift_rows(&self, receipt: &Receipt, rows: &mut Vec<(&'static str, String)>) {
        rows.push(("traffic", self.shift(receipt)));
        let release = |release: &Option<String>| {
            let release = release.as_deref().map(text::short_sha);
            self.text(release.unwrap_or("unknown"))
        };
        let (old, new) = (
            release(&receipt.release_before),
            release(&receipt.release_after),
        );
        rows.push(("release", format!("{old} → {new}")));
        rows.push(("router's write", ms(Some(receipt.switch_ms))));
        let after = |at: Option<f64>, never: &str| match at {
            Some(_) => format!("{} after the write", ms(at)),
            None => never.to_owned(),
        };
        rows.push(("proved", after(receipt.proved_ms, "no")));
        rows.push((
            "last answer of the old release",
            after(receipt.last_old_ms, "none after the write"),
        ));
        if let Some(loss) = &receipt.known_loss {
            rows.push(("known loss of this router", self.text(loss)));
        }
    }

    fn remarks(&self) -> String {
        let mut out = String::new();
        for (sign, said) in self.remarks.iter().take(ROWS) {
            out.push_str(&format!("- {sign} {}\n", self.text(said)));
        }
        out + &more(self.remarks.len())
    }

    fn output(&self) -> String {
        if self.lines.is_empty() {
            return String::new();
        }
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| {
                let safe = commands::untrusted(&words::clean(line, &self.vault));
                safe.trim_end().chars().skip(2).take(LINE).collect()
            })
            .collect();
        let kept = lines.len() as u64;
        let title = if kept < self.lines_heard {
            format!("last {kept} of {}", text::count(self.lines_heard, "line"))
        } else {
            text::count(kept, "line")
        };
        let lines = fenced(&lines);
        format!(
            "<details><summary>Output of the script: {title}</summary>\n\n{lines}\n</details>\n"
        )
    }
}

impl Summary {
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

impl Listener for Summary {
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
            Event::Checked { .. }
            | Event::Changed { .. }
            | Event::Judged { .. }
            | Event::Glanced(_) => {}
            Event::Working { .. } | Event::Learned(_) => {}
        }
    }
}

fn is_same_shift(one: &Receipt, other: &Receipt) -> bool {
    let shift = |it: &Receipt| (it.slot.clone(), it.weight_before, it.weight_after);
    shift(one) == shift(other)
}

/// A decision at a glance. The word stands beside it, for whoever cannot see the sign.
const fn sign(decision: Decision) -> &'static str {
    match decision {
        Decision::Passed | Decision::Promoted => "✅",
        Decision::Failed => "❌",
        Decision::RolledBack => "↩️",
        Decision::Held => "⚠️",
        Decision::Stuck => "🆘",
        Decision::Skipped => "⏭️",
        Decision::Planned => "📝",
    }
}

fn figure_rows(figures: &figures::Summary, rows: &mut Vec<(&'static str, String)>) {
    rows.push(("requests failed", failed_of(figures)));
    let latencies = [
        ("p50", figures.p50_ms),
        ("p95", figures.p95_ms),
        ("p99", figures.p99_ms),
        ("slowest", figures.slowest_ms),
    ];
    rows.extend(
        latencies
            .into_iter()
            .filter(|(_, measured)| measured.is_some())
            .map(|(name, measured)| (name, ms(measured))),
    );
}

/// `3 of 3,012 (0.1 %)`.
fn failed_of(figures: &figures::Summary) -> String {
    let failed = text::thousands(figures.requests_failed);
    let sent = text::thousands(figures.requests_sent);
    let rate = figures.error_rate.map(text::percent);
    rate.map_or_else(
        || "nothing was sent".to_owned(),
        |rate| format!("{failed} of {sent} ({rate})"),
    )
}

/// Milliseconds with a unit that suits them; empty where nothing was measured.
fn ms(ms: Option<f64>) -> String {
    ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
        .map_or_else(String::new, text::duration)
}

fn more(there_are: usize) -> String {
    match there_are.checked_sub(ROWS) {
        Some(left @ 1..) => format!("\n… and {left} more\n"),
        _ => String::new(),
    }
}
