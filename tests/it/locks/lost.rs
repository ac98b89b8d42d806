//! A run that slept while its lease ended wakes up and changes nothing.

use super::{Scene, ended, signal};
use crate::world::patience::within;

/// They write down who ran them. The closing brace is the lock's.
const HOOKS: &str = r#"hooks: { after-deploy: [{ kind: command, name: note, run: 'echo "$HOOK $VERSION $FENCE" >> hooks.log', required: true }], always: [{ kind: command, name: note, run: 'echo "$HOOK $VERSION $FENCE" >> hooks.log' }]"#;

/// The first run is stopped right after `change`, wakes up when the second one is done, and
/// ends with `code`. Returns its log.
async fn sleeps_after(change: &str, code: i32) -> String {
    let scene = Scene::set("1s", &format!("lease: 2s }}\n    {HOOKS}")).await;
    let sleeper = scene.rollout("v2");
    let pid = sleeper.id().unwrap().to_string();
    let (asleep, is_asleep) = tokio::sync::oneshot::channel();
    let stop = pid.clone();
    scene.yard.after(change, move || {
        signal("-STOP", &stop);
        let _ = asleep.send(());
    });
    within("it falls asleep", is_asleep).await.unwrap();
    let next = scene.run(&["rollout"], "v3").await;
    assert_eq!(next.code, Some(0), "{}", next.log);
    let before = scene.yard.changes();
    let claims = scene.github.git(|git| git.claims());
    let hooks = || std::fs::read_to_string(scene.home.path().join("hooks.log")).unwrap();
    let hooks_before = hooks();
    signal("-CONT", &pid);
    let woken = ended(sleeper).await;
    assert_eq!(hooks(), hooks_before, "{}", woken.log);
    let left_out = "hook always note: left out: the lock is not this run's any more";
    assert!(woken.log.contains(left_out), "{}", woken.log);
    assert_eq!(scene.yard.changes(), before, "{}", woken.log);
    assert_eq!(scene.yard.served(), "v3");
    assert_eq!(
        scene.github.git(|git| git.claims()),
        claims,
        "{}",
        woken.log
    );
    assert_eq!(woken.code, Some(code), "{}", woken.log);
    assert!(woken.log.contains("ana-v3"), "whose it is: {}", woken.log);
    let post = scene.run(&["finish"], "v2").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    assert_eq!(scene.yard.changes(), before, "{}", post.log);
    assert_eq!(hooks(), hooks_before, "{}", post.log);
    woken.log
}

#[tokio::test]
async fn an_orphan_that_wakes_up_before_its_switch_changes_nothing() {
    let log = sleeps_after("deploy v2", 10).await;
    assert!(log.contains("the lock is not this run's any more"), "{log}");
}

#[tokio::test]
async fn an_orphan_that_wakes_up_after_its_switch_takes_nothing_back() {
    let log = sleeps_after("weights v2", 30).await;
    assert!(log.contains("the lock is not this run's any more"), "{log}");
}

/// The post step of a run that was killed after its switch leaves traffic to who has the lock now.
#[tokio::test]
async fn the_post_step_of_a_dead_owner_leaves_traffic_to_the_next_one() {
    let scene = Scene::set("1s", "lease: 1s").await;
    let dead = scene.rollout("v2");
    let pid = dead.id().unwrap().to_string();
    scene
        .yard
        .after("weights v2", move || signal("-KILL", &pid));
    ended(dead).await;
    let held = scene.run(&["lock"], "v3").await;
    assert!(held.log.contains("locked by ana-v2"), "{}", held.log);
    let next = scene.run(&["rollout"], "v3").await;
    assert_eq!(next.code, Some(0), "{}", next.log);
    let post = scene.run(&["finish"], "v2").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    assert!(post.log.contains("somebody else's now"), "{}", post.log);
    assert_eq!(scene.yard.served(), "v3");
}

/// A run whose claim a person has released stops before it moves traffic.
#[tokio::test]
async fn a_person_can_take_the_lock_away() {
    let scene = Scene::set("1s", "lease: 2s").await;
    let run = scene.rollout("v2");
    let pid = run.id().unwrap().to_string();
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let stop = pid.clone();
    scene.yard.after("deploy v2", move || {
        signal("-STOP", &stop);
        let _ = stopped.send(());
    });
    within("it is stopped", is_stopped).await.unwrap();
    let refused = scene.run(&["lock", "release"], "v3").await;
    assert_eq!(refused.code, Some(10), "{}", refused.log);
    assert!(!scene.github.git(|git| git.is_free()));
    let (_, claim) = scene.github.git(|git| git.claims()).pop().unwrap();
    let claim = claim["claim"].as_str().unwrap();
    let released = scene.run(&["lock", "release", claim], "v3").await;
    assert_eq!(released.code, Some(0), "{}", released.log);
    signal("-CONT", &pid);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    assert!(
        ran.log.contains("released; the last claim was"),
        "{}",
        ran.log
    );
    assert_eq!(scene.yard.changes(), ["deploy v2"]);
}
