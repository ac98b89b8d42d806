//! The built program where the primary target cannot: who deploys then, when nobody may, and what
//! becomes of a primary that comes back late. What a cancel leaves behind is in `failover_cut`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::locks::{Ran, Scene};
use crate::world::channels::Channel;

/// A scene whose deployment API is the secondary, behind a primary of the test's own.
pub(super) async fn behind(primary: &str, more: &str) -> Scene {
    let scene = Scene::set("0s", "lease: 60s").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let line = config
        .lines()
        .find(|line| line.starts_with("    target: "))
        .unwrap();
    let api = line.trim_start_matches("    target: ");
    let telemetry = "telemetry: [{ kind: textfile, path: cutover.prom }]";
    let changed = config.replace(
        line,
        &format!(
            "    target: {primary}\n    failover: {{ to: {api}, wait: 0s{more} }}\n    {telemetry}"
        ),
    );
    fs::write(path, changed).unwrap();
    scene
}

pub(super) fn figures(scene: &Scene) -> String {
    fs::read_to_string(scene.home.path().join("cutover.prom")).unwrap()
}

pub(super) async fn promoted(scene: &Scene, arguments: &[&str], cause: &str) -> Ran {
    let ran = scene.run(arguments, "v2").await;
    followed(scene, &ran, cause);
    ran
}

