//! A canary in three steps, made up and judged by the real judge: one that is good, and one whose
//! errors come with the second step.

use std::time::Duration;

use cutover::judge::canary::{
    Arm, BAR, Before, Interval, Judge, Metric, SAFE_BAR, Settings, Verdict,
};
use cutover::model::canary::{Glance, Proved, Seen};
use cutover::model::ending::{Account, Decision, Ending, Reason};
use cutover::model::event::{Event, Headline};
use cutover::model::receipt::Receipt;

/// Seconds between looks.
const APART: f64 = 15.0;

/// Requests a second, of both arms together.
const RATE: f64 = 200.0;

/// Looks at each step, and the canary's share in percent.
const STEPS: [(u32, u8); 3] = [(12, 5), (12, 25), (12, 50)];

/// Up and down, the same in every run.
fn wave(nth: u32) -> f64 {
    [0.2, -0.6, 0.9, -0.3, 0.5, -1.0, 0.1, 0.7, -0.4, -0.1][nth as usize % 10]
}

/// The looks, until one decides; `errors` is the canary's rate at a step.
pub(super) fn looks(errors: impl Fn(u32) -> f64) -> Vec<Glance> {
    let settings = Settings::default();
    let mut judge = Judge::new(settings, Before::default(), Vec::new());
    let mut looks = Vec::new();
    let mut nth = 0;
    // Errors are whole, and what is left of one is kept for the next look.
    let mut rest = [0.0; 2];
    for (step, (many, weight)) in (1..).zip(STEPS) {
        for _ in 0..many {
            nth += 1;
            let share = f64::from(weight) / 100.0;
            let all = RATE * APART * (1.0 + 0.05 * wave(nth + 3));
            let mut arm = |of: usize, share: f64, rate: f64| {
                let requests = (all * share).round();
                let due = rest[of] + requests * rate * (1.0 + 0.4 * wave(nth + 5 * of as u32));
                rest[of] = due.fract();
                (requests, due.trunc())
            };
            let canary = arm(0, share, errors(step));
            let stable = arm(1, 1.0 - share, 0.008);
            let counted = |(requests, errors): (f64, f64), slow: f64| Arm {
                requests,
                errors,
                slow: Some((requests * slow).round()),
                beyond_limit: Some((requests * slow * 0.4).round()),
                ..Arm::default()
            };
            let to = f64::from(nth) * APART;
            let look = judge.look(&Interval {
                from: to - APART,
                to,
                canary: counted(canary, 0.05),
                stable: counted(stable, 0.05),
                p95_ratio: Some(1.04),
                shares: None,
            });
            let mut glance = Glance {
                at: to,
                step,
                weight,
                ..Glance::default()
            };
            glance.verdict = look.verdict.name().to_owned();
            glance.said = look.said();
            glance.canary = seen(canary, 0.182 + 0.011 * wave(nth + 2));
            glance.stable = seen(stable, 0.176 + 0.006 * wave(nth + 7));
            glance.errors = proved(&look.errors);
            glance.latency = proved(&look.latency);
            glance.ln_bar = BAR.ln();
            glance.ln_safe_bar = SAFE_BAR.ln();
            looks.push(glance);
            if look.verdict == Verdict::Rollback {
                return looks;
            }
        }
    }
    looks
}

fn seen((requests, errors): (f64, f64), p95: f64) -> Seen {
    let mut seen = Seen {
        requests,
        errors,
        ..Seen::default()
    };
    seen.p95 = Some(p95);
    seen
}

fn proved(metric: &Metric) -> Proved {
    Proved {
        ln_worse: metric.ln_worse,
        ln_within: metric.ln_within,
        ratio: metric.ratio,
    }
}

fn began() -> Event {
    Event::Began(Headline {
        mode: "rollout",
        environment: Some("production".into()),
        app: Some("storefront".into()),
        release: Some("4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d".into()),
        strategy: Some("canary".into()),
    })
}

fn done(step: &'static str, said: &str, ms: u64) -> Event {
    Event::Done {
        step,
        said: said.into(),
        took: Duration::from_millis(ms),
    }
}

fn before() -> Vec<Event> {
    vec![
        began(),
        done("preflight", "12 checks passed", 412),
        done(
            "deploy",
            "green <- 4f2a9c1      ./deploy.sh ended with 0",
            21_300,
        ),
        Event::Line("pulling storefront:4f2a9c1".into()),
        Event::Line("green is up".into()),
        done("serves", "green says 4f2a9c1", 38),
        Event::Checked {
            check: "http /health".into(),
            passed: true,
            said: "200 in 12 ms".into(),
            wanted: None,
        },
        done("smoke", "2 of 2 on green", 61),
        done("way back", "blue serves 91be33d, restore prepared", 9),
    ]
}

fn shift(before: u8, after: u8) -> [Event; 2] {
    let said = format!("green {before} % -> {after} %    haproxy weights");
    [
        done("switch", &said, 2),
        Event::Measured(Receipt {
            slot: "green".into(),
            weight_before: before,
            weight_after: after,
            release_before: Some("91be33d".into()),
            release_after: Some("4f2a9c1".into()),
            switch_ms: 1.9,
            proved_ms: Some(640.0),
            last_old_ms: None,
            felt: None,
            known_loss: None,
        }),
    ]
}

/// All that is said of a canary.
fn story(looks: Vec<Glance>, end: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut events = before();
    let mut weight = 0;
    for look in looks {
        if look.weight != weight {
            events.extend(shift(weight, look.weight));
            weight = look.weight;
        }
        events.push(Event::Glanced(Box::new(look)));
    }
    events.extend(end);
    events
}

/// One that is good.
pub(super) fn promoted() -> Vec<Event> {
    let looks = looks(|_| 0.008);
    let end = shift(50, 100).into_iter().chain([Event::Ended(Ending::good(
        Decision::Promoted,
        Reason::Done,
        "36 looks in 9 m, no worse than 91be33d",
    ))]);
    story(looks, end)
}

/// One that is taken back.
pub(super) fn rolled_back() -> Vec<Event> {
    let looks = looks(|step| if step == 1 { 0.008 } else { 0.031 });
    let said = looks.last().unwrap().said.clone();
    let end = [
        done("back", "green 25 % -> 0 %    proved on blue (91be33d)", 38),
        Event::Warned("slack: no answer within 5 s".into()),
        Event::Ended(Ending {
            decision: Decision::RolledBack,
            reason: Reason::LimitPassed,
            said: "the release is worse than the one beside it".into(),
            account: Account {
                measured: Some(said),
                wanted: Some("at most 1.5 times as many errors as 91be33d".into()),
                traffic: Some("100 % on blue (91be33d), proved at 12:04:31Z".into()),
                next: Some("the release is in the idle slot again; look at its log there".into()),
            },
        }),
    ];
    story(looks, end)
}
