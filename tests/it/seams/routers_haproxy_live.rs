//! The `haproxy` router under traffic: what users see of switches and reloads.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use cutover::routers::RouterError;
use serde_json::json;

use super::routers::{change, moved, split};
use super::routers_haproxy::{by_map, by_weights, file, map_options, router};
use crate::world::haproxy::{Ground, KeptAlive};
use crate::world::haproxy_relay::{Fate, Relay};

#[tokio::test]
async fn traffic_follows_a_ladder_and_a_reload_keeps_it() {
    for made in [by_map(), by_weights()] {
        let router = made.router.as_ref();
        assert_eq!(made.haproxy.green_of(40), 0, "{}", router.told());
        moved(router, split(25)).await;
        let green = made.haproxy.green_of(400);
        assert!(
            (60..=140).contains(&green),
            "{}: {green} of 400",
            router.told()
        );
        made.haproxy.reload();
        assert_eq!(
            router.read().await.unwrap().split,
            split(25),
            "{}",
            router.told()
        );
        moved(router, split(100)).await;
        assert_eq!(made.haproxy.green_of(40), 40);
        made.haproxy.reload();
        router.confirm(split(100)).await.unwrap();
        assert_eq!(made.haproxy.green_of(40), 40);
        moved(router, split(0)).await;
        assert_eq!(made.haproxy.green_of(40), 0);
    }
}

#[tokio::test]
async fn no_request_fails_over_ten_switches() {
    for made in [by_map(), by_weights()] {
        let over = Arc::new(AtomicBool::new(false));
        let users: Vec<_> = (0..4)
            .map(|_| {
                let (over, front) = (Arc::clone(&over), made.haproxy.ground.front);
                thread::spawn(move || {
                    let mut user = KeptAlive::at(front);
                    let mut answered = [0_u32; 2];
                    while !over.load(Ordering::Relaxed) {
                        match user.ask().unwrap().as_str() {
                            "blue" => answered[0] += 1,
                            "green" => answered[1] += 1,
                            other => unreachable!("{other}"),
                        }
                    }
                    answered
                })
            })
            .collect();
        for _ in 0..5 {
            moved(made.router.as_ref(), split(100)).await;
            assert_eq!(made.haproxy.green_of(20), 20);
            moved(made.router.as_ref(), split(0)).await;
            assert_eq!(made.haproxy.green_of(20), 0);
        }
        over.store(true, Ordering::Relaxed);
        for user in users {
            let answered = user.join().expect("no request failed");
            assert!(answered.iter().all(|n| *n > 10), "{answered:?}");
        }
    }
}

#[tokio::test]
async fn a_reload_between_file_and_memory_ends_on_the_new_value() {
    for at in ["prepare map", "add map", "show map @", "commit map"] {
        let made = by_map();
        let ground = &made.haproxy.ground;
        let from = made.router.read().await.unwrap();
        let reload = made.haproxy.reloader();
        let mut reloads = 0;
        let _relay = Relay::start(
            ground.path("relay.sock"),
            ground.path("observer.sock"),
            move |line| {
                if line.starts_with(at) && reloads == 0 {
                    reloads += 1;
                    reload();
                }
                Fate::Pass
            },
        );
        let options = map_options(ground, &ground.text_path("relay.sock"));
        let ours = router(ground, options).unwrap();
        ours.apply(&change(&from, split(100))).await.unwrap();
        made.router.confirm(split(100)).await.unwrap();
        assert_eq!(made.haproxy.green_of(10), 10, "{at}");
    }
}

#[tokio::test]
async fn a_reload_after_which_nobody_answers_may_have_taken_the_new_value() {
    let made = by_map();
    let ground = &made.haproxy.ground;
    let from = made.router.read().await.unwrap();
    let reload = made.haproxy.reloader();
    let mut gone = false;
    let _relay = Relay::start(
        ground.path("relay.sock"),
        ground.path("observer.sock"),
        move |line| {
            if line.starts_with("add map @") {
                reload();
                gone = true;
            }
            if gone { Fate::Lose } else { Fate::Pass }
        },
    );
    let options = map_options(ground, &ground.text_path("relay.sock"));
    let ours = router(ground, options).unwrap();
    let lost = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(lost, RouterError::Lost(_)), "{lost}");
    assert_eq!(made.haproxy.who(), "green", "it has taken it indeed");
    made.router.restore(&from).await.unwrap();
    assert_eq!(made.router.read().await.unwrap().split, split(0));
    assert_eq!(file(&made), "# live\ngreen_weight 0\n");
}

#[tokio::test]
async fn a_reload_between_weights_and_their_file_is_noticed() {
    let made = by_weights();
    moved(made.router.as_ref(), split(25)).await;
    let ground = &made.haproxy.ground;
    let from = made.router.read().await.unwrap();
    let reload = made.haproxy.reloader();
    let mut reloads = 0;
    let _relay = Relay::start(
        ground.path("relay.sock"),
        ground.path("observer.sock"),
        move |line| {
            if line == "show servers state" && reloads == 0 {
                reloads += 1;
                reload();
            }
            Fate::Pass
        },
    );
    let options = json!({
        "address": ground.text_path("relay.sock"), "backend": "shop",
        "servers": {"green": "g2"}, "state-file": "server-state",
    });
    let ours = router(ground, options).unwrap();
    let failed = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(failed, RouterError::Conflict { .. }), "{failed}");
    assert_eq!(made.router.read().await.unwrap().split, split(25));
}

#[test]
fn haproxy_accepts_the_lines_for_slots_behind_tls() {
    let ground = Ground::new();
    let urls = ["https://localhost:8443/x", "https://127.0.0.1"];
    for weights in [false, true] {
        let mut options = map_options(&ground, "[::1]:9999");
        if weights {
            options = json!({"address": "/a.sock", "backend": "shop"});
        }
        std::fs::write(ground.path("w.map"), "green_weight 0\n").unwrap();
        let lines = super::routers_haproxy::router_of(&ground, options, urls.map(str::to_owned))
            .unwrap()
            .one_time_lines();
        std::fs::write(ground.path("tls.cfg"), &lines).unwrap();
        let checked = Command::new("haproxy")
            .args(["-c", "-f"])
            .arg(ground.path("tls.cfg"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{lines}\n{said}");
    }
}
