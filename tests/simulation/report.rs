//! The tables: what each judge made of good and of bad canaries, beside what was published, and
//! the bars.

use std::fmt::Write as _;

use super::bars::Bar;
use super::cells::{Made, Results};
use super::generator::Scenario;
use super::published::{BAD, FALSELY, FLAGGED, FOUND, GOOD, RUNS, TIMED, TIMES};
use super::{METHODS, OURS};

/// The canary's requests in ten seconds, as the columns have them.
const RATES: [u32; 3] = [10, 100, 1000];

const MINUTES: usize = 60;

/// Cells that are as published, and those that are not.
#[derive(Default)]
struct Agreement {
    same: usize,
    others: Vec<String>,
}

/// All tables.
pub(crate) fn of(results: &Results, bars: &[Bar]) -> String {
    let mut said = format!(
        "{} runs a cell. Columns: at 1 / 10 / 100 requests a second to the canary, 10 % of all.\n",
        results.runs
    );
    let mut agreement = Agreement::default();
    said += "\nRolled back within 30 minutes though good, in percent:\n\n";
    let columns = GOOD.map(|scenario| (scenario, 30));
    said += &shares(results, &columns, &FALSELY, &mut agreement);
    said += "\nRolled back in time because bad, in percent:\n\n";
    said += &shares(results, &BAD, &FOUND, &mut agreement);
    let flagged = |(nth, (scenario, minutes)): (usize, &(Scenario, usize))| {
        let figure = |made: &Made| made.flagged(minutes * MINUTES);
        let cell = cells(results, OURS, *scenario, figure);
        let what = format!("{OURS} flagged {} {minutes} min", scenario.name());
        agreement.compare(&what, results.runs, &cell, Some(FLAGGED[nth]));
        format!(" {} |", joined(&cell))
    };
    let flagged: String = BAD.iter().enumerate().map(flagged).collect();
    let _ = writeln!(said, "| {OURS} | the same, or warned of |{flagged}");
    said += "\nMedian seconds to rollback; mean requests of the canary until then or the end:\n\n";
    said += &times(results, &mut agreement);
    let _ = writeln!(
        said,
        "\n{} of {} figures are as published, but for chance.",
        agreement.same,
        agreement.same + agreement.others.len()
    );
    for other in agreement.others {
        let _ = writeln!(said, "- {other}");
    }
    said += "\n| bar | wanted | measured |\n| --- | --- | --- |\n";
    for bar in bars {
        let missed = if bar.is_met { "" } else { " (**missed**)" };
        let _ = writeln!(
            said,
            "| {} | {} | {}{missed} |",
            bar.what, bar.wanted, bar.measured
        );
    }
    said
}

fn shares<const N: usize>(
    results: &Results,
    columns: &[(Scenario, usize); N],
    published: &[(&str, [&str; N])],
    agreement: &mut Agreement,
) -> String {
    let heads = columns.map(|(scenario, minutes)| format!(" {} {minutes} min |", scenario.name()));
    let mut table = format!("| | |{}\n|{}\n", heads.concat(), " --- |".repeat(N + 2));
    for method in METHODS {
        let mut row = format!("| {} | {} |", method.key, method.name);
        let known = published.iter().find(|(key, _)| *key == method.key);
        for (nth, (scenario, minutes)) in columns.iter().enumerate() {
            let figure = |made: &Made| made.back(minutes * MINUTES);
            let cell = cells(results, method.key, *scenario, figure);
            let what = format!("{} {} {minutes} min", method.key, scenario.name());
            agreement.compare(&what, results.runs, &cell, known.map(|it| it.1[nth]));
            let _ = write!(row, " {} |", joined(&cell));
        }
        let _ = writeln!(table, "{row}");
    }
    table
}

