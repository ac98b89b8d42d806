//! The `haproxy` router on a real HAProxy that was started with the lines it asks for.

use cutover::config::kinds::{self, Block};
use cutover::model::slot::{Slot, Slots};
use cutover::model::split::{Split, Weight};
use cutover::platform::http::Http;
use cutover::routers::{Change, KINDS, Reading, Router, RouterError, Tools};
use serde_json::{Value, json};

use crate::world::haproxy::{Ground, HaProxy};
use crate::world::ports;

/// A router and what it drives.
pub(crate) struct Fixture {
    pub(crate) router: Box<dyn Router>,
    pub(crate) haproxy: HaProxy,
}

/// How a router of that ground is made.
pub(crate) fn router(ground: &Ground, options: Value) -> Result<Box<dyn Router>, String> {
    let ports = [ground.blue.port, ground.green.port];
    router_of(
        ground,
        options,
        ports.map(|port| format!("http://127.0.0.1:{port}")),
    )
}

pub(crate) fn router_of(
    ground: &Ground,
    mut options: Value,
    [blue, green]: [String; 2],
) -> Result<Box<dyn Router>, String> {
    options["kind"] = "haproxy".into();
    let block: Block = serde_json::from_value(options).unwrap();
    let slot = |name: &str, url: String| Slot {
        name: name.to_owned(),
        url: url.parse().unwrap(),
    };
    let tools = Tools {
        vault: cutover::platform::secret::Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        slots: Slots {
            first: slot("blue", blue),
            second: slot("green", green),
        },
        directory: ground.directory.path().to_owned(),
    };
    kinds::build(KINDS, &block, &tools)
}

pub(crate) fn map_options(ground: &Ground, address: &str) -> Value {
    json!({"address": address, "map": ground.text_path("w.map"), "key": "green_weight"})
}

fn started(ground: Ground, options: Value) -> Fixture {
    let router = router(&ground, options).unwrap();
    let lines = router.one_time_lines();
    if lines.contains("green_weight") {
        assert!(lines.contains("#    green_weight 0\n"), "{lines}");
        std::fs::write(ground.path("w.map"), "# live\ngreen_weight 0\n").unwrap();
    }
    let haproxy = ground.start(&lines);
    Fixture { router, haproxy }
}

pub(crate) fn by_map() -> Fixture {
    let ground = Ground::new();
    let options = map_options(&ground, &format!("unix:{}", ground.text_path("admin.sock")));
    started(ground, options)
}

pub(crate) fn by_weights() -> Fixture {
    let ground = Ground::new();
    let options = json!({
        "address": ground.text_path("admin.sock"),
        "backend": "shop",
        "servers": {"green": "g2"},
        "state-file": "server-state",
    });
    started(ground, options)
}

pub(crate) fn split(percent: u8) -> Split {
    Split {
        second: Weight::new(percent).unwrap(),
    }
}

pub(crate) fn change(from: &Reading, percent: u8) -> Change {
    Change {
        from: from.clone(),
        to: split(percent),
        reason: "a test".to_owned(),
    }
}

/// Reads, goes there, and confirms it.
pub(crate) async fn go(router: &dyn Router, percent: u8) -> Reading {
    let from = router.read().await.unwrap();
    let change = change(&from, percent);
    router.prepare(&change).await.unwrap();
    assert_eq!(
        router.read().await.unwrap(),
        from,
        "prepare changes nothing"
    );
    router.apply(&change).await.unwrap();
    router.confirm(change.to).await.unwrap();
    let now = router.read().await.unwrap();
    assert_eq!(now.split, change.to);
    now
}

/// What every router promises, for one that is at 0.
pub(crate) async fn keeps_the_contract(router: &dyn Router) {
    let at_0 = router.read().await.unwrap();
    assert_eq!(at_0.split, split(0));
    assert_eq!(
        router.read().await.unwrap(),
        at_0,
        "reading changes nothing"
    );

    let at_100 = go(router, 100).await;
    assert_ne!(at_100.revision, at_0.revision);
    router.confirm(split(0)).await.unwrap_err();

    for stale in [change(&at_0, 25), change(&at_0, 0)] {
        let refusals = [router.prepare(&stale).await, router.apply(&stale).await];
        for refused in refusals {
            assert!(
                matches!(refused, Err(RouterError::Conflict { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(
            router.read().await.unwrap(),
            at_100,
            "a refusal changes nothing"
        );
    }

    let at_25 = go(router, 25).await;
    go(router, 0).await;
    for saved in [&at_25, &at_0, &at_100, &at_100, &at_0] {
        router.restore(saved).await.unwrap();
        let now = router.read().await.unwrap();
        assert_eq!((now.split, &now.saved), (saved.split, &saved.saved));
        router.confirm(saved.split).await.unwrap();
    }
}

#[tokio::test]
async fn a_map_keeps_the_contract_over_a_unix_socket() {
    let made = by_map();
    assert_eq!(made.router.known_loss(), None);
    keeps_the_contract(made.router.as_ref()).await;
    let text = std::fs::read_to_string(made.haproxy.ground.path("w.map")).unwrap();
    assert_eq!(text, "# live\ngreen_weight 0\n", "restored to the letter");
}

#[tokio::test]
async fn a_map_keeps_the_contract_over_tcp_without_its_file() {
    let ground = Ground::new();
    let mut options = map_options(&ground, &format!("tcp:127.0.0.1:{}", ports::free()));
    options["state-file"] = "none".into();
    let made = started(ground, options);
    assert!(made.router.known_loss().unwrap().contains("reload"));
    keeps_the_contract(made.router.as_ref()).await;
    go(made.router.as_ref(), 100).await;
    assert_eq!(made.haproxy.who(), "green");
}

#[tokio::test]
async fn weights_keep_the_contract() {
    let made = by_weights();
    assert!(
        made.router
            .known_loss()
            .unwrap()
            .contains("compare-and-swap")
    );
    keeps_the_contract(made.router.as_ref()).await;
}

#[tokio::test]
async fn weights_keep_the_contract_over_tcp_without_a_file() {
    let ground = Ground::new();
    let address = format!("127.0.0.1:{}", ports::free());
    let made = started(ground, json!({"address": address, "backend": "shop"}));
    assert!(made.router.known_loss().unwrap().contains("state-file"));
    keeps_the_contract(made.router.as_ref()).await;
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins() {
    // With the file there is a lock; without it the map's versions decide.
    for file in [true, false] {
        let ground = Ground::new();
        let mut options = map_options(&ground, &ground.text_path("admin.sock"));
        if !file {
            options["state-file"] = "none".into();
        }
        let other = router(&ground, options.clone()).unwrap();
        let made = started(ground, options);
        for round in 0..20 {
            let from = made.router.read().await.unwrap();
            let changes = [change(&from, 10 + round), change(&from, 60 + round)];
            let (one, two) = futures_util::future::join(
                made.router.apply(&changes[0]),
                other.apply(&changes[1]),
            )
            .await;
            let now = made.router.read().await.unwrap().split;
            let (won, lost) = match (&one, &two) {
                (Ok(()), Err(lost)) => (changes[0].to, Some(lost)),
                (Err(lost), Ok(())) => (changes[1].to, Some(lost)),
                // Both saw the other one and gave way.
                (Err(RouterError::Conflict { .. }), Err(RouterError::Conflict { .. })) => {
                    (from.split, None)
                }
                _ => unreachable!("{one:?} {two:?}"),
            };
            assert_eq!(now, won);
            assert!(
                lost.is_none_or(|lost| matches!(lost, RouterError::Conflict { .. })),
                "{lost:?}"
            );
        }
    }
}
