//! Every mode and command through both doors, with as little as each needs.

use serde_json::Value;

use super::program::{Program, Ran};
use crate::world::app::{App, Reply};
use crate::world::channels::{Channel, Fault, SECRET};
use crate::world::children::ended_meanwhile;
use crate::world::patience::in_the_end;
use cutover::modes::MODES;
use cutover::rehearsal::faults::FAULTS;
use cutover::report::outputs::OUTPUTS;

/// A rehearsal that does not take long.
const REHEARSED: &str = r#"version: 1
app: storefront
environments:
  staging:
    url: http://127.0.0.1:1
    slots:
      blue: { url: "http://127.0.0.1:2" }
      green: { url: "http://127.0.0.1:3" }
    release: { kind: header, name: X-Release }
    smoke:
      - { kind: http, path: /health, retries: 1, interval: 20ms }
    health:
      checks:
        - { kind: http, path: /health, fall: 2 }
    strategy: { kind: blue-green, wait: 2s, watch: 1500ms, max-error-rate: 1%, max-p95: 500ms }
    prober: { rate: 50 }
    proof: { answers: 3, within: 5s }
"#;

fn all_outputs_are_set(ran: &Ran) {
    for (name, _) in OUTPUTS {
        assert!(
            ran.outputs.contains_key(*name),
            "no output {name}: {ran:#?}"
        );
    }
}

#[tokio::test]
async fn a_smoke_test_needs_a_url_alone() {
    let app = App::start().await;
    app.route("/", Reply::with(200, "hello"));
    let program = Program::in_a_workflow()
        .with("INPUT_MODE", "smoke-test")
        .with("INPUT_URL", app.url.as_str());
    let ran = program.run(&[]).await;
    ran.ends(0, "passed", "done");
    all_outputs_are_set(&ran);
    assert_eq!(ran.outputs["healthy"], "true");
    assert_eq!(ran.outputs["environment-url"], app.url.as_str());

    let checks = "- { kind: http, path: /, expect: { text: goodbye }, retries: 0 }";
    let ran = program.with("INPUT_CHECKS", checks).run(&[]).await;
    assert_eq!(ran.code, 10, "{ran:#?}");
    ran.says(&["smoke-test", "1 of 1 check failed", "goodbye", "hello"]);
}

#[tokio::test]
async fn a_health_check_needs_a_url_alone() {
    let app = App::start().await;
    app.route("/", Reply::with(200, "well"));
    let well = Program::in_a_workflow()
        .run(&["health-check", "--url", app.url.as_str()])
        .await;
    well.ends(0, "passed", "done");

    app.route("/", Reply::with(503, "starting"));
    let checks = format!(
        "- {{ kind: http, url: \"{}\", retries: 1, interval: 10ms }}",
        app.url
    );
    let program = Program::in_a_workflow().with("INPUT_CHECKS", checks);
    let ill = program
        .run(&["health-check", "--url", app.url.as_str()])
        .await;
    ill.ends(10, "failed", "unhealthy");
    all_outputs_are_set(&ill);
    assert_eq!(ill.outputs["healthy"], "false");
    ill.says(&["503", "wanted", "2xx", "::error title=failed"]);
    assert!(ill.summary.contains("503"), "{}", ill.summary);
}

#[tokio::test]
async fn a_message_needs_a_webhook_alone() {
    let channel = Channel::of("webhook").await;
    let program = || {
        Program::in_a_workflow()
            .with("INPUT_MODE", "notify")
            .with("INPUT_WEBHOOK", &channel.url)
            .with("INPUT_TITLE", "Deployed")
            .with("INPUT_MESSAGE", "all is well")
    };
    let ran = program().run(&[]).await;
    ran.ends(0, "passed", "done");
    ran.says(&["1 of 1 channel heard of it"]);
    let heard = channel.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(
        (&heard[0]["title"], &heard[0]["message"]),
        (&"Deployed".into(), &"all is well".into())
    );

    channel.order([Fault::Page(404)]);
    let ran = program().run(&[]).await;
    assert_eq!(ran.code, 0, "telling people changes no verdict: {ran:#?}");
    ran.says(&[
        "::warning::",
        "webhook was not told",
        "0 of 1 channel heard of it",
    ]);
    assert!(!unmasked(&ran.stdout).contains(SECRET), "{}", ran.stdout);
}

