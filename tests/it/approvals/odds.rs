//! What goes wrong with an approval, or is made to go wrong by somebody.

use std::time::Duration;

use super::{asked, asking, body_of};
use crate::locks::{Scene, ended};
use crate::world::github::{Fault, Verb};

/// Each question goes wrong once, in each way: one issue, the right answer, closed.
#[tokio::test]
async fn whatever_answer_gets_lost_people_are_asked_once() {
    let faults = [
        Fault::LostAfterEffect,
        Fault::HangUp,
        Fault::Page(502),
        Fault::TooMany(1),
        Fault::NoJson,
    ];
    let verbs = [
        Verb::ListIssues,
        Verb::OpenIssue,
        Verb::ReadIssue,
        Verb::Comments,
        Verb::ChangeIssue,
    ];
    for fault in faults {
        for verb in verbs {
            let scene = asking("approvers: [bo], time-limit: 30s", "").await;
            scene.github.order(verb, [fault]);
            let run = scene.rollout("v2");
            let number = asked(&scene).await["number"].as_u64().unwrap();
            scene.github.comments(number, "bo", "/approve", false);
            let ran = ended(run).await;
            let point = format!("{verb:?} {fault:?}");
            assert_eq!(ran.code, Some(0), "{point}: {}", ran.log);
            let issues = scene.github.issues();
            assert_eq!(issues.len(), 1, "{point}");
            assert_eq!(issues[0]["state"], "closed", "{point}");
            println!("{point}: approved, one issue, closed");
        }
    }
}

#[tokio::test]
async fn what_stands_in_the_way_of_asking_is_explained() {
    let no = |scene: Scene, arguments: &'static [(&str, &str)], words: &'static [&str]| async move {
        let mut command = scene.command(&["rollout"], "v2");
        for (name, value) in arguments {
            command.env(name, value);
        }
        let ran = ended(command.spawn().unwrap()).await;
        assert_eq!(ran.code, Some(10), "{}", ran.log);
        for words in words {
            assert!(ran.log.contains(words), "{words}: {}", ran.log);
        }
        assert_eq!(scene.yard.changes(), [""; 0]);
        assert!(scene.github.issues().is_empty());
    };
    let scene = asking("approvers: [bo]", "").await;
    scene.github.order(Verb::OpenIssue, [Fault::Forbidden]);
    no(scene, &[], &["403", "permissions: { issues: write }"]).await;
    let scene = asking("approvers: [bo]", "").await;
    scene.github.issues_are_off();
    no(scene, &[], &["410", "switch issues on in the settings"]).await;
    let scene = asking("approvers: [bo]", "").await;
    no(
        scene,
        &[("INPUT_TOKEN", "")],
        &["there is no token", "issues: write"],
    )
    .await;
    let scene = asking("approvers: [Ana-V2]", "").await;
    no(
        scene,
        &[],
        &["1 must approve, and nobody may: ana-v2 started the run"],
    )
    .await;
    let scene = asking("approvers: [bo, shop/leads], minimum: 2", "").await;
    no(
        scene,
        &[],
        &[
            "list the members of shop/leads",
            "members: read",
            "only bo may",
        ],
    )
    .await;
    let guard = "    guardrails: { branches: [main] }\n";
    let scene = asking("approvers: [bo]", guard).await;
    no(scene, &[("GITHUB_REF_NAME", "topic")], &["topic"]).await;
}

/// An open issue with the mark of this run, which somebody else has put there.
#[tokio::test]
async fn what_a_stranger_prepared_is_made_ours_and_counts_for_nothing() {
    let scene = asking("approvers: [bo], time-limit: 3s", "").await;
    let mark = "<!-- cutover approval run=2 job=deploy environment=production -->";
    let github = &scene.github;
    let number = github.somebody_opens("mallory", "Free coffee", &format!("Yes?\n{mark}"));
    github.comments(number, "bo", "/approve", false);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let words = "the command of bo does not count: bo wrote it before the run asked";
    assert!(ran.log.contains(words), "{}", ran.log);
    let issues = scene.github.issues();
    assert_eq!(issues.len(), 1);
    assert_eq!(issues[0]["title"], "Approve storefront v2 for production?");
    assert!(!body_of(&issues[0]).contains("Yes?"));
}

#[tokio::test]
async fn a_hostile_version_calls_nobody_and_breaks_nothing() {
    let scene = asking("approvers: [bo], time-limit: 1s", "").await;
    let version = "v2|@everybody <img src=x> ![a](http://b.c) --> #1 `x` $(id)";
    let mut command = scene.command(&["rollout"], "v2");
    let run = command.env("INPUT_VERSION", version).spawn().unwrap();
    let text = body_of(&asked(&scene).await);
    for formed in ["@everybody", "<img", "![a]", "http://b", " #1", "|@"] {
        assert!(!text.contains(formed), "{formed}: {text}");
    }
    for called in text.split('@').skip(1) {
        let is_called = !called.starts_with("&#8203;");
        assert_eq!(is_called, called.starts_with("bo: answer"), "{text}");
    }
    assert_eq!(
        text.lines().filter(|line| line.starts_with('|')).count(),
        9,
        "{text}"
    );
    assert_eq!(ended(run).await.code, Some(10));
}

#[tokio::test]
async fn a_dry_run_asks_nobody_and_a_wrong_block_is_refused() {
    let scene = asking("approvers: [bo]", "").await;
    let planned = scene.run(&["rollout", "--dry-run"], "v2").await;
    assert_eq!(planned.code, Some(0), "{}", planned.log);
    let words = "it would ask for approval first: 1 of bo within 4 h";
    assert!(planned.log.contains(words), "{}", planned.log);
    assert!(scene.github.issues().is_empty());
    for (block, words) in [
        (
            "approvers: ['bo @all']",
            "\"bo @all\" is neither a person's login nor a team",
        ),
        (
            "approvers: [bo], minimum: 2",
            "2 must approve, and 1 may: nobody could",
        ),
        ("approvers: [bo], time-limit: 2d", "time-limit"),
        (
            "approvers: [bo], assignees: [shop/leads]",
            "a team cannot be assigned",
        ),
        ("approvers: []", "approvers: names nobody"),
        ("approvers: [bo], minimum: 0", "minimum"),
        ("minimum: 1", "approvers"),
        ("approvers: [bo], limit: 4h", "limit"),
    ] {
        let scene = asking(block, "").await;
        let refused = scene.run(&["check"], "v2").await;
        assert_eq!(refused.code, Some(64), "{block}: {}", refused.log);
        assert!(refused.log.contains(words), "{block}: {}", refused.log);
    }
}
