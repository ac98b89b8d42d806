//! A real Envoy as a counter, in front of real servers.

use cutover::routers::Tools;
use serde_json::json;

use super::{OfRouter, ask, tally, until_at};
use crate::seams::routers::{moved, routed, split};
use crate::seams::routers_haproxy::tools_at;
use crate::world::backend::Backend;
use crate::world::watchers::Place;

#[tokio::test]
async fn the_clusters_are_counted() {
    let slots = [Backend::start().await, Backend::start().await];
    let place = Place::new();
    let tools: Tools = tools_at(place.directory(), [slots[0].url(), slots[1].url()]);
    let block = json!({ "kind": "envoy", "file": "watched/live.json", "admin": place.admin_url() });
    let router = routed(block.clone(), &tools).unwrap();
    let front = format!("http://127.0.0.1:{}", place.front);
    let lines = router.one_time_lines();
    // The servers answer from this thread while it is waited for.
    let envoy = tokio::task::spawn_blocking(move || place.envoy(&lines));
    let envoy = envoy.await.unwrap();
    let counter = OfRouter(tally(router.as_ref()));
    // The test's own look at the port is an answer, too.
    let begun = counter.0.stand().await.unwrap();
    let [so_far, failed] = [begun.first.requests, begun.first.errors];

    ask(&front, "/", 7).await;
    ask(&front, "/fail", 2).await;
    let first = [so_far + 9.0, failed + 2.0];
    until_at(&counter, first, [0.0, 0.0]).await;
    moved(router.as_ref(), split(100)).await;
    ask(&front, "/", 5).await;
    ask(&front, "/fail", 1).await;
    // No answer at all: Envoy says 503 in the server's place.
    ask(&front, "/drop", 3).await;
    let after = until_at(&counter, first, [9.0, 4.0]).await;
    assert!(after.second.buckets.is_empty() && after.second.p95.is_none());

    let mut other = block;
    other["clusters"] = json!({ "green": "be_green" });
    let other = routed(other, &tools).unwrap();
    let said = tally(other.as_ref()).stand().await.unwrap_err().to_string();
    assert!(said.contains("no cluster be_green to count for"), "{said}");
    drop(envoy);
    let gone = counter.0.stand().await.unwrap_err().to_string();
    assert!(gone.contains("out of reach"), "{gone}");
}
