//! The parts of the page that every run has: steps, receipt, figures, checks, remarks, output.

use crate::actions::commands;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::super::heard::Heard;
use super::super::measured::{self, failed_of, ms};
use super::super::{compared, gauges, words};
use super::element::{escaped, folded, pairs, section, table};

/// How many rows a table has before `… and 7 more`.
const ROWS: usize = 100;

/// How much of a line of the script is shown, in characters.
const LINE: usize = 300;

pub(super) fn steps(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let rows: Vec<Vec<String>> = heard
        .steps
        .iter()
        .take(ROWS)
        .map(|step| {
            let sign = if step.good { "✅" } else { "❌" };
            let took = match step.took {
                it if it.is_zero() => String::new(),
                it => text::duration(it),
            };
            vec![
                format!("{sign} {}", safe(step.name)),
                safe(&step.said),
                took,
            ]
        })
        .collect();
    let heads = ["step", "what happened", "#time"];
    let table = table(false, "Steps", &heads, &rows);
    section("Steps", &(table + &more(heard.steps.len())))
}

pub(super) fn receipt(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let rows = measured::rows(heard, safe);
    let mut out = pairs("facts", &rows);
    if let Some((_, earlier)) = heard.receipts.split_last() {
        let rows: Vec<Vec<String>> = earlier
            .iter()
            .take(ROWS)
            .map(|receipt| {
                let felt = receipt.felt.as_ref();
                vec![
                    measured::shift(receipt, safe),
                    ms(Some(receipt.switch_ms)),
                    ms(receipt.proved_ms),
                    felt.map_or_else(String::new, failed_of),
                    ms(felt.and_then(|felt| felt.p95_ms)),
                ]
            })
            .collect();
        let heads = [
            "earlier shift",
            "#router's write",
            "#proved",
            "#requests failed",
            "#p95",
        ];
        out.push_str(&table(true, "Earlier shifts", &heads, &rows));
        out.push_str(&more(earlier.len()));
    }
    section("Receipt", &out)
}

/// Figures with their limits, and what was decided by them.
pub(super) fn figures(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let rows: Vec<Vec<String>> = gauges::rows(&heard.gauges, safe)
        .into_iter()
        .take(ROWS)
        .map(Vec::from)
        .collect();
    let heads = ["metric", "#value", "limit", "past it for", "state"];
    let mut out = table(true, "Figures", &heads, &rows);
    let rows: Vec<Vec<String>> = heard
        .judged
        .iter()
        .rev()
        .take(ROWS)
        .rev()
        .map(|judged| vec![safe(judged.step), safe(judged.verdict), safe(&judged.said)])
        .collect();
    let heads = ["step", "verdict", "figures, with their limits"];
    out.push_str(&table(false, "Judgements", &heads, &rows));
    section("Figures", &out)
}

pub(super) fn environments(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let rows: Vec<Vec<String>> = compared::rows(&heard.comparisons, safe)
        .into_iter()
        .take(ROWS)
        .map(Vec::from)
        .collect();
    let heads = ["environment", "key", "GitHub had", "config", "state"];
    section("Environments", &table(true, "Environments", &heads, &rows))
}

pub(super) fn remarks(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    if heard.remarks.is_empty() {
        return String::new();
    }
    let mut out = "<ul class=\"remarks\">\n".to_owned();
    for (sign, said) in heard.remarks.iter().take(ROWS) {
        out.push_str(&format!("<li>{sign} {}</li>\n", safe(said)));
    }
    out.push_str("</ul>\n");
    section("Remarks", &(out + &more(heard.remarks.len())))
}

pub(super) fn checks(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let rows: Vec<Vec<String>> = heard
        .checks
        .iter()
        .take(ROWS)
        .map(|check| {
            let sign = if check.passed { "✅" } else { "❌" };
            vec![
                format!("{sign} {}", safe(&check.check)),
                safe(&check.said),
                check.wanted.as_deref().map_or_else(String::new, safe),
            ]
        })
        .collect();
    let table = table(false, "Checks", &["check", "seen", "wanted"], &rows);
    let count = text::count(heard.checks.len() as u64, "check");
    folded(&count, &(table + &more(heard.checks.len())))
}

pub(super) fn output(heard: &Heard, vault: &Vault) -> String {
    if heard.lines.is_empty() {
        return String::new();
    }
    let mut out = "<pre tabindex=\"0\">".to_owned();
    for line in &heard.lines {
        let line = commands::without_controls(&words::clean(line, vault));
        let line: String = line.trim_end().chars().take(LINE).collect();
        out.push_str(&escaped(&line));
        out.push('\n');
    }
    out.push_str("</pre>\n");
    let title = format!("Output of the script: {}", heard.lines_told());
    folded(&title, &out)
}

fn more(there_are: usize) -> String {
    match there_are.checked_sub(ROWS) {
        Some(left @ 1..) => format!("<p class=\"dim\">… and {left} more</p>\n"),
        _ => String::new(),
    }
}
