//! Whole runs of the built program: who did what, in the file and in Loki.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cutover::judge::chain::verify;
use cutover::model::release::Mark;
use cutover::rehearsal::answers::Answers;
use cutover::rehearsal::world::World;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::world::children::{ended_meanwhile, output_meanwhile};
use crate::world::loki::{Loki, Mood, TENANT, TOKEN};
use crate::world::patience::PATIENCE;

use super::file::assert_in_order;
use super::{events, lines};

/// A shop on loopback with a config that has an audit.
struct Scene {
    _world: World,
    home: tempfile::TempDir,
}

/// How a run ended.
struct Ran {
    code: i32,
    log: String,
}

impl Scene {
    async fn set(audit: &str) -> Self {
        let mark = Mark::Header {
            name: "X-Release".into(),
            path: "/".into(),
        };
        let names = ["blue".to_owned(), "green".to_owned()];
        let answers = Answers::for_checks(mark, []);
        let world = World::open(names, answers, "v1").await.unwrap();
        let home = tempfile::tempdir().unwrap();
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
    smoke: [{{ kind: http, path: /, retries: 0 }}]
    health: {{ checks: [{{ kind: http, path: / }}] }}
    strategy: {{ kind: blue-green, watch: 200ms, min-requests: 1 }}
    proof: {{ answers: 3, within: 5s }}
    prober: {{ rate: 50 }}
    audit: {audit}
",
            public = world.public,
            blue = world.slots[0],
            green = world.slots[1],
            router = world.router,
            deploy = world.deploy,
        );
        fs::write(home.path().join("cutover.yml"), config).unwrap();
        Self {
            _world: world,
            home,
        }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("cutover-audit.jsonl")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.home.path())
            .env_clear()
            .env("INPUT_CONFIG", "cutover.yml")
            .env("GITHUB_REPOSITORY", "shop/storefront")
            .env("GITHUB_ACTOR", "mona")
            .env("GITHUB_TRIGGERING_ACTOR", "bo")
            .env("GITHUB_RUN_ID", "42")
            .env("GITHUB_RUN_ATTEMPT", "2")
            .env("GITHUB_JOB", "deploy")
            .env("GITHUB_REF_NAME", "main")
            .env("GITHUB_SHA", "c0ffee5")
            .env("RUNNER_NAME", "web-1")
            .env("RUNNER_TEMP", self.home.path())
            .env("LOKI_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn cutover(&self, arguments: &str) -> Ran {
        let output = output_meanwhile(&mut self.command(arguments)).await;
        Ran {
            code: output.status.code().unwrap(),
            log: String::from_utf8(output.stdout).unwrap(),
        }
    }
}

fn with_loki(url: &str) -> String {
    format!("{{ loki: {{ url: '{url}', token: '${{LOKI_TOKEN}}', tenant: {TENANT} }} }}")
}

fn of<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    let of_event = lines.iter().filter(|line| line["event"] == event);
    of_event.map(|line| &line["data"]).collect()
}

#[tokio::test]
async fn a_rollout_says_who_changed_what_and_why() {
    let loki = Loki::start(Mood::Fine).await;
    let scene = Scene::set(&with_loki(&loki.url)).await;
    let ran = scene.cutover("rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    let lines = lines(&scene.file());
    assert_in_order(&lines);
    for line in &lines {
        assert_eq!(
            json!([
                line["actor"],
                line["triggering-actor"],
                line["repository"],
                line["run-id"],
                line["run-attempt"],
                line["job"],
                line["runner"],
                line["branch"],
                line["sha"],
                line["app"],
                line["environment"],
                line["mode"],
            ]),
            json!([
                "mona",
                "bo",
                "shop/storefront",
                42,
                2,
                "deploy",
                "web-1",
                "main",
                "c0ffee5",
                "storefront",
                "production",
                "rollout",
            ])
        );
        let at = line["at"].as_str().unwrap();
        assert!(at.len() == 24 && at.ends_with('Z'), "{at}");
    }
    assert_eq!(
        of(&lines, "changed"),
        [
            &json!({ "what": "release in green", "before": null, "after": "v2" }),
            &json!({ "what": "traffic", "before": "100 % on blue", "after": "100 % on green" }),
        ]
    );
    let checked = of(&lines, "checked");
    assert_eq!(checked.len(), 2, "smoke and watch: {checked:?}");
    assert!(checked.iter().all(|check| check["passed"] == true));
    let judged = of(&lines, "judged");
    assert_eq!(judged[0]["verdict"], "healthy");
    assert!(judged[0]["figures"]["requests-sent"].as_u64().unwrap() > 0);
    assert_eq!(of(&lines, "measured")[0]["receipt"]["weight-after"], 100);
    let ended = of(&lines, "ended")[0];
    assert_eq!(
        (&ended["decision"], &ended["exit-code"]),
        (&json!("promoted"), &json!(0))
    );
    let events = events(&lines);
    assert_eq!((events[0], events[events.len() - 1]), ("began", "closed"));

    // The log names the end of the chain, and Loki has the same lines.
    let text = fs::read_to_string(scene.file()).unwrap();
    let whole = verify(text.as_bytes()).unwrap();
    assert!(ran.log.contains(&whole.head), "{}", ran.log);
    let kept = loki.kept();
    assert_eq!(
        kept.iter()
            .map(|kept| kept.line.as_str())
            .collect::<Vec<_>>(),
        text.lines().collect::<Vec<_>>()
    );
    let labels = json!({ "app": "storefront", "environment": "production", "mode": "rollout" });
    for kept in &kept {
        assert_eq!(Value::from(kept.labels.clone()), labels);
        assert_eq!(kept.metadata["run_id"], "42");
        assert_eq!(kept.metadata["sha"], "c0ffee5");
    }
    assert!(kept.is_sorted_by_key(|kept| kept.nanoseconds));
    assert!(!ran.log.contains(TOKEN) && !text.contains(TOKEN));
}

#[tokio::test]
async fn every_mode_goes_on_in_the_same_file() {
    let scene = Scene::set("{}").await;
    for (mode, code) in [
        ("deploy-slot --version=v2", 0),
        ("smoke-test", 0),
        ("switch-traffic --dry-run", 0),
        ("switch-traffic", 0),
        ("health-check", 0),
        ("rollback --expect-active=blue", 10),
        ("rollback", 0),
        ("rehearse", 0),
        ("notify --title=x", 64),
    ] {
        let ran = scene.cutover(mode).await;
        assert_eq!(ran.code, code, "{mode}: {}", ran.log);
    }
    let lines = lines(&scene.file());
    assert_in_order(&lines);
    let closed = lines.iter().filter(|line| line["event"] == "closed");
    let modes: Vec<&str> = closed.map(|line| line["mode"].as_str().unwrap()).collect();
    assert_eq!(
        modes.join(" "),
        "deploy-slot smoke-test switch-traffic switch-traffic health-check rollback rollback rehearse notify"
    );
    assert_eq!(
        of(&lines, "wrong").len(),
        1,
        "the channels that notify misses"
    );
    let ran = scene.cutover("audit verify cutover-audit.jsonl").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("is as it was written") && ran.log.contains("9 runs"),
        "{}",
        ran.log
    );
}

