//! Caddy: its fixtures for the contract, its options, and what users see of its switches.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use async_trait::async_trait;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::routers::{Router, Tools};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, moved, routed, split};
use crate::world::caddy::{Caddy, Site};
use crate::world::load::Load;
use crate::world::nginx::Nginx;
use crate::world::patience::until;
use crate::world::shop;

pub(super) fn plugs() -> Vec<Plug> {
    vec![
        Plug {
            kind: "caddy",
            form: "flags",
            set_up: || Box::pin(async { Box::new(OnCaddy::flags()) as Box<dyn Fixture> }),
        },
        Plug {
            kind: "caddy",
            form: "handler",
            set_up: || Box::pin(async { Box::new(OnCaddy::handler()) as Box<dyn Fixture> }),
        },
    ]
}

/// A router on a real Caddy that was configured with the lines it prints.
pub(super) struct OnCaddy {
    pub(super) slots: Nginx,
    pub(super) caddy: Caddy,
    pub(super) block: Value,
}

pub(super) fn tools(slots: &Nginx) -> Tools {
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        vault: Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "test".to_owned(),
        slots: slots.site.slots(),
        directory: slots.site.directory().to_owned(),
    }
}

/// The JSON in the one-time lines.
pub(crate) fn json_in(lines: &str) -> Value {
    let (from, to) = (lines.find('{').unwrap(), lines.rfind('}').unwrap());
    serde_json::from_str(&lines[from..=to]).unwrap()
}

impl OnCaddy {
    pub(super) fn flags() -> Self {
        let slots = shop::slots();
        let block = json!({ "kind": "caddy", "flags": "flags", "weights": [25, 60] });
        let router = routed(block.clone(), &tools(&slots)).unwrap();
        let lines = router.one_time_lines();
        let (site, host) = lines.split_once("# 2. ").unwrap();
        let command = host.lines().last().unwrap().trim_start_matches('#');
        let made = Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(made.success(), "{command}");
        let caddy = Caddy::start(|place| place.caddyfile(site));
        Self {
            slots,
            caddy,
            block,
        }
    }

    pub(super) fn handler() -> Self {
        Self::with(|handler| handler)
    }

    /// By the admin API, with a handler that is not quite the one that is printed.
    pub(super) fn with(change: impl Fn(Value) -> Value) -> Self {
        let slots = shop::slots();
        let block = |site: &Site| {
            let admin = format!("http://127.0.0.1:{}", site.admin);
            json!({ "kind": "caddy", "handler": "live", "admin": admin })
        };
        let caddy = Caddy::start(|site| {
            let router = routed(block(site), &tools(&slots)).unwrap();
            site.json(&change(json_in(&router.one_time_lines())))
        });
        let block = block(&caddy.site);
        Self {
            slots,
            caddy,
            block,
        }
    }

    /// A router with another option.
    pub(super) fn router_with(&self, key: &str, value: &str) -> Box<dyn Router> {
        let mut block = self.block.clone();
        block[key] = value.into();
        routed(block, &tools(&self.slots)).unwrap()
    }
}

#[async_trait]
impl Fixture for OnCaddy {
    fn router(&self) -> Box<dyn Router> {
        routed(self.block.clone(), &tools(&self.slots)).unwrap()
    }

    fn state(&self) -> String {
        if self.block.get("flags").is_none() {
            return self.caddy.config("/id/live");
        }
        let entries = fs::read_dir(self.slots.site.path("flags")).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
        names.sort();
        format!("{names:?}")
    }

    fn between(&self) -> Vec<u8> {
        vec![25, 60]
    }

    fn impossible(&self) -> Option<u8> {
        self.block.get("flags").map(|_| 10)
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        Some(self.caddy.answers(times).await)
    }
}

#[test]
fn mixtures_and_halves_are_refused_with_what_to_do() {
    let slots = shop::slots();
    for (block, word) in [
        (json!({}), "is missing"),
        (json!({ "flags": "f", "handler": "live" }), "keep one"),
        (json!({ "flags": "f", "admin": "h" }), "no address"),
        (
            json!({ "handler": "live", "weights": [5] }),
            "`weights` goes with `flags`",
        ),
        (
            json!({ "flags": "f", "weights": [101] }),
            "101 is not a weight",
        ),
        (json!({ "flags": "f{x}" }), "choose one without"),
        (json!({ "flags": "f*" }), "choose one without"),
        (json!({ "handler": "a b" }), "neither an `@id`"),
        (json!({ "handler": "/" }), "neither an `@id`"),
        (json!({ "handler": "live", "admin": "h" }), "no address"),
        (
            json!({ "handler": "live", "admin": "unix:x" }),
            "no address",
        ),
        (
            json!({ "handler": "live", "upstreams": { "red": "h:1" } }),
            "no slot \"red\"",
        ),
        (
            json!({ "handler": "live", "upstreams": { "blue": "h:1", "green": "h:1" } }),
            "would dial h:1 for both",
        ),
        (
            json!({ "handler": "live", "upstreams": { "blue": "nope:99999999" } }),
            "nothing that Caddy can dial",
        ),
        (
            json!({ "flags": "f", "upstreams": { "blue": "http://h:1" } }),
            "nothing that Caddy can dial",
        ),
    ] {
        let mut block = block;
        block["kind"] = "caddy".into();
        let said = routed(block, &tools(&slots)).err().unwrap();
        assert!(said.contains(word), "{said}");
    }
}

