//! Trials by script: counters that stand where the test says, look by look, and what follows.

use serde_json::Value;

use crate::judge::canary::glances;
use crate::judge::canary::ratio::Rules;
use crate::judge::canary::{Settings, Verdict};
use crate::model::arms::{Counters, Rate, Rated, Stand, Told};
use crate::model::slot::Side;

use super::trial::{Found, Limits, Trial};

const LIMITS: Limits = Limits {
    error_rate: 0.5,
    p95: None,
};

const SETTINGS: Settings = Settings {
    max_error_ratio: 1.5,
    max_p95_ratio: 1.3,
    warm_up: 0.0,
    at_least: 10.0,
    negligible_error_rate: 0.01,
};

/// So many requests, of which some failed and some were slow.
fn counters(requests: f64, errors: f64, slow: f64) -> Counters {
    let fast = requests - slow;
    Counters {
        requests,
        errors,
        buckets: vec![
            (0.05, fast * 0.5),
            (0.1, fast),
            (0.2, requests - slow / 2.0),
            (0.4, requests),
        ],
        p95: None,
    }
}

/// Where both stand: the stable release is the first slot.
fn stand(nth: u32, stable: Counters, canary: Counters) -> Stand {
    Stand {
        at: i64::from(nth) * 10_000,
        first: stable,
        second: canary,
    }
}

/// Somebody counts.
fn counted(stand: Stand) -> Result<Told, String> {
    Ok(Told::Counted(stand))
}

/// An hour with 1 % of errors, and 5 % of requests that were slow.
fn hour() -> Vec<Stand> {
    let at = |i: u32| {
        let n = f64::from(i) * 1000.0;
        stand(i, counters(n, n * 0.01, n * 0.05), Counters::default())
    };
    (0..60).map(at).collect()
}

/// A canary with so many errors and slow ones of a hundred, looked at every ten seconds.
fn tried(errors: f64, slow: f64, looks: u32) -> (Trial, Vec<Found>) {
    let hour = hour();
    let mut trial = Trial::new(Side::Second, SETTINGS, None, &hour);
    let last = hour[59].clone();
    trial.begin_at(Some(last.clone()));
    trial.next_step();
    let found = (1..=looks).map(|i| {
        let n = f64::from(i) * 100.0;
        let mut stable = last.first.clone();
        stable.include(&counters(9.0 * n, n * 0.09, n * 0.45));
        let canary = counters(n, n * errors / 100.0, n * slow / 100.0);
        trial.look(
            f64::from(i) * 10.0,
            counted(stand(60 + i, stable, canary)),
            &LIMITS,
        )
    });
    let found = found.collect();
    (trial, found)
}

#[test]
fn what_is_good_is_proved_good_and_what_is_bad_bad() {
    let last = |errors, slow| tried(errors, slow, 90).1.pop().unwrap();
    assert_eq!(last(1.0, 5.0).verdict, Verdict::Safe);
    assert_eq!(last(5.0, 5.0).verdict, Verdict::Rollback);
    assert_eq!(last(1.0, 40.0).verdict, Verdict::Rollback);
}

#[test]
fn a_trial_that_is_written_down_goes_on_as_if_nothing_had_been() {
    let (whole, found) = tried(2.0, 5.0, 30);
    let text = serde_json::to_string(&whole.kept()).unwrap();
    assert!(text.len() < 48 * 1024, "{} bytes", text.len());
    let mut read: Trial = serde_json::from_str(&text).unwrap();
    let mut goes_on = whole;
    let base = stand(200, counters(0.0, 0.0, 0.0), counters(0.0, 0.0, 0.0));
    let next = stand(201, counters(900.0, 9.0, 45.0), counters(100.0, 2.0, 5.0));
    let looks = [&mut goes_on, &mut read].map(|trial| {
        trial.begin_at(Some(base.clone()));
        trial.look(310.0, counted(next.clone()), &LIMITS)
    });
    let [mut one, mut other] = looks;
    (one.glance.judge, other.glance.judge) = (None, None);
    // What is read from text may be off in the last place.
    let apart = one.glance.errors.ln_worse - other.glance.errors.ln_worse;
    assert!(apart.abs() < 1e-9, "{apart}");
    assert_eq!(one.verdict, other.verdict);
    assert!(one.glance.errors.ln_worse >= found[0].glance.errors.ln_worse);
}

