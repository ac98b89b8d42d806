//! A real HAProxy as a counter, in both forms, in front of real servers.

use serde_json::{Value, json};

use cutover::routers::Router;

use super::{OfRouter, ask, tally, until_at};
use crate::seams::routers_haproxy::{map_options, router_of};
use crate::world::backend::Backend;
use crate::world::haproxy::{Ground, HaProxy};

pub(super) struct On {
    pub(super) router: Box<dyn Router>,
    pub(super) haproxy: HaProxy,
    pub(super) front: String,
    pub(super) slots: [Backend; 2],
}

pub(super) async fn on(options: impl Fn(&Ground) -> Value) -> On {
    let slots = [Backend::start().await, Backend::start().await];
    let ground = Ground::new();
    std::fs::write(ground.path("w.map"), "green_weight 0\n").unwrap();
    let urls = [slots[0].url(), slots[1].url()];
    let router = router_of(&ground, options(&ground), urls).unwrap();
    let front = format!("http://127.0.0.1:{}", ground.front);
    let haproxy = ground.start(&router.one_time_lines());
    On {
        router,
        haproxy,
        front,
        slots,
    }
}

async fn counts(on: &On, to_green: &str) {
    // The test's own look at the port is an answer too, so counting begins here.
    on.haproxy.cli("clear counters all");
    let counter = OfRouter(tally(on.router.as_ref()));
    until_at(&counter, [0.0, 0.0], [0.0, 0.0]).await;
    ask(&on.front, "/", 7).await;
    ask(&on.front, "/fail", 2).await;
    let before = until_at(&counter, [9.0, 2.0], [0.0, 0.0]).await;
    on.haproxy.cli(to_green);
    ask(&on.front, "/", 5).await;
    ask(&on.front, "/fail", 1).await;
    // No answer at all: HAProxy says 502 in the server's place.
    ask(&on.front, "/drop", 3).await;
    let after = until_at(&counter, [9.0, 2.0], [9.0, 4.0]).await;
    let both = after.since(&before).unwrap();
    assert_eq!((both.first.requests, both.second.requests), (0.0, 9.0));
    assert!(after.second.buckets.is_empty() && after.second.p95.is_none());
    assert!(
        counter
            .0
            .told()
            .ends_with("counts requests and errors and no latency")
    );

    on.haproxy.reload();
    ask(&on.front, "/", 1).await;
    let anew = counter.0.stand().await.unwrap();
    assert_eq!(anew.since(&after), None);
}

#[tokio::test]
async fn the_backends_of_a_map_are_counted() {
    let on = on(|ground| map_options(ground, &ground.text_path("a.sock"))).await;
    let map = on.haproxy.ground.text_path("w.map");
    counts(&on, &format!("set map {map} green_weight 100")).await;
}

#[tokio::test]
async fn the_servers_of_a_backend_are_counted() {
    let on = on(|ground| json!({ "address": ground.text_path("a.sock"), "backend": "shop" })).await;
    counts(
        &on,
        "set server shop/green weight 100; set server shop/blue weight 0",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_gone_fails_its_requests() {
    let mut on =
        on(|ground| json!({ "address": ground.text_path("a.sock"), "backend": "shop" })).await;
    on.haproxy
        .cli("set server shop/green weight 100; set server shop/blue weight 0");
    on.haproxy
        .cli("set server shop/green addr 127.0.0.1 port 1");
    on.haproxy.cli("clear counters all");
    let counter = OfRouter(tally(on.router.as_ref()));
    ask(&on.front, "/", 2).await;
    until_at(&counter, [0.0, 0.0], [2.0, 2.0]).await;
    on.haproxy.stop();
    let gone = counter.0.stand().await.unwrap_err().to_string();
    assert!(gone.contains("out of reach"), "{gone}");
}

#[tokio::test]
async fn a_backend_that_is_not_there_is_named() {
    let on = on(|ground| map_options(ground, &ground.text_path("a.sock"))).await;
    let mut options = map_options(&on.haproxy.ground, &on.haproxy.ground.text_path("a.sock"));
    options["backends"] = json!({ "green": "be_green" });
    let urls = ["http://a", "http://b"].map(ToOwned::to_owned);
    let other = router_of(&on.haproxy.ground, options, urls).unwrap();
    let said = tally(other.as_ref()).stand().await.unwrap_err().to_string();
    assert!(
        said.contains("HAProxy has no be_green to count for") && said.contains("`backends`"),
        "{said}"
    );
}
