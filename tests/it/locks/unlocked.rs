//! A token that cannot lock: records and runs say whether another run is at work.

use serde_json::json;

use super::{Scene, ended};
use crate::world::github::{Fault, Verb};
use crate::world::patience::until;

/// A scene in which run 41 is at work, and a token that may not write.
async fn with_another_at_work(lock: &str) -> Scene {
    let scene = Scene::set("0s", lock).await;
    let payload = json!({ "cutover": {
        "schema_version": 1, "mode": "rollout", "slot": "green", "version": "v9", "weight": 100,
        "previous": "blue", "run_id": "41", "run_attempt": "1", "job": "deploy", "mark": "41",
    }});
    let github = &scene.github;
    github.put("production", "deploy:cutover", payload, "in_progress");
    github.run_is(41, "in_progress");
    github.order(Verb::MakeTree, [Fault::Forbidden]);
    scene
}

#[tokio::test]
async fn another_run_at_work_is_seen_without_a_lock() {
    let scene = with_another_at_work("on-conflict: fail").await;
    let refused = scene.run(&["rollout"], "v2").await;
    assert_eq!(refused.code, Some(10), "{}", refused.log);
    for words in [
        "is not locked against other runs",
        "another run is at work on production",
        "GitHub Deployment 1 of v9 by run 41 is in progress",
        "with `contents: write` there is a lock and a queue",
    ] {
        assert!(refused.log.contains(words), "{words}: {}", refused.log);
    }
    assert_eq!(scene.yard.changes(), [""; 0]);
}

#[tokio::test]
async fn its_end_is_waited_for_and_a_dead_one_keeps_nobody() {
    let scene = with_another_at_work("").await;
    let run = scene.rollout("v2");
    until("it looks", || scene.github.asked(Verb::Run) > 0).await;
    assert_eq!(scene.yard.changes(), [""; 0]);
    scene.github.run_is(41, "completed");
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let words = "is in progress; waiting for its end, at most 30 m";
    assert!(ran.log.contains(words), "{}", ran.log);
    assert_eq!(scene.yard.served(), "v2");
}

#[tokio::test]
async fn what_nobody_can_tell_is_said_and_keeps_nobody() {
    let scene = with_another_at_work("").await;
    scene.github.order(Verb::Run, [Fault::Forbidden; 4]);
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let words = "by run 41 may be in progress; with `actions: read` it would be known";
    assert!(ran.log.contains(words), "{}", ran.log);
}
