//! The rule on a few of the simulated weeks (the bench has all), and what it says of figures that
//! were made by hand.

use cutover::judge::anomaly::{
    Baseline, Basis, DAY, MINUTE, Part, Rules, Spot, TooLittle, Verdict, Watched, judge,
};
use cutover::model::assessment::Health;

use super::weeks::{Case, Week};

const NOW: i64 = 2960 * 7 * DAY + 10 * 60 * MINUTE;

#[test]
fn a_regression_is_seen_and_an_improvement_is_none() {
    for seed in 0..2 {
        let week = Week::new(seed, 7, false);
        for (case, flagged, taken_back) in [
            (Case::Healthy, false, false),
            (Case::Errors(2.0), true, true),
            (Case::Errors(3.0), true, true),
            (Case::Latency(1.5), true, true),
            (Case::Cpu(0.20), true, false),
            (Case::Leak(0.01), true, false),
            (Case::Leak(0.03), true, true),
            (Case::Traffic(0.8), false, false),
            (Case::Errors(1.0 / 3.0), false, false),
            (Case::Latency(1.0 / 1.5), false, false),
            (Case::Earlier(3.0), true, false),
        ] {
            let outcome = week.deploy(case, 0);
            let seen = (outcome.flagged.is_some(), outcome.taken_back.is_some());
            assert_eq!(seen, (flagged, taken_back), "{case:?} {seed} {outcome:?}");
        }
    }
}

#[test]
fn without_a_week_two_hours_have_to_do() {
    for seed in 0..6 {
        let week = Week::new(seed, 2, false);
        assert_eq!(
            week.deploy(Case::Healthy, 0),
            super::weeks::Outcome::default()
        );
        let outcome = week.deploy(Case::Errors(3.0), 0);
        assert_eq!(
            outcome.taken_back,
            Some(7),
            "1 to warm up, 4 of a window of 5, 3 in a row"
        );
    }
}

#[test]
fn the_forest_knows_better_from_worse() {
    let week = Week::new(3, 7, true);
    assert!(!week.deploy(Case::Errors(1.0 / 3.0), 0).strange);
    assert!(!week.deploy(Case::Latency(1.0 / 1.5), 0).strange);
    assert!(!week.deploy(Case::Healthy, 0).strange);
}

/// A figure each minute over so many days, that follows the hour, with a little noise.
fn days(days: i64, base: f64) -> Vec<Spot> {
    let minutes = (1 - days * 1440)..=0;
    minutes
        .map(|minute| spot(NOW + minute * MINUTE, base))
        .collect()
}

fn spot(at: i64, base: f64) -> Spot {
    let hour = at.rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let minute = (at / MINUTE) as f64;
    let noise = (minute * 12.9898).sin() * (minute * 0.714).sin();
    Spot {
        at,
        value: base * (1.0 + 0.4 * hour.sin() + 0.1 * noise),
    }
}

fn learnt(part: Part, figures: &[Spot], excluded: &[(i64, i64)]) -> Baseline {
    Baseline::learn(part, figures, NOW, excluded, &Rules::default()).unwrap()
}

/// So many minutes after a deployment, in which figures are so many times what they were.
fn after(part: Part, baseline: &Baseline, base: f64, minutes: i64, times: f64) -> Verdict {
    let spots = (-30..=minutes).map(|minute| {
        let spot = spot(NOW + minute * MINUTE, base);
        let times = if minute > 0 { times } else { 1.0 };
        Spot {
            value: spot.value * times,
            ..spot
        }
    });
    let figures: Vec<Spot> = spots.collect();
    let watched = [Watched {
        metric: part.name(),
        baseline,
        figures: &figures,
    }];
    let now = NOW + minutes * MINUTE;
    judge(&watched, Some(NOW), now, &Rules::default())
}

