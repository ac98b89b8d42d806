//! How many requests a slot has in flight, as the routers say that know it: real ones, with requests
//! that are not answered. What cannot be known is not none.

use std::time::{Duration, Instant};

use cutover::model::slot::Side;
use cutover::platform::http::{Http, Look};
use cutover::routers::{InFlight, Router};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::seams::routers::{moved, routed, split};
use crate::seams::routers_haproxy::{map_options, router_of, tools_at};
use crate::world::backend::Backend;
use crate::world::haproxy::Ground;
use crate::world::patience::PATIENCE;
use crate::world::watchers::Place;

/// Waits until both slots have so many; what is begun or ended may take a moment to be seen.
async fn until(router: &dyn Router, first: u64, second: u64) {
    let began = Instant::now();
    loop {
        let now = [
            router.in_flight(Side::First).await,
            router.in_flight(Side::Second).await,
        ];
        if now == [InFlight::Requests(first), InFlight::Requests(second)] {
            return;
        }
        let long = began.elapsed() > PATIENCE;
        assert!(!long, "{first} and {second} are wanted: {now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks so often for what is never answered. Who asks goes away with what is returned.
fn hanging(front: &str, times: usize) -> JoinSet<()> {
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let url = format!("{front}/hang").parse().unwrap();
        asking.spawn(async move {
            let look = Look::at(url, Duration::from_secs(600));
            let _ = Http::default().look(&look).await;
        });
    }
    asking
}

async fn both_slots_are_told_apart(router: &dyn Router, front: &str) {
    until(router, 0, 0).await;
    let on_blue = hanging(front, 3);
    until(router, 3, 0).await;
    moved(router, split(100)).await;
    until(router, 3, 0).await;
    let on_green = hanging(front, 2);
    until(router, 3, 2).await;
    drop(on_blue);
    until(router, 0, 2).await;
    drop(on_green);
    until(router, 0, 0).await;
}

async fn unknown(router: &dyn Router, word: &str) {
    let InFlight::Unknown(said) = router.in_flight(Side::Second).await else {
        panic!("{} says that it knows", router.told());
    };
    assert!(said.contains(word), "{said}");
}

async fn of_haproxy(options: impl Fn(&Ground) -> Value, wrong: (&str, Value)) {
    let slots = [Backend::start().await, Backend::start().await];
    let ground = Ground::new();
    std::fs::write(ground.path("w.map"), "green_weight 0\n").unwrap();
    let urls = || [slots[0].url(), slots[1].url()];
    let router = router_of(&ground, options(&ground), urls()).unwrap();
    let front = format!("http://127.0.0.1:{}", ground.front);
    let mut haproxy = ground.start(&router.one_time_lines());
    both_slots_are_told_apart(router.as_ref(), &front).await;
    let mut options = options(&haproxy.ground);
    options[wrong.0] = wrong.1;
    let other = router_of(&haproxy.ground, options, urls()).unwrap();
    unknown(other.as_ref(), "elsewhere").await;
    haproxy.stop();
    unknown(router.as_ref(), "out of reach").await;
}

#[tokio::test]
async fn the_backends_of_a_haproxy_map() {
    let options = |ground: &Ground| map_options(ground, &ground.text_path("a.sock"));
    of_haproxy(options, ("backends", json!({ "green": "elsewhere" }))).await;
}

#[tokio::test]
async fn the_servers_of_a_haproxy_backend() {
    let options =
        |ground: &Ground| json!({ "address": ground.text_path("a.sock"), "backend": "shop" });
    of_haproxy(options, ("servers", json!({ "green": "elsewhere" }))).await;
}

#[tokio::test]
async fn the_clusters_of_an_envoy() {
    let slots = [Backend::start().await, Backend::start().await];
    let place = Place::new();
    let tools = tools_at(place.directory(), [slots[0].url(), slots[1].url()]);
    let block = json!({ "kind": "envoy", "file": "watched/live.json", "admin": place.admin_url() });
    let router = routed(block.clone(), &tools).unwrap();
    let front = format!("http://127.0.0.1:{}", place.front);
    let lines = router.one_time_lines();
    // The servers answer from this thread while it is waited for.
    let envoy = tokio::task::spawn_blocking(move || place.envoy(&lines));
    let envoy = envoy.await.unwrap();
    both_slots_are_told_apart(router.as_ref(), &front).await;
    let mut other = block;
    other["clusters"] = json!({ "green": "elsewhere" });
    unknown(routed(other, &tools).unwrap().as_ref(), "elsewhere").await;
    drop(envoy);
    unknown(router.as_ref(), "does not answer").await;
}

/// As long as this holds, Traefik cannot be drained by what it says of itself.
#[tokio::test]
async fn traefik_knows_it_of_its_entry_points_alone() {
    let slots = [Backend::start().await, Backend::start().await];
    let place = Place::new();
    let tools = tools_at(place.directory(), slots.each_ref().map(Backend::url));
    let metrics = format!("{}/metrics", place.admin_url());
    let block = json!({
        "kind": "traefik", "file": "watched/live.yml", "api": place.admin_url(), "metrics": metrics,
    });
    let router = routed(block, &tools).unwrap();
    let front = format!("http://127.0.0.1:{}", place.front);
    let lines = router.one_time_lines();
    // The servers answer from this thread while it is waited for.
    let traefik = tokio::task::spawn_blocking(move || place.traefik(&lines, "0s"));
    let _traefik = traefik.await.unwrap();
    let _on_blue = hanging(&front, 3);
    let began = Instant::now();
    let said = loop {
        let look = Look::at(metrics.parse().unwrap(), Duration::from_secs(5));
        let said = Http::default()
            .look(&look)
            .await
            .unwrap()
            .text()
            .into_owned();
        let web = "traefik_open_connections{entrypoint=\"web\"";
        let open = said.lines().find(|line| line.starts_with(web));
        let open = open.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        if open.is_some_and(|open| open >= 3) {
            break said;
        }
        assert!(began.elapsed() < PATIENCE, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let gauges = said
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE traefik_"));
    let gauges: Vec<&str> = gauges
        .filter_map(|line| line.strip_suffix(" gauge"))
        .collect();
    assert_eq!(
        gauges,
        ["config_last_reload_success", "open_connections"],
        "{said}"
    );
    let InFlight::NotCounted(why) = router.in_flight(Side::First).await else {
        panic!("it says that it knows");
    };
    assert!(why.contains("by entry point"), "{why}");
}