/// That the secondary put the release there, and why.
pub(super) fn followed(scene: &Scene, ran: &Ran, cause: &str) {
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let wanted = format!("failover ({cause})");
    assert!(ran.log.contains(&wanted), "{}", ran.log);
    assert_eq!(scene.yard.changes(), ["deploy v2", "weights v2"]);
    assert_eq!(scene.yard.served(), "v2");
    let figures = figures(scene);
    for (name, label) in [
        ("deployment_failover_total", "reason"),
        ("failover_events_total", "failover_reason"),
    ] {
        let line = figures
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")));
        let line = line.unwrap_or_else(|| panic!("{name}: {figures}"));
        assert!(
            line.contains(&format!("{label}=\"{cause}\"")) && line.ends_with(" 1"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_primary_that_fails_is_followed_by_the_secondary() {
    let scene = behind("{ kind: command, run: 'echo no space left; exit 3' }", "").await;
    let ran = promoted(&scene, &["rollout"], "primary_exit_code").await;
    assert!(ran.log.contains("ended with 3"), "{}", ran.log);
}

#[tokio::test]
async fn a_primary_that_takes_too_long_is_ended_first() {
    let primary = "{ kind: command, run: 'echo $$ > pid; sleep 600' }";
    let scene = behind(primary, ", deadline: 400ms").await;
    let ran = promoted(&scene, &["rollout"], "primary_timeout").await;
    let said = "was ended after the failover's deadline of 400 ms";
    assert!(ran.log.contains(said), "{}", ran.log);
    let pid = fs::read_to_string(scene.home.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it goes on");
}

#[tokio::test]
async fn a_primary_out_of_reach_is_followed_by_the_secondary() {
    let scene = behind("{ kind: http, url: 'http://127.0.0.1:1/' }", "").await;
    promoted(&scene, &["rollout"], "primary_unreachable").await;
}

#[tokio::test]
async fn a_missing_directory_is_out_of_reach_and_a_missing_program_is_a_bad_end() {
    let missing = "{ kind: command, run: ./deploy.sh, directory: gone }";
    let scene = behind(missing, "").await;
    let ran = promoted(&scene, &["rollout"], "primary_unreachable").await;
    assert!(
        ran.log.contains("gone of ./deploy.sh is not there"),
        "{}",
        ran.log
    );
    // The shell looks for it, and says what it says of any program.
    let scene = behind("{ kind: command, run: ./deploy.sh }", "").await;
    let ran = promoted(&scene, &["rollout"], "primary_exit_code").await;
    assert!(
        ran.log.contains("./deploy.sh ended with 127"),
        "{}",
        ran.log
    );
}

#[tokio::test]
async fn a_primary_that_passes_its_own_timeout_is_followed() {
    let primary = "{ kind: command, run: 'echo $$ > pid; sleep 600', timeout: 400ms }";
    let scene = behind(primary, "").await;
    let ran = promoted(&scene, &["rollout"], "primary_timeout").await;
    assert!(ran.log.contains("its timeout is 400 ms"), "{}", ran.log);
    let pid = fs::read_to_string(scene.home.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "it goes on");
}

#[tokio::test]
async fn by_hand_the_primary_is_not_even_tried() {
    let scene = behind("{ kind: command, run: touch tried }", "").await;
    promoted(&scene, &["rollout", "--failover", "now"], "manual").await;
    assert!(!scene.home.path().join("tried").exists());
    let refused = scene.run(&["smoke-test", "--failover", "now"], "v3").await;
    assert_eq!(refused.code, Some(64), "{}", refused.log);
    assert!(
        refused.log.contains("is for deploy-slot and rollout"),
        "{}",
        refused.log
    );
}

#[tokio::test]
async fn where_neither_can_traffic_stays_and_it_is_critical() {
    let scene = behind("{ kind: command, run: exit 3 }", "").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("/deploy'", "/nowhere'")).unwrap();
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let said = "neither the primary nor the secondary could deploy";
    assert!(ran.log.contains(said), "{}", ran.log);
    assert!(ran.log.contains("answered 404"), "{}", ran.log);
    assert!(scene.yard.changes().is_empty());
    assert!(scene.github.git(|git| git.is_free()));
    assert!(figures(&scene).contains("failure_reason=\"failover-failed\""));
}

#[tokio::test]
async fn who_only_hears_what_is_critical_is_told_when_neither_could() {
    let pager = Channel::of("webhook").await;
    let scene = behind("{ kind: command, run: exit 3 }", "").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let told = format!(
        "    notify: [{{ kind: webhook, url: '{}', from: critical }}]\n    audit: {{}}\n",
        pager.url
    );
    fs::write(&path, config.clone() + &told).unwrap();
    // One that the secondary saves is none of theirs.
    promoted(&scene, &["rollout"], "primary_exit_code").await;
    assert_eq!(pager.heard(), [Value::Null; 0]);

    let config = config.replace("/deploy'", "/nowhere'");
    fs::write(&path, config + &told).unwrap();
    let ran = scene.run(&["rollout"], "v3").await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let [news] = &pager.heard()[..] else {
        panic!("told once, and not {:?}", pager.heard());
    };
    assert_eq!(
        (&news["severity"], &news["title"]),
        (
            &json!("critical"),
            &json!("failed: rollout of storefront v3, production")
        )
    );
    let message = news["message"].as_str().unwrap();
    for part in [
        "neither the primary nor the secondary could deploy",
        "primary: exit 3 ended with 3 after ",
        "; secondary: POST http://",
        "answered 404",
        "traffic: 100 % on green",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }

    // Why the secondary deployed, what was said of it, and how it ended.
    let audit = fs::read_to_string(scene.home.path().join("cutover-audit.jsonl")).unwrap();
    let lines = audit
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line["run-id"] == 3).collect();
    let has = |event: &str, data: &dyn Fn(&Value) -> bool| {
        let found = lines.iter().filter(|line| line["event"] == event);
        assert_eq!(
            found.filter(|line| data(&line["data"])).count(),
            1,
            "{event}: {audit}"
        );
    };
    let why = json!({ "name": "failover", "value": "primary_exit_code" });
    has("learned", &|data| *data == why);
    has("warned", &|data| {
        let said = data["said"].as_str().unwrap();
        said.starts_with(
            "failover (primary_exit_code): the primary could not: exit 3 ended with 3 ",
        )
    });
    has("ended", &|data| {
        let measured = data["measured"].as_str().unwrap();
        data["reason-code"] == "failover-failed"
            && measured.starts_with("primary: exit 3 ended with 3 ")
            && measured.contains("; secondary: POST http://")
    });
}

/// A deployment API that takes an order and gives no answer for as long as anybody waits.
pub(super) fn silent() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (
        listener,
        format!("{{ kind: http, url: '{url}', timeout: 300ms }}"),
    )
}

#[tokio::test]
async fn a_primary_that_may_be_at_work_is_not_followed() {
    let (_listener, primary) = silent();
    let scene = behind(&primary, "").await;
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let said = "may still be at work, so there was no failover";
    assert!(ran.log.contains(said), "{}", ran.log);
    assert!(scene.yard.changes().is_empty());
}

#[tokio::test]
async fn a_fenced_primary_is_followed_although_it_may_be_at_work() {
    let (_listener, primary) = silent();
    let scene = behind(&primary, ", fenced: true").await;
    promoted(&scene, &["rollout"], "primary_timeout").await;
}

#[tokio::test]
async fn a_primary_that_comes_back_late_changes_nothing() {
    // What it leaves behind has a session of its own, so that no signal of ours reaches it.
    let late = r#"until test -e go; do sleep 0.02; done
if "$CUTOVER" lock check "$FENCE" --environment production > said 2>&1; then touch changed; fi
touch over
"#;
    let primary = format!(
        r#"export CUTOVER='{}'
"$CUTOVER" lock check "$FENCE" --environment production || exit 9
setsid sh late.sh > /dev/null 2>&1 < /dev/null &
exit 3
"#,
        env!("CARGO_BIN_EXE_cutover")
    );
    // It comes back while the secondary is at work.
    let secondary = r#"touch go
timeout 60 sh -c 'until test -e over; do sleep 0.02; done'
curl --fail --silent --show-error --data "{\"slot\":\"$SLOT\",\"version\":\"$VERSION\"}" "$API"
"#;
    let scene = behind("{ kind: command, run: sh primary.sh }", "").await;
    let home = scene.home.path();
    for (name, text) in [
        ("late.sh", late),
        ("primary.sh", &primary),
        ("secondary.sh", secondary),
    ] {
        fs::write(home.join(name), text).unwrap();
    }
    let config = fs::read_to_string(home.join("cutover.yml")).unwrap();
    let config = config.replace(
        "to: { kind: http, url:",
        "to: { kind: command, run: sh secondary.sh, env: { API:",
    );
    fs::write(
        home.join("cutover.yml"),
        config.replace("/deploy' }", "/deploy' } }"),
    )
    .unwrap();

    let ran = promoted(&scene, &["rollout"], "primary_exit_code").await;
    let said = fs::read_to_string(home.join("said")).unwrap();
    let over = "the turn is over: change nothing any more";
    assert!(said.contains(over), "{said}\n{}", ran.log);
    // It had the turn before.
    assert!(ran.log.contains("ended with 3"), "{}", ran.log);
    assert!(!home.join("changed").exists());
}
