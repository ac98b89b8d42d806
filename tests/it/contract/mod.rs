//! What leaves the process, read the way its readers read it.

mod anomaly;
mod commands;
mod doors;
pub(crate) mod files;
mod health;
mod health_refusals;
mod hostile;
mod leaks;
mod leaks_by_kind;
mod log;
mod many_checks;
mod outputs;
mod program;
mod refusals;
mod report_file;
mod shipped;
mod summary;
mod telling;

use std::time::Duration;

use cutover::model::anomaly::Deviation;
use cutover::model::assessment::{Assessment, Bound, Health};
use cutover::model::ending::{Account, Decision, Ending, Reason};
use cutover::model::event::{Event, Fact, Headline};
use cutover::model::figures;
use cutover::model::finding::{Finding, Group};
use cutover::model::metric::Unit;
use cutover::model::receipt::Receipt;
use cutover::model::severity::Severity;
use proptest::prelude::*;
use proptest::test_runner::Config;

/// No files beside the tests: a failing case is printed in full anyway.
pub(crate) fn config() -> Config {
    Config {
        failure_persistence: None,
        ..Config::default()
    }
}

/// Text as somebody would write it who wants to break out of where it is quoted.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    let barbs = prop::sample::select(vec![
        "\n",
        "\r",
        "\r\n",
        "=",
        "<<",
        ":",
        "::",
        "::error::",
        "##[",
        "##[error]",
        "%0A",
        "%25",
        "|",
        "\\",
        "`",
        "```",
        "<",
        "<script>",
        "</details>",
        "&lt;",
        "[",
        "![x](y)",
        "@ana",
        "\t",
        "\u{1b}[",
        "\u{1b}]",
        "cutover_",
        "x<<EOF\n",
        "---",
        "- ",
        "# ",
        " ",
    ]);
    let piece = prop_oneof![
        4 => barbs.prop_map(str::to_owned),
        1 => any::<String>(),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn began() -> Event {
    Event::Began(Headline {
        mode: "rollout",
        environment: Some("production".into()),
        app: Some("storefront".into()),
        release: Some("4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d".into()),
        strategy: Some("blue-green".into()),
    })
}

fn done(step: &'static str, said: &str, ms: u64) -> Event {
    Event::Done {
        step,
        said: said.into(),
        took: Duration::from_millis(ms),
    }
}

fn receipt(felt: Option<figures::Summary>) -> Receipt {
    Receipt {
        slot: "green".into(),
        weight_before: 0,
        weight_after: 100,
        release_before: Some("91be33d".into()),
        release_after: Some("4f2a9c1".into()),
        switch_ms: 2.0,
        proved_ms: Some(41.256),
        last_old_ms: None,
        felt,
        known_loss: None,
    }
}

fn felt() -> figures::Summary {
    figures::Summary {
        requests_sent: 3012,
        requests_failed: 3,
        error_rate: Some(3.0 / 3012.0),
        p50_ms: Some(12.0),
        p95_ms: Some(31.5),
        p99_ms: Some(36.0),
        slowest_ms: Some(38.21),
    }
}

/// A rollout that went well.
pub(crate) fn promoted() -> Vec<Event> {
    vec![
        began(),
        Event::Learned(Fact::Environment("production".into())),
        Event::Learned(Fact::Version(
            "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d".into(),
        )),
        done("preflight", "12 checks passed", 400),
        Event::Working {
            step: "deploy",
            said: "running ./scripts/deploy.sh".into(),
        },
        Event::Line("pulling ##[error]".into()),
        Event::Line("::error::not ours".into()),
        done(
            "deploy",
            "green <- 4f2a9c1      ./scripts/deploy.sh ended with 0",
            21_300,
        ),
        done(
            "way back",
            "blue serves 91be33d, healthy, restore prepared",
            0,
        ),
        done("switch", "green 0 % -> 100 %    nginx flags w0 -> w100", 2),
        Event::Noticed("the lock was 2 m old".into()),
        Event::Warned("slack: no answer".into()),
        Event::Measured(receipt(None)),
        Event::Measured(receipt(Some(felt()))),
        Event::Ended(Ending::good(
            Decision::Promoted,
            Reason::Done,
            "3 of 3,012 requests failed, slowest 38 ms",
        )),
    ]
}

/// A rollout that was taken back.
pub(crate) fn rolled_back() -> Vec<Event> {
    vec![
        began(),
        Event::Failed {
            step: "proved",
            said: "3 of 5 answers still say 91be33d".into(),
            took: Duration::from_secs(10),
        },
        done("back", "green 100 % -> 0 %    proved on blue", 38),
        Event::Ended(Ending {
            decision: Decision::RolledBack,
            reason: Reason::NotProved,
            said: "the public URL kept answering with the old release".into(),
            account: Account {
                measured: Some("X-Release: 91be33d on 3 of 5 new connections".into()),
                wanted: Some("4f2a9c1, 5 in a row, within 10 s".into()),
                traffic: Some("100 % on blue (91be33d), proved at 12:04:31Z".into()),
                next: Some("set `release.path` to one that is not cached".into()),
            },
        }),
    ]
}

/// One of every event, with `text` wherever somebody else's text may be.
pub(crate) fn all_saying(text: &str) -> Vec<Event> {
    let some = || Some(text.to_owned());
    vec![
        Event::Began(Headline {
            mode: "rollout",
            environment: some(),
            app: some(),
            release: some(),
            strategy: some(),
        }),
        Event::Working {
            step: "deploy",
            said: text.into(),
        },
        Event::Line(text.into()),
        done("deploy", text, 5),
        Event::Failed {
            step: "proved",
            said: text.into(),
            took: Duration::ZERO,
        },
        Event::Noticed(text.into()),
        Event::Warned(text.into()),
        Event::Assessed(Assessment {
            metric: text.into(),
            source: text.into(),
            unit: Unit::Percent,
            value: None,
            failed: None,
            requests: None,
            bound: Some(Bound {
                told: text.into(),
                duration: text.into(),
                severity: Severity::Critical,
            }),
            health: Health::Unknown,
            lasted: text.into(),
            said: text.into(),
        }),
        Event::Deviated(Deviation {
            metric: text.into(),
            unit: Unit::Percent,
            measured: 0.021,
            expected: 0.01,
            limit: 0.014,
            p_value: 0.0001,
            severity: 63.0,
            since: 0,
            before: false,
            said: text.into(),
        }),
        Event::Found(Finding::passed(Group::Guardrail, text, text)),
        Event::Found(Finding::failed(Group::Network, text, text, text, text)),
        Event::Found(Finding::skipped(Group::Busy, text, text)),
        Event::Learned(Fact::Override(text.into())),
        Event::Learned(Fact::Version(text.into())),
        Event::Learned(Fact::ServedVersion(text.into())),
        Event::Measured(Receipt {
            slot: text.into(),
            release_before: some(),
            release_after: some(),
            known_loss: some(),
            ..receipt(Some(felt()))
        }),
        Event::Measured(receipt(None)),
        Event::Ended(Ending {
            decision: Decision::Stuck,
            reason: Reason::NotProved,
            said: text.into(),
            account: Account {
                measured: some(),
                wanted: some(),
                traffic: some(),
                next: some(),
            },
        }),
    ]
}
