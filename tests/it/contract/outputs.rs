//! The outputs: which there are, in what form, and that they hold no secret.

use std::collections::BTreeMap;

use cutover::model::ending::{Decision, Ending, Reason};
use cutover::model::event::{Event, Fact};
use cutover::model::figures;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::outputs::{OUTPUTS, Outputs};
use proptest::prelude::*;

use super::{all_saying, any_text, config, promoted, receipt, rolled_back};

fn heard(vault: &Vault, events: &[Event]) -> Outputs {
    let mut outputs = Outputs::new(vault.clone());
    for event in events {
        outputs.hear(event);
    }
    outputs
}

fn values(events: &[Event]) -> BTreeMap<&'static str, String> {
    heard(&Vault::default(), events)
        .values()
        .into_iter()
        .collect()
}

#[test]
fn all_outputs_are_always_set() {
    for events in [vec![], promoted(), rolled_back()] {
        let outputs = heard(&Vault::default(), &events).values();
        let names: Vec<_> = outputs.iter().map(|(name, _)| *name).collect();
        let table: Vec<_> = OUTPUTS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, table);
    }
    let nothing = values(&[]);
    assert_eq!(
        (nothing["decision"].as_str(), nothing["p95-ms"].as_str()),
        ("", "")
    );
}

#[test]
fn figures_have_the_forms_that_are_documented() {
    let values = values(&promoted());
    for (name, value) in [
        ("decision", "promoted"),
        ("reason-code", "done"),
        ("environment", "production"),
        ("slot", "green"),
        ("active-slot", ""),
        ("weight", "100"),
        ("version", "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d"),
        ("served-version", "4f2a9c1"),
        ("healthy", ""),
        ("error-rate", "0.000996"),
        ("p50-ms", "12"),
        ("p95-ms", "31.5"),
        ("switch-ms", "2"),
        ("requests-sent", "3012"),
        ("requests-failed", "3"),
        ("rolled-back", "false"),
    ] {
        assert_eq!(values[name], value, "{name}");
    }
}

#[test]
fn the_last_word_counts_and_a_guess_is_no_word() {
    let unproved = cutover::model::receipt::Receipt {
        proved_ms: None,
        ..receipt(None)
    };
    let mut events = vec![Event::Measured(unproved)];
    assert_eq!(
        values(&events)["served-version"],
        "",
        "nobody has seen it served"
    );
    events.extend([
        Event::Learned(Fact::ServedVersion("91be33d".into())),
        Event::Learned(Fact::Weight(0)),
        Event::Learned(Fact::Healthy(false)),
        Event::Learned(Fact::DeploymentId(u64::MAX)),
        Event::Learned(Fact::Figures(figures::Summary::default())),
    ]);
    events.extend(rolled_back());
    let values = values(&events);
    for (name, value) in [
        ("served-version", "91be33d"),
        ("weight", "0"),
        ("healthy", "false"),
        ("deployment-id", "18446744073709551615"),
        ("requests-sent", "0"),
        ("error-rate", ""),
        ("rolled-back", "true"),
        ("decision", "rolled-back"),
        ("reason-code", "not-proved"),
    ] {
        assert_eq!(values[name], value, "{name}");
    }
}

#[test]
fn the_result_is_one_document_with_all_of_it() {
    let mut events = promoted();
    events.extend(rolled_back());
    let result = heard(&Vault::default(), &events).result();
    assert_eq!(result["schema_version"], 1);
    for (name, _) in OUTPUTS.iter().filter(|(name, _)| *name != "result") {
        assert!(result.get(*name).is_some(), "{name} is missing");
    }
    assert_eq!(result["mode"], "rollout");
    assert_eq!(result["p95-ms"], 31.5);
    assert_eq!(result["rolled-back"], true);
    assert_eq!(result["healthy"], serde_json::Value::Null);
    assert_eq!(
        result["account"]["wanted"],
        "4f2a9c1, 5 in a row, within 10 s"
    );
    assert_eq!(result["receipt"]["weight-after"], 100);
    assert_eq!(result["steps"][0]["step"], "preflight");
    assert_eq!(result["steps"][0]["took-ms"], 400);
    assert_eq!(result["steps"][4]["good"], false);
    assert_eq!(result["warnings"][0], "slack: no answer");
}

#[test]
fn they_are_written_for_the_runner_and_shown_to_people() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    let outputs = heard(&Vault::default(), &promoted());
    outputs.write(&path).unwrap();
    let written = std::fs::read_to_string(&path).unwrap();
    let read = super::files::as_the_runner_reads(&written).unwrap();
    let expected: Vec<_> = outputs
        .values()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    assert_eq!(read, expected);
    assert!(
        outputs
            .write(&directory.path().join("missing/output"))
            .is_err()
    );

    let ended = Ending::good(Decision::Skipped, Reason::AlreadyThere, "");
    let few = heard(&Vault::default(), &[Event::Ended(ended)]);
    assert_eq!(
        few.table(),
        "  decision         skipped\n  reason-code      already-there\n  rolled-back      false\n"
    );
}

#[test]
fn a_secret_that_is_a_number_or_has_quotes_leaves_the_document_whole() {
    let vault = Vault::default();
    vault.keep("3012");
    vault.keep("a\"b\\c");
    let mut events = promoted();
    events.extend(all_saying("a\"b\\c"));
    let outputs = heard(&vault, &events);
    let text = outputs.values().into_iter().last().unwrap().1;
    assert!(
        !text.contains("3012,") && !text.contains("b\\\\c"),
        "{text}"
    );
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["requests-sent"], "***");
    assert_eq!(document["said"], "***");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_a_release_is_called_it_comes_back(text in any_text()) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let outputs = heard(&Vault::default(), &all_saying(&text));
        outputs.write(&path).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        let read: BTreeMap<_, _> =
            super::files::as_the_runner_reads(&written).unwrap().into_iter().collect();
        prop_assert_eq!(read.len(), OUTPUTS.len());
        prop_assert_eq!(&read["served-version"], &text);
        let result: serde_json::Value = serde_json::from_str(&read["result"]).unwrap();
        prop_assert_eq!(result["said"].as_str(), Some(text.as_str()));
        prop_assert!(!outputs.table().lines().any(|line| !line.starts_with("  ")));
    }
}
