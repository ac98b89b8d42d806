//! Runs that come at the same moment take turns, and a dead one's turn ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::{Scene, ended, signal};
use crate::world::github::{Fault, Verb};
use crate::world::patience::until;

async fn at_once(runs: usize) {
    let scene = Scene::set("0s", "lease: 20s").await;
    scene.github.take_your_time(Duration::from_millis(10));
    let began = Instant::now();
    let children: Vec<_> = (2..2 + runs)
        .map(|n| scene.rollout(&format!("v{n}")))
        .collect();
    let all = join_all(children.into_iter().map(ended)).await;
    for ran in &all {
        assert_eq!(ran.code, Some(0), "{}", ran.log);
        assert!(ran.log.contains("promoted"), "{}", ran.log);
    }
    let changes = scene.yard.changes();
    let turns: BTreeSet<&str> = changes
        .chunks(2)
        .map(|turn| {
            let whose = turn[0].strip_prefix("deploy ").unwrap();
            assert_eq!(turn[1], format!("weights {whose}"), "{changes:?}");
            whose
        })
        .collect();
    assert_eq!(turns.len(), runs, "none is lost: {changes:?}");
    let in_queue = scene.github.git(|git| git.joined());
    let turn = |version: &String| {
        let deploys = format!("deploy {version}");
        changes.iter().position(|change| *change == deploys)
    };
    let turns: Vec<_> = in_queue.iter().map(turn).collect();
    assert!(turns.is_sorted(), "{in_queue:?}: {changes:?}");
    let last = changes.last().unwrap();
    assert_eq!(last, &format!("weights {}", scene.yard.served()));
    assert_eq!(scene.takeovers(), 0);
    assert!(scene.github.git(|git| git.is_free()));
    assert!(scene.github.git(|git| git.queue()).is_empty());
    println!(
        "{runs} rollouts at once: {:.1} s, {} questions to GitHub",
        began.elapsed().as_secs_f64(),
        scene.github.calls()
    );
}

#[tokio::test]
async fn two_at_once_take_turns() {
    at_once(2).await;
}

#[tokio::test]
async fn ten_at_once_take_turns_and_none_is_lost() {
    at_once(10).await;
}

#[tokio::test]
async fn a_killed_owner_is_followed_when_its_lease_is_over() {
    let scene = Scene::set("0s", "lease: 2s").await;
    let dead = scene.rollout("v2");
    let pid = dead.id().unwrap().to_string();
    scene.yard.after("deploy v2", move || signal("-KILL", &pid));
    ended(dead).await;
    assert!(!scene.github.git(|git| git.is_free()));
    let began = Instant::now();
    let next = scene.run(&["rollout"], "v3").await;
    let took = began.elapsed();
    assert_eq!(next.code, Some(0), "{}", next.log);
    assert!(
        next.log.contains("production is locked by ana-v2"),
        "{}",
        next.log
    );
    assert_eq!(scene.takeovers(), 1);
    assert_eq!(scene.yard.served(), "v3");
    assert!(took < Duration::from_secs(8), "{took:?}");
    println!("a lease of 2 s was taken over, and the rollout done, after {took:.1?}");
    // The post step of the dead one touches neither.
    let post = scene.run(&["finish"], "v2").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    assert_eq!(scene.yard.served(), "v3");
    assert!(scene.github.git(|git| git.is_free()));
}

/// A run that does nothing for longer than its lease keeps its lock: it is renewed.
#[tokio::test]
async fn a_run_that_is_alive_keeps_its_lock() {
    let scene = Scene::set("5s", "lease: 1s").await;
    let (first, second) = (scene.rollout("v2"), scene.rollout("v3"));
    for ran in join_all([first, second].map(ended)).await {
        assert_eq!(ran.code, Some(0), "{}", ran.log);
    }
    assert_eq!(scene.takeovers(), 0);
    assert_eq!(scene.yard.changes().len(), 4);
}

