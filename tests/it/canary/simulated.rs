//! A little of the simulation, so that it goes on working: the same draws, every time.

#[path = "../../simulation/mod.rs"]
mod simulation;

use cutover::judge::canary::Verdict;
use simulation::Scenario::{Errors, Null, Slow};
use simulation::{Seen, after_the_hour, draw, intervals};

/// Requests a second to the canary, in tenths.
const ONE: u32 = 10;

#[test]
fn a_canary_is_drawn_from_its_scenario_alone() {
    let requests = |run| {
        let trace = draw(Null, 1.0, run);
        let all = trace.canary.iter().chain(&trace.stable);
        all.map(|it| (it.requests, it.errors, it.buckets))
            .collect::<Vec<_>>()
    };
    assert_eq!(requests(3), requests(3));
    assert_ne!(requests(3), requests(4));
    let all = requests(0)
        .iter()
        .fold([0, 0, 0], |[n, k, in_buckets], it| {
            [n + it.0, k + it.1, in_buckets + it.2.iter().sum::<u64>()]
        });
    assert_eq!(all[0], all[2], "each request is in a bucket");
    // Half an hour at ten a second in all, and one of a hundred fails.
    assert!((17_400..18_600).contains(&all[0]), "{all:?}");
    assert!((140..220).contains(&all[1]), "{all:?}");
}

#[test]
fn the_judge_tells_good_ones_from_bad_ones() {
    let cells = [
        (Null, ONE),
        (Errors(50), ONE),
        (Slow(15), ONE),
        (Errors(200), 1),
    ];
    let results = simulation::run(&cells, 6, |_, _| ());
    let (said, missed) = simulation::told(&results);
    assert_eq!(missed, 0, "{said}");
    let ours = said.lines().filter(|line| line.starts_with("| d |"));
    insta::assert_snapshot!(ours.collect::<Vec<_>>().join("\n"), @r"
    | d | **Cutover** | 0/-/- | -/-/- | -/-/- | -/-/- | -/-/- | -/-/- |
    | d | **Cutover** | -/-/- | -/-/- | -/-/- | -/-/- | 83/-/- | -/-/- | 83/-/- |
    | d | the same, or warned of | -/-/- | -/-/- | -/-/- | -/-/- | 83/-/- | -/-/- | 83/-/- |
    | d | **Cutover** | -; -; - | -; -; - | 120 s 154; -; - | 195 s 190; -; - |
    ");
}

#[test]
fn a_bad_one_is_taken_back_with_reasons() {
    let trace = draw(Errors(50), 10.0, 0);
    let seen = Seen::of(&trace);
    let mut judge = after_the_hour(&seen, 1);
    let looks = intervals(&seen, 1).map(|interval| judge.look(&interval));
    let back = looks
        .into_iter()
        .find(|look| look.verdict == Verdict::Rollback);
    insta::assert_snapshot!(back.unwrap().said(), @"errors: canary 11/185 (5.9 %) vs stable 17/1,785 (0.95 %), ratio 6.1 (limit 1.5); evidence 281:1 that the canary is worse than is tolerated (needs 40:1); 20 s, 2 looks; looking often does not weaken this");
}
