//! What is wrong is refused at the door: exit code 64, everything at once, each with its place and
//! what would be right; and nothing was touched.

use std::fmt::Write as _;

use super::program::{Program, Ran};
use crate::world::app::App;

/// A right config, whose parts the tests get wrong. `URL` is an app that counts who asks.
const RIGHT: &str = r#"version: 1
app: storefront
environments:
  production:
    url: URL
    slots:
      blue: { url: "URLblue" }
      green: { url: "URLgreen" }
    release: { kind: header, name: X-Release }
    target: { kind: command, run: touch deployed }
    router: { kind: http, url: "URLweights" }
    smoke:
      - { kind: http, path: /health }
"#;

/// Runs a mode that would change something, and sees that nothing was changed and nobody asked.
async fn refused(mode: &[&str], wrong: impl FnOnce(String) -> String) -> Ran {
    let app = App::start().await;
    let config = wrong(RIGHT.replace("URL", app.url.as_str()));
    let program = Program::in_a_workflow().config(&config);
    let ran = program.run(mode).await;
    assert!(
        !program.path("deployed").exists(),
        "it was deployed: {ran:?}"
    );
    assert!(app.seen().is_empty(), "somebody was asked: {ran:?}");
    ran.ends(64, "failed", "bad-input");
    ran
}

fn replace(from: &'static str, to: &'static str) -> impl FnOnce(String) -> String {
    move |config| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    }
}

#[tokio::test]
async fn two_slots_at_one_address() {
    let ran = refused(&["rollout"], |config| config.replace("green\"", "blue\"")).await;
    ran.says(&[
        "environments.production.slots.green.url: blue and green have the same URL",
        "::error title=cutover config,file=.github/cutover.yml,line=8::",
    ]);
}

#[tokio::test]
async fn an_unknown_kind_with_the_nearest_word() {
    let ran = refused(&["rollout"], replace("kind: http, url", "kind: htpt, url")).await;
    ran.says(&[
        "environments.production.router.kind: unknown kind \"htpt\", did you mean \"http\"? the kinds are: caddy, envoy, fleet, haproxy, http, nginx, pointer, traefik",
        "line=11::",
    ]);
}

#[tokio::test]
async fn an_unknown_key_with_the_nearest_word() {
    let ran = refused(
        &["rollout"],
        replace("path: /health", "path: /health, retrys: 3"),
    )
    .await;
    ran.says(&[
        "environments.production.smoke[0].retrys: unknown key \"retrys\", did you mean \"retries\"?",
        "line=13::",
    ]);
}

#[tokio::test]
async fn a_weight_that_is_none() {
    for weight in ["120", "-1", "half", "1e2"] {
        let argument = format!("--weight={weight}");
        let ran = refused(&["switch-traffic", &argument], |config| config).await;
        ran.says(&["weight: must be a whole number of percent from 0 to 100"]);
        assert!(
            !ran.stdout.contains(weight),
            "values are not quoted: {}",
            ran.stdout
        );
    }
}

#[tokio::test]
async fn a_variable_that_is_not_there() {
    let ran = refused(
        &["rollout"],
        replace("run: touch deployed", "run: \"touch ${NAME}\""),
    )
    .await;
    ran.says(&[
        "environments.production.target.run: the variable NAME is not set or empty; give it to the step with `env:`",
        "line=10::",
    ]);
}

#[tokio::test]
async fn files_that_would_blow_up() {
    let ran = refused(&["rollout"], |_| "a".repeat(10 << 20)).await;
    ran.says(&["the file has 10240 KiB; at most 256 KiB are read"]);
    let ran = refused(&["rollout"], |config| {
        let mut laughs = format!("{config}a0: &a0 [x]\n");
        for i in 1..10_000 {
            let _ = writeln!(laughs, "a{i}: [*a{}]", i - 1);
        }
        laughs
    })
    .await;
    ran.says(&[
        "aliases and anchors are not allowed; write the value out",
        "line=14::",
    ]);
    let ran = refused(&["rollout"], |config| {
        format!("{config}deep: {}\n", "[".repeat(100_000))
    })
    .await;
    ran.says(&["recursion limit", "line=14::"]);
}

#[tokio::test]
async fn keys_that_are_there_twice() {
    let ran = refused(&["rollout"], |config| {
        format!("{config}app: other\napp: third\n")
    })
    .await;
    ran.says(&[
        "app: the key is there twice; the first one is on line 2",
        "line=14::",
        "line=15::",
    ]);
}

#[tokio::test]
async fn a_config_that_is_not_there() {
    let program = Program::in_a_workflow();
    let ran = program.run(&["rollout"]).await;
    ran.ends(64, "failed", "bad-input");
    ran.says(&[
        "cutover.yml could not be read: No such file",
        "`actions/checkout` comes first",
    ]);
}

#[tokio::test]
async fn words_that_are_not_known() {
    let ran = refused(&["rollout", "--environment", "prodction"], |config| config).await;
    ran.says(&["environment: the config has no such environment, did you mean production? it has: production"]);
    let ran = refused(&["rolout"], |config| config).await;
    ran.says(&[
        "mode: unknown mode \"rolout\", did you mean \"rollout\"? the modes are: audit, check, ",
    ]);
    let ran = refused(&["rollout", "--expct-active", "blue"], |config| config).await;
    ran.says(&["--expct-active: there is no such flag, did you mean --expect-active?"]);
    let ran = refused(&["rollout", "--environment"], |config| config).await;
    ran.says(&["--environment: the value is missing"]);
    let ran = refused(&["switch-traffic", "--strategy", "canaries"], |config| {
        config
    })
    .await;
    ran.says(&["strategy: unknown strategy \"canaries\""]);
}

#[tokio::test]
async fn everything_at_once_each_in_its_place() {
    let ran = refused(&["rollout"], |config| {
        config
            .replace("version: 1", "version: 2")
            .replace("kind: header, name", "kind: heder, name")
            .replace(
                "kind: command, run: touch deployed",
                "kind: command, runs: x",
            )
            .replace("path: /health", "path: /health, interval: 5, rise: 0")
    })
    .await;
    ran.says(&[
        "version: \"2\" is not known here; it must be 1",
        "line=1::",
        "unknown kind \"heder\", did you mean \"header\"?",
        "line=9::",
        "unknown key \"runs\", did you mean \"run\"?",
        "`run` is missing",
        "line=10::",
        "interval: \"5\" is not a duration; write it as 250ms, 30s, 5m, 2h or 7d",
        "rise: 0 is out of range: 1 to 1000 can be had",
        "line=13::",
        "6 problems in .github/cutover.yml",
    ]);
    assert_eq!(
        ran.stdout
            .matches("::error title=cutover config,file=")
            .count(),
        6
    );
    let result: serde_json::Value = serde_json::from_str(&ran.outputs["result"]).unwrap();
    assert_eq!(result["problems"].as_array().unwrap().len(), 6);
    assert_eq!(result["account"]["traffic"], "not touched");
}

#[tokio::test]
async fn at_a_terminal_there_are_no_commands_for_a_runner() {
    let program = Program::at_a_terminal().config("version: 1\napp: 3\n");
    let ran = program.run(&["check"]).await;
    assert_eq!(ran.code, 64, "{ran:?}");
    ran.says(&["`environments` is missing", "line 1"]);
    assert!(!ran.stdout.contains("::"), "{}", ran.stdout);
}
