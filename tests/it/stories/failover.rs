//! The built program where the primary target cannot: who deploys then, when nobody may, and what
//! becomes of a primary that comes back late.

use std::fs;
use std::path::Path;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::locks::{PATIENCE, Ran, Scene, ended, signal};

/// A scene whose deployment API is the secondary, behind a primary of the test's own.
async fn behind(primary: &str, more: &str) -> Scene {
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

fn figures(scene: &Scene) -> String {
    fs::read_to_string(scene.home.path().join("cutover.prom")).unwrap()
}

async fn promoted(scene: &Scene, arguments: &[&str], cause: &str) -> Ran {
    let ran = scene.run(arguments, "v2").await;
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
    ran
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

/// A deployment API that takes an order and gives no answer for as long as anybody waits.
fn silent() -> (std::net::TcpListener, String) {
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

#[tokio::test]
async fn who_is_cancelled_while_waiting_begins_nothing() {
    let scene = behind("{ kind: command, run: exit 3 }", "").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("wait: 0s", "wait: 10m")).unwrap();
    let mut child = scene.rollout("v2");
    let pid = child.id().unwrap().to_string();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut log = String::new();
    while !log.contains("deploys in 10 m") {
        let read = tokio::time::timeout(PATIENCE, out.read_line(&mut log));
        assert_ne!(read.await.unwrap().unwrap(), 0, "{log}");
    }
    signal("-INT", &pid);
    let rest = tokio::time::timeout(PATIENCE, out.read_to_string(&mut log));
    rest.await.unwrap().unwrap();
    let ran = ended(child).await;
    assert_eq!(ran.code, Some(130), "{log}");
    assert!(scene.yard.changes().is_empty());
    assert!(scene.github.git(|git| git.is_free()));
}
