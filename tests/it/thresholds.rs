//! Thresholds with durations, by tables and by properties: what may fire, and what never does.

use cutover::judge::thresholds::{Bound, Judgement, Mode, Rule, Why, judge};
use cutover::model::assessment::Health;
use cutover::model::series::{Point, Sample, Series};
use proptest::prelude::*;
use proptest::test_runner::Config;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const STEP: i64 = 15 * SECOND;

/// The error rate is above 5 % for five minutes; looked at every 15 s over the last 60 s.
const RULE: Rule = Rule {
    bound: Bound::Above(0.05),
    clear: Bound::Above(0.05),
    duration: 5 * MINUTE,
    min_requests: 20.0,
    no_data_after: 5 * MINUTE,
    mode: Mode::Every,
    at_once: false,
};

fn counted(failed: f64, requests: f64) -> Option<Sample> {
    (requests > 0.0).then(|| Sample {
        value: failed / requests,
        requests: Some(requests),
        failed: Some(failed),
    })
}

/// Points 15 s apart; the last one is now.
fn series(samples: impl IntoIterator<Item = Option<Sample>>) -> Series {
    let point = |(i, sample)| Point {
        at: (i as i64 + 1) * STEP,
        sample,
    };
    let points: Vec<Point> = samples.into_iter().enumerate().map(point).collect();
    Series {
        step: STEP,
        window: MINUTE,
        end: points.len() as i64 * STEP,
        is_of_good: false,
        points,
    }
}

fn rates(rates: &[(usize, f64)]) -> Series {
    let all = rates.iter().flat_map(|(n, rate)| vec![*rate; *n]);
    series(all.map(|rate| counted(rate * 1000.0, 1000.0)))
}

fn why(rule: &Rule, series: &Series) -> Why {
    judge(rule, series).why
}

#[test]
fn it_fires_when_every_point_of_the_duration_is_past_the_bound() {
    for (points, expected) in [
        (&[(20, 0.0), (19, 0.06)][..], Why::Pending),
        (&[(20, 0.0), (20, 0.06)], Why::Held),
        (&[(20, 0.0), (20, 0.05)], Why::Within),
        (&[(20, 0.06), (1, 0.01), (19, 0.06)], Why::Held),
        (&[(19, 0.06), (1, 0.01), (19, 0.06)], Why::Pending),
        (&[(19, 0.06), (1, 0.01)], Why::Within),
        (&[(20, 0.06), (1, 0.01)], Why::Held),
        (&[(20, 0.06), (2, 0.01)], Why::Within),
        (&[(20, 0.06), (1, 0.01), (1, 0.06), (1, 0.01)], Why::Held),
    ] {
        assert_eq!(why(&RULE, &rates(points)), expected, "{points:?}");
    }
}

#[test]
fn it_says_since_when_and_by_how_many() {
    let told = judge(&RULE, &rates(&[(20, 0.01), (20, 0.073)]));
    assert_eq!(told.health(), Health::Unhealthy);
    assert_eq!(told.since, Some(20 * STEP));
    assert_eq!(told.held, 5 * MINUTE);
    // Five minutes are five samples of a minute each, not twenty.
    assert_eq!((told.failed, told.requests), (Some(365.0), Some(5000.0)));
    assert_eq!(told.value, Some(0.073));
    let told = judge(&RULE, &rates(&[(40, 0.01)]));
    assert_eq!((told.since, told.held), (None, 0));
    assert_eq!((told.failed, told.requests), (Some(50.0), Some(5000.0)));
}

#[test]
fn a_gap_does_neither() {
    let bad = || counted(60.0, 1000.0);
    let few = || counted(10.0, 19.0);
    for gap in [None, few()] {
        let half = |n| std::iter::repeat_n(bad(), n);
        let gaps = std::iter::repeat_n(gap, 19);
        let cut = |last| series(half(10).chain(gaps.clone()).chain(half(last)));
        assert_eq!(why(&RULE, &cut(10)), Why::Held, "it goes on after {gap:?}");
        assert_eq!(
            why(&RULE, &cut(9)),
            Why::Pending,
            "{gap:?} stands for no time"
        );
        assert_eq!(why(&RULE, &cut(0)), Why::Pending, "{gap:?}");
    }
}

