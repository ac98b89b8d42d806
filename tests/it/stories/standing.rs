//! The record of a canary that stays where it is: the next run finds it at GitHub, whichever machine that
//! is on, goes on from it or takes it back, and closes it. And how often GitHub is asked for all that.

use serde_json::Value;

use crate::world::scene::{CHECK_RUN, Ran, Scene};

/// The most that a rollout may ask GitHub.
const MOST: usize = 12;

/// Not even twenty requests: nothing is proved by them.
const HOLDS: &str = "strategy: { kind: canary, steps: [10%, 50%, 100%], every: 100ms, watch: 300ms, \
    warm-up: 0s, source: prober, on-inconclusive: hold }\n    metrics: [{ kind: prober, path: /, rate: 20 }]";

/// Nobody counts, so only time has to pass.
const PAUSES: &str = "strategy: { kind: canary, steps: [10%, { weight: 50%, manual: true }, 100%], every: 100ms, \
    watch: 100ms, source: none }";

/// A repository with a record of v1, which is live on blue, and a strategy.
async fn scene(strategy: &str) -> (Scene, u64) {
    let scene = Scene::set("auto").await;
    scene.configure("strategy: { kind: blue-green, watch: 0s }", strategy);
    let live = scene.record("blue", "v1", 40, "success");
    scene.github.git(|git| git.was_locked());
    (scene, live)
}

/// The next run, on a machine that has never seen this repository, and its calls.
async fn next(scene: &mut Scene, run: &str, arguments: &str) -> Ran {
    scene.with("GITHUB_RUN_ID", run);
    let files = std::fs::read_dir(scene.home.path()).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|it| it == "json") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let before = scene.github.calls();
    let ran = scene.run(CHECK_RUN, arguments).await;
    let calls = scene.github.calls() - before;
    println!(
        "{run} {arguments}: {calls} calls, {:?}",
        scene.github.verbs(before)
    );
    assert!(calls <= MOST, "{arguments}: {calls} calls\n{}", ran.log);
    assert!(!ran.log.contains("::warning::there is no"), "{}", ran.log);
    assert!(scene.github.git(|git| git.is_free()), "the lock is held");
    ran
}

/// All deployments so far, with their states, the oldest first.
fn all(scene: &Scene) -> Vec<(Value, Vec<String>)> {
    let made = scene.github.deployments().into_iter();
    made.map(|one| {
        let states = scene.github.states(one["id"].as_u64().unwrap());
        (one["payload"]["cutover"].clone(), states)
    })
    .collect()
}

/// The states alone.
fn states(scene: &Scene) -> Vec<String> {
    let all = all(scene).into_iter();
    all.map(|(_, states)| states.join(" ")).collect()
}

#[tokio::test]
async fn a_held_canary_is_recorded_and_the_next_run_goes_on() {
    let (mut scene, _) = scene(HOLDS).await;
    let held = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(held.code, 30, "{}", held.log);
    assert_eq!(
        states(&scene),
        ["success", "in_progress failure", "in_progress"]
    );
    let (content, _) = &all(&scene)[2];
    assert_eq!(
        (&content["slot"], &content["version"], &content["weight"]),
        (&"green".into(), &"v2".into(), &10.into()),
        "{content}"
    );
    assert_eq!(content["previous"], "blue");
    let kept = &content["canary"];
    assert_eq!(kept["allowed"], false, "{content}");
    assert!(kept["trial"]["at"].as_f64().unwrap() > 0.0, "{content}");

    // Another release has to wait, and what is recorded of this one stays.
    let other = next(&mut scene, "44", "rollout --version=v3").await;
    assert_eq!(other.code, 10, "{}", other.log);
    assert!(other.log.contains("traffic is divided"), "{}", other.log);
    assert_eq!(
        states(&scene)[..3],
        ["success", "in_progress failure", "in_progress"]
    );

    // What was proved before adds to what is proved now; and it is held again.
    let again = next(&mut scene, "45", "rollout --version=v2").await;
    assert_eq!(again.code, 30, "{}", again.log);
    assert!(
        again.log.contains("goes on with what was proved so far"),
        "{}",
        again.log
    );
    let made = all(&scene);
    assert_eq!(made[2].1, ["in_progress", "inactive"]);
    let (last, its) = made.last().unwrap();
    assert_eq!(its, &["in_progress"]);
    let at = |content: &Value| content["canary"]["trial"]["at"].as_f64().unwrap();
    assert!(at(last) > at(&made[2].0), "{last}");

    // A person has looked, and wants it to go on.
    scene.configure(
        "on-inconclusive: hold",
        "on-inconclusive: promote, max-p95-ratio: 100",
    );
    let on = next(&mut scene, "46", "rollout --version=v2").await;
    assert_eq!(on.code, 0, "{}", on.log);
    assert_eq!(scene.served().await, "v2");
    let states = states(&scene);
    let (last, before) = states.split_last().unwrap();
    assert_eq!(last, "success");
    assert!(
        before
            .iter()
            .all(|one| one.ends_with("inactive") || one.ends_with("failure")),
        "{states:?}"
    );
}

