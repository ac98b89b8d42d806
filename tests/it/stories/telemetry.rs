//! Whole runs of the built program, and what they add to the figures that others keep.

use std::fs;

use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use tokio::process::Command;

use crate::world::children::output_meanwhile;
use crate::world::collector::Collector;
use crate::world::patience::at_once_blocking;
use crate::world::pushgateway::Pushgateway;

/// A shop on loopback, and a place to run the program.
struct Scene {
    _world: World,
    home: tempfile::TempDir,
}

impl Scene {
    async fn set(telemetry: &str) -> Self {
        let mark = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        let names = ["blue".to_owned(), "green".to_owned()];
        let answers = Answers::for_checks(mark, []);
        let world = World::open(names, answers, "v1").await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let [blue, green] = &world.slots;
        let (public, router, deploy) = (&world.public, &world.router, &world.deploy);
        let config = format!(
            "version: 1
app: storefront
environments:
  production:
    url: {public}
    slots: {{ blue: {{ url: '{blue}' }}, green: {{ url: '{green}' }} }}
    release: {{ kind: header, name: X-Release }}
    router: {{ kind: http, url: '{router}' }}
    target: {{ kind: http, url: '{deploy}' }}
    smoke: [{{ kind: file, path: ready, retries: 0 }}]
    strategy: {{ kind: blue-green, watch: 200ms, min-requests: 1 }}
    proof: {{ answers: 3, within: 10s }}
    prober: {{ rate: 50 }}
    guardrails: {{ branches: [main] }}
    telemetry:
{telemetry}
"
        );
        fs::write(home.path().join("cutover.yml"), config).unwrap();
        fs::write(home.path().join("ready"), "").unwrap();
        Self {
            _world: world,
            home,
        }
    }

    /// Runs the program, and returns its exit code and its log.
    async fn cutover(&self, arguments: &str, branch: &str) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.home.path())
            .env_clear()
            .env("INPUT_CONFIG", "cutover.yml")
            .env("GITHUB_WORKFLOW", "Deploy")
            .env("GITHUB_REF_NAME", branch)
            .env("GITHUB_REF_TYPE", "branch")
            .env("RUNNER_ENVIRONMENT", "self-hosted")
            .env("TEAM", "s3cr3t-team")
            .env("RUNNER_TEMP", self.home.path());
        let output = output_meanwhile(&mut command).await;
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    }
}

