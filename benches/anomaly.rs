//! The anomaly rule on 60 simulated weeks, beside what it has to reach. Ends with 1 where a bar
//! is missed. A number as argument is the seed of the first week.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench prints, and ends where it cannot go on"
)]

#[path = "../tests/it/anomaly/weeks.rs"]
mod weeks;

use std::process::ExitCode;

use weeks::{Case, Outcome, WATCHED, Week};

const WEEKS: u64 = 60;

/// So many deployments at the end of each week.
const FUTURES: u64 = 5;

/// A case; the least and the most that may be flagged, and taken back, in percent.
type Row = (&'static str, Case, [f64; 2], [f64; 2]);

const NONE: [f64; 2] = [0.0, 1.0];
const ALL: [f64; 2] = [100.0, 100.0];
const NEVER: [f64; 2] = [0.0, 0.0];

const ROWS: [Row; 14] = [
    ("healthy", Case::Healthy, NONE, NONE),
    ("errors x2", Case::Errors(2.0), ALL, ALL),
    ("errors x3", Case::Errors(3.0), ALL, ALL),
    ("p95 x1.3", Case::Latency(1.3), ALL, [90.0, 100.0]),
    ("p95 x1.5", Case::Latency(1.5), ALL, ALL),
    ("cpu +20 points", Case::Cpu(0.20), ALL, NEVER),
    ("memory +1 point a minute", Case::Leak(0.01), ALL, NEVER),
    ("memory +3 points a minute", Case::Leak(0.03), ALL, ALL),
    ("traffic -20 %", Case::Traffic(0.8), NONE, NONE),
    ("traffic -70 %", Case::Traffic(0.3), [0.0, 100.0], NEVER),
    ("errors /3", Case::Errors(1.0 / 3.0), NONE, NONE),
    ("p95 /1.5", Case::Latency(1.0 / 1.5), NONE, NONE),
    ("errors x3, 5 min before", Case::Earlier(3.0), ALL, NEVER),
    ("errors x1.2", Case::Errors(1.2), [0.0, 100.0], [0.0, 100.0]),
];

fn main() -> ExitCode {
    let first: u64 = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(0);
    let mut met = true;
    for (days, title) in [
        (7, "seven days of baseline"),
        (2, "two days: the 2 h before"),
    ] {
        println!(
            "{WEEKS} weeks, {FUTURES} deployments each, {WATCHED} minutes; {title}\n\
             {:27} {:>16} {:>9} {:>16} {:>9} {:>8}",
            "case", "flagged", "bar", "taken back", "bar", "forest"
        );
        let weeks: Vec<Week> = (first..first + WEEKS)
            .map(|seed| Week::new(seed, days, days == 7))
            .collect();
        for (name, case, flagged, taken_back) in ROWS {
            let outcomes: Vec<Outcome> = weeks
                .iter()
                .flat_map(|week| (0..FUTURES).map(|future| week.deploy(case, future)))
                .collect();
            let first = told(outcomes.iter().map(|it| it.flagged));
            let second = told(outcomes.iter().map(|it| it.taken_back));
            let strange = outcomes.iter().filter(|it| it.strange).count();
            let strange = 100.0 * strange as f64 / outcomes.len() as f64;
            let within = |share: f64, bar: [f64; 2]| bar[0] <= share && share <= bar[1];
            let good = within(first.1, flagged) && within(second.1, taken_back);
            // With two days no bar is promised.
            met &= good || days < 7;
            println!(
                "{name:27} {:>16} {:>9} {:>16} {:>9} {:>6.1} % {}",
                first.0,
                bar(flagged),
                second.0,
                bar(taken_back),
                strange,
                if good || days < 7 { "" } else { "MISSED" }
            );
        }
        println!();
    }
    if met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn bar([least, most]: [f64; 2]) -> String {
    match (least, most) {
        (l, m) if l == m => format!("{l} %"),
        (0.0, m) => format!("<= {m} %"),
        (l, _) => format!(">= {l} %"),
    }
}

/// The share in percent, and the median of the minutes.
fn told(minutes: impl Iterator<Item = Option<i64>> + Clone) -> (String, f64) {
    let all = minutes.clone().count() as f64;
    let mut hit: Vec<i64> = minutes.flatten().collect();
    hit.sort_unstable();
    let share = 100.0 * hit.len() as f64 / all;
    let median = hit.get(hit.len() / 2);
    let after = median.map_or(String::new(), |it| format!(" ({it} min)"));
    (format!("{share:.1} %{after}"), share)
}