#[tokio::test]
async fn a_held_canary_is_taken_back_by_a_rollback() {
    let (mut scene, live) = scene(HOLDS).await;
    let held = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(held.code, 30, "{}", held.log);
    let back = next(&mut scene, "44", "rollback").await;
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(scene.served().await, "v1");
    assert_eq!(
        states(&scene),
        [
            "success inactive",
            "in_progress failure",
            "in_progress inactive",
            "success"
        ]
    );
    assert_eq!(scene.state(live), "inactive");
    // Router and record agree, so the next one may begin.
    scene.with("GITHUB_RUN_ID", "45");
    let next = scene.run(CHECK_RUN, "rollout --version=v3").await;
    assert_eq!(next.code, 30, "{}", next.log);
    assert!(next.log.contains("green 0 % -> 10 %"), "{}", next.log);
}

#[tokio::test]
async fn a_held_canary_may_be_given_all_traffic_by_hand() {
    let (mut scene, _) = scene(HOLDS).await;
    let held = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(held.code, 30, "{}", held.log);
    let whole = next(&mut scene, "44", "switch-traffic --to=green").await;
    assert_eq!(whole.code, 0, "{}", whole.log);
    assert_eq!(scene.served().await, "v2");
    let last = states(&scene).split_off(2);
    assert_eq!(last, ["in_progress inactive", "success"]);
}

#[tokio::test]
async fn a_paused_canary_waits_at_github_for_the_next_run() {
    let (mut scene, _) = scene(PAUSES).await;
    let paused = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(paused.code, 0, "{}", paused.log);
    assert_eq!(
        states(&scene),
        ["success", "in_progress inactive", "in_progress"]
    );
    let (content, _) = &all(&scene)[2];
    assert_eq!(content["canary"]["allowed"], true, "{content}");
    assert_eq!(content["weight"], 10);
    let on = next(&mut scene, "44", "rollout --version=v2").await;
    assert_eq!(on.code, 0, "{}", on.log);
    for said in [
        "goes on with the next step",
        "green 10 % -> 50 %",
        "green 50 % -> 100 %",
    ] {
        assert!(on.log.contains(said), "{said}: {}", on.log);
    }
    assert_eq!(scene.served().await, "v2");
    assert_eq!(
        states(&scene),
        [
            "success inactive",
            "in_progress inactive",
            "in_progress inactive",
            "success"
        ]
    );
}

#[tokio::test]
async fn a_paused_canary_is_taken_back_by_a_rollback() {
    let (mut scene, _) = scene(PAUSES).await;
    let paused = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(paused.code, 0, "{}", paused.log);
    let back = next(&mut scene, "44", "rollback").await;
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(scene.served().await, "v1");
    assert_eq!(states(&scene)[2], "in_progress inactive");
}

/// The run that goes on dies, and the post step puts traffic back: then nothing stands any more.
#[tokio::test]
async fn a_canary_whose_second_run_dies_is_closed_by_the_post_step() {
    let (mut scene, _) = scene(PAUSES).await;
    let paused = next(&mut scene, "43", "rollout --version=v2").await;
    assert_eq!(paused.code, 0, "{}", paused.log);
    scene.configure("watch: 100ms", "watch: 60s");
    scene.with("GITHUB_RUN_ID", "44");
    scene
        .run_until(CHECK_RUN, "rollout --version=v2", "  proved")
        .await;
    let post = scene.run(CHECK_RUN, "finish").await;
    assert_eq!(post.code, 0, "{}", post.log);
    assert_eq!(scene.served().await, "v1");
    assert_eq!(
        states(&scene),
        [
            "success",
            "in_progress inactive",
            "in_progress inactive",
            "inactive"
        ]
    );
    assert!(scene.github.git(|git| git.is_free()), "the lock is held");
}
