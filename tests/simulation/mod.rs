//! The simulation of canaries: thousands of them are drawn, good ones and bad ones, and the judge
//! of the product decides on each, beside the judges that people use today.
//!
//! `cargo bench --bench canary` runs all of it; the tests run a little, for it to go on working.

mod bars;
mod cells;
mod generator;
mod limits;
mod ours;
mod published;
mod ranks;
mod report;
mod seen;
mod sums;

pub(crate) use cells::{Results, run};
pub(crate) use generator::{Scenario, draw};
pub(crate) use ours::{after_the_hour, intervals};
pub(crate) use seen::Seen;

/// What a judge made of a canary: seconds since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// It was taken back.
    pub(crate) rollback: Option<usize>,
    /// It was warned of, or taken back.
    pub(crate) flagged: Option<usize>,
    /// It was called good.
    pub(crate) safe: Option<usize>,
}

impl Outcome {
    /// Taken back.
    const fn back(at: usize) -> Self {
        Self {
            rollback: Some(at),
            flagged: Some(at),
            safe: None,
        }
    }
}

/// A judge: its short name, what it is, and how it decides.
pub(crate) struct Method {
    /// As in the published tables.
    pub(crate) key: &'static str,
    /// In words.
    pub(crate) name: &'static str,
    judge: fn(&Seen) -> Outcome,
}

const fn method(key: &'static str, name: &'static str, judge: fn(&Seen) -> Outcome) -> Method {
    Method { key, name, judge }
}

/// All judges.
pub(crate) const METHODS: [Method; 12] = [
    method("a1", "ratio rule, one window", ours::ratio),
    method("a2", "ratio rule, held 5 min", ours::ratio_held),
    method("a3", "errors > 5 % for 5 min", limits::threshold),
    method("b1", "Argo-like, as documented", limits::argo),
    method("b2", "Argo-like, tuned", limits::argo_tuned),
    method("b3", "Flagger-like, as documented", limits::flagger),
    method("c1", "Kayenta-like, each 5 min", ranks::each_five_minutes),
    method("c2", "Kayenta-like, each minute", ranks::each_minute),
    method("e", "z-test at each look", sums::z_test),
    method("f", "mixture test, normal", sums::mixture),
    method("d", "**Cutover**", ours::judge),
    method("d60", "Cutover, looks each minute", ours::judge_each_minute),
];

/// The judge that is held to the bars.
pub(crate) const OURS: &str = "d";

/// All of it as a text, and how many bars were missed.
pub(crate) fn told(results: &Results) -> (String, usize) {
    let bars = bars::all(results);
    let missed = bars.iter().filter(|bar| !bar.is_met).count();
    (report::of(results, &bars), missed)
}