#[test]
fn after_a_while_without_data_nothing_is_known() {
    let of = |then: Option<Sample>| {
        let bad = std::iter::repeat_n(counted(60.0, 1000.0), 20);
        judge(&RULE, &series(bad.chain(std::iter::repeat_n(then, 21))))
    };
    let nothing = of(None);
    assert_eq!(nothing.health(), Health::Unknown);
    assert_eq!((nothing.value, nothing.requests), (None, None));
    assert_eq!(of(counted(1.0, 3.0)).why, Why::TooFew);
    assert_eq!(why(&RULE, &series([])), Why::NoData);
    assert_eq!(why(&RULE, &series([None])), Why::NoData);
    assert_eq!(why(&RULE, &series([counted(3.0, 3.0)])), Why::TooFew);
}

#[test]
fn gross_breaches_do_not_wait() {
    let rule = Rule {
        at_once: true,
        ..RULE
    };
    let few = series([counted(3.0, 3.0)]);
    assert_eq!(
        why(&rule, &few),
        Why::Gross,
        "few requests, all failing, is bad"
    );
    assert_eq!(judge(&rule, &few).failed, Some(3.0));
    assert_eq!(why(&rule, &series([counted(2.0, 2.0)])), Why::TooFew);
    assert_eq!(why(&rule, &rates(&[(20, 0.0), (1, 0.5)])), Why::Gross);
    assert_eq!(why(&rule, &rates(&[(20, 0.0), (1, 0.06)])), Why::Pending);
    // What was proved is over when it was seen to be over, and no evidence any more.
    let healed = [(4, 0.5), (2, 0.0), (1, 0.06)];
    assert_eq!(why(&rule, &rates(&healed)), Why::Pending);
    let quiet = [counted(3.0, 3.0), None, None, None];
    let calm = std::iter::repeat_n(counted(0.0, 19.0), 8);
    assert_eq!(
        why(&rule, &series(quiet.into_iter().chain(calm))),
        Why::TooFew
    );
}

#[test]
fn a_breach_is_over_below_the_clearing_bound() {
    let rule = Rule {
        clear: Bound::Above(0.02),
        ..RULE
    };
    assert_eq!(why(&rule, &rates(&[(20, 0.06), (9, 0.03)])), Why::Held);
    assert_eq!(why(&rule, &rates(&[(20, 0.06), (9, 0.02)])), Why::Within);
    assert_eq!(why(&rule, &rates(&[(19, 0.06), (9, 0.03)])), Why::Within);
}

#[test]
fn a_pooled_rule_forgives_a_fifth() {
    let rule = Rule {
        mode: Mode::Pooled,
        ..RULE
    };
    let mixed = |good: usize| [(20, 0.0), (8, 0.09), (good, 0.04), (12 - good, 0.09)];
    assert_eq!(why(&rule, &rates(&mixed(4))), Why::Held);
    assert_eq!(why(&rule, &rates(&mixed(5))), Why::Pending);
    assert_eq!(
        why(&RULE, &rates(&mixed(1))),
        Why::Pending,
        "every point is stricter"
    );
}

#[test]
fn a_success_rate_is_an_error_rate_turned_round() {
    let errors = rates(&[(20, 0.01), (20, 0.073)]);
    let mut good = errors.clone();
    good.is_of_good = true;
    for sample in good.points.iter_mut().filter_map(|it| it.sample.as_mut()) {
        sample.value = 1.0 - sample.value;
    }
    let rule = Rule {
        bound: Bound::Below(0.95),
        clear: Bound::Below(0.95),
        at_once: true,
        ..RULE
    };
    let (told, other) = (judge(&rule, &good), judge(&RULE, &errors));
    assert_eq!(
        Judgement {
            value: other.value,
            ..told
        },
        other
    );
    assert!((told.value.unwrap() - 0.927).abs() < 1e-9);
    let rule = Rule {
        bound: Bound::Below(1.0),
        ..rule
    };
    let mut gross = good;
    gross.points.truncate(21);
    gross.end = 21 * STEP;
    assert_eq!(why(&rule, &gross), Why::Held);
}

