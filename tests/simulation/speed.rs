//! How many looks a second one core takes: intervals are at hand, and the judge looks at each.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use cutover::judge::canary::Interval;

use crate::simulation::{Scenario, Seen, after_the_hour, draw, intervals};

/// Looks a second that are wanted.
const WANTED: f64 = 1e6;

/// For how long it is measured.
const LONG: Duration = Duration::from_secs(5);

/// Looks a second.
pub(crate) struct Speed(f64);

impl Speed {
    /// Whether it is fast enough.
    pub(crate) fn is_enough(&self) -> bool {
        self.0 >= WANTED
    }

    /// In a sentence.
    pub(crate) fn told(&self) -> String {
        let missed = if self.is_enough() {
            ""
        } else {
            " (**missed**)"
        };
        format!(
            "{:.2} million looks a second on one core, wanted 1{missed}",
            self.0 / 1e6
        )
    }
}

/// Measures: whole canaries of 30 minutes, bad ones and good ones, each by a judge of its own.
pub(crate) fn measured() -> Speed {
    let scenarios = [
        Scenario::Null,
        Scenario::Errors(20),
        Scenario::Slow(15),
        Scenario::Burst,
    ];
    let traces = scenarios.map(|scenario| draw(scenario, 10.0, 0));
    let all: Vec<_> = traces
        .iter()
        .map(|trace| {
            let seen = Seen::of(trace);
            let given: Vec<Interval> = intervals(&seen, 1).collect();
            (after_the_hour(&seen, 1), given)
        })
        .collect();
    let (began, worked, mut looks) = (Instant::now(), worked(), 0);
    while began.elapsed() < LONG {
        for (judge, given) in &all {
            let mut judge = judge.clone();
            for interval in given {
                black_box(judge.look(black_box(interval)));
                looks += 1;
            }
        }
    }
    Speed(f64::from(looks) / (self::worked() - worked).as_secs_f64())
}

/// For how long this thread has had a core, so that what else runs does not count.
fn worked() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}
