//! The file: it goes on where a run has left it, whatever that was, and is never guessed at.

use std::fs;

use cutover::config::{check, yaml};
use cutover::judge::chain::verify;
use cutover::model::event::{Event, Fact};
use cutover::model::figures::Summary;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::audit::Audit;
use cutover::report::audit::schema::{EVENTS, FIELDS, schema};
use serde_json::{Value, json};

use super::{events, lines, noticed, origin, write};

#[test]
fn runs_go_on_after_each_other() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("deep/er/audit.jsonl");
    let first = write(&path, [noticed("one")]);
    let second = write(&path, [noticed("two")]);
    assert_eq!((first.lines, second.lines), (2, 2));
    let whole = verify(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((whole.lines, whole.runs), (4, 2));
    assert_eq!(whole.head, second.head);
}

#[test]
fn a_run_that_was_killed_is_gone_on_after_and_that_is_said() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut killed = Audit::open(&path, origin(), Vault::default());
    killed.hear(&noticed("one"));
    drop(killed);
    assert!(verify(&fs::read(&path).unwrap()).is_err(), "it has no end");
    write(&path, [noticed("two")]);
    let lines = lines(&path);
    assert_eq!(events(&lines), ["noticed", "resumed", "noticed", "closed"]);
    assert_eq!(lines[1]["data"]["after"], 1);
    assert_eq!(verify(&fs::read(&path).unwrap()).unwrap().resumed, [2]);
}

/// Longer than what is read at once when the last line is looked for.
#[test]
fn the_last_line_may_be_long() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut killed = Audit::open(&path, origin(), Vault::default());
    killed.hear(&noticed("one"));
    killed.hear(&noticed("x".repeat(200_000)));
    drop(killed);
    write(&path, [noticed("two")]);
    assert_eq!(verify(&fs::read(&path).unwrap()).unwrap().lines, 5);
}

#[test]
fn what_is_no_audit_is_put_aside() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    for broken in ["{\"seq\":1,\"prev", "a list of things\n"] {
        fs::write(&path, broken).unwrap();
        let closed = write(&path, [noticed("one")]);
        assert!(
            closed.in_file && closed.warnings[0].contains(".broken-"),
            "{closed:?}"
        );
        assert!(verify(&fs::read(&path).unwrap()).is_ok());
        let all = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut aside = all.filter(|path| path.to_string_lossy().contains(".broken-"));
        let aside = aside.next().unwrap();
        assert_eq!(fs::read_to_string(&aside).unwrap(), broken);
        fs::remove_file(aside).unwrap();
    }
}

#[test]
fn two_runs_do_not_write_into_one_file() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let mut one = Audit::open(&path, origin(), Vault::default());
    one.hear(&noticed("one"));
    let other = write(&path, [noticed("other")]);
    assert!(
        !other.in_file && other.warnings[0].contains("another run"),
        "{other:?}"
    );
    assert_eq!(
        (other.warnings.len(), other.entries.len()),
        (1, 2),
        "Loki gets its lines"
    );
    assert!(one.close().in_file);
    assert_eq!(verify(&fs::read(&path).unwrap()).unwrap().lines, 2);
}

#[test]
fn a_file_that_cannot_be_had_is_one_warning() {
    let home = tempfile::tempdir().unwrap();
    let closed = write(home.path(), (0..5).map(noticed));
    assert_eq!(
        (closed.in_file, closed.warnings.len()),
        (false, 1),
        "{closed:?}"
    );
    // A disk that fills up while the run goes on.
    let closed = write("/dev/full".as_ref(), (0..5).map(noticed));
    assert_eq!(
        (closed.in_file, closed.warnings.len()),
        (false, 1),
        "{closed:?}"
    );
}

#[test]
fn no_secret_is_written_however_it_is_said() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let vault = Vault::default();
    vault.keep("hunt\"er22");
    vault.keep("main-branch-is-secret");
    vault.keep("73312");
    let mut origin = origin();
    origin.branch = Some("main-branch-is-secret".to_owned());
    let mut audit = Audit::open(&path, origin, vault);
    for said in ["hunt\"er22", "hunt\u{1b}[31m\"er22", "a hunt\"er22 b"] {
        audit.hear(&noticed(said));
        audit.hear(&Event::Learned(Fact::Version(said.to_owned())));
    }
    let figures = Summary {
        requests_sent: 73312,
        ..Summary::default()
    };
    audit.hear(&Event::Learned(Fact::Figures(figures)));
    audit.close();
    let text = fs::read_to_string(&path).unwrap();
    for secret in ["hunt", "er22", "main-branch", "73312"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert!(verify(text.as_bytes()).is_ok());
}