#[test]
fn the_looks_of_a_trial_are_a_recording() {
    let (_, found) = tried(3.0, 5.0, 60);
    let lines = found.iter().map(|found| {
        let line = serde_json::json!({ "event": "glanced", "data": found.glance });
        line.to_string() + "\n"
    });
    let text: String = lines.collect();
    assert!(glances::is_audit(&text));
    let again = glances::judged(&text).unwrap();
    let verdicts: Vec<Verdict> = again.iter().map(|(_, sight)| sight.verdict).collect();
    let live: Vec<Verdict> = found.iter().map(|found| found.verdict).collect();
    assert_eq!(verdicts, live);
    assert!(verdicts.contains(&Verdict::Rollback));
    let without: String = text
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(
        glances::judged(&without)
            .unwrap_err()
            .contains("the beginning of the run is missing")
    );
}

#[test]
fn silence_and_counters_that_begin_anew_prove_nothing() {
    let mut trial = Trial::new(Side::Second, SETTINGS, None, &hour());
    trial.begin_at(None);
    trial.next_step();
    let none = trial.look(10.0, Err("no series".to_owned()), &LIMITS);
    assert_eq!(
        (none.glance.verdict.as_str(), none.verdict),
        ("no-data", Verdict::Inconclusive)
    );
    assert!(none.silent > 0.0);
    let first = stand(1, counters(900.0, 9.0, 0.0), counters(100.0, 1.0, 0.0));
    assert_eq!(
        trial
            .look(20.0, counted(first.clone()), &LIMITS)
            .glance
            .verdict,
        "no-data"
    );
    // The canary is there, and has had no request.
    let idle = stand(2, counters(1800.0, 18.0, 0.0), first.second.clone());
    assert!(trial.look(30.0, counted(idle), &LIMITS).silent >= 20.0);
    let busy = stand(3, counters(2700.0, 27.0, 0.0), counters(200.0, 2.0, 0.0));
    let busy = trial.look(40.0, counted(busy), &LIMITS);
    assert!(busy.silent <= 0.0);
    let anew = stand(4, counters(10.0, 0.0, 0.0), counters(1.0, 0.0, 0.0));
    assert_eq!(
        trial.look(50.0, counted(anew), &LIMITS).glance.said,
        "counting began anew"
    );
}

#[test]
fn limits_of_its_own_hold_and_an_incident_is_told_apart() {
    let mut trial = Trial::new(Side::Second, SETTINGS, None, &hour());
    let limits = Limits {
        error_rate: 0.05,
        p95: Some(0.1),
    };
    let mut look = |stable: Counters, canary: Counters| {
        trial.next_step();
        trial.begin_at(Some(stand(
            0,
            Counters {
                buckets: counters(0.0, 0.0, 0.0).buckets,
                ..Counters::default()
            },
            counters(0.0, 0.0, 0.0),
        )));
        trial.look(10.0, counted(stand(1, stable, canary)), &limits)
    };
    let fine = look(counters(900.0, 9.0, 9.0), counters(100.0, 1.0, 1.0));
    assert_eq!((fine.beyond, fine.incident), (None, false));
    let bad = look(counters(900.0, 9.0, 9.0), counters(100.0, 30.0, 1.0));
    assert!(bad.beyond.is_some() && !bad.incident);
    let both = look(counters(900.0, 270.0, 9.0), counters(100.0, 30.0, 1.0));
    assert!(both.beyond.is_some() && both.incident);
    let slow = look(counters(900.0, 9.0, 9.0), counters(100.0, 0.0, 60.0));
    let [measured, limit] = slow.beyond.unwrap();
    assert!(
        measured.starts_with("slower than 100 ms: 60/100"),
        "{measured}"
    );
    assert_eq!(limit, "p95 at most 100 ms");
}

