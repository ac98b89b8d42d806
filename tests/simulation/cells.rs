//! Cells: a scenario at a rate, many times over, each time judged by all judges.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::generator::{Scenario, draw};
use super::seen::Seen;
use super::{METHODS, Outcome};

/// Runs that are worked on at a time.
const BATCH: u64 = 100;

/// A scenario, and the canary's requests in ten seconds.
pub(crate) type Cell = (Scenario, u32);

/// What each judge made of a cell's runs.
pub(crate) struct Results {
    /// How many runs a cell has.
    pub(crate) runs: u64,
    cells: BTreeMap<Cell, Vec<Made>>,
}

/// What a judge made of a cell: of each run its outcome, and the canary's requests until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made(Vec<(Outcome, f64)>);

impl Results {
    /// What a judge made of a cell, if it was run.
    pub(crate) fn of(&self, key: &str, cell: Cell) -> Option<&Made> {
        let nth = METHODS.iter().position(|method| method.key == key)?;
        self.cells.get(&cell)?.get(nth)
    }
}

impl Made {
    /// The share of runs, in percent.
    fn percent(&self, is_one: impl Fn(&Outcome) -> bool) -> f64 {
        let those = self.0.iter().filter(|(outcome, _)| is_one(outcome));
        100.0 * those.count() as f64 / self.0.len() as f64
    }

    /// Taken back until so many seconds.
    pub(crate) fn back(&self, by: usize) -> f64 {
        self.percent(|it| it.rollback.is_some_and(|at| at <= by))
    }

    /// Warned of or taken back.
    pub(crate) fn flagged(&self, by: usize) -> f64 {
        self.percent(|it| it.flagged.is_some_and(|at| at <= by))
    }

    /// Called good.
    pub(crate) fn safe(&self, by: usize) -> f64 {
        self.percent(|it| it.safe.is_some_and(|at| at <= by))
    }

    /// Half of those that were taken back were so until then.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut times: Vec<usize> = self.0.iter().filter_map(|it| it.0.rollback).collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        Some((times[last / 2] + times[last.div_ceil(2)]) as f64 / 2.0)
    }

    /// Requests of the canary until it was taken back or over, on average.
    pub(crate) fn exposed(&self) -> f64 {
        self.0.iter().map(|it| it.1).sum::<f64>() / self.0.len() as f64
    }
}

/// Draws and judges, on all cores. The same cells and runs give the same results.
pub(crate) fn run(cells: &[Cell], runs: u64, said: impl Fn(usize, usize) + Sync) -> Results {
    let batches: Vec<(Cell, u64)> = cells
        .iter()
        .flat_map(|cell| {
            (0..runs)
                .step_by(BATCH as usize)
                .map(|first| (*cell, first))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(BTreeMap::new());
    let work = || {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            let made = judged(*batch, runs);
            let mut done = done.lock().unwrap();
            done.insert(*batch, made);
            said(done.len(), batches.len());
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut cells: BTreeMap<Cell, Vec<Made>> = BTreeMap::new();
    for ((cell, _), made) in done.into_inner().unwrap() {
        let all = cells
            .entry(cell)
            .or_insert_with(|| vec![Made::default(); METHODS.len()]);
        for (all, made) in all.iter_mut().zip(made) {
            all.0.extend(made.0);
        }
    }
    Results { runs, cells }
}

fn judged(((scenario, tenths), first): (Cell, u64), runs: u64) -> Vec<Made> {
    let mut made = vec![Made::default(); METHODS.len()];
    for run in first..runs.min(first + BATCH) {
        let trace = draw(scenario, f64::from(tenths) / 10.0, run);
        let seen = Seen::of(&trace);
        for (made, method) in made.iter_mut().zip(METHODS) {
            let outcome = (method.judge)(&seen);
            made.0.push((outcome, seen.exposed(outcome.rollback)));
        }
    }
    made
}
