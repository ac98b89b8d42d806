//! The step summary: the ending first, then the canary, the steps, the receipt, and the details
//! folded away.
//!
//! What was heard is made into Markdown when somebody asks, also in the middle of a run: secrets
//! that became known meanwhile are then taken out of all of it.

use crate::actions::commands;
use crate::model::event::Event;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::heard::Heard;
use super::markdown::{fenced, inline, row};
use super::measured::{self, failed_of, ms};
use super::{Listener, charts, compared, gauges, words};

/// How much of a line of the script is shown.
const LINE: usize = 500;

/// How many rows a table has, and how many remarks there are, before `… and 7 more`.
const ROWS: usize = 100;

/// Collects a run for its summary.
pub struct Summary {
    vault: Vault,
    heard: Heard,
}

impl Summary {
    /// Nothing heard yet.
    pub fn new(vault: Vault) -> Self {
        Self {
            vault,
            heard: Heard::default(),
        }
    }

    /// What was heard so far.
    pub const fn heard(&self) -> &Heard {
        &self.heard
    }

    /// The run so far.
    pub fn markdown(&self) -> String {
        let heard = &self.heard;
        let blocks = [
            self.status(),
            self.account(),
            charts::markdown(heard, |text| self.text(text)),
            compared::table(&heard.comparisons, &self.vault),
            self.steps(),
            self.receipt(),
            gauges::table(&heard.gauges, |text| self.text(text)),
            gauges::anomalies(&heard.anomalies, |text| self.text(text)),
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
        let status = match &self.heard.ending {
            None => "⏳ not finished".to_owned(),
            Some(ending) => {
                let decision = ending.decision;
                let (sign, word) = (words::sign(decision), words::decision(decision));
                format!("{sign} {word}: {}", self.text(&ending.said))
            }
        };
        let headline = self.text(&words::headline(&self.heard.headline));
        format!("### {status}\n\n{headline}\n")
    }

    fn account(&self) -> String {
        let account = self.heard.ending.iter().map(|ending| &ending.account);
        account
            .flat_map(words::account)
            .map(|(label, said)| format!("- **{label}** {}\n", self.text(said)))
            .collect()
    }

    fn steps(&self) -> String {
        let steps = &self.heard.steps;
        if steps.is_empty() {
            return String::new();
        }
        let mut out = "| step | what happened | time |\n|---|---|--:|\n".to_owned();
        for step in steps.iter().take(ROWS) {
            let sign = if step.good { "✅" } else { "❌" };
            let took = if step.took.is_zero() {
                String::new()
            } else {
                text::duration(step.took)
            };
            let said = self.text(&step.said);
            out.push_str(&row(&[format!("{sign} {}", step.name), said, took]));
        }
        out.push_str(&more(steps.len()));
        out
    }

    /// The figures of the last shift, and those before it in short.
    fn receipt(&self) -> String {
        let rows = measured::rows(&self.heard, |text| self.text(text));
        if rows.is_empty() {
            return String::new();
        }
        let mut out = "#### Receipt\n\n| | measured |\n|---|---|\n".to_owned();
        out.extend(rows.iter().map(|(name, value)| row(&[*name, value])));
        if let Some((_, earlier)) = self.heard.receipts.split_last()
            && !earlier.is_empty()
        {
            out.push_str(&self.earlier());
        }
        out
    }

    fn earlier(&self) -> String {
        let mut out = "\n| earlier shift | router's write | proved | requests failed | p95 |\n\
                       |---|--:|--:|--:|--:|\n"
            .to_owned();
        let earlier = self.heard.receipts.split_last();
        let earlier = earlier.map_or(&[][..], |(_, earlier)| earlier);
        for receipt in earlier.iter().take(ROWS) {
            let felt = receipt.felt.as_ref();
            out.push_str(&row(&[
                measured::shift(receipt, |text| self.text(text)),
                ms(Some(receipt.switch_ms)),
                ms(receipt.proved_ms),
                felt.map_or_else(String::new, failed_of),
                ms(felt.and_then(|felt| felt.p95_ms)),
            ]));
        }
        out + &more(earlier.len())
    }

    fn remarks(&self) -> String {
        let remarks = &self.heard.remarks;
        let mut out = String::new();
        for (sign, said) in remarks.iter().take(ROWS) {
            out.push_str(&format!("- {sign} {}\n", self.text(said)));
        }
        out + &more(remarks.len())
    }

    fn output(&self) -> String {
        if self.heard.lines.is_empty() {
            return String::new();
        }
        let lines: Vec<String> = self
            .heard
            .lines
            .iter()
            .map(|line| {
                let safe = commands::untrusted(&words::clean(line, &self.vault));
                safe.trim_end().chars().skip(2).take(LINE).collect()
            })
            .collect();
        let title = self.heard.lines_told();
        let lines = fenced(&lines);
        format!(
            "<details><summary>Output of the script: {title}</summary>\n\n{lines}\n</details>\n"
        )
    }
}

impl Listener for Summary {
    fn hear(&mut self, event: &Event) {
        self.heard.hear(event);
    }
}

fn more(there_are: usize) -> String {
    match there_are.checked_sub(ROWS) {
        Some(left @ 1..) => format!("\n… and {left} more\n"),
        _ => String::new(),
    }
}
