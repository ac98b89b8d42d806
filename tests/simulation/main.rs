//! `cargo bench --bench canary`: the judge of canaries, tried on thousands of them, and how many
//! looks a second it takes. It ends with 1 where a bar was missed. `-- --runs 100` is quicker.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "it is run by hand, for what it prints, and may stop where something is wrong"
)]

use std::process::ExitCode;
use std::time::Instant;

#[path = "mod.rs"]
mod simulation;
mod speed;

use simulation::Scenario::{self, Burst, Errors, Jitter, Late, Null, Outage, Slow, Warm};

const ALL: [Scenario; 12] = [
    Null,
    Errors(11),
    Errors(15),
    Errors(20),
    Errors(50),
    Slow(12),
    Slow(15),
    Burst,
    Outage,
    Warm,
    Jitter,
    Late,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let after = |name: &str| words.iter().skip_while(|word| *word != name).nth(1);
    let runs = after("--runs")
        .and_then(|it| it.parse().ok())
        .unwrap_or(2000);
    let mut cells: Vec<(Scenario, u32)> = [10, 100, 1000]
        .iter()
        .flat_map(|rate| ALL.map(|scenario| (scenario, *rate)))
        .collect();
    cells.extend([(Null, 1), (Errors(200), 1)]);
    let began = Instant::now();
    let results = simulation::run(&cells, runs, |done, all| {
        if done.is_multiple_of(40) || done == all {
            eprintln!("{done} of {all}, {:.0} s", began.elapsed().as_secs_f64());
        }
    });
    let (said, missed) = simulation::told(&results);
    println!("{said}");
    let speed = speed::measured();
    println!("{}", speed.told());
    if missed == 0 && speed.is_enough() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
