//! An issue in which people approve a rollout: each outcome, with the text that a person sees.

mod odds;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Child;

use crate::locks::{Scene, ended, signal};
use crate::world::github::{Fault, Verb};
use crate::world::patience::until;
use crate::world::stand_in::{Reply, StandIn};

/// A scene whose config asks for approval, with more lines of the caller's.
async fn asking(approval: &str, more: &str) -> Scene {
    let scene = Scene::set("0s", "").await;
    let config = scene.home.path().join("cutover.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = format!("{text}    approval: {{ {approval} }}\n{more}");
    std::fs::write(&config, text).unwrap();
    scene
}

/// The issue, once there is one.
async fn asked(scene: &Scene) -> Value {
    let mut asked = None;
    until("somebody is asked", || {
        asked = scene.github.issues().pop();
        asked.is_some()
    })
    .await;
    asked.unwrap()
}

/// Starts a rollout and waits until people are asked: then nobody holds the lock.
async fn begin(scene: &Scene, version: &str) -> (Child, u64) {
    let run = scene.rollout(version);
    let number = asked(scene).await["number"].as_u64().unwrap();
    assert!(scene.github.git(|git| git.is_free()));
    (run, number)
}

fn body_of(issue: &Value) -> String {
    issue["body"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_may_approves_and_the_rollout_goes_on() {
    let scene = asking("approvers: [bo, cy], labels: [deploy], assignees: [cy]", "").await;
    let mut command = scene.command(&["rollout"], "v2");
    let outputs = scene.home.path().join("outputs");
    let run = command.env("GITHUB_OUTPUT", &outputs).spawn().unwrap();
    let issue = asked(&scene).await;
    let number = issue["number"].as_u64().unwrap();
    assert_eq!(issue["title"], "Approve storefront v2 for production?");
    assert_eq!(issue["labels"][0]["name"], "deploy");
    assert_eq!(issue["assignees"][0], "cy");
    let text = body_of(&issue);
    for words in [
        "| served now | v1 |",
        "<https://github.com/shop/storefront/compare/v1...v2>",
        "| started by | ana-v2 |",
        "- [ ] Somebody watches while it goes out",
        "@bo, @cy: one of you: answer within 4 h",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let github = &scene.github;
    github.comments(number, "mallory", "/approve", false);
    github.comments(number, "ana-v2", "/approve", false);
    github.comments(number, "cy", "/approve", true);
    github.comments(number, "github-actions[bot]", "/approve", false);
    github.comments(number, "bo", "> /approve\n\nlooks good to me", false);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(github.git(|git| git.claims()).is_empty());
    github.comments(number, "Bo", "Checked it.\r\n/approve\r\n", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert_eq!(scene.yard.served(), "v2");
    for words in [
        "1 of bo, cy must approve within 4 h: https://github.com/shop/storefront/issues/1",
        "the command of mallory does not count: mallory is none of those who may approve",
        "the command of ana-v2 does not count: ana-v2 started the run",
        "the command of cy does not count: cy edited the comment; a new one counts",
        "approved by Bo in issue #1",
    ] {
        assert!(ran.log.contains(words), "{words}: {}", ran.log);
    }
    let issue = asked(&scene).await;
    assert_eq!(
        (&issue["state"], &issue["state_reason"]),
        (&"closed".into(), &"completed".into())
    );
    let first = body_of(&issue).lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        "**Approved by Bo.** It goes on in <https://github.com/shop/storefront/actions/runs/2/attempts/1>."
    );
    let written = std::fs::read_to_string(outputs).unwrap();
    let result = written.lines().find(|line| line.starts_with('{')).unwrap();
    let result: Value = serde_json::from_str(result).unwrap();
    let figure = &result["approval-issue"];
    assert_eq!(
        (&figure["outcome"], &figure["by"][0]),
        (&"approved".into(), &"Bo".into())
    );
    assert_eq!(scene.github.issues().len(), 1);
}

#[tokio::test]
async fn one_who_rejects_is_enough_and_says_why() {
    let heard = Arc::new(Mutex::new(Vec::<Value>::new()));
    let ear = Arc::clone(&heard);
    let channel = StandIn::start(move |asked| {
        let news = serde_json::from_slice(&asked.body).unwrap();
        ear.lock().unwrap().push(news);
        Reply::of(200, "")
    })
    .await;
    let notify = format!(
        "    notify: [{{ kind: webhook, url: 'http://{}/', from: warning }}]\n    audit: {{}}\n",
        channel.address
    );
    let scene = asking("approvers: [bo, cy], minimum: 2", &notify).await;
    let (run, number) = begin(&scene, "v2").await;
    scene.github.comments(number, "cy", "/approve", false);
    scene.github.comments(
        number,
        "bo",
        "/reject not on a Friday, @everybody | see #1",
        false,
    );
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    assert_eq!(scene.yard.changes(), [""; 0]);
    for words in [
        "the rollout was rejected",
        "rejected by bo: not on a Friday",
        "2 of bo, cy within 4 h",
        "people are asked anew",
    ] {
        assert!(ran.log.contains(words), "{words}: {}", ran.log);
    }
    let issue = asked(&scene).await;
    assert_eq!(issue["state_reason"], "not_planned");
    let text = body_of(&issue);
    assert!(
        text.starts_with(
            "**Rejected by bo: not on a Friday, @&#8203;everybody &#124; see \\#1.** Nothing was changed."
        ),
        "{text}"
    );
    let heard = heard.lock().unwrap();
    let titles: Vec<&str> = heard
        .iter()
        .map(|news| news["title"].as_str().unwrap())
        .collect();
    assert_eq!(
        titles,
        [
            "approval wanted: rollout of storefront v2, production",
            "failed: rollout of storefront v2, production"
        ]
    );
    let audit = std::fs::read_to_string(scene.home.path().join("cutover-audit.jsonl")).unwrap();
    for words in [
        r#""check":"approval by bo","passed":false"#,
        r#""name":"approval-issue","value":{"#,
        r#""reason-code":"approval-rejected""#,
    ] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
}

#[tokio::test]
async fn nobody_answers_in_time_or_somebody_closes_it() {
    let scene = asking("approvers: [bo, cy], minimum: 2, time-limit: 1s", "").await;
    let (run, number) = begin(&scene, "v2").await;
    scene.github.comments(number, "cy", "/approve", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    for words in [
        "the rollout was not approved in time",
        "timed out: only cy approved within 1 s",
        "`approval.time-limit`",
    ] {
        assert!(ran.log.contains(words), "{words}: {}", ran.log);
    }
    assert!(body_of(&asked(&scene).await).starts_with("**Timed out: only cy approved"));
    let (run, number) = begin_again(&scene, "v3").await;
    scene.github.somebody_closes(number, "dee");
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    let words = "the issue was closed by dee without a word";
    assert!(ran.log.contains(words), "{}", ran.log);
    assert_eq!(scene.yard.changes(), [""; 0]);
}

/// The same, where there was an issue before.
async fn begin_again(scene: &Scene, version: &str) -> (Child, u64) {
    let before = scene.github.issues().len();
    let run = scene.rollout(version);
    let asks = || scene.github.issues().len() > before;
    until("somebody is asked", asks).await;
    (run, asked(scene).await["number"].as_u64().unwrap())
}

#[tokio::test]
async fn a_run_that_is_cancelled_or_killed_leaves_no_open_question() {
    let scene = asking("approvers: [bo]", "").await;
    let (run, _) = begin(&scene, "v2").await;
    signal("-INT", &run.id().unwrap().to_string());
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(130), "{}", ran.log);
    let issue = asked(&scene).await;
    assert_eq!(issue["state"], "closed");
    let told = "**Cancelled: the run ended before an answer.** Nothing was changed.";
    assert!(body_of(&issue).starts_with(told), "{issue}");
    let (run, number) = begin_again(&scene, "v3").await;
    // Not before the number is written down, or else it is found by its mark.
    signal("-KILL", &run.id().unwrap().to_string());
    ended(run).await;
    scene.github.comments(number, "bo", "/approve", false);
    let post = scene.run(&["finish"], "v3").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    let told = "issue #2 asked for an approval, and is closed";
    assert!(post.log.contains(told), "{}", post.log);
    assert_eq!(asked(&scene).await["state"], "closed");
    assert_eq!(scene.yard.changes(), [""; 0]);
    // What could not be closed at the end is left for the post step.
    scene.github.order(Verb::ChangeIssue, [Fault::Page(502); 9]);
    let (run, number) = begin_again(&scene, "v4").await;
    scene.github.comments(number, "bo", "/reject", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    assert!(ran.log.contains("the post step tries again"), "{}", ran.log);
    scene.github.forget_faults();
    let post = scene.run(&["finish"], "v4").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    assert_eq!(asked(&scene).await["state"], "closed");
}

#[tokio::test]
async fn waiting_costs_nothing_of_the_quota() {
    let scene = asking("approvers: [bo], time-limit: 5s", "").await;
    let (run, number) = begin(&scene, "v2").await;
    let enough = || scene.github.questions_for_nothing() >= 10;
    until("tags are used", enough).await;
    let for_nothing = scene.github.questions_for_nothing();
    let looks = scene.github.asked(Verb::Comments) + scene.github.asked(Verb::ReadIssue);
    // The first look at each; what is on its way is not counted yet.
    assert!(looks <= for_nothing + 6, "{looks} {for_nothing}");
    for n in 0..230 {
        scene
            .github
            .comments(number, "mallory", &format!("spam {n}"), false);
    }
    scene.github.comments(number, "bo", "/approve", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
}

#[tokio::test]
async fn members_of_a_team_count() {
    let scene = asking("approvers: [shop/leads]", "").await;
    scene.github.team("shop/leads", &["ana-v2", "cy"]);
    let (run, number) = begin(&scene, "v2").await;
    assert!(body_of(&asked(&scene).await).contains("@shop/leads: answer within"));
    scene.github.comments(number, "ana-v2", "/approve", false);
    scene.github.comments(number, "cy", "/approve", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert!(ran.log.contains("approved by cy"), "{}", ran.log);
}

#[tokio::test]
async fn an_approval_is_for_the_step_that_was_shown() {
    let scene = asking("approvers: [bo]", "").await;
    let (run, number) = begin(&scene, "v2").await;
    let config = scene.home.path().join("cutover.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("approvers", "issue: false, approvers"),
    )
    .unwrap();
    let other = scene.run(&["rollout"], "v3").await;
    assert_eq!(other.code, Some(0), "{}", other.log);
    scene.github.comments(number, "bo", "/approve", false);
    let ran = ended(run).await;
    assert_eq!(ran.code, Some(10), "{}", ran.log);
    for words in [
        "what was approved is not what would be done now",
        "production serves v3",
        "v1, as when people were asked",
    ] {
        assert!(ran.log.contains(words), "{words}: {}", ran.log);
    }
    assert_eq!(scene.yard.served(), "v3");
    assert!(scene.github.git(|git| git.is_free()));
}
