//! A real Traefik as a counter, in front of real servers.

use cutover::routers::{Counting, Tools};
use serde_json::json;

use super::{OfRouter, ask, tally, until_at};
use crate::seams::routers::{moved, routed, split};
use crate::seams::routers_haproxy::tools_at;
use crate::world::backend::Backend;
use crate::world::watchers::Place;

#[tokio::test]
async fn the_services_are_counted() {
    let [blue, green] = [Backend::start().await, Backend::start().await];
    let place = Place::new();
    let tools: Tools = tools_at(place.directory(), [blue.url(), green.url()]);
    let mut block =
        json!({ "kind": "traefik", "file": "watched/live.yml", "api": place.admin_url() });
    let without = routed(block.clone(), &tools).unwrap();
    assert!(matches!(without.counting(), Counting::Not(why) if why.contains("`metrics:`")));
    block["metrics"] = json!(format!("{}/metrics", place.admin_url()));
    let router = routed(block.clone(), &tools).unwrap();
    let front = format!("http://127.0.0.1:{}", place.front);
    let lines = router.one_time_lines();
    // The servers answer from this thread while it is waited for.
    let traefik = tokio::task::spawn_blocking(move || place.traefik(&lines, "0s"));
    let mut traefik = traefik.await.unwrap();
    let counter = OfRouter(tally(router.as_ref()));
    // The test's own look at the port is an answer, too.
    let begun = counter.0.stand().await.unwrap();
    let so_far = begun.first.requests;

    ask(&front, "/", 7).await;
    ask(&front, "/slow", 1).await;
    ask(&front, "/fail", 2).await;
    let first = [so_far + 10.0, 2.0];
    let stand = until_at(&counter, first, [0.0, 0.0]).await;
    // The other slot is counted by the same edges, so that its first request is the next interval's.
    assert_eq!(stand.second.buckets.len(), stand.first.buckets.len());
    let quick = |stand: &cutover::model::arms::Counters, edge: f64| {
        stand.buckets.iter().find(|it| it.0 == edge).unwrap().1
    };
    // Of a machine that does much else the quick ones may be slow, and the slow one never quick.
    assert!(quick(&stand.first, 0.1) < first[0], "{stand:?}");
    assert!(quick(&stand.first, 5.0) <= first[0]);
    // A reload of the file in between takes nothing away.
    moved(router.as_ref(), split(100)).await;
    ask(&front, "/", 5).await;
    ask(&front, "/fail", 1).await;
    until_at(&counter, first, [6.0, 1.0]).await;
    // Nobody is there: Traefik says 502 in the server's place.
    drop(green);
    ask(&front, "/", 3).await;
    let after = until_at(&counter, first, [9.0, 4.0]).await;
    let since = after.since(&stand).unwrap();
    assert_eq!((since.first.requests, since.second.errors), (0.0, 4.0));

    // Begun anew: what is counted then is of another life.
    moved(router.as_ref(), split(0)).await;
    let again = tokio::task::spawn_blocking(move || {
        traefik.begin_anew();
        traefik
    });
    let traefik = again.await.unwrap();
    let anew = counter.0.stand().await.unwrap();
    assert_eq!(anew.since(&after), None, "{anew:?}");

    block["metrics"] = json!(format!("http://127.0.0.1:{}/", blue.port));
    let stranger = routed(block, &tools).unwrap();
    let said = tally(stranger.as_ref())
        .stand()
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("not those of a Traefik"), "{said}");
    drop(traefik);
    let gone = counter.0.stand().await.unwrap_err().to_string();
    assert!(gone.contains("out of reach"), "{gone}");
}