#[tokio::test]
async fn a_rehearsal_with_every_fault() {
    let expected = |fault: &str| match fault {
        "errors=5%" | "slow=800ms" => (20, "rolled-back", "limit-passed"),
        "wrong-version" => (20, "rolled-back", "not-proved"),
        "unhealthy" => (10, "failed", "smoke-failed"),
        "crash-after-switch" => (20, "rolled-back", ""),
        "router-refuses" => (10, "failed", "router-refused"),
        "reply-lost" => (0, "promoted", "done"),
        other => panic!("how does a rehearsal with {other} end?"),
    };
    let rehearsals = FAULTS.iter().map(|(fault, _)| async move {
        let program = Program::in_a_workflow().config(REHEARSED);
        (*fault, program.run(&["rehearse", "--fault", fault]).await)
    });
    for (fault, ran) in futures_util::future::join_all(rehearsals).await {
        let (code, decision, reason) = expected(fault);
        let reason = match reason {
            // Users or the checks see it first.
            "" => ran.outputs["reason-code"].clone(),
            reason => reason.to_owned(),
        };
        ran.ends(code, decision, &reason);
        all_outputs_are_set(&ran);
        let active = if decision == "promoted" {
            "green"
        } else {
            "blue"
        };
        assert_eq!(ran.outputs["active-slot"], active, "{fault}: {ran:#?}");
        println!("  rehearse --fault {fault:<20} {decision} {code} {reason}");
    }
}

#[tokio::test]
async fn the_commands_answer_and_touch_nothing() {
    let program = Program::at_a_terminal().config(REHEARSED);
    let ran = program.run(&["check"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.says(&[".github/cutover.yml is right: storefront with staging"]);

    let ran = program.run(&["schema"]).await;
    let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (ran.code, schema["properties"]["app"]["type"].as_str()),
        (0, Some("string"))
    );

    let with_router = REHEARSED.replace(
        "    smoke:",
        "    router: { kind: nginx, flags: flags }\n    smoke:",
    );
    let ran = Program::at_a_terminal()
        .config(&with_router)
        .run(&["router-config"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.says(&["w100", "server"]);

    let ran = program.run(&["--version"]).await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, concat!("cutover ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    for arguments in [&["--help"][..], &["rollout", "-h"], &[]] {
        let ran = program.run(arguments).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let words = MODES.iter().chain(cutover::app::COMMANDS).chain(FAULTS);
        words.for_each(|(word, about)| ran.says(&[word, about]));
    }
}

#[tokio::test]
async fn the_readme_s_config_and_the_examples_are_right() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut configs = Vec::new();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for block in readme.split("```yaml\n").skip(1) {
        let text = block.split("```").next().unwrap();
        if text.contains("version: 1\n") && text.contains("environments:") {
            configs.push(("README.md".to_owned(), text.to_owned()));
        }
    }
    assert!(!configs.is_empty(), "the README has no config");
    let mut open = vec![root.join("examples"), root.join(".github")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|it| it == "yml") {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.contains("\nenvironments:") {
                    configs.push((path.display().to_string(), text));
                }
            }
        }
    }
    for (place, text) in configs {
        let mut program = Program::at_a_terminal().config(&text);
        for part in text.split("${").skip(1) {
            let name = part.split('}').next().unwrap();
            let value = if name.contains("WEBHOOK") {
                "https://hooks.slack.com/services/T0/B0/x"
            } else if name.contains("PAGERDUTY") {
                "0123456789abcdef0123456789abcdef"
            } else if name.contains("DIGEST") {
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
            } else {
                "a-value"
            };
            program = program.with(name, value);
        }
        let ran = program.run(&["check"]).await;
        assert_eq!(ran.code, 0, "{place}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn masks_come_before_everything_else() {
    let app = App::start().await;
    app.route("/", Reply::with(200, "hello"));
    let program = Program::in_a_workflow()
        .with("INPUT_TOKEN", "ghs_0123456789")
        .with("DB_PASSWORD", "correct horse");
    let ran = program
        .run(&["smoke-test", "--url", app.url.as_str()])
        .await;
    let masks = ran
        .stdout
        .lines()
        .take_while(|line| line.starts_with("::add-mask::"));
    let masks: Vec<_> = masks.collect();
    assert!(
        masks.contains(&"::add-mask::ghs_0123456789"),
        "{}",
        ran.stdout
    );
    assert!(
        masks.contains(&"::add-mask::correct horse"),
        "{}",
        ran.stdout
    );
    let rest = unmasked(&ran.stdout);
    assert!(rest.starts_with("cutover · smoke-test"), "{rest}");
    assert!(!ran.stdout[masks.concat().len()..].is_empty());
}

#[tokio::test]
async fn nobody_has_to_read_to_the_end() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let program = Program::at_a_terminal().config(REHEARSED);
    for arguments in [
        &["rehearse", "--fault", "reply-lost"][..],
        &["schema"],
        &["--help"],
        &["check"],
    ] {
        let mut child = program.command(arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            in_the_end("it prints", lines.next_line())
                .await
                .unwrap()
                .is_some()
        );
        drop(lines);
        let ended = ended_meanwhile(child).await;
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {said}");
        assert_eq!(said, "", "{arguments:?}");
    }
}

/// A log without its masks.
pub(super) fn unmasked(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.starts_with("::add-mask::"));
    lines.collect::<Vec<_>>().join("\n")
}
