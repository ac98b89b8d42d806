//! Testers on real proxies: who names a slot gets it at any weight, nobody else does, and how
//! everybody else is divided does not depend on it. What reached a slot is what it counted itself.

use std::time::Duration;

use cutover::judge::share::{ANSWERS, fits};
use cutover::platform::http::{Http, Look};
use cutover::routers::{Router, Sent, Tools};
use serde_json::{Value, json};

use super::{of_caddy, of_haproxy, of_nginx};
use crate::seams::routers::{moved, routed, split};
use crate::seams::routers_caddy::json_in;
use crate::seams::routers_haproxy::{map_options, tools_at};
use crate::world::backend::Backend;
use crate::world::caddy::{Caddy, Site};
use crate::world::watchers::Place;

/// Asks so often with these headers; says how many reached each slot.
async fn reached(
    front: &str,
    slots: &[Backend; 2],
    headers: &[(&str, &str)],
    times: u64,
) -> [u64; 2] {
    let counted = || [slots[0].counted().0, slots[1].counted().0];
    let before = counted();
    let mut look = Look::at(front.parse().unwrap(), Duration::from_secs(10));
    for (name, value) in headers {
        look = look.with(name, value);
    }
    let http = Http::default();
    for _ in 0..times {
        assert_eq!(http.look(&look).await.unwrap().status, 200);
    }
    let after = counted();
    [after[0] - before[0], after[1] - before[1]]
}

/// The block with testers by both ways.
fn with_testers(mut block: Value) -> Value {
    block["testers"] = json!({ "header": "X-Slot", "cookie": "slot" });
    block
}

async fn lead(front: &str, router: &dyn Router, slots: &[Backend; 2]) {
    let ways = router.testers().unwrap().ways();
    assert_eq!(ways, [Sent::Header("X-Slot"), Sent::Cookie("slot")]);
    let green: &[(&str, &str)] = &[("x-slot", "green")];
    let by_cookie: &[(&str, &str)] = &[("cookie", "a=slot; slot=green; b=1")];
    let both: &[(&str, &str)] = &[("x-slot", "blue"), ("cookie", "slot=green")];
    let strange: &[(&str, &str)] = &[("x-slot", "red"), ("cookie", "slots=green; myslot=green")];
    for (percent, users) in [(0, [20, 0]), (100, [0, 20]), (0, [20, 0])] {
        if router.read().await.unwrap().split != split(percent) {
            moved(router, split(percent)).await;
        }
        let before = router.read().await.unwrap();
        assert_eq!(reached(front, slots, &[], 20).await, users, "{percent} %");
        assert_eq!(reached(front, slots, green, 5).await, [0, 5], "{percent} %");
        assert_eq!(reached(front, slots, by_cookie, 5).await, [0, 5]);
        assert_eq!(reached(front, slots, both, 5).await, [5, 0]);
        assert_eq!(reached(front, slots, strange, 20).await, users);
        assert_eq!(reached(front, slots, &[], 20).await, users);
        assert_eq!(router.read().await.unwrap(), before);
    }
    moved(router, split(25)).await;
    assert_eq!(reached(front, slots, both, 20).await, [20, 0]);
    assert_eq!(reached(front, slots, green, 20).await, [0, 20]);
    let [_, to_green] = reached(front, slots, &[], u64::from(ANSWERS)).await;
    let share = split(25).second;
    assert!(
        fits(share, u32::try_from(to_green).unwrap(), ANSWERS),
        "{to_green} of {ANSWERS} at 25 %"
    );
}

#[tokio::test]
async fn nginx_by_flags_leads_them() {
    let block = |_: &_| with_testers(json!({ "kind": "nginx", "flags": "flags" }));
    let (nginx, router, slots) = of_nginx::on(block).await;
    let front = nginx.site.url("").to_string();
    lead(&front, router.as_ref(), &slots).await;
}

#[tokio::test]
async fn nginx_by_an_include_leads_them() {
    let (nginx, router, slots) = of_nginx::on(|site| {
        with_testers(json!({
            "kind": "nginx", "include": "live.conf",
            "test": site.command("-t -q"), "reload": site.command("-s reload"),
            "generation-url": site.url("/__slot"),
        }))
    })
    .await;
    let front = nginx.site.url("").to_string();
    lead(&front, router.as_ref(), &slots).await;
}

#[tokio::test]
async fn haproxy_by_a_map_leads_them() {
    let options = |ground: &_| with_testers(map_options(ground, &ground.text_path("a.sock")));
    let on = of_haproxy::on(options).await;
    lead(&on.front, on.router.as_ref(), &on.slots).await;
}