#[tokio::test]
async fn who_must_not_wait_is_told_whose_turn_it_is() {
    for lock in ["on-conflict: fail", "wait-limit: 1s"] {
        let scene = Scene::set("0s", lock).await;
        let held = scene
            .run(&["lock", "hold", "2h", "--reason", "a migration"], "v2")
            .await;
        assert_eq!(held.code, Some(0), "{}", held.log);
        let refused = scene.run(&["rollout"], "v3").await;
        assert_eq!(refused.code, Some(10), "{}", refused.log);
        for word in ["locked", "ana-v2", "a migration", "runs/2"] {
            assert!(refused.log.contains(word), "{word}: {}", refused.log);
        }
        assert_eq!(scene.yard.changes(), [""; 0]);
        // A way back waits for nobody.
        let back = scene.run(&["rollback"], "v4").await;
        assert_eq!(back.code, Some(0), "{}", back.log);
        assert!(
            back.log.contains("goes on without the lock"),
            "{}",
            back.log
        );
        assert_eq!(scene.github.git(|git| git.claims()).len(), 1);
    }
}

#[tokio::test]
async fn who_waits_asks_only_for_what_is_new() {
    let scene = Scene::set("0s", "wait-limit: 4s").await;
    let held = scene.run(&["lock", "hold"], "v2").await;
    assert_eq!(held.code, Some(0), "{}", held.log);
    let before = scene.github.asked(Verb::ReadRef);
    let refused = scene.run(&["rollout"], "v3").await;
    assert_eq!(refused.code, Some(10), "{}", refused.log);
    let looks = scene.github.asked(Verb::ReadRef) - before;
    let unchanged = scene.github.unchanged();
    println!("{looks} looks in 4 s, {unchanged} of which cost nothing");
    // New are the claim, and then its queue with this run in it.
    assert!(
        looks > 3 && unchanged + 2 >= looks,
        "{unchanged} of {looks}"
    );
    assert_eq!(
        scene.github.asked(Verb::ReadCommit),
        1,
        "it does not change"
    );
}

#[tokio::test]
async fn what_a_limit_costs_the_lock_is_told() {
    let scene = Scene::set("0s", "").await;
    let limits = [Fault::TooMany(1), Fault::Spent(1)];
    scene.github.order(Verb::ReadRef, limits);
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let said = "could not read the lock yet: GitHub's limit of requests is reached, and wants a wait of 1 s";
    assert_eq!(ran.log.matches(said).count(), 2, "{}", ran.log);
}

#[tokio::test]
async fn a_renewal_that_comes_late_does_not_bring_back_what_was_given_up() {
    let scene = Scene::set("0s", "on-conflict: fail").await;
    for version in ["v2", "v3"] {
        let ran = scene.run(&["rollout"], version).await;
        assert_eq!(ran.code, Some(0), "{}", ran.log);
        scene.github.git(|git| git.a_renewal_comes_late());
        let shown = scene.run(&["lock"], "v9").await;
        assert!(shown.log.contains("production is free"), "{}", shown.log);
    }
    assert_eq!(scene.yard.served(), "v3");
}

/// A way back waits for no lock, and may lead to the slot that another run is deploying to.
#[tokio::test]
async fn who_deploys_to_a_slot_ends_when_a_way_back_leads_there() {
    let scene = Scene::set("0s", "").await;
    let path = scene.home.path().join("cutover.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    let target = "    target: { kind: command, run: 'touch begun; until test -e go; do sleep 0.05; done; touch deployed' }";
    let lines = config.lines().map(|line| match line.trim_start() {
        it if it.starts_with("target: ") => target,
        _ => line,
    });
    let config: Vec<&str> = lines.collect();
    std::fs::write(path, config.join("\n")).unwrap();
    let run = scene.rollout("v2");
    let there = |file: &str| scene.home.path().join(file).exists();
    until("it deploys to green", || there("begun")).await;
    let back = scene.run(&["rollback"], "v3").await;
    assert_eq!(back.code, Some(0), "{}", back.log);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let said = "green receives traffic now, so its deployment is ended";
    assert!(ran.log.contains(said), "{}", ran.log);
    assert!(!there("deployed"), "{}", ran.log);
    assert_eq!(scene.yard.served(), "v0");
}
