//! One run and its lock, while GitHub is as it is.

use super::{Scene, ended, signal};
use crate::world::github::{Fault, Verb};
use crate::world::patience::until;

const VERBS: [Verb; 6] = [
    Verb::ReadRef,
    Verb::ReadCommit,
    Verb::MakeTree,
    Verb::MakeCommit,
    Verb::CreateRef,
    Verb::MoveRef,
];

#[tokio::test]
async fn a_rollout_leaves_a_released_claim_that_says_what_it_was_for() {
    let scene = Scene::set("0s", "").await;
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let first = scene.github.calls();
    let again = scene.run(&["rollout"], "v3").await;
    assert_eq!(again.code, Some(0), "{}", again.log);
    let second = scene.github.calls() - first;
    println!("questions to GitHub: {first} in the first rollout ever, {second} in the next");
    let claims = scene.github.git(|git| git.claims());
    let told: Vec<_> = claims
        .iter()
        .map(|(state, claim)| (state.as_str(), claim["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("held", "rollout of v2"),
            ("released", "rollout of v2"),
            ("held", "rollout of v3"),
            ("released", "rollout of v3"),
        ]
    );
    assert_eq!(
        (&claims[0].1["owner"], &claims[0].1["run"]),
        (&"ana-v2".into(), &"2-1-deploy".into())
    );
    let planned = scene.run(&["rollout", "--dry-run"], "v4").await;
    assert_eq!(planned.code, Some(0), "{}", planned.log);
    assert_eq!(scene.github.git(|git| git.claims()).len(), 4);
}

/// Each question about the lock goes wrong once, in each way, in the first rollout and the next:
/// each is done, each has one claim, and none is left.
#[tokio::test]
async fn whatever_answer_gets_lost_the_lock_is_taken_once_and_released() {
    let faults = [
        Fault::LostAfterEffect,
        Fault::HangUp,
        Fault::Page(502),
        Fault::TooMany(1),
        Fault::NoJson,
    ];
    let mut rows = Vec::new();
    for fault in faults {
        for verb in VERBS {
            let scene = Scene::set("0s", "lease: 5s").await;
            for version in ["v2", "v3"] {
                scene.github.order(verb, [fault]);
                let ran = scene.run(&["rollout"], version).await;
                let point = format!("{verb:?} {fault:?} {version}");
                scene.github.forget_faults();
                assert_eq!(ran.code, Some(0), "{point}: {}", ran.log);
                assert!(
                    scene.github.git(|git| git.is_free()),
                    "{point}: {}",
                    ran.log
                );
                rows.push(format!("{point}: done, released"));
            }
            assert_eq!(scene.takeovers(), 0, "{verb:?} {fault:?}");
        }
    }
    println!("{}", rows.join("\n"));
}

#[tokio::test]
async fn a_token_that_may_not_write_goes_on_with_a_notice() {
    for verb in [Verb::MakeTree, Verb::MakeCommit, Verb::CreateRef] {
        let scene = Scene::set("0s", "").await;
        scene.github.order(verb, [Fault::Forbidden]);
        let ran = scene.run(&["rollout"], "v2").await;
        assert_eq!(ran.code, Some(0), "{}", ran.log);
        assert!(ran.log.contains("contents: write"), "{}", ran.log);
        assert!(ran.log.contains("`concurrency:`"), "{}", ran.log);
        assert!(scene.github.git(|git| git.claims()).is_empty());
        assert_eq!(scene.yard.served(), "v2");
    }
}

/// It may not take the lock, but it sees it.
#[tokio::test]
async fn a_token_that_may_not_write_does_not_pass_who_has_the_lock() {
    let scene = Scene::set("0s", "on-conflict: fail").await;
    scene.run(&["lock", "hold"], "v2").await;
    for verb in [Verb::MakeTree, Verb::MakeCommit, Verb::MoveRef] {
        scene.github.order(verb, [Fault::Forbidden]);
    }
    let ran = scene.run(&["rollout"], "v3").await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    assert_eq!(scene.yard.changes(), [""; 0]);
}

#[tokio::test]
async fn a_lock_that_cannot_be_understood_blocks() {
    let scene = Scene::set("0s", "").await;
    scene
        .github
        .git(|git| git.put("refs/cutover/locks/production", "a lock of next year {}"));
    for arguments in [&["rollout"][..], &["lock", "hold"], &["lock", "release"]] {
        let ran = scene.run(arguments, "v2").await;
        assert_eq!(ran.code, Some(10), "{}", ran.log);
        assert!(
            ran.log
                .contains("git push origin :refs/cutover/locks/production"),
            "{}",
            ran.log
        );
    }
    assert_eq!(scene.yard.changes(), [""; 0]);
    let back = scene.run(&["rollback"], "v2").await;
    assert_eq!(back.code, Some(0), "{}", back.log);
}

#[tokio::test]
async fn a_cancelled_run_puts_traffic_back_and_releases_its_lock() {
    let scene = Scene::set("20s", "").await;
    let run = scene.rollout("v2");
    let pid = run.id().unwrap().to_string();
    scene.yard.after("weights v2", move || signal("-INT", &pid));
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(130), "{}", ran.log);
    assert_eq!(scene.yard.served(), "v1");
    assert!(scene.github.git(|git| git.is_free()), "{}", ran.log);
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_waits_leaves_nothing() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["lock", "hold"], "v2").await;
    let run = scene.rollout("v3");
    let asked = scene.github.asked(Verb::ReadRef);
    let looks = || scene.github.asked(Verb::ReadRef) >= asked + 2;
    until("it looks again", looks).await;
    signal("-TERM", &run.id().unwrap().to_string());
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(130), "{}", ran.log);
    assert_eq!(scene.github.git(|git| git.claims()).len(), 1);
    assert!(scene.github.git(|git| git.queue()).is_empty());
    assert_eq!(
        std::fs::read_dir(scene.home.path().join("v3"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(scene.yard.changes(), [""; 0]);
}

#[tokio::test]
async fn a_lease_too_short_is_refused_with_its_line() {
    let scene = Scene::set("0s", "lease: 500ms, on-conflict: maybe").await;
    let refused = scene.run(&["check"], "v2").await;
    assert_eq!(refused.code, Some(64), "{}", refused.log);
    assert!(
        refused.log.contains("the words are: fail, wait"),
        "{}",
        refused.log
    );
    let scene = Scene::set("0s", "lease: 500ms").await;
    let refused = scene.run(&["check"], "v2").await;
    assert_eq!(refused.code, Some(64), "{}", refused.log);
    assert!(
        refused.log.contains("a lease is at least 1 s"),
        "{}",
        refused.log
    );
}

#[tokio::test]
async fn the_command_shows_holds_and_releases() {
    let scene = Scene::set("0s", "").await;
    let free = scene.run(&["lock"], "v2").await;
    assert!(free.log.contains("production is free"), "{}", free.log);
    let held = scene.run(&["lock", "hold", "--reason=a sale"], "v2").await;
    assert_eq!(held.code, Some(0), "{}", held.log);
    let shown = scene.run(&["lock"], "v3").await;
    assert!(
        shown.log.contains("locked by ana-v2 (a sale"),
        "{}",
        shown.log
    );
    let theirs = scene.run(&["lock", "release"], "v3").await;
    assert_eq!(theirs.code, Some(10), "{}", theirs.log);
    let ours = scene.run(&["lock", "release"], "v2").await;
    assert_eq!(ours.code, Some(0), "{}", ours.log);
    assert!(scene.github.git(|git| git.is_free()));
    for wrong in [
        &["lock", "hodl"][..],
        &["lock", "hold", "soon"],
        &["rollout", "now"],
    ] {
        let ran = scene.run(wrong, "v2").await;
        assert_eq!(ran.code, Some(64), "{}", ran.log);
    }
}
