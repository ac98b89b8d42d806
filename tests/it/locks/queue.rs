//! Who waits is known, in which order, and to whom it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::Value;

use super::{Scene, ended, signal};
use crate::world::stand_in::{Reply, StandIn};

impl Scene {
    /// The versions that wait, first come first.
    fn waiting(&self) -> Vec<String> {
        let queue = self.github.git(|git| git.queue());
        let version = |ticket: &Value| {
            let owner = ticket["owner"].as_str().unwrap();
            owner.trim_start_matches("ana-").to_owned()
        };
        queue.iter().map(version).collect()
    }

    /// Returns when those wait, in that order.
    async fn until_waiting(&self, versions: &[&str]) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while self.waiting() != versions {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{:?} wait",
                self.waiting()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn first_come_first_served_and_everybody_knows_who_is_ahead() {
    // Long enough that nobody is passed over on a machine that is busy.
    let scene = Scene::set("0s", "lease: 60s").await;
    scene.run(&["lock", "hold", "--reason=a sale"], "v9").await;
    let outputs = scene.home.path().join("outputs");
    let mut runs = Vec::new();
    for (i, version) in ["v3", "v4", "v5"].into_iter().enumerate() {
        let mut command = scene.command(&["rollout"], version);
        command.env("GITHUB_OUTPUT", format!("{}-{version}", outputs.display()));
        runs.push(command.spawn().unwrap());
        scene.until_waiting(&["v3", "v4", "v5"][..=i]).await;
    }
    let shown = scene.run(&["lock", "show"], "v9").await;
    for words in [
        "locked by ana-v9 (a sale",
        "3 wait: ana-v3 (rollout of v3), ana-v4 (rollout of v4), ana-v5 (rollout of v5)",
        "2. in the queue: ana-v4 (rollout of v4, https://github.com/shop/storefront/actions/runs/4",
    ] {
        assert!(shown.log.contains(words), "{words}: {}", shown.log);
    }
    scene.run(&["lock", "release"], "v9").await;
    let all = join_all(runs.into_iter().map(ended)).await;
    for ran in &all {
        assert_eq!(ran.code, Some(0), "{}", ran.log);
    }
    assert_eq!(
        scene.yard.changes(),
        [
            "deploy v3",
            "weights v3",
            "deploy v4",
            "weights v4",
            "deploy v5",
            "weights v5"
        ]
    );
    assert!(!all[0].log.contains("ahead"), "{}", all[0].log);
    for (ran, words) in [
        (
            &all[1],
            "; 1 ahead: ana-v3 (rollout of v3); waiting for it, at most 30 m",
        ),
        (
            &all[2],
            "; 2 ahead: ana-v3 (rollout of v3), ana-v4 (rollout of v4); waiting",
        ),
    ] {
        assert!(ran.log.contains(words), "{words}: {}", ran.log);
    }
    let written = std::fs::read_to_string(format!("{}-v5", outputs.display())).unwrap();
    let result = written.lines().find(|line| line.starts_with('{')).unwrap();
    let result: Value = serde_json::from_str(result).unwrap();
    assert_eq!(
        (&result["queue"]["ahead"], &result["queue"]["depth"]),
        (&2.into(), &3.into())
    );
    assert!(result["queue"]["waited-ms"].as_u64().unwrap() > 0);
    assert_eq!(scene.waiting(), [""; 0]);
    assert!(scene.github.git(|git| git.is_free()));
}

/// The lock is free, and the first in the queue has not seen it yet.
#[tokio::test]
async fn nobody_comes_in_between() {
    let scene = Scene::set("0s", "lease: 60s, on-conflict: fail").await;
    let config = scene.home.path().join("cutover.yml");
    let impatient = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        impatient.replace("on-conflict: fail", "on-conflict: wait"),
    )
    .unwrap();
    scene.run(&["lock", "hold"], "v9").await;
    let first = scene.rollout("v3");
    let pid = first.id().unwrap().to_string();
    scene.until_waiting(&["v3"]).await;
    signal("-STOP", &pid);
    scene.run(&["lock", "release"], "v9").await;
    std::fs::write(&config, impatient).unwrap();
    let refused = scene.run(&["rollout"], "v4").await;
    assert_eq!(refused.code, Some(10), "{}", refused.log);
    for words in [
        "production is free, and other runs wait for it",
        "1 ahead: ana-v3 (rollout of v3)",
    ] {
        assert!(refused.log.contains(words), "{words}: {}", refused.log);
    }
    // A way back waits for nobody, and takes nobody's place.
    let back = scene.run(&["rollback"], "v5").await;
    assert_eq!(back.code, Some(0), "{}", back.log);
    assert_eq!(scene.waiting(), ["v3"]);
    signal("-CONT", &pid);
    let ran = ended(first).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert_eq!(scene.yard.served(), "v3");
    assert_eq!(scene.waiting(), [""; 0]);
}

#[tokio::test]
async fn who_was_killed_while_waiting_is_passed_over() {
    let scene = Scene::set("0s", "lease: 2s").await;
    scene.run(&["lock", "hold"], "v9").await;
    let dead = scene.rollout("v3");
    scene.until_waiting(&["v3"]).await;
    signal("-KILL", &dead.id().unwrap().to_string());
    ended(dead).await;
    let next = scene.rollout("v4");
    scene.until_waiting(&["v3", "v4"]).await;
    scene.run(&["lock", "release"], "v9").await;
    let ran = ended(next).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let words = "production is free, and others come first; 1 ahead: ana-v3";
    assert!(ran.log.contains(words), "{}", ran.log);
    assert_eq!(scene.waiting(), [""; 0]);
    assert_eq!(scene.takeovers(), 0);
}

#[tokio::test]
async fn the_post_step_gives_up_the_place_of_a_killed_run() {
    let scene = Scene::set("0s", "").await;
    scene.run(&["lock", "hold"], "v9").await;
    let dead = scene.rollout("v3");
    scene.until_waiting(&["v3"]).await;
    signal("-KILL", &dead.id().unwrap().to_string());
    ended(dead).await;
    let post = scene.run(&["finish"], "v3").await;
    assert_eq!(post.code, Some(0), "{}", post.log);
    assert_eq!(scene.waiting(), [""; 0]);
    assert!(!scene.github.git(|git| git.is_free()), "the hold stays");
}

#[tokio::test]
async fn a_long_queue_is_told_once() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let channel = StandIn::start(move |asked| {
        let news: Value = serde_json::from_slice(&asked.body).unwrap();
        ear.lock().unwrap().push(news);
        Reply::of(200, "")
    })
    .await;
    let scene = Scene::set("0s", "lease: 20s, queue-alert: 1, wait-limit: 2s").await;
    let config = scene.home.path().join("cutover.yml");
    let text = std::fs::read_to_string(&config).unwrap();
    let notify = format!(
        "    notify: [{{ kind: webhook, url: 'http://{}/', from: warning }}]\n",
        channel.address
    );
    std::fs::write(&config, text + &notify).unwrap();
    scene.run(&["lock", "hold", "--reason=a sale"], "v9").await;
    let runs = ["v3", "v4", "v5"].map(|version| scene.rollout(version));
    for ran in join_all(runs.map(ended)).await {
        assert_eq!(ran.code, Some(10), "{}", ran.log);
        assert!(
            ran.log.contains("was locked for longer than"),
            "{}",
            ran.log
        );
    }
    assert_eq!(scene.waiting(), [""; 0], "who gives up leaves its place");
    let heard = heard.lock().unwrap();
    let alerts: Vec<&Value> = heard
        .iter()
        .filter(|news| news["title"].as_str().unwrap().contains("wait for"))
        .collect();
    assert_eq!(alerts.len(), 1, "{heard:?}");
    assert_eq!(alerts[0]["title"], "2 runs wait for production");
    assert_eq!(alerts[0]["severity"], "warning");
    let message = alerts[0]["message"].as_str().unwrap();
    assert!(message.starts_with("2 wait: ana-v"), "{message}");
    assert!(message.contains("alert above: 1"), "{message}");
}