#[tokio::test]
async fn haproxy_by_weights_leads_them() {
    let on = of_haproxy::on(|ground| {
        with_testers(json!({ "address": ground.text_path("a.sock"), "backend": "shop" }))
    })
    .await;
    lead(&on.front, on.router.as_ref(), &on.slots).await;
}

#[tokio::test]
async fn caddy_by_flags_leads_them() {
    let block = |_: &Site| with_testers(json!({ "kind": "caddy", "flags": "flags" }));
    let lines = |lines: &str| lines.split_once("# 2. ").unwrap().0.to_owned();
    let (caddy, router, slots) = of_caddy::on(block, lines).await;
    let front = format!("http://127.0.0.1:{}", caddy.site.port);
    lead(&front, router.as_ref(), &slots).await;
}

#[tokio::test]
async fn caddy_by_a_handler_leads_them() {
    let slots = [Backend::start().await, Backend::start().await];
    let with = |site: &Site| {
        let admin = format!("http://127.0.0.1:{}", site.admin);
        let block = json!({ "kind": "caddy", "handler": "live", "admin": admin });
        let tools = tools_at(site.directory(), [slots[0].url(), slots[1].url()]);
        routed(with_testers(block), &tools).unwrap()
    };
    let caddy = Caddy::start(|site| {
        let lines = with(site).one_time_lines();
        site.json(&json_in(lines.split_once("# 2. ").unwrap().0))
    });
    let router = with(&caddy.site);
    let lines = router.one_time_lines();
    let (_, routes) = lines.split_once("# For testers").unwrap();
    let (_, routes) = routes.split_once(".\n").unwrap();
    let routes: Vec<Value> = serde_json::from_str(routes).unwrap();
    assert_eq!(routes.len(), 4);
    for route in routes.iter().rev() {
        caddy.change("PUT", "/config/apps/http/servers/shop/routes/0", route);
    }
    let front = format!("http://127.0.0.1:{}", caddy.site.port);
    lead(&front, router.as_ref(), &slots).await;
}

async fn on_a_watcher(block: impl Fn(&Place) -> Value, is_traefik: bool) {
    let slots = [Backend::start().await, Backend::start().await];
    let place = Place::new();
    let tools: Tools = tools_at(place.directory(), [slots[0].url(), slots[1].url()]);
    let router = routed(with_testers(block(&place)), &tools).unwrap();
    let front = format!("http://127.0.0.1:{}", place.front);
    let lines = router.one_time_lines();
    // The servers answer from this thread while it is waited for.
    let started = tokio::task::spawn_blocking(move || match is_traefik {
        true => place.traefik(&lines, "0s"),
        false => place.envoy(&lines),
    });
    let _proxy = started.await.unwrap();
    lead(&front, router.as_ref(), &slots).await;
}

#[tokio::test]
async fn traefik_leads_them() {
    let block = |place: &Place| json!({ "kind": "traefik", "file": "watched/live.yml", "api": place.admin_url() });
    on_a_watcher(block, true).await;
}

#[tokio::test]
async fn envoy_leads_them() {
    let block = |place: &Place| json!({ "kind": "envoy", "file": "watched/live.json", "admin": place.admin_url() });
    on_a_watcher(block, false).await;
}

/// Who cannot lead them says so.
#[test]
fn a_router_without_lines_of_its_own_knows_no_testers() {
    let tools = tools_at(
        std::path::Path::new("/tmp"),
        ["http://b.test".to_owned(), "http://g.test".to_owned()],
    );
    for block in [
        json!({ "kind": "pointer", "path": "live" }),
        json!({ "kind": "http", "url": "http://w.test" }),
    ] {
        let said = routed(with_testers(block), &tools).err().unwrap();
        assert!(said.contains("testers"), "{said}");
    }
}

/// Whichever node a tester comes by, the way is the same.
#[test]
fn all_nodes_of_a_fleet_lead_them_or_none_does() {
    let tools = tools_at(
        std::path::Path::new("/tmp"),
        ["http://b.test".to_owned(), "http://g.test".to_owned()],
    );
    let node = || json!({ "kind": "haproxy", "address": "/a.sock", "map": "/w.map", "key": "w" });
    let fleet = |one: Value, other: Value| {
        routed(
            json!({ "kind": "fleet", "nodes": { "lb1": one, "lb2": other } }),
            &tools,
        )
    };
    let all = fleet(with_testers(node()), with_testers(node())).unwrap();
    assert_eq!(all.testers().unwrap().ways().len(), 2);
    assert!(fleet(node(), node()).unwrap().testers().is_none());
    let said = fleet(node(), with_testers(node())).err().unwrap();
    assert!(said.contains("`testers` is not the same"), "{said}");
}