#[test]
fn what_is_said_has_measured_and_expected_values() {
    let baseline = learnt(Part::ErrorRate, &days(7, 0.01), &[]);
    assert_eq!(baseline.basis(), Basis::Season(7 * DAY));
    let said = |minutes, times| {
        let verdict = after(Part::ErrorRate, &baseline, 0.01, minutes, times);
        let finding = verdict.findings[0].clone();
        (finding.health, finding.said, verdict.rollback)
    };
    let usual = said(12, 1.0);
    assert_eq!(usual.0, Health::Healthy);
    insta::assert_snapshot!(usual.1, @"1.1 %, 1.2 % is expected at this time of day (unusual above 1.5 %)");
    let (health, line, rollback) = said(12, 3.0);
    assert_eq!(health, Health::Unhealthy);
    insta::assert_snapshot!(line, @"3.4 %, 1.2 % is expected at this time of day (unusual above 1.5 %) since 10:05Z; p 0.000099, severity 85 (critical)");
    insta::assert_snapshot!(rollback.unwrap(), @"error-rate 3.4 %, 1.2 % is expected at this time of day (unusual above 1.5 %) since 10:05Z; p 0.000099, severity 85 (critical); 2.9 times what is expected");
    // Two windows are none of three, and before that there is none at all.
    insta::assert_snapshot!(said(6, 3.0).1, @"3.6 %, 1.2 % is expected at this time of day (unusual above 1.5 %); past that in 2 of 3 windows");
    insta::assert_snapshot!(said(2, 3.0).1, @"1 figure in the last 5 m, and 4 are needed");
    assert_eq!(said(6, 3.0).0, Health::Inconclusive);
    assert_eq!(said(2, 3.0).0, Health::Unknown);
    assert!(said(6, 3.0).2.is_none() && said(12, 1.4).2.is_none());
}

#[test]
fn an_incident_that_is_left_out_moves_no_threshold() {
    let mut figures = days(7, 0.2);
    let (from, to) = (NOW - 50 * 60 * MINUTE, NOW - 47 * 60 * MINUTE);
    let inside = |it: &&mut Spot| it.at > from && it.at <= to;
    figures
        .iter_mut()
        .filter(inside)
        .for_each(|it| it.value *= 5.0);
    let with = learnt(Part::P95, &figures, &[]);
    let without = learnt(Part::P95, &figures, &[(from, to)]);
    assert!(
        with.threshold() > 3.0 * without.threshold(),
        "{} {}",
        with.threshold(),
        without.threshold()
    );
    assert!(with.windows() > without.windows() + 170);
    assert!(after(Part::P95, &without, 0.2, 12, 1.5).rollback.is_some());
    assert!(after(Part::P95, &with, 0.2, 12, 1.5).rollback.is_none());
}

#[test]
fn too_little_is_no_baseline_and_a_short_one_says_so() {
    let figures = days(7, 0.2);
    let newest = |n: usize| &figures[figures.len() - n..];
    let rules = Rules::default();
    let of = |figures: &[Spot]| Baseline::learn(Part::P95, figures, NOW, &[], &rules);
    let few = of(newest(29)).unwrap_err();
    assert_eq!(
        few,
        TooLittle {
            figures: 29,
            needed: 30
        }
    );
    assert_eq!(few.to_string(), "29 figures of baseline, and 30 are needed");
    let short = of(newest(2 * 1440)).unwrap();
    assert_eq!(short.basis(), Basis::Short(120 * MINUTE));
    assert!(short.threshold() >= 5.0);
    let verdict = after(Part::P95, &short, 0.2, 12, 1.0);
    insta::assert_snapshot!(verdict.findings[0].said, @"227 ms, 255 ms is expected by the 2 h before, for too little is known of the time of day (unusual above 324 ms)");
    // What is not a number, and what is from the future, is not learnt from.
    let mut odd = newest(40).to_vec();
    odd[3].value = f64::NAN;
    odd[39].at = NOW + MINUTE;
    assert_eq!(of(&odd).unwrap().basis(), Basis::Short(38 * MINUTE));
}

#[test]
fn a_p_value_is_the_share_of_what_was_as_unusual() {
    let baseline = learnt(Part::P95, &days(7, 0.2), &[]);
    let n = baseline.windows() as f64;
    assert!(n > 10_000.0);
    assert_eq!(baseline.p_value(1e9), 1.0 / (n + 1.0));
    assert_eq!(baseline.p_value(-1e9), 1.0);
    let half = baseline.p_value(0.0);
    assert!((0.3..0.7).contains(&half), "{half}");
}
