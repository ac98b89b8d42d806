//! The `haproxy` router on a real HAProxy that was started with the lines it asks for.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::Http;
use cutover::routers::{Router, RouterError, Tools};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, Winners, change, routed, split};
use crate::world::haproxy::{Ground, HaProxy};
use crate::world::ports;

pub(super) fn plugs() -> Vec<Plug> {
    fn plug(form: &'static str, set_up: fn() -> BoxFuture<'static, Box<dyn Fixture>>) -> Plug {
        let kind = "haproxy";
        Plug { kind, form, set_up }
    }
    vec![
        plug("map", || Box::pin(async { boxed(by_map()) })),
        plug("map without its file", || {
            Box::pin(async { boxed(by_map_without_its_file()) })
        }),
        plug("weights", || Box::pin(async { boxed(by_weights()) })),
        plug("weights without a file", || {
            Box::pin(async { boxed(by_weights_without_a_file()) })
        }),
    ]
}

fn boxed(made: OnHaProxy) -> Box<dyn Fixture> {
    Box::new(made)
}

/// A router and the HAProxy that it drives.
pub(crate) struct OnHaProxy {
    pub(crate) router: Box<dyn Router>,
    pub(crate) haproxy: HaProxy,
    options: Value,
}

impl OnHaProxy {
    /// The block that makes such a router.
    pub(crate) fn block(&self) -> Value {
        let mut block = self.options.clone();
        block["kind"] = "haproxy".into();
        // As another directory sees it.
        if block["state-file"] == "server-state" {
            block["state-file"] = self.haproxy.ground.text_path("server-state").into();
        }
        block
    }
}

#[async_trait]
impl Fixture for OnHaProxy {
    fn router(&self) -> Box<dyn Router> {
        router(&self.haproxy.ground, self.options.clone()).unwrap()
    }

    fn state(&self) -> String {
        let ground = &self.haproxy.ground;
        if self.options.get("map").is_some() {
            return format!("{}, filed {}", in_memory(self), file(self));
        }
        // The rest of that file counts seconds; the columns are the names and the user's weight.
        let weights = self.haproxy.cli("get weight shop/blue; get weight shop/g2");
        let filed = std::fs::read_to_string(ground.path("server-state")).unwrap_or_default();
        let servers = filed.lines().filter(|line| line.contains(" shop "));
        let servers: Vec<_> = servers
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .map(|row| format!("{} {}", row[3], row[7]))
            .collect();
        format!("{weights}, filed {servers:?}")
    }

    fn between(&self) -> Vec<u8> {
        vec![25, 60]
    }

    fn impossible(&self) -> Option<u8> {
        None
    }

    fn of_two_writers(&self) -> Winners {
        let has_file = self.options["state-file"] != "none";
        match self.options.get("map") {
            // The lock beside the file is there for either.
            _ if has_file => Winners::One,
            // Each may see that the other has prepared something, and give way.
            Some(_) => Winners::OneAtMost,
            None => Winners::OneOrBoth,
        }
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        let green = self.haproxy.green_of(times);
        let counted = [("blue", times - green), ("green", green)];
        Some(counted.map(|(slot, n)| (slot.to_owned(), n)).into())
    }
}

/// The map file.
pub(crate) fn file(made: &OnHaProxy) -> String {
    std::fs::read_to_string(made.haproxy.ground.path("w.map")).unwrap()
}

/// The map's entry in HAProxy's memory, without its address there.
pub(crate) fn in_memory(made: &OnHaProxy) -> String {
    let map = made.haproxy.ground.text_path("w.map");
    let said = made.haproxy.cli(&format!("show map {map}"));
    said.split_once(' ').unwrap().1.to_owned()
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
    urls: [String; 2],
) -> Result<Box<dyn Router>, String> {
    options["kind"] = "haproxy".into();
    routed(options, &tools_at(ground.directory.path(), urls))
}

/// What a router in that directory is built with, in front of slots at these URLs.
pub(crate) fn tools_at(directory: &Path, [blue, green]: [String; 2]) -> Tools {
    let slot = |name: &str, url: String| Slot {
        name: name.to_owned(),
        url: url.parse().unwrap(),
    };
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        vault: cutover::platform::secret::Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        slots: Slots {
            first: slot("blue", blue),
            second: slot("green", green),
        },
        directory: directory.to_owned(),
    }
}

pub(crate) fn map_options(ground: &Ground, address: &str) -> Value {
    json!({"address": address, "map": ground.text_path("w.map"), "key": "green_weight"})
}

fn started(ground: Ground, options: Value) -> OnHaProxy {
    let router = router(&ground, options.clone()).unwrap();
    let lines = router.one_time_lines();
    if lines.contains("green_weight") {
        assert!(lines.contains("#    green_weight 0\n"), "{lines}");
        std::fs::write(ground.path("w.map"), "# live\ngreen_weight 0\n").unwrap();
    }
    let haproxy = ground.start(&lines);
    OnHaProxy {
        router,
        haproxy,
        options,
    }
}

pub(crate) fn by_map() -> OnHaProxy {
    let ground = Ground::new();
    let options = map_options(&ground, &format!("unix:{}", ground.text_path("admin.sock")));
    started(ground, options)
}

pub(crate) fn by_weights() -> OnHaProxy {
    let ground = Ground::new();
    let options = json!({
        "address": ground.text_path("admin.sock"),
        "backend": "shop",
        "servers": {"green": "g2"},
        "state-file": "server-state",
    });
    started(ground, options)
}

pub(super) fn by_map_without_its_file() -> OnHaProxy {
    let ground = Ground::new();
    let mut options = map_options(&ground, &format!("tcp:127.0.0.1:{}", ports::free()));
    options["state-file"] = "none".into();
    started(ground, options)
}

fn by_weights_without_a_file() -> OnHaProxy {
    let ground = Ground::new();
    let options = json!({
        "address": format!("127.0.0.1:{}", ports::free()),
        "backend": "shop",
        "servers": {"green": "g2"},
        "state-file": "none",
    });
    started(ground, options)
}

#[test]
fn what_a_change_costs_is_told() {
    assert_eq!(by_map().router.known_loss(), None);
    for (made, words) in [
        (by_map_without_its_file(), &["reload"][..]),
        (by_weights(), &["compare-and-swap"]),
        (
            by_weights_without_a_file(),
            &["compare-and-swap", "state-file"],
        ),
    ] {
        let said = made.router.known_loss().unwrap();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
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
            let changes = [
                change(&from, split(10 + round)),
                change(&from, split(60 + round)),
            ];
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
