//! Four traces of simulated canaries, with what an independent calculation made of each
//! interval: evidence to 1e-6, ratios, and the first interval of each verdict.

use cutover::judge::canary::{Arm, BAR, Before, Interval, Judge, SAFE_BAR, Settings, Verdict};
use serde_json::{Value, json};

const TRACES: &str = include_str!("../data/canary-traces.json");

pub(crate) fn traces() -> Vec<Value> {
    serde_json::from_str(TRACES).unwrap()
}

fn number(trace: &Value, series: &str, i: usize) -> f64 {
    trace[series][i].as_f64().unwrap()
}

pub(crate) fn interval(trace: &Value, i: usize) -> Interval {
    let arm = |requests, errors, slow, beyond| Arm {
        requests: number(trace, requests, i),
        errors: number(trace, errors, i),
        slow: Some(number(trace, slow, i)),
        beyond_limit: Some(number(trace, beyond, i)),
        buckets: None,
    };
    Interval {
        from: i as f64 * 10.0,
        to: (i + 1) as f64 * 10.0,
        canary: arm("nc", "kc", "slow_canary_tol", "slow_canary_limit"),
        stable: arm("ns", "ks", "slow_stable", "slow_stable"),
        p95_ratio: Some(number(trace, "Rl", i)),
        shares: None,
    }
}

pub(crate) fn judge(trace: &Value) -> Judge {
    let before = Before {
        error_burst: trace["phi0_err"].as_f64().unwrap(),
        slow_burst: trace["phi0_lat"].as_f64().unwrap(),
        slow_null: 1.0,
        ..Before::default()
    };
    Judge::new(Settings::default(), before, Vec::new())
}

#[test]
fn evidence_and_decisions_are_those_of_the_traces() {
    for trace in traces() {
        let mut judge = judge(&trace);
        let name = trace["scenario"].as_str().unwrap();
        let mut first = [None; 3];
        for i in 0..180 {
            let look = judge.look(&interval(&trace, i));
            for (series, found) in [
                ("lnEe", look.errors.ln_worse),
                ("lnEl", look.latency.ln_worse),
                ("lnFe", look.errors.ln_within),
                ("lnFl", look.latency.ln_within),
                ("Re", look.errors.ratio.unwrap_or(0.0)),
                ("phi_err", look.errors.burst),
                ("phi_lat", look.latency.burst),
            ] {
                let wanted = number(&trace, series, i);
                assert!(
                    (found - wanted).abs() < 1e-6,
                    "{name} {series}[{i}]: {found}, not {wanted}"
                );
            }
            let proved = |ln: f64, bar: f64| ln >= bar.ln();
            let safe =
                proved(look.errors.ln_within, SAFE_BAR) && proved(look.latency.ln_within, SAFE_BAR);
            let flagged = matches!(look.verdict, Verdict::Rollback | Verdict::Warn);
            assert!(!flagged || proved(look.errors.ln_worse.max(look.latency.ln_worse), BAR));
            for (nth, now) in [look.verdict == Verdict::Rollback, flagged, safe]
                .into_iter()
                .enumerate()
            {
                if now && first[nth].is_none() {
                    first[nth] = Some(i);
                }
            }
        }
        let wanted = json!([trace["first_rb"], trace["first_warn"], trace["first_safe"]]);
        assert_eq!(json!(first), wanted, "{name}");
    }
}

#[test]
fn a_judge_that_was_written_down_goes_on_where_it_was() {
    for trace in traces() {
        let (mut whole, mut halves) = (judge(&trace), judge(&trace));
        for i in 0..180 {
            let text = serde_json::to_string(&halves).unwrap();
            halves = serde_json::from_str(&text).unwrap();
            let interval = interval(&trace, i);
            let (one, other) = (whole.look(&interval), halves.look(&interval));
            assert_eq!(
                (one.verdict, one.said()),
                (other.verdict, other.said()),
                "{i}"
            );
            // A number in JSON is read back to its last digit but one.
            for (one, other) in [
                (one.errors.ln_worse, other.errors.ln_worse),
                (one.latency.ln_worse, other.latency.ln_worse),
                (one.latency.ln_within, other.latency.ln_within),
            ] {
                assert!((one - other).abs() < 1e-9, "{i}: {one}, {other}");
            }
        }
    }
}

#[test]
fn a_look_explains_itself() {
    let all = traces();
    let mut judge = judge(&all[1]);
    let looks: Vec<_> = (0..42).map(|i| judge.look(&interval(&all[1], i))).collect();
    insta::assert_snapshot!(looks[0].said(), @"errors: canary 4/112 (3.6 %) vs stable 7/819 (0.85 %), ratio 3.9 (limit 1.5); evidence 2.2:1 that it is worse (needs 40:1), 0.3:1 that it is within both limits (needs 20:1); 10 s, 1 look; looking often does not weaken this");
    insta::assert_snapshot!(looks[41].said(), @"errors: canary 77/4,201 (1.8 %) vs stable 390/37,733 (1 %), ratio 1.8 (limit 1.5); evidence 42:1 that the canary is worse than is tolerated (needs 40:1); 7 m, 42 looks; looking often does not weaken this");
    let nothing = super::traces::judge(&all[0]).look(&Interval {
        to: 10.0,
        ..Interval::default()
    });
    insta::assert_snapshot!(nothing.said(), @"no requests reached both the canary and the stable release; 10 s, 1 look");
}
