//! The hooks under `on-rollback` of a run that is killed when traffic is back and before they were
//! begun: the post step runs them, once, although it finds nothing to put back.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use cutover::rollout::ledger::{Ledger, Progress};

use crate::locks::{Ran, Scene, ended, signal};

/// A scene whose hooks at the end write down what they were told.
async fn scene(more: &str) -> Scene {
    let scene = Scene::set("0s", "lease: 60s").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let note = "{ kind: command, run: 'echo \"$HOOK $SLOT $VERSION\" >> notes' }";
    let hooks =
        format!("    hooks: {{ on-rollback: [{note}], always: [{note}]{more} }}\n    lock: ");
    fs::write(path, config.replace("    lock: ", &hooks)).unwrap();
    scene
}

/// What the hooks wrote down so far; it is gone then.
fn notes(scene: &Scene) -> Vec<String> {
    let path = scene.home.path().join("notes");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let _ = fs::remove_file(path);
    text.lines().map(ToOwned::to_owned).collect()
}

/// A run that is killed when that change has been made, before it hears so.
async fn killed_after(scene: &Scene, arguments: &[&str], change: &str) -> Ran {
    let whom = Arc::new(OnceLock::<String>::new());
    let named = Arc::clone(&whom);
    scene
        .yard
        .after(change, move || signal("-KILL", named.get().unwrap()));
    let child = scene.command(arguments, "v2").spawn().unwrap();
    whom.set(child.id().unwrap().to_string()).unwrap();
    let ran = ended(child).await;
    assert_eq!(ran.code, None, "{}", ran.log);
    ran
}

/// What GitHub was told of the newest deployment last.
fn newest_record(scene: &Scene) -> String {
    let all = scene.github.deployments();
    let id = all.last().unwrap()["id"].as_u64().unwrap();
    scene.github.states(id).pop().unwrap()
}

/// The ledger that a killed run has left.
fn ledger(scene: &Scene) -> PathBuf {
    let there = fs::read_dir(scene.home.path().join("v2")).unwrap();
    let mut there = there.map(|entry| entry.unwrap().path());
    let is_ledger = |path: &PathBuf| path.to_string_lossy().contains("cutover-ledger-");
    there.find(is_ledger).unwrap()
}

async fn finished(scene: &Scene) -> Ran {
    let ran = scene.run(&["finish"], "v2").await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    ran
}

/// A hook that takes the release back.
const FAILS: &str = ", after-switch: [{ kind: command, run: exit 1, required: true }]";

/// The last word of the router's reason for the way back.
const WAY_BACK: &str = "weights back";

#[tokio::test]
async fn they_are_run_by_the_post_step_when_traffic_was_back_already() {
    // Before the proof of the way back; and when the run had written down that it was done.
    for progress in [Progress::Promised, Progress::Begun] {
        let scene = scene(FAILS).await;
        let ran = killed_after(&scene, &["rollout"], WAY_BACK).await;
        assert_eq!(scene.yard.served(), "v1", "{}", ran.log);
        assert_eq!(notes(&scene), [""; 0], "{}", ran.log);
        let path = ledger(&scene);
        assert_eq!(Ledger::read(&path).unwrap().progress, Progress::Promised);
        if progress == Progress::Begun {
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"promised\"", "\"begun\"")).unwrap();
        }
        let changes = scene.yard.changes();
        let ran = finished(&scene).await;
        assert_eq!(
            notes(&scene),
            ["on-rollback green v2", "always green v2"],
            "{}",
            ran.log
        );
        // It is written once more as it is, in case that a change of the killed run is still on its way.
        let now = scene.yard.changes();
        let moved = now.iter().filter(|change| *change != "weights now");
        assert!(moved.eq(&changes), "{now:?}: {}", ran.log);
        finished(&scene).await;
        assert_eq!(notes(&scene), [""; 0]);
    }
}

#[tokio::test]
async fn a_run_that_is_killed_before_it_moved_traffic_has_no_rollback() {
    let scene = scene(FAILS).await;
    killed_after(&scene, &["rollout"], "deploy v2").await;
    let ran = finished(&scene).await;
    assert_eq!(notes(&scene), ["always green v2"], "{}", ran.log);
}

#[tokio::test]
async fn a_rollback_that_is_killed_when_traffic_is_back_is_one() {
    let scene = scene("").await;
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(
        (ran.code, scene.yard.served().as_str()),
        (Some(0), "v2"),
        "{}",
        ran.log
    );
    notes(&scene);
    killed_after(&scene, &["rollback"], "weights rollback").await;
    assert_eq!(scene.yard.served(), "v1");
    assert_eq!(notes(&scene), [""; 0]);
    let ran = finished(&scene).await;
    assert_eq!(
        notes(&scene),
        ["on-rollback green v2", "always green v2"],
        "{}",
        ran.log
    );
}

/// Traffic stays where a contract has put it, so the record says so, and the next run begins.
#[tokio::test]
async fn a_contract_that_is_killed_after_its_switch_is_live() {
    let scene = Scene::set("5s", "lease: 60s").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let config = config.replace("    lock: ", "    migration: contract\n    lock: ");
    fs::write(path, config).unwrap();
    killed_after(&scene, &["rollout"], "weights v2").await;
    let ran = finished(&scene).await;
    assert_eq!(scene.yard.served(), "v2", "{}", ran.log);
    assert_eq!(newest_record(&scene), "success", "{}", ran.log);
    let next = scene.run(&["rollout"], "v3").await;
    assert_eq!(next.code, Some(0), "{}", next.log);
}

/// A further rollout passes over its hooks, so somebody has to know.
#[tokio::test]
async fn a_contract_that_a_killed_run_has_not_ended_is_told() {
    let scene = scene(
        ", after-switch: [{ kind: command, name: shrink, migration: contract, run: 'kill -KILL $(cat pid)' }]",
    )
    .await;
    let child = scene.command(&["rollout"], "v2").spawn().unwrap();
    fs::write(
        scene.home.path().join("pid"),
        child.id().unwrap().to_string(),
    )
    .unwrap();
    let ran = ended(child).await;
    assert_eq!(ran.code, None, "{}", ran.log);
    let post = finished(&scene).await;
    assert_eq!(newest_record(&scene), "success", "{}", post.log);
    let said = "after-switch shrink is not known to have come to its end";
    assert!(post.log.contains(said), "{}", post.log);
}