#[test]
fn a_canary_that_counts_by_other_edges_is_compared_by_those_that_both_have() {
    let mut trial = Trial::new(Side::Second, SETTINGS, None, &hour());
    let narrow = |n: f64| Counters {
        requests: n,
        errors: 0.0,
        buckets: vec![(0.1, n * 0.95), (0.4, n)],
        p95: None,
    };
    trial.next_step();
    trial.begin_at(Some(stand(0, counters(0.0, 0.0, 0.0), narrow(0.0))));
    let found = trial.look(
        10.0,
        counted(stand(1, counters(900.0, 9.0, 45.0), narrow(100.0))),
        &LIMITS,
    );
    let judge: Value = found.glance.judge.unwrap();
    assert_eq!(judge["evidence"]["edges"], serde_json::json!([0.1, 0.4]));
    assert_eq!(found.glance.canary.slow, Some(5.0));
}

#[test]
fn shares_are_judged_by_the_ratios_and_a_look_at_them_is_a_recording() {
    let rules = Rules {
        limits: SETTINGS,
        window: 20.0,
        ..Rules::default()
    };
    let limits = Limits {
        error_rate: 0.5,
        p95: Some(1.0),
    };
    let tried = |canary: [f64; 2], stable: [f64; 2]| {
        let mut trial = Trial::new(Side::Second, SETTINGS, Some(rules), &[]);
        trial.begin_at(None);
        trial.next_step();
        let rate = |[error_rate, p95]: [f64; 2]| Rate {
            error_rate,
            p95: Some(p95),
        };
        let look = |i: u32| {
            let rated = Rated {
                at: 0,
                first: rate(stable),
                second: rate(canary),
            };
            trial.look(f64::from(i) * 10.0, Ok(Told::Rated(rated)), &limits)
        };
        let found: Vec<Found> = (1..=3).map(look).collect();
        (trial, found)
    };
    let fine = [0.01, 0.2];
    let (trial, found) = tried([0.01, 0.21], fine);
    assert_eq!(found[0].verdict, Verdict::Inconclusive);
    assert_eq!(found[2].verdict, Verdict::Safe);
    assert!(
        found
            .iter()
            .all(|it| it.silent <= 0.0 && it.beyond.is_none())
    );
    assert_eq!(
        trial.told(),
        "errors: canary 1 % vs stable 1 %   p95 210 ms vs 200 ms"
    );
    assert_eq!(tried([0.02, 0.2], fine).1[1].verdict, Verdict::Rollback);
    assert_eq!(tried([0.01, 0.3], fine).1[1].verdict, Verdict::Rollback);
    let beyond = |canary, stable| {
        let found = tried(canary, stable).1.pop().unwrap();
        (found.beyond, found.incident)
    };
    let (measured, incident) = beyond([0.6, 0.2], [0.59, 0.2]);
    let told = ["errors 60 %", "errors at most 50 %"].map(str::to_owned);
    assert_eq!((measured, incident), (Some(told), true));
    assert!(!beyond([0.6, 0.2], fine).1);
    let told = ["p95 2 s", "p95 at most 1 s"].map(str::to_owned);
    assert_eq!(beyond([0.01, 2.0], fine), (Some(told), false));

    // Nobody is left to compare it with, and its own limits still hold.
    let mut last = tried(fine, fine).0;
    last.next_step();
    last.stands_alone();
    let mut look = |i: u32, errors: f64| {
        let rated = Rated {
            at: 0,
            first: Rate {
                error_rate: 0.0,
                p95: None,
            },
            second: Rate {
                error_rate: errors,
                p95: None,
            },
        };
        last.look(f64::from(i) * 10.0, Ok(Told::Rated(rated)), &limits)
    };
    assert_eq!(look(4, 0.3).verdict, Verdict::Inconclusive);
    assert_eq!(look(5, 0.9).beyond, None);
    let found = look(6, 0.9);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.beyond.is_some() && !found.incident, "{found:?}");

    let (_, found) = tried([0.02, 0.2], fine);
    let lines = found.iter().map(|found| {
        let line = serde_json::json!({ "event": "glanced", "data": found.glance });
        line.to_string() + "\n"
    });
    let again = glances::judged(&lines.collect::<String>()).unwrap();
    let again: Vec<Verdict> = again.iter().map(|(_, sight)| sight.verdict).collect();
    let live: Vec<Verdict> = found.iter().map(|found| found.verdict).collect();
    assert_eq!(again, live);
}
