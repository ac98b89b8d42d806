//! What the judge is held to.

use super::cells::{Cell, Made, Results};
use super::generator::Scenario::{self, Burst, Errors, Jitter, Late, Null, Outage, Slow, Warm};
use super::{OURS, report};

const MINUTES: usize = 60;

/// A bar, and whether it was met.
pub(crate) struct Bar {
    /// What is measured.
    pub(crate) what: String,
    /// What is wanted.
    pub(crate) wanted: String,
    /// What was measured.
    pub(crate) measured: String,
    /// Whether that is enough.
    pub(crate) is_met: bool,
}

#[derive(Clone, Copy)]
enum Want {
    AtMost(f64),
    AtLeast(f64),
}

use Want::{AtLeast, AtMost};

/// All bars whose cells were run.
pub(crate) fn all(results: &Results) -> Vec<Bar> {
    let mut bars = Bars {
        results,
        bars: Vec::new(),
    };
    bars.never_falsely();
    bars.errors();
    bars.latency();
    bars.late_and_good();
    bars.bars
}

struct Bars<'a> {
    results: &'a Results,
    bars: Vec<Bar>,
}

impl Bars<'_> {
    fn never_falsely(&mut self) {
        for (scenario, most) in [
            (Null, 1.0),
            (Errors(11), 1.0),
            (Outage, 1.0),
            (Warm, 1.0),
            (Jitter, 1.0),
            (Burst, 2.0),
        ] {
            let all = [10, 100, 1000].map(|rate| (rate, AtMost(most)));
            self.share("falsely rolled back in 30 min", scenario, &all, |it| {
                it.back(30 * MINUTES)
            });
        }
        let few = [(1, AtMost(0.5))];
        self.share("falsely rolled back in 30 min", Null, &few, |it| {
            it.back(30 * MINUTES)
        });
        let few = [(1, AtLeast(95.0))];
        self.share("rolled back in 15 min", Errors(200), &few, |it| {
            it.back(15 * MINUTES)
        });
    }

    fn errors(&mut self) {
        let all = [10, 100, 1000];
        let back = |it: &Made| it.back(15 * MINUTES);
        self.share(
            "rolled back in 15 min",
            Errors(50),
            &all.map(|rate| (rate, AtLeast(99.0))),
            back,
        );
        let most = [
            (10, AtMost(200.0)),
            (100, AtMost(30.0)),
            (1000, AtMost(10.0)),
        ];
        self.median(Errors(50), &most);
        for (rate, most) in [(10, 230.0), (100, 300.0), (1000, 1100.0)] {
            self.one(
                "requests exposed",
                "",
                (Errors(50), rate),
                AtMost(most),
                Made::exposed,
            );
        }
        self.share(
            "rolled back in 15 min",
            Errors(20),
            &[(100, AtLeast(99.0)), (1000, AtLeast(99.0))],
            back,
        );
        self.median(Errors(20), &[(100, AtMost(230.0)), (1000, AtMost(30.0))]);
        self.share(
            "rolled back in 30 min",
            Errors(20),
            &[(10, AtLeast(45.0))],
            |it| it.back(30 * MINUTES),
        );
        self.share(
            "flagged in 15 min",
            Errors(15),
            &[(100, AtLeast(50.0))],
            |it| it.flagged(15 * MINUTES),
        );
        self.share(
            "flagged in 5 min",
            Errors(15),
            &[(1000, AtLeast(95.0))],
            |it| it.flagged(5 * MINUTES),
        );
    }

    fn latency(&mut self) {
        let wanted = [
            (10, AtLeast(80.0)),
            (100, AtLeast(99.0)),
            (1000, AtLeast(99.0)),
        ];
        self.share("rolled back in 5 min", Slow(15), &wanted, |it| {
            it.back(5 * MINUTES)
        });
        self.median(Slow(15), &[(100, AtMost(90.0)), (1000, AtMost(90.0))]);
        let flagged = [(100, AtLeast(95.0)), (1000, AtLeast(95.0))];
        self.share("flagged in 15 min", Slow(12), &flagged, |it| {
            it.flagged(15 * MINUTES)
        });
        let back = [(100, AtMost(12.0)), (1000, AtMost(12.0))];
        self.share("rolled back in 15 min", Slow(12), &back, |it| {
            it.back(15 * MINUTES)
        });
    }

    fn late_and_good(&mut self) {
        let late = [(100, AtLeast(99.0)), (1000, AtLeast(99.0))];
        self.share("rolled back by minute 15", Late, &late, |it| {
            it.back(15 * MINUTES)
        });
        self.share("safe by 15 min", Null, &[(100, AtLeast(85.0))], |it| {
            it.safe(15 * MINUTES)
        });
        self.share("safe by 5 min", Null, &[(1000, AtLeast(99.0))], |it| {
            it.safe(5 * MINUTES)
        });
        for scenario in [Errors(20), Errors(50), Slow(15)] {
            let all = [10, 100, 1000].map(|rate| (rate, AtMost(1.0)));
            self.share("called safe", scenario, &all, |it| it.safe(30 * MINUTES));
        }
    }

    fn share(
        &mut self,
        what: &str,
        scenario: Scenario,
        wanted: &[(u32, Want)],
        figure: impl Fn(&Made) -> f64,
    ) {
        for (rate, want) in wanted {
            self.one(what, " %", (scenario, *rate), *want, &figure);
        }
    }

    fn median(&mut self, scenario: Scenario, wanted: &[(u32, Want)]) {
        for (rate, want) in wanted {
            let never = f64::INFINITY;
            let figure = |it: &Made| it.median().unwrap_or(never);
            self.one("median to rollback", " s", (scenario, *rate), *want, figure);
        }
    }

    fn one(
        &mut self,
        what: &str,
        unit: &str,
        cell: Cell,
        want: Want,
        figure: impl Fn(&Made) -> f64,
    ) {
        let Some(made) = self.results.of(OURS, cell) else {
            return;
        };
        let found = figure(made);
        let (is_met, wanted) = match want {
            AtMost(most) => (found <= most, format!("<= {most}{unit}")),
            AtLeast(least) => (found >= least, format!(">= {least}{unit}")),
        };
        let (scenario, rate) = cell;
        self.bars.push(Bar {
            what: format!(
                "{} at {}/s, {what}",
                scenario.name(),
                f64::from(rate) / 10.0
            ),
            wanted,
            measured: format!("{}{unit}", report::number(found)),
            is_met,
        });
    }
}
