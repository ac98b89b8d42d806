//! A real Caddy's access log as a counter, in both forms, with the lines that it is told to have.

use std::fs;

use cutover::routers::Router;
use serde_json::{Value, json};

use super::afar::Afar;
use super::{OfRouter, ask, tally, until_at};
use crate::seams::routers::{moved, routed, split};
use crate::seams::routers_haproxy::tools_at;
use crate::world::backend::Backend;
use crate::world::caddy::{Caddy, Site};

/// A Caddy in front of two servers that count, with the lines of a block.
pub(super) async fn on(
    block: impl Fn(&Site) -> Value,
    site_lines: impl Fn(&str) -> String,
) -> (Caddy, Box<dyn Router>, [Backend; 2]) {
    let slots = [Backend::start().await, Backend::start().await];
    let with = |site: &Site| {
        let tools = tools_at(site.directory(), [slots[0].url(), slots[1].url()]);
        routed(block(site), &tools).unwrap()
    };
    let caddy = Caddy::start(|site| {
        let _ = fs::create_dir(site.path("flags"));
        fs::write(site.path("flags/w0"), "").unwrap();
        site.caddyfile(&site_lines(&with(site).one_time_lines()))
    });
    let router = with(&caddy.site);
    (caddy, router, slots)
}

async fn counts(caddy: &Caddy, router: &dyn Router, slots: [Backend; 2]) {
    let front = format!("http://127.0.0.1:{}", caddy.site.port);
    ask(&front, "/", 3).await;
    let counter = OfRouter(tally(router));
    // What was before the first look is the past.
    until_at(&counter, [0.0, 0.0], [0.0, 0.0]).await;
    ask(&front, "/", 8).await;
    ask(&front, "/fail", 2).await;
    ask(&front, "/slow", 1).await;
    let now = until_at(&counter, [11.0, 2.0], [0.0, 0.0]).await;
    let by = |edge: f64| {
        let found = now.first.buckets.iter().find(|(it, _)| *it >= edge);
        found.unwrap().1
    };
    assert!(by(0.14) < 11.0 && by(2.5) <= 11.0, "{now:?}");
    moved(router, split(100)).await;
    ask(&front, "/", 4).await;
    ask(&front, "/drop", 2).await;
    until_at(&counter, [11.0, 2.0], [6.0, 2.0]).await;
    // Every request reached the slot that the log says.
    assert_eq!((slots[0].counted(), slots[1].counted()), ((14, 2), (4, 0)));
    // Nobody is there.
    let [_blue, green] = slots;
    drop(green);
    ask(&front, "/", 3).await;
    until_at(&counter, [11.0, 2.0], [9.0, 5.0]).await;
    let log = fs::read_to_string(caddy.site.path("slots.log")).unwrap();
    assert!(!log.contains("headers"), "{log}");
}

fn flags(_: &Site) -> Value {
    json!({ "kind": "caddy", "flags": "flags", "access-log": "slots.log" })
}

fn lines_of_flags(lines: &str) -> String {
    lines.split_once("# 2. ").unwrap().0.to_owned()
}

#[tokio::test]
async fn each_line_is_a_request_by_flags() {
    let (caddy, router, slots) = on(flags, lines_of_flags).await;
    counts(&caddy, router.as_ref(), slots).await;
}

/// The flag is moved over there, too.
#[tokio::test]
async fn so_it_is_on_a_host_over_one_shell() {
    let (caddy, _, slots) = on(flags, lines_of_flags).await;
    let afar = Afar::with(caddy.site.directory());
    let tools = tools_at(caddy.site.directory(), [slots[0].url(), slots[1].url()]);
    let router = afar.router(flags(&caddy.site), tools);
    counts(&caddy, router.as_ref(), slots).await;
    assert!(caddy.site.path("flags/w100").exists());
    assert!(
        router.told().ends_with("/flags on web1"),
        "{}",
        router.told()
    );
    assert_eq!(afar.sessions(), 1, "{}", afar.sshd.log());
}

#[tokio::test]
async fn and_by_a_handler() {
    let block = |site: &Site| {
        json!({
            "kind": "caddy", "handler": "/apps/http/servers/srv0/routes/0/handle/1",
            "admin": format!("http://127.0.0.1:{}", site.admin), "access-log": "slots.log",
        })
    };
    let lines = |lines: &str| {
        let (handler, log) = lines.split_once("# For `access-log`").unwrap();
        let handler = crate::seams::routers_caddy::json_in(handler);
        let dial = handler["upstreams"][0]["dial"].as_str().unwrap();
        format!("# {log}\nreverse_proxy {dial}\n")
    };
    let (caddy, router, slots) = on(block, lines).await;
    counts(&caddy, router.as_ref(), slots).await;
}
