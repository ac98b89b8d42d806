//! `cutover replay`: a recording, judged again.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

use super::traces;

fn replay(recording: &str, words: &[&str]) -> (i32, String) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("canary.jsonl"), recording).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
        .args(["replay", "canary.jsonl"])
        .args(words)
        .current_dir(home.path())
        .env_clear()
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// A trace as a recording, without the time before.
fn recording(trace: &Value) -> String {
    let mut text = String::new();
    for i in 0..180 {
        let line = json!({
            "at": (i + 1) * 10,
            "canary": {
                "requests": trace["nc"][i], "errors": trace["kc"][i],
                "slow": trace["slow_canary_tol"][i], "beyond-limit": trace["slow_canary_limit"][i],
            },
            "stable": { "requests": trace["ns"][i], "errors": trace["ks"][i], "slow": trace["slow_stable"][i] },
            "p95-ratio": trace["Rl"][i],
        });
        writeln!(text, "{line}").unwrap();
    }
    text
}

#[test]
fn every_look_is_a_row() {
    let all = traces::traces();
    let (code, said) = replay(&recording(&all[1]), &[]);
    assert_eq!(code, 10, "{said}");
    let rows: Vec<&str> = said.lines().collect();
    assert!(rows[0].starts_with("    time  verdict"), "{said}");
    assert!(rows[1].contains("inconclusive"), "{}", rows[1]);
    let first = rows.iter().find(|row| row.contains("rollback")).unwrap();
    assert!(first.trim_start().starts_with("7:00"), "{first}");
    assert!(said.contains("rollback: at 7:00: errors: canary"), "{said}");

    let (code, said) = replay(&recording(&all[0]), &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("safe: at 12:10: errors: canary"), "{said}");
}

#[test]
fn every_look_is_a_line_of_json() {
    let all = traces::traces();
    let (code, said) = replay(&recording(&all[2]), &["json"]);
    assert_eq!(code, 0);
    let looks: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(looks.len(), 180);
    assert_eq!(looks[179]["verdict"], "rollback");
    assert!(looks[179]["latency"]["ln-worse"].as_f64().unwrap() > 50.0);
}

#[test]
fn buckets_are_enough() {
    // 30 minutes before, then a canary that is twice as slow.
    let mut text = String::new();
    let spread = |n: f64, slow: f64| {
        json!({ "requests": n, "errors": 0, "buckets": {
            "0.1": n * (0.8 - slow), "0.25": n * (0.95 - slow), "0.5": n * (0.99 - slow / 2.0), "+Inf": n,
        } })
    };
    for i in 1..180 {
        writeln!(
            text,
            "{}",
            json!({ "at": i * 10, "stable": spread(100.0, 0.0) })
        )
        .unwrap();
    }
    for i in 180..240 {
        let line =
            json!({ "at": i * 10, "canary": spread(10.0, 0.3), "stable": spread(90.0, 0.0) });
        writeln!(text, "{line}").unwrap();
    }
    let (code, said) = replay(&text, &[]);
    assert_eq!(code, 10, "{said}");
    assert!(said.contains("p95 ratio 2"), "{said}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    for (text, wanted) in [
        ("", "no line has a `canary`"),
        ("{\"at\": 1}\n", "line 1: missing field `stable`"),
        (
            "{\"at\": 1, \"stable\": {\"requests\": 1, \"errors\": 2}}\n",
            "line 1: stable.errors is not between 0 and its 1 requests",
        ),
        (
            "{\"at\": 1, \"stable\": {\"requests\": 1}, \"canary\": {\"requests\": 1}}\n{\"at\": 1, \"stable\": {\"requests\": 1}}\n",
            "interval 2 ends no later than the one before it",
        ),
        (
            "{\"at\": 1, \"stable\": {\"requests\": 1, \"buckets\": {\"fast\": 1}}, \"canary\": {\"requests\": 1}}\n",
            "\"fast\" is not the edge of a bucket; seconds are, and +Inf",
        ),
    ] {
        let (code, said) = replay(text, &[]);
        assert_eq!(code, 64, "{said}");
        assert!(said.contains(wanted), "{wanted}\nis not in\n{said}");
    }
    let (code, said) = replay("", &["xml"]);
    assert!(code == 64 && said.contains("replay FILE json"), "{said}");
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let run = |length: u64| {
        let file = std::fs::File::create(home.path().join("canary.jsonl")).unwrap();
        file.set_len(length).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
            .args(["replay", "canary.jsonl"])
            .current_dir(home.path())
            .env_clear()
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, said) = run((64 << 20) + 1);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("more than 64 MB"), "{said}");
    let (_, said) = run(1 << 20);
    assert!(!said.contains("MB"), "{said}");
}