/// What is published is what is written: each line fits the schema, and so does its data.
pub(super) fn assert_in_order(lines: &[Value]) {
    let schema = schema();
    for line in lines {
        let fits = |schema: &Value, value: &Value| {
            let node = yaml::read(&value.to_string()).unwrap();
            let problems = check::check(schema, &node).problems;
            assert!(problems.is_empty(), "{problems:?} in {value:#}");
        };
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        let known: Vec<&str> = FIELDS.iter().map(|(name, _, _)| *name).collect();
        assert!(keys.len() >= known.len(), "{keys:?}");
        let own = |line: &Value| {
            let mut line = line.clone();
            line.as_object_mut().unwrap().remove("data");
            line
        };
        let mut envelope = schema.clone();
        envelope["required"] = json!([]);
        fits(&envelope, &own(line));
        let of_event = schema["allOf"].as_array().unwrap();
        let event = of_event
            .iter()
            .find(|one| one["if"]["properties"]["event"]["const"] == line["event"])
            .unwrap_or_else(|| panic!("{} is in no table", line["event"]));
        let then = &event["then"];
        for required in then["required"].as_array().unwrap() {
            assert!(line.get(required.as_str().unwrap()).is_some(), "{line}");
        }
        let data = &then["properties"]["data"];
        let (wanted, got) = (
            data["properties"].as_object().unwrap(),
            line["data"].as_object().unwrap(),
        );
        assert_eq!(
            wanted.keys().collect::<Vec<_>>(),
            got.keys().collect::<Vec<_>>(),
            "{line}"
        );
        for (name, of) in wanted {
            let types = match &of["type"] {
                Value::Array(types) => types.clone(),
                one => vec![one.clone()],
            };
            let is = match &got[name] {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            assert!(types.contains(&json!(is)), "{name} is {is} in {line}");
        }
    }
}

#[test]
fn every_event_is_in_the_table() {
    use cutover::model::anomaly::Deviation;
    use cutover::model::assessment::{Assessment, Health};
    use cutover::model::canary::Standing;
    use cutover::model::ending::{Decision, Ending, Reason};
    use cutover::model::event::Headline;
    use cutover::model::finding::{Finding, Group};
    use cutover::model::metric::Unit;
    use cutover::model::protection::Comparison;
    use cutover::model::receipt::Receipt;

    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    drop({
        let mut killed = Audit::open(&path, origin(), Vault::default());
        killed.hear(&noticed("one"));
        killed
    });
    let took = std::time::Duration::from_micros(1234);
    let receipt = Receipt {
        slot: "green".into(),
        weight_before: 0,
        weight_after: 100,
        release_before: None,
        release_after: None,
        switch_ms: 1.5,
        proved_ms: None,
        last_old_ms: None,
        felt: None,
        known_loss: None,
    };
    let said = String::new;
    let all = [
        Event::Began(Headline::default()),
        Event::Working {
            step: "deploy",
            said: said(),
        },
        Event::Line(said()),
        Event::Done {
            step: "deploy",
            said: said(),
            took,
        },
        Event::Failed {
            step: "deploy",
            said: said(),
            took,
        },
        Event::Warned(said()),
        Event::Wrong {
            file: None,
            line: Some(3),
            said: said(),
        },
        Event::Checked {
            check: said(),
            passed: false,
            said: said(),
            wanted: None,
        },
        Event::Found(Finding::failed(Group::Busy, said(), said(), said(), said())),
        Event::Found(Finding::skipped(Group::Busy, said(), said())),
        Event::Compared(Comparison {
            environment: said(),
            differences: Vec::new(),
            read_back: false,
        }),
        Event::Changed {
            what: said(),
            before: None,
            after: said(),
        },
        Event::Judged {
            step: "watch",
            verdict: "healthy",
            said: said(),
            figures: Summary::default(),
        },
        Event::Glanced(Box::default()),
        Event::Stands(Box::new(Standing {
            release: said(),
            slot: said(),
            weight: 25,
            waits: false,
            state: json!({}),
        })),
        Event::Assessed(Assessment {
            metric: said(),
            source: said(),
            unit: Unit::Percent,
            value: None,
            failed: None,
            requests: None,
            bound: None,
            health: Health::Unknown,
            lasted: said(),
            said: said(),
        }),
        Event::Deviated(Deviation {
            metric: said(),
            unit: Unit::Percent,
            measured: 0.021,
            expected: 0.01,
            limit: 0.014,
            p_value: 0.0001,
            severity: 63.0,
            since: 0,
            before: false,
            said: said(),
        }),
        Event::Learned(Fact::Healthy(true)),
        Event::Learned(Fact::IntendedWeight(10)),
        Event::Measured(receipt),
        Event::Ended(Ending::good(Decision::Passed, Reason::Done, "")),
    ];
    write(&path, all);
    let lines = lines(&path);
    assert_in_order(&lines);
    let mut seen: Vec<&str> = events(&lines);
    seen.sort_unstable();
    seen.dedup();
    let mut known: Vec<&str> = EVENTS.iter().map(|(name, _, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(seen, known);
}