#[tokio::test]
async fn what_caddy_dials_can_be_said_and_caddy_takes_the_lines_of_any_slot() {
    let slots = shop::slots();
    let mut tools = tools(&slots);
    tools.slots.first.url = "https://b.example".parse().unwrap();
    tools.slots.second.url = "https://[::1]:8443/x".parse().unwrap();
    for block in [
        json!({ "kind": "caddy", "flags": "f", "weights": [] }),
        json!({ "kind": "caddy", "flags": "f g", "upstreams": { "blue": "unix//run/b.sock" } }),
        json!({ "kind": "caddy", "handler": "live" }),
        json!({ "kind": "caddy", "handler": "/apps/http/servers/shop/routes/0/handle/0" }),
    ] {
        let router = routed(block.clone(), &tools).unwrap();
        let lines = router.one_time_lines();
        let caddy = Caddy::start(|site| match block.get("flags") {
            Some(_) => site.caddyfile(lines.split_once("# 2. ").unwrap().0),
            None => site.json(&json_in(&lines)),
        });
        let config = caddy.config("/config/");
        for dialled in ["b.example:443", "[::1]:8443"] {
            let socket = dialled == "b.example:443" && block.get("upstreams").is_some();
            let dialled = if socket { "unix//run/b.sock" } else { dialled };
            let first_only = block.get("handler").is_some() && dialled.starts_with('[');
            assert!(first_only || config.contains(dialled), "{config}");
        }
        assert!(config.contains("\"tls\""), "{config}");
    }
}

#[tokio::test]
async fn a_ladder_and_the_way_back_by_two_hundred_answers_a_rung() {
    for on in [OnCaddy::flags(), OnCaddy::handler()] {
        let mut block = on.block.clone();
        if block.get("flags").is_some() {
            // The lines that Caddy has are those of this list.
            block["weights"] = json!([25, 60]);
        }
        let ladder: &[u8] = match block.get("flags") {
            Some(_) => &[25, 60, 100, 60, 25, 0],
            None => &[10, 25, 50, 75, 100, 75, 50, 25, 10, 0],
        };
        let router = routed(block, &tools(&on.slots)).unwrap();
        for percent in ladder {
            moved(router.as_ref(), split(*percent)).await;
            let answers = on.caddy.answers(200).await;
            let green = answers.get("green").copied().unwrap_or(0);
            println!("{green} answers of 200 from green at {percent} %");
            // Caddy takes turns; it is exact but for where a turn was cut.
            assert!(green.abs_diff(2 * usize::from(*percent)) <= 2, "{green}");
        }
    }
}

/// Ten switches under load, each with a thousand requests; how many failed, of how many.
async fn switches_under_load(on: &OnCaddy) -> (u64, u64) {
    let router = on.router();
    let load = Load::on(on.caddy.site.port, 4);
    for percent in [25, 60, 100, 60, 25, 0, 100, 0, 100, 0] {
        let sent = load.sent();
        moved(router.as_ref(), split(percent)).await;
        until("users are served", || load.sent() >= sent + 1000).await;
    }
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed in 10 switches: {why}");
    (failed, sent)
}

#[tokio::test]
async fn no_request_is_lost_while_a_flag_moves() {
    let on = OnCaddy::flags();
    assert!(on.router().known_loss().is_none());
    let (failed, sent) = switches_under_load(&on).await;
    assert_eq!(failed, 0, "of {sent}");
}

/// What a change by the admin API costs is Caddy's; what is held is that it is told, and that it
/// is never more than the requests that are on their way: one for each connection.
#[tokio::test]
async fn a_change_by_the_admin_api_loses_no_more_than_is_told() {
    let on = OnCaddy::handler();
    let told = on.router().known_loss().unwrap();
    assert!(
        told.contains("can lose requests") && told.contains("WebSockets"),
        "{told}"
    );
    let (failed, sent) = switches_under_load(&on).await;
    assert!(failed <= 4 * 10, "{failed} of {sent}");
}
