//! The judges of the product, called as the product calls them: the bets on counts, and the plain
//! ratio rule for those who want it.

use cutover::judge::canary::evidence::Burst;
use cutover::judge::canary::ratio::{self, Rules};
use cutover::judge::canary::{Arm, Before, Interval, Judge, Settings, Verdict};

use super::Outcome;
use super::generator::{Counted, INTERVAL};
use super::seen::{MINUTE, Seen, buckets, slow, sum};

/// The judge, every ten seconds.
pub(crate) fn judge(seen: &Seen) -> Outcome {
    judged(seen, 1)
}

/// The judge, every minute.
pub(crate) fn judge_each_minute(seen: &Seen) -> Outcome {
    judged(seen, MINUTE)
}

/// The plain rule; one window is enough.
pub(crate) fn ratio(seen: &Seen) -> Outcome {
    ruled(seen, 0.0)
}

/// The plain rule, at every look for five minutes.
pub(crate) fn ratio_held(seen: &Seen) -> Outcome {
    ruled(seen, 300.0)
}

/// A judge who knows the hour before.
pub(crate) fn after_the_hour(seen: &Seen, length: usize) -> Judge {
    let pairs = |bad: &dyn Fn(&Counted) -> u64| {
        let hour = seen.trace.before.chunks(length).map(sum);
        let pairs: Vec<(f64, f64)> = hour
            .map(|it| (it.requests as f64, bad(&it) as f64))
            .collect();
        Burst::before(&pairs)
    };
    let before = Before {
        error_burst: pairs(&|it| it.errors),
        slow_burst: pairs(&|it| slow(it, seen.chosen.stable)),
        slow_null: seen.chosen.null,
        ..Before::default()
    };
    Judge::new(Settings::default(), before, seen.edges.clone())
}

/// What the judge is given, `length` intervals at a time.
pub(crate) fn intervals<'a>(
    seen: &'a Seen,
    length: usize,
) -> impl Iterator<Item = Interval> + use<'a> {
    let arms = seen
        .trace
        .canary
        .chunks(length)
        .zip(seen.trace.stable.chunks(length));
    arms.enumerate().map(move |(nth, (canary, stable))| {
        let (canary, stable) = (sum(canary), sum(stable));
        let arm = |it: &Counted, edge, limit| Arm {
            requests: it.requests as f64,
            errors: it.errors as f64,
            slow: Some(slow(it, edge) as f64),
            beyond_limit: Some(slow(it, limit) as f64),
            buckets: Some(buckets(it)),
        };
        let chosen = seen.chosen;
        Interval {
            from: (nth * length * INTERVAL) as f64,
            to: ((nth + 1) * length * INTERVAL) as f64,
            canary: arm(&canary, chosen.tolerated, chosen.limit),
            stable: arm(&stable, chosen.stable, chosen.stable),
            ..Interval::default()
        }
    })
}

fn judged(seen: &Seen, length: usize) -> Outcome {
    let mut judge = after_the_hour(seen, length);
    let mut outcome = Outcome::default();
    for interval in intervals(seen, length) {
        let at = interval.to as usize;
        match judge.look(&interval).verdict {
            Verdict::Rollback => {
                outcome.flagged.get_or_insert(at);
                outcome.rollback = Some(at);
                return outcome;
            }
            Verdict::Warn => _ = outcome.flagged.get_or_insert(at),
            Verdict::Safe => _ = outcome.safe.get_or_insert(at),
            Verdict::Inconclusive => {}
        }
    }
    outcome
}

fn ruled(seen: &Seen, held: f64) -> Outcome {
    let rules = Rules {
        limits: Settings {
            warm_up: 0.0,
            ..Settings::default()
        },
        min_requests: 1.0,
        held,
        ..Rules::default()
    };
    let mut judge = ratio::Judge::new(rules, seen.edges.clone());
    let rolled_back = intervals(seen, 1).find(|it| judge.look(it).verdict == Verdict::Rollback);
    rolled_back.map_or_else(Outcome::default, |it| Outcome::back(it.to as usize))
}
