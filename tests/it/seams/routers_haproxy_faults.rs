//! The `haproxy` router where something is wrong: wrong names, other writers, lost answers, drift.

use std::process::Command;
use std::sync::{Arc, Mutex};

use cutover::routers::{Reading, Router, RouterError};
use serde_json::json;

use super::routers::{change, moved, split};
use super::routers_haproxy::{by_map, by_weights, file, in_memory, map_options, router};
use crate::world::haproxy::{Ground, HaProxy, talk};
use crate::world::haproxy_relay::{Fate, Relay};

/// The same map through a relay.
fn through(
    haproxy: &HaProxy,
    fate: impl FnMut(&str) -> Fate + Send + 'static,
) -> (Relay, Box<dyn Router>) {
    let ground = &haproxy.ground;
    let relay = Relay::start(
        ground.path("relay.sock"),
        ground.path("observer.sock"),
        fate,
    );
    let options = map_options(ground, &ground.text_path("relay.sock"));
    (relay, router(ground, options).unwrap())
}

fn run(command: &str) {
    let ended = Command::new("sh").args(["-ec", command]).status().unwrap();
    assert!(ended.success(), "{command}");
}

#[tokio::test]
async fn a_writer_who_commits_first_wins() {
    let made = by_map();
    let from = made.router.read().await.unwrap();
    let map = made.haproxy.ground.text_path("w.map");
    let socket = made.haproxy.ground.path("observer.sock");
    // Another writer commits between our `add` and our last look.
    let (_relay, ours) = through(&made.haproxy, move |line| {
        if line.starts_with("add map @") {
            for theirs in [
                "prepare map MAP",
                "add map @2 MAP green_weight 77",
                "commit map @2 MAP",
            ] {
                talk(&socket, &theirs.replace("MAP", &map)).unwrap();
            }
        }
        Fate::Pass
    });
    let lost = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(lost, RouterError::Conflict { .. }), "{lost}");
    assert_eq!(in_memory(&made), "green_weight 77");
    assert_eq!(
        file(&made),
        "# live\ngreen_weight 0\n",
        "our file was put back"
    );
}

#[tokio::test]
async fn a_writer_who_commits_last_is_not_overtaken() {
    let made = by_map();
    let from = made.router.read().await.unwrap();
    let map = made.haproxy.ground.text_path("w.map");
    let socket = made.haproxy.ground.path("observer.sock");
    // Another writer prepares after us and commits just before our commit.
    let (_relay, ours) = through(&made.haproxy, move |line| {
        if line.starts_with("commit map @1") {
            for theirs in [
                "prepare map MAP",
                "add map @2 MAP green_weight 77",
                "commit map @2 MAP",
            ] {
                talk(&socket, &theirs.replace("MAP", &map)).unwrap();
            }
        }
        Fate::Pass
    });
    let lost = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(lost, RouterError::Conflict { .. }), "{lost}");
    assert_eq!(in_memory(&made), "green_weight 77");
    assert_eq!(file(&made), "# live\ngreen_weight 0\n");
}

#[tokio::test]
async fn a_version_that_was_left_behind_stops_nobody() {
    let made = by_map();
    let map = made.haproxy.ground.text_path("w.map");
    made.haproxy.cli(&format!("prepare map {map}"));
    made.haproxy
        .cli(&format!("add map @1 {map} green_weight 77"));
    moved(made.router.as_ref(), split(100)).await;
    assert_eq!(in_memory(&made), "green_weight 100");
}

#[tokio::test]
async fn a_value_set_by_hand_is_drift_and_the_repair_mends_it() {
    let made = by_map();
    let map = made.haproxy.ground.text_path("w.map");
    let before = made.router.read().await.unwrap();
    made.haproxy.cli(&format!("set map {map} green_weight 30"));
    let RouterError::Drifted { said, repair } = made.router.read().await.unwrap_err() else {
        unreachable!("not drift");
    };
    assert!(
        said.contains("`green_weight 30`") && said.contains("`green_weight 0`"),
        "{said}"
    );
    let outcome = made.router.apply(&change(&before, split(100))).await;
    assert!(
        matches!(outcome, Err(RouterError::Drifted { .. })),
        "{outcome:?}"
    );
    let (keep, follow) = repair.split_once('#').unwrap();
    run(follow.split_once(": ").unwrap().1);
    assert_eq!(made.router.read().await.unwrap().split, split(0));
    made.haproxy.cli(&format!("set map {map} green_weight 30"));
    run(keep);
    assert_eq!(made.router.read().await.unwrap().split, split(30));
}

