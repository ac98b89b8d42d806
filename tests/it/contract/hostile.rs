//! Hostile text from everywhere at once: inputs, the ref, the actor, answers, a script's output.
//! Nothing of it may set an output, start a command of the runner, open a tag in the summary or
//! break a table of it, or make the output file unreadable.

use cutover::report::outputs::OUTPUTS;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::files::as_act_reads;
use super::program::{Program, Ran};
use super::{any_text, config};
use crate::world::app::{App, Reply};

/// The commands that the program itself gives the runner.
const OURS: [&str; 6] = [
    "error", "warning", "notice", "group", "endgroup", "add-mask",
];

/// How many worlds; each is four runs of the program.
const WORLDS: u32 = 12;

/// Variables cannot hold a NUL.
fn any_variable() -> impl Strategy<Value = String> {
    any_text().prop_map(|text| text.replace('\0', ""))
}

/// The command that a line gives the runner, by its rules: `::name …::` after white space, or
/// `##[name …]` anywhere.
fn command_of(line: &str) -> Option<&str> {
    if let Some(at) = line.find("##[") {
        return line[at + 3..].split([' ', ']']).next();
    }
    let rest = line.trim_start().strip_prefix("::")?;
    let (head, _) = rest.split_once("::")?;
    head.split(' ').next()
}

/// The Markdown without its blocks of code, which show anything as it is.
fn outside_of_fences(markdown: &str) -> String {
    let mut kept = String::new();
    let mut fence: Option<&str> = None;
    for line in markdown.lines() {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        match fence {
            Some(open) if ticks.len() >= open.len() && line == ticks => fence = None,
            Some(_) => {}
            None if ticks.len() >= 3 => fence = Some(ticks),
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    assert!(
        fence.is_none(),
        "a block of code without an end: {markdown}"
    );
    kept
}

fn is_harmless(ran: &Ran, what: &str) {
    for line in ran
        .stdout
        .split(['\n', '\r'])
        .chain(ran.stderr.split(['\n', '\r']))
    {
        if let Some(command) = command_of(line) {
            assert!(OURS.contains(&command), "{what}: {command:?} in {line:?}");
        }
    }
    let names: Vec<&str> = ran.outputs.keys().map(String::as_str).collect();
    let mut ours: Vec<&str> = OUTPUTS.iter().map(|(name, _)| *name).collect();
    ours.sort_unstable();
    assert_eq!(names, ours, "{what}");
    let under_act = as_act_reads(&ran.output_file).unwrap();
    assert_eq!(
        under_act.len(),
        OUTPUTS.len(),
        "{what}: act reads it otherwise"
    );
    let summary = outside_of_fences(&ran.summary);
    assert!(!summary.contains("<script"), "{what}: {summary}");
    for row in summary.lines().filter(|line| line.starts_with("| ")) {
        let bars = row.replace("\\|", "").matches('|').count();
        assert!((3..=6).contains(&bars), "{what}: a torn row {row:?}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let app = runtime.block_on(App::start());
    let mut runner = TestRunner::new(ProptestConfig {
        cases: WORLDS,
        max_shrink_iters: 20,
        ..config()
    });
    let texts = (any_variable(), any_variable(), any_variable());
    runner
        .run(&texts, |(input, context, answer)| {
            app.route("/hostile", Reply::with(503, &answer));
            runtime.block_on(async {
                let program = || {
                    Program::in_a_workflow()
                        .with("GITHUB_REF_NAME", &context)
                        .with("GITHUB_ACTOR", &context)
                        .with("GITHUB_JOB", &context)
                };
                let url = app.url.join("/hostile").unwrap();
                let checks = json!([
                    {"kind": "http", "path": "/hostile", "retries": 0},
                    {"kind": "command", "run": "printf '%s\\n' \"$HOSTILE\" >&2; exit 3", "env": {"HOSTILE": answer}, "retries": 0},
                ]);
                let looked = program()
                    .with("INPUT_MODE", "smoke-test")
                    .with("INPUT_URL", app.url.as_str())
                    .with("INPUT_CHECKS", checks.to_string())
                    .run(&[])
                    .await;
                is_harmless(&looked, "smoke-test");
                let told = program()
                    .with("INPUT_MODE", "health-check")
                    .with("INPUT_URL", url.as_str())
                    .with("INPUT_TITLE", &input)
                    .with("INPUT_SLOT", &input)
                    .with("INPUT_CHECKS", &input)
                    .run(&[])
                    .await;
                is_harmless(&told, "health-check");
                let refused = program()
                    .with("INPUT_MODE", &input)
                    .with("INPUT_ENVIRONMENT", &input)
                    .with("INPUT_VERSION", &input)
                    .with("INPUT_CONFIG", &context)
                    .run(&[])
                    .await;
                if !refused.outputs.is_empty() {
                    is_harmless(&refused, "a mode");
                }
                let script = format!("printf '%s\\n' \"$HOSTILE\"; exit {}", answer.len() % 2);
                let deployed = program()
                    .config(&deployment(app.url.as_str(), &script))
                    .with("HOSTILE_TEXT", &answer)
                    .with("INPUT_MODE", "deploy-slot")
                    .with("INPUT_SLOT", "green")
                    .with("INPUT_VERSION", &input)
                    .run(&[])
                    .await;
                is_harmless(&deployed, "deploy-slot");
            });
            Ok(())
        })
        .unwrap();
}

fn deployment(url: &str, script: &str) -> String {
    let file = json!({
        "version": 1,
        "app": "shop",
        "environments": {"production": {
            "url": url,
            "slots": {"blue": {"url": format!("{url}blue")}, "green": {"url": format!("{url}hostile")}},
            "release": {"kind": "text", "path": "/"},
            "target": {"kind": "command", "run": script.replace("$HOSTILE", "$HOSTILE_TEXT")},
            "strategy": {"kind": "blue-green", "wait": "100ms"},
        }},
    });
    file.to_string()
}