fn any_sample() -> impl Strategy<Value = Option<Sample>> {
    prop_oneof![
        1 => Just(None),
        4 => (0..60_u32, 1..60_u32).prop_map(|(k, n)| counted(f64::from(k.min(n)), f64::from(n))),
        4 => (0..200_u32).prop_map(|k| counted(f64::from(k), 1000.0)),
    ]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let duration = (0..8_i64).prop_map(|it| it * MINUTE);
    (0.0..0.3, 0.0..0.3, duration, any::<bool>(), any::<bool>()).prop_map(
        |(limit, clear, duration, at_once, pooled): (f64, f64, _, _, _)| Rule {
            bound: Bound::Above(limit),
            clear: Bound::Above(clear.min(limit)),
            duration,
            at_once,
            mode: if pooled { Mode::Pooled } else { Mode::Every },
            ..RULE
        },
    )
}

fn limit_of(rule: &Rule) -> f64 {
    match rule.bound {
        Bound::Above(limit) | Bound::Below(limit) => limit,
    }
}

fn any_samples() -> impl Strategy<Value = Vec<Option<Sample>>> {
    prop::collection::vec(any_sample(), 0..80)
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn nothing_fires_that_was_never_past_its_bound(rule in any_rule(), samples in any_samples()) {
        let limit = limit_of(&rule);
        let mut samples = samples;
        samples.retain(|it| it.is_none_or(|it| it.value <= limit));
        let told = judge(&rule, &series(samples));
        prop_assert!(told.health() != Health::Unhealthy && told.why != Why::Pending);
    }

    #[test]
    fn a_breach_of_the_whole_duration_is_never_missed(rule in any_rule(), samples in any_samples()) {
        let worse = counted((limit_of(&rule) + 0.01) * 1000.0, 1000.0);
        let points = (rule.duration / STEP).max(1) as usize;
        let all = samples.into_iter().chain(std::iter::repeat_n(worse, points));
        prop_assert_eq!(judge(&rule, &series(all)).health(), Health::Unhealthy);
    }

    #[test]
    fn no_data_is_no_health(rule in any_rule(), samples in any_samples(), more in 21..40_usize) {
        let all = samples.into_iter().chain(std::iter::repeat_n(None, more));
        prop_assert_eq!(judge(&rule, &series(all)).why, Why::NoData);
    }

    /// A gap shorter than what makes it unknown changes no word, wherever it is.
    #[test]
    fn a_short_gap_changes_nothing(
        rule in any_rule(), samples in prop::collection::vec(any_sample(), 1..60), at in 0..60_usize,
        long in 1..5_usize,
    ) {
        // By points alone: proof from few and pooled durations look at the clock, too.
        let rule = Rule { at_once: false, mode: Mode::Every, no_data_after: 60 * MINUTE, ..rule };
        let mut cut = samples.clone();
        let at = at.min(cut.len());
        cut.splice(at..at, std::iter::repeat_n(None, long));
        prop_assert_eq!(why(&rule, &series(cut)), why(&rule, &series(samples)));
    }

    #[test]
    fn more_failures_never_heal(samples in any_samples(), rule in any_rule(), more in 1..50_u32) {
        // With room between the bounds a breach is longer; that is not what this is about.
        let rule = Rule { clear: rule.bound, mode: Mode::Every, ..rule };
        let worse = samples.iter().map(|it| it.and_then(|it| {
            let all = it.requests?;
            counted((it.failed? + f64::from(more)).min(all), all)
        }));
        let told = judge(&rule, &series(samples.iter().copied()));
        if told.why == Why::Held {
            let worse = judge(&rule, &series(worse));
            prop_assert_eq!(worse.health(), Health::Unhealthy);
        }
    }

    #[test]
    fn the_figures_that_are_told_fit_the_word(rule in any_rule(), samples in any_samples()) {
        let told = judge(&rule, &series(samples));
        let is_past = told.since.is_some();
        prop_assert_eq!(is_past, matches!(told.why, Why::Held | Why::Gross | Why::Pending));
        prop_assert_eq!(told.value.is_none(), told.why == Why::NoData);
        if let (Some(failed), Some(all)) = (told.failed, told.requests) {
            prop_assert!(failed <= all);
        }
    }
}