fn times(results: &Results, agreement: &mut Agreement) -> String {
    let heads = TIMED.map(|scenario| format!(" {} |", scenario.name()));
    let mut table = format!("| | |{}\n|{}\n", heads.concat(), " --- |".repeat(6));
    for method in METHODS {
        let mut row = format!("| {} | {} |", method.key, method.name);
        let known = TIMES.iter().find(|(key, _)| *key == method.key);
        for (nth, scenario) in TIMED.iter().enumerate() {
            let medians = cells(results, method.key, *scenario, |made| {
                made.median().unwrap_or(f64::INFINITY)
            });
            let exposed = cells(results, method.key, *scenario, Made::exposed);
            let what = format!("{} {} median", method.key, scenario.name());
            agreement.compare_times(&what, &medians, known.map(|it| it.1[nth]));
            let both = medians.iter().zip(&exposed).map(|both| match both {
                (Some(median), Some(exposed)) if median.is_finite() => {
                    format!("{} s {exposed:.0}", number(*median))
                }
                (Some(_), Some(exposed)) => format!("never {exposed:.0}"),
                _ => "-".to_owned(),
            });
            let _ = write!(row, " {} |", both.collect::<Vec<_>>().join("; "));
        }
        let _ = writeln!(table, "{row}");
    }
    table
}

fn cells(
    results: &Results,
    key: &str,
    scenario: Scenario,
    figure: impl Fn(&Made) -> f64,
) -> [Option<f64>; 3] {
    RATES.map(|rate| results.of(key, (scenario, rate)).map(&figure))
}

fn joined(cell: &[Option<f64>; 3]) -> String {
    let one = |it: &Option<f64>| it.map_or_else(|| "-".to_owned(), number);
    cell.each_ref().map(one).join("/")
}

/// With one digit after the point below ten, and none from there on.
pub(crate) fn number(n: f64) -> String {
    if n.is_infinite() {
        return "never".to_owned();
    }
    let text = format!("{n:.*}", usize::from(n < 9.95));
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

impl Agreement {
    /// Two shares of runs differ by chance, and what was published was rounded.
    fn compare(
        &mut self,
        what: &str,
        runs: u64,
        found: &[Option<f64>; 3],
        published: Option<&str>,
    ) {
        for ((found, told), rate) in found.iter().zip(columns(published)).zip(RATES) {
            let (Some(found), Some(told)) = (found, told) else {
                continue;
            };
            let known: f64 = told.parse().unwrap_or(f64::NAN);
            let rounded = match told {
                "0" => 0.05,
                told if told.contains('.') => 0.05,
                _ => 0.5,
            };
            let variance = |percent: f64, runs: f64| percent * (100.0 - percent) / runs;
            let chance = (variance(*found, runs as f64) + variance(known, RUNS)).sqrt();
            let is_same = (found - known).abs() <= 3.0 * chance + 0.1 + rounded;
            self.note(is_same, what, rate, &format!("{found:.2} %"), told);
        }
    }

    /// Medians may differ by a tenth, or by one look.
    fn compare_times(&mut self, what: &str, found: &[Option<f64>; 3], published: Option<&str>) {
        for ((found, told), rate) in found.iter().zip(columns(published)).zip(RATES) {
            let (Some(found), Some(told)) = (found, told) else {
                continue;
            };
            let known: f64 = told.parse().unwrap_or(f64::INFINITY);
            let look = if what.starts_with('c') { 300.0 } else { 10.0 };
            let is_same = *found == known || (found - known).abs() <= (known * 0.1).max(look);
            self.note(is_same, what, rate, &format!("{} s", number(*found)), told);
        }
    }

    fn note(&mut self, is_same: bool, what: &str, rate: u32, found: &str, told: &str) {
        if is_same {
            self.same += 1;
        } else {
            let rate = f64::from(rate) / 10.0;
            self.others
                .push(format!("{what} at {rate}/s: {found}, published {told}"));
        }
    }
}

fn columns(published: Option<&str>) -> [Option<&str>; 3] {
    let mut told = published.into_iter().flat_map(|it| it.split('/'));
    [told.next(), told.next(), told.next()]
}