#[tokio::test]
async fn runs_are_counted_wherever_figures_are_kept() {
    let (gateway, collector) = (
        Pushgateway::start().await,
        Collector::start(Vec::new()).await,
    );
    let scene = Scene::set(&format!(
        "      - {{ kind: textfile, path: cutover.prom, labels: {{ runner_group: large, team: '${{TEAM}}' }} }}
      - {{ kind: pushgateway, url: '{}' }}
      - {{ kind: otlp, url: '{}' }}",
        gateway.url, collector.url
    ))
    .await;
    let (code, log) = scene.cutover("rollout --version=v2", "main").await;
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("did not take"), "{log}");
    let (code, log) = scene.cutover("rollout --version=v3", "topic").await;
    assert_eq!(code, 10, "{log}");
    fs::remove_file(scene.home.path().join("ready")).unwrap();
    let (code, log) = scene.cutover("rollout --version=v3", "main").await;
    assert_eq!(code, 10, "{log}");

    let text = fs::read_to_string(scene.home.path().join("cutover.prom")).unwrap();
    assert!(!text.contains("s3cr3t"), "{text}");
    let all = |branch: &str, rest: &str| {
        format!(
            r#"{{app="storefront",branch="{branch}",environment="production",{rest}runner_group="large",team="***",workflow="Deploy"}} 1"#
        )
    };
    for wanted in [
        format!("deployment_success_total{}", all("main", "")),
        format!(
            "deployment_failure_total{}",
            all("main", r#"failure_reason="smoke-failed","#)
        ),
        format!(
            "deployment_failure_total{}",
            all("topic", r#"failure_reason="preflight-guardrail","#)
        ),
        format!(
            "preflight_check_failures_total{}",
            r#"{app="storefront",branch="topic",check_type="guardrail",environment="production",runner_group="large",team="***",workflow="Deploy"} 1"#
        ),
        format!("switch_seconds_count{}", all("main", "")),
    ] {
        assert!(text.contains(&wanted), "{wanted}\nis not in\n{text}");
    }
    assert!(text.contains("\ndeployment_queue_depth{"), "{text}");
    assert!(text.contains("\nhealth_gate_failures_total{"), "{text}");
    assert!(text.contains("\nswitch_requests_failed_total{"), "{text}");
    let kept = gateway.lines("deployment_success_total").await;
    assert!(
        kept.len() == 1 && kept[0].contains(r#"runner_group="self-hosted""#),
        "{kept:?}"
    );
    assert!(
        collector
            .metrics()
            .iter()
            .any(|it| it["name"] == "deployment_success_total")
    );
}

#[tokio::test]
async fn nobody_who_keeps_them_changes_the_verdict() {
    let scene = Scene::set(
        "      - { kind: textfile, path: nowhere/cutover.prom }
      - { kind: pushgateway, url: 'http://127.0.0.1:1' }",
    )
    .await;
    let (code, log) = scene.cutover("rollout --version=v2", "main").await;
    assert_eq!(code, 0, "{log}");
    for wanted in [
        "nowhere/cutover.prom did not take the figures of this run: No such file or directory (os error 2)",
        "the Pushgateway at http://127.0.0.1:1 did not take the figures of this run: ",
    ] {
        assert!(log.contains(wanted), "{wanted}\nis not in\n{log}");
    }
}

#[tokio::test]
async fn labels_that_cannot_be_are_refused_before_anything_changes() {
    let scene = Scene::set(
        "      - { kind: textfile, path: a.prom, labels: { the team: a } }
      - { kind: textfile, path: b.prom, labels: { le: a } }",
    )
    .await;
    let (code, log) = scene.cutover("check", "main").await;
    assert_eq!(code, 64, "{log}");
    for wanted in [
        "telemetry[0]: labels.the team: not a name for a label",
        "telemetry[1]: labels.le: this label has a meaning already; choose another name",
    ] {
        assert!(log.contains(wanted), "{wanted}\nis not in\n{log}");
    }
}

/// It says itself that it failed; that the post step puts traffic back later is no other failure.
#[tokio::test]
async fn a_run_that_was_stuck_is_counted_once() {
    let scene = Scene::set("      - { kind: textfile, path: cutover.prom }").await;
    let path = |name: &str| scene.home.path().join(name);
    let config = fs::read_to_string(path("cutover.yml")).unwrap();
    let router = config
        .lines()
        .find(|line| line.contains("router:"))
        .unwrap();
    // Users do not follow the pointer, so the switch is not proved and is to be taken back.
    let config = config
        .replace(router, "    router: { kind: pointer, path: live/active }")
        .replace("within: 10s", "within: 1s");
    fs::write(path("cutover.yml"), config).unwrap();
    fs::create_dir(path("live")).unwrap();
    fs::write(path("live/active"), "blue\n").unwrap();
    // Once traffic is moved, nobody can put it back.
    let (pointer, here, gone) = (path("live/active"), path("live"), path("gone"));
    let breaks = tokio::task::spawn_blocking(move || {
        at_once_blocking("traffic is moved", || {
            !fs::read_to_string(&pointer).is_ok_and(|slot| slot.trim() == "blue")
        });
        fs::rename(here, gone).unwrap();
    });
    let (code, log) = scene.cutover("rollout --version=v2", "main").await;
    breaks.await.unwrap();
    assert_eq!(code, 40, "{log}");
    fs::rename(path("gone"), path("live")).unwrap();
    let (code, log) = scene.cutover("finish", "main").await;
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("put back"), "{log}");
    assert_eq!(
        fs::read_to_string(path("live/active")).unwrap().trim(),
        "blue"
    );

    let text = fs::read_to_string(path("cutover.prom")).unwrap();
    let failures = text.lines();
    let failures: Vec<&str> = failures
        .filter(|line| line.starts_with("deployment_failure_total{"))
        .collect();
    assert_eq!(failures.len(), 1, "{text}");
    assert!(failures[0].ends_with(" 1"), "{failures:?}");
    assert!(!failures[0].contains("cancelled"), "{failures:?}");
}