#[tokio::test]
async fn verify_says_which_line_and_why() {
    let scene = Scene::set("{}").await;
    assert_eq!(scene.cutover("rollout --version=v2").await.code, 0);
    let text = fs::read_to_string(scene.file()).unwrap();
    let changed = text.replacen("100 % on green", "100 % on blue!", 1);
    fs::write(scene.file(), changed).unwrap();
    let line = 1 + text[..text.find("100 % on green").unwrap()]
        .matches('\n')
        .count();
    let ran = scene.cutover("audit verify cutover-audit.jsonl").await;
    assert_eq!(ran.code, 10, "{}", ran.log);
    let wanted =
        format!("line {line}: it was changed: its hash is not the one that the next line carries");
    assert!(
        ran.log.contains(&wanted) && ran.log.contains("record-changed"),
        "{}",
        ran.log
    );
    for (arguments, code, said) in [
        (
            "audit verify nowhere.jsonl",
            69,
            "nowhere.jsonl cannot be read",
        ),
        ("audit verify", 64, "which file?"),
        ("audit", 64, "takes `verify FILE` or `schema`"),
        ("rollout blue", 64, "there are several: rollout, blue"),
    ] {
        let ran = scene.cutover(arguments).await;
        assert_eq!(ran.code, code, "{arguments}: {}", ran.log);
        assert!(ran.log.contains(said), "{arguments}: {}", ran.log);
    }
    let schema = scene.cutover("audit schema").await;
    let schema: Value = serde_json::from_str(&schema.log).unwrap();
    assert_eq!(schema, cutover::report::audit::schema::schema());
}

#[tokio::test]
async fn a_loki_that_fails_is_a_warning_and_the_file_stays() {
    let loki = Loki::start(Mood::Failing).await;
    let scene = Scene::set(&with_loki(&loki.url)).await;
    let ran = scene.cutover("rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains(
            "Loki did not take the audit: 500 ingester is shutting down, ***; the file has it"
        ),
        "{}",
        ran.log
    );
    assert!(verify(&fs::read(scene.file()).unwrap()).is_ok());
    // The stand-in is strict, or the rollout above proves nothing.
    let strict = Loki::start(Mood::Fine).await;
    let stranger = with_loki(&strict.url).replace(TENANT, "somebody");
    let scene = Scene::set(&stranger).await;
    let ran = scene.cutover("health-check").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.log.contains("401 no org id"), "{}", ran.log);
    assert!(strict.kept().is_empty());
}

/// The runner waits ten seconds for a cancelled run, and a Loki that is silent does not use them up.
#[tokio::test]
async fn a_cancelled_run_does_not_wait_for_loki() {
    let loki = Loki::start(Mood::Silent).await;
    let scene = Scene::set(&with_loki(&loki.url)).await;
    let config = scene.home.path().join("cutover.yml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("watch: 200ms", "watch: 60s")).unwrap();
    let run = scene
        .command("rollout --version=v2")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = run.id().unwrap().to_string();
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(scene.file()).is_ok_and(|text| text.contains("\"step\":\"proved\"")) {
        assert!(Instant::now() < deadline, "it never proved anything");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let killed = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(killed.unwrap().success());
    let began = Instant::now();
    let output = ended_meanwhile(run).await;
    assert_eq!(output.status.code(), Some(130));
    assert!(
        began.elapsed() < Duration::from_secs(7),
        "{:?}",
        began.elapsed()
    );
    let log = String::from_utf8(output.stdout).unwrap();
    assert!(log.contains("Loki did not take the audit"), "{log}");
    let lines = lines(&scene.file());
    let back = &of(&lines, "changed")[2];
    assert_eq!(
        (&back["before"], &back["after"]),
        (&json!("100 % on green"), &json!("100 % on blue"))
    );
}

/// Nothing is written where nobody asked for it.
#[tokio::test]
async fn without_an_audit_there_is_none() {
    let scene = Scene::set("").await;
    let ran = scene.cutover("rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    let ran = scene
        .cutover(&format!("health-check --url={}", scene._world.public))
        .await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(!scene.file().exists() && !ran.log.contains("audit"));
}