#[tokio::test]
async fn a_run_killed_between_file_and_memory_is_found_and_can_be_restored() {
    let made = by_map();
    let saved = made.router.read().await.unwrap();
    std::fs::write(made.haproxy.ground.path("w.map"), "green_weight 100\n").unwrap();
    let found = made.router.read().await.unwrap_err();
    assert!(matches!(found, RouterError::Drifted { .. }), "{found}");
    made.router.restore(&saved).await.unwrap();
    assert_eq!(made.router.read().await.unwrap().split, split(0));
    assert_eq!(file(&made), "# live\ngreen_weight 0\n");
}

#[tokio::test]
async fn a_map_in_disorder_is_told_and_a_restore_sets_it_right() {
    let made = by_map();
    let map = made.haproxy.ground.text_path("w.map");
    let saved = made.router.read().await.unwrap();
    for (disorder, words) in [
        (
            format!("add map {map} green_weight 50"),
            "`green_weight 0`, `green_weight 50`",
        ),
        (format!("add map {map} other 50"), "`other 50`"),
        (format!("clear map {map}"), "nothing"),
        (format!("set map {map} green_weight 101"), "101"),
    ] {
        assert_eq!(made.haproxy.cli(&disorder), "");
        let said = made.router.read().await.unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
        made.router.restore(&saved).await.unwrap();
        assert_eq!(made.router.read().await.unwrap().split, split(0));
    }
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_looked_up() {
    let made = by_map();
    let from = made.router.read().await.unwrap();
    let (_relay, ours) = through(&made.haproxy, |line| match line {
        line if line.starts_with("commit") => Fate::LoseTheAnswer,
        _ => Fate::Pass,
    });
    ours.apply(&change(&from, split(100))).await.unwrap();
    made.router.confirm(split(100)).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_may_be_lost_is_lost() {
    let made = by_map();
    let from = made.router.read().await.unwrap();
    let (_relay, ours) = through(&made.haproxy, |line| match line {
        line if line.starts_with("commit") => Fate::Lose,
        _ => Fate::Pass,
    });
    let lost = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(lost, RouterError::Lost(_)), "{lost}");
    made.router.restore(&from).await.unwrap();
    assert_eq!(made.router.read().await.unwrap().split, split(0));
}

#[tokio::test]
async fn before_the_commit_nothing_is_lost_and_the_file_is_put_back() {
    for (at, fate) in [("prepare", 0), ("add", 0), ("add", 1), ("commit", 1)] {
        let made = by_map();
        let from = made.router.read().await.unwrap();
        let (_relay, ours) = through(&made.haproxy, move |line| {
            match (line.starts_with(at), fate) {
                (true, 0) => Fate::Lose,
                (true, _) => Fate::Say("Something is wrong."),
                _ => Fate::Pass,
            }
        });
        let failed = ours.apply(&change(&from, split(100))).await.unwrap_err();
        match fate {
            0 => assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed}"),
            _ => assert!(
                failed.to_string().contains("Something is wrong."),
                "{failed}"
            ),
        }
        assert_eq!(made.router.read().await.unwrap().split, split(0), "{at}");
        assert_eq!(file(&made), "# live\ngreen_weight 0\n");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let mut made = by_map();
    let ground = &made.haproxy.ground;
    let mut wrong_map = map_options(ground, &ground.text_path("admin.sock"));
    wrong_map["map"] = "/nowhere/x.map".into();
    let failed = router(ground, wrong_map).unwrap().read().await.unwrap_err();
    let said = failed.to_string();
    assert!(matches!(failed, RouterError::Refused(_)), "{failed}");
    assert!(
        said.contains("/nowhere/x.map") && said.contains("w.map"),
        "{said}"
    );
    let mut elsewhere = map_options(ground, &ground.text_path("admin.sock"));
    elsewhere["state-file"] = "nowhere/w.map".into();
    let failed = router(ground, elsewhere).unwrap().read().await.unwrap_err();
    assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed}");
    assert!(failed.to_string().contains("state-file: none"), "{failed}");
    let saved = made.router.read().await.unwrap();
    made.haproxy.stop();
    for failed in [
        made.router.read().await.unwrap_err(),
        made.router
            .apply(&change(&saved, split(100)))
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed}");
    }
}

