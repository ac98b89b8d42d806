//! The canary's part of the summary. Its charts are read by the version of Mermaid that GitHub
//! draws them with.

use std::path::PathBuf;
use std::process::Command;

use cutover::model::event::Event;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::summary::Summary;
use insta::assert_snapshot;

use super::made_up;

fn markdown(events: &[Event]) -> String {
    let mut summary = Summary::new(Vault::default());
    for event in events {
        summary.hear(event);
    }
    summary.markdown()
}

/// The canary's part, and no more.
fn part(events: &[Event]) -> String {
    let all = markdown(events);
    let from = all.find("#### Canary").unwrap();
    let to = all.find("| step | what happened").unwrap();
    all[from..to].to_owned()
}

/// The sources between the fences.
fn sources(markdown: &str) -> Vec<String> {
    let parts = markdown.split("```mermaid\n").skip(1);
    let ends = parts.map(|part| part.split_once("\n```").unwrap().0.to_owned());
    ends.collect()
}

/// Has the real Mermaid read them; what it says of each: its kind, or what is wrong.
fn read_by_mermaid(sources: &[String]) -> Vec<String> {
    let home = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let tools = home.join("cutover-test-tools");
    let mermaid = tools.join("mermaid-11.17.2/package/dist/mermaid.min.js");
    assert!(
        mermaid.exists(),
        "Mermaid is missing: `tests/run` brings it"
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/report/mermaid.mjs");
    let given = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(given.path(), serde_json::to_string(sources).unwrap()).unwrap();
    // Where the system has none, `tests/run` has put one beside its other tools.
    let mut path = std::env::var_os("PATH").unwrap();
    path.push(":");
    path.push(tools.join("bin"));
    let said = Command::new("node")
        .env("PATH", path)
        .args([script.as_ref(), mermaid.as_path(), given.path()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{errors}");
    serde_json::from_slice(&said.stdout).unwrap()
}

#[test]
fn a_canary_that_was_promoted_reads_like_this() {
    assert_snapshot!(part(&made_up::promoted()));
}

#[test]
fn a_canary_that_was_taken_back_reads_like_this() {
    assert_snapshot!(part(&made_up::rolled_back()));
}

#[test]
fn the_real_mermaid_reads_every_chart() {
    let mut all = Vec::new();
    for events in [made_up::promoted(), made_up::rolled_back()] {
        all.extend(sources(&markdown(&events)));
    }
    assert_eq!(all.len(), 10);
    // A long canary, one without any figures, and one with figures out of all bounds.
    let mut odd = made_up::looks(|_| 0.0);
    for look in &mut odd {
        look.at *= 60.0;
        look.canary.p95 = Some(f64::NAN);
        look.errors.ln_worse = -900.0;
        look.latency.ln_worse = f64::INFINITY;
    }
    odd[5].stable.p95 = Some(1e9);
    let odd: Vec<Event> = odd
        .into_iter()
        .map(|it| Event::Glanced(Box::new(it)))
        .collect();
    all.extend(sources(&markdown(&odd)));
    let good = all.len();
    assert!(good > 13, "{good}");
    // This test can fail.
    all.push(all[0].replace("x-axis \"", "x-axis "));
    let said = read_by_mermaid(&all);
    assert_eq!(&said[..good], vec!["xychart"; good], "{all:#?}");
    assert!(said[good].contains("Parse error"), "{}", said[good]);
}

#[test]
fn nothing_of_a_strangers_text_is_in_a_chart() {
    let mut looks = made_up::looks(|_| 0.008);
    for look in &mut looks {
        look.said = "x\"]\n```\n</details>\n%%{init: {}}%% |".into();
        look.verdict = "good\"\n``` |".into();
    }
    let events: Vec<Event> = looks
        .into_iter()
        .map(|it| Event::Glanced(Box::new(it)))
        .collect();
    let all = markdown(&events);
    assert_eq!(all.matches("```").count(), 10, "{all}");
    assert_eq!(all.matches("\n%%{init").count(), 5);
    assert_eq!(all.matches("</details>").count(), 2);
    assert!(all.contains("❔ unknown at 9 m: x\""), "{all}");
    assert!(!all.contains("good\""));
}

#[test]
fn long_canaries_are_drawn_with_few_points() {
    let mut looks = Vec::new();
    for nth in 0..20 {
        for look in made_up::looks(|_| 0.008) {
            let at = look.at + f64::from(nth) * 540.0;
            looks.push(Event::Glanced(Box::new(cutover::model::canary::Glance {
                at,
                ..look
            })));
        }
    }
    let all = markdown(&looks);
    for source in sources(&all) {
        let points = source
            .lines()
            .filter(|line| line.contains("line [") || line.contains("bar ["));
        assert!(
            points
                .into_iter()
                .all(|line| line.matches(',').count() < 40),
            "{source}"
        );
    }
    assert!(all.len() < 20_000, "{}", all.len());
}
