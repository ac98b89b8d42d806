//! Our own requests as a counter: both slots get as many, and each its own.

use std::time::{Duration, Instant};

use cutover::metrics::BySlot;
use cutover::model::slot::Side;
use serde_json::json;

use super::counter;
use crate::seams::metrics::{made_for, slots};
use crate::world::backend::Backend;
use crate::world::patience::PATIENCE;

#[tokio::test]
async fn both_slots_are_asked_at_the_same_rate_for_as_long_as_somebody_counts() {
    let (blue, green) = (Backend::start().await, Backend::start().await);
    let options = json!({ "kind": "prober", "path": "/slow", "rate": 100, "timeout": "5s" });
    let at = slots([&blue.url(), &format!("{}/fail?", green.url())]);
    let source = made_for(options, at).unwrap();
    let counter = counter(source.as_ref());
    assert_eq!(
        blue.counted(),
        (0, 0),
        "nothing is sent before somebody looks"
    );
    let first = counter.now().await.unwrap();
    assert!(
        counter
            .before(Duration::from_secs(60), Duration::from_secs(1))
            .await
            .unwrap()
            .is_empty()
    );
    let began = Instant::now();
    let last = loop {
        let now = counter.now().await.unwrap();
        if now.first.requests >= 100.0 && now.second.requests >= 100.0 {
            break now;
        }
        assert!(began.elapsed() < PATIENCE, "{now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let both = last.since(&first).unwrap();
    // What is out is not counted yet; what is counted was answered.
    let (asked, failed) = blue.counted();
    assert!(both.first.requests <= asked as f64 && failed == 0);
    assert_eq!(both.first.errors, 0.0);
    let fast = |at: usize| both.first.buckets[at].1;
    // 150 ms lie between the edges 31 and 32: 147 and 160 ms.
    assert_eq!(fast(31), 0.0, "{both:?}");
    assert!(fast(64) > 0.0 && both.first.buckets.len() == 65);
    drop(counter);
    let (asked, _) = blue.counted();
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Those that were out may still come in.
    assert!(blue.counted().0 - asked <= 30, "it went on without anybody");
}

#[tokio::test]
async fn a_slot_that_does_not_answer_is_counted_as_failing() {
    let blue = Backend::start().await;
    let options = json!({ "kind": "prober", "rate": 100, "timeout": "1s" });
    let source = made_for(options, slots([&blue.url(), "http://127.0.0.1:1"])).unwrap();
    let counter = counter(source.as_ref());
    let began = Instant::now();
    loop {
        let now = counter.now().await.unwrap();
        if now.first.requests >= 10.0 && now.second.requests >= 10.0 {
            assert_eq!(
                (now.first.errors, now.second.errors),
                (0.0, now.second.requests)
            );
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{now:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn one_url_for_both_tells_nothing_apart() {
    let options = json!({ "kind": "prober", "url": "http://h/" });
    let source = made_for(options, slots(["http://a", "http://b"])).unwrap();
    assert!(matches!(source.by_slot(Side::First), BySlot::Whole(why) if why.contains("`url` out")));
}