/// A weights router on the HAProxy of another one.
fn weights(ground: &Ground, backend: &str, green: &str) -> Box<dyn Router> {
    let address = ground.text_path("admin.sock");
    let options = json!({"address": address, "backend": backend, "servers": {"green": green}});
    router(ground, options).unwrap()
}

#[tokio::test]
async fn wrong_backends_and_servers_are_named() {
    let made = by_weights();
    for (backend, green, word) in [
        ("nope", "g2", "No such backend"),
        ("shop", "nope", "No such server"),
    ] {
        let router = weights(&made.haproxy.ground, backend, green);
        let failed = router.read().await.unwrap_err();
        assert!(matches!(failed, RouterError::Refused(_)), "{failed}");
        assert!(failed.to_string().contains(word), "{failed}");
    }
}

#[tokio::test]
async fn weights_that_are_no_split_are_named() {
    let made = by_weights();
    let router = weights(&made.haproxy.ground, "shop", "g2");
    for (commands, words) in [
        (
            "set server shop/blue weight 1; set server shop/g2 weight 2",
            "shop/blue 1, shop/g2 2",
        ),
        (
            "set server shop/g2 weight 0; set server shop/blue weight 0",
            "nobody",
        ),
        (
            "set server shop/blue weight 100; set server shop/blue state maint",
            "MAINT",
        ),
        ("set server shop/blue state drain", "DRAIN"),
    ] {
        made.haproxy.cli(commands);
        let failed = router.read().await.unwrap_err();
        assert!(matches!(failed, RouterError::Refused(_)), "{failed}");
        assert!(failed.to_string().contains(words), "{failed}");
    }
    made.haproxy
        .cli("set server shop/blue state ready; set server shop/g2 state maint");
    let from = router.read().await.unwrap();
    let failed = router.prepare(&change(&from, split(25))).await.unwrap_err();
    assert!(
        failed.to_string().contains("shop/g2 is in state MAINT"),
        "{failed}"
    );
}

#[tokio::test]
async fn weights_that_a_reload_would_change_are_drift_and_the_repair_mends_it() {
    let made = by_weights();
    let at_25 = moved(made.router.as_ref(), split(25)).await;
    made.haproxy
        .cli("set server shop/g2 weight 100; set server shop/blue weight 0");
    let RouterError::Drifted { said, repair } = made.router.read().await.unwrap_err() else {
        unreachable!("not drift");
    };
    assert!(
        said.contains("shop/g2 100") && said.contains("shop/g2 25"),
        "{said}"
    );
    run(&repair);
    assert_eq!(made.router.read().await.unwrap().split, split(100));
    made.router.restore(&at_25).await.unwrap();
    assert_eq!(made.router.read().await.unwrap(), at_25);
}

#[tokio::test]
async fn a_second_step_that_fails_takes_the_first_one_back() {
    let made = by_weights();
    let ground = &made.haproxy.ground;
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let _relay = Relay::start(
        ground.path("relay.sock"),
        ground.path("observer.sock"),
        move |line| {
            if line.starts_with("set") {
                seen.lock().unwrap().push(line.to_owned());
            }
            match line {
                "set server shop/blue weight 0" => Fate::Say("No such server."),
                _ => Fate::Pass,
            }
        },
    );
    let options = json!({"address": ground.text_path("relay.sock"), "backend": "shop", "servers": {"green": "g2"}});
    let router = router(ground, options).unwrap();
    let from: Reading = router.read().await.unwrap();
    let failed = router.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(failed.to_string().contains("No such server."), "{failed}");
    assert_eq!(router.read().await.unwrap(), from);
    assert_eq!(
        *sent.lock().unwrap(),
        [
            "set server shop/g2 weight 100",
            "set server shop/blue weight 0",
            "set server shop/g2 weight 0"
        ]
    );
}

#[tokio::test]
async fn weights_that_cannot_be_saved_are_put_back() {
    let made = by_weights();
    let from = made.router.read().await.unwrap();
    let ground = &made.haproxy.ground;
    let (_relay, options) = {
        let socket = ground.path("observer.sock");
        let relay = Relay::start(ground.path("relay.sock"), socket, |line| match line {
            "show servers state" => Fate::Say("No such luck."),
            _ => Fate::Pass,
        });
        let options = json!({
            "address": ground.text_path("relay.sock"), "backend": "shop",
            "servers": {"green": "g2"}, "state-file": "server-state",
        });
        (relay, options)
    };
    let router = router(ground, options).unwrap();
    let failed = router.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(failed.to_string().contains("No such luck."), "{failed}");
    assert_eq!(made.router.read().await.unwrap(), from);
}
