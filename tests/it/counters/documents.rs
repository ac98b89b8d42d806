//! A JSON document as a counter, or as one who says shares.

use std::time::Duration;

use cutover::metrics::{BySlot, NoData, Source};
use cutover::model::arms::{Rate, Rated};
use cutover::model::slot::Side;
use serde_json::{Value, json};

use super::counter;
use crate::seams::metrics::{made_for, slots};
use crate::world::app::{App, Reply};

fn source(url: &str, by_slot: Value) -> Result<Box<dyn Source>, String> {
    let nowhere = slots(["http://127.0.0.1:1", "http://127.0.0.1:1"]);
    made_for(
        json!({ "kind": "json", "url": url, "by-slot": by_slot }),
        nowhere,
    )
}

async fn rates(source: &dyn Source, canary: Side) -> Result<Rated, NoData> {
    match source.by_slot(canary) {
        BySlot::Rated(rater) => rater.now().await,
        _ => panic!("{} says no shares", source.told()),
    }
}

#[tokio::test]
async fn one_answer_counts_for_both_slots() {
    let app = App::start().await;
    let body = json!({
        "blue": { "n": 900, "bad": 9, "took": { "0.1": 800, "0.25": 890, "+Inf": 900 }, "p95": 180 },
        "green": { "n": 100, "bad": 2, "took": { "0.25": 95, "0.1": 70, "+Inf": 100 }, "p95": 200 },
    });
    app.route("/", Reply::with(200, body.to_string()));
    let by_slot = json!({
        "requests": ".{{slot}}.n", "errors": ".{{slot}}.bad", "latency": ".{{slot}}.took",
        "p95": { "path": ".{{slot}}.p95", "in": "milliseconds" },
    });
    let source = source(app.url.as_str(), by_slot).unwrap();
    let counter = counter(source.as_ref());
    let stand = counter.now().await.unwrap();
    assert_eq!((stand.first.requests, stand.first.errors), (900.0, 9.0));
    assert_eq!((stand.second.requests, stand.second.errors), (100.0, 2.0));
    assert_eq!(stand.second.buckets, [(0.1, 70.0), (0.25, 95.0)]);
    assert_eq!(stand.second.p95, Some(0.2));
    assert_eq!(app.seen().len(), 1);
    let before = counter
        .before(Duration::from_secs(60), Duration::from_secs(1))
        .await;
    assert!(before.unwrap().is_empty());

    let again = json!({ "blue": { "n": 5, "bad": 0, "took": { "0.1": 5, "0.25": 5 }, "p95": 1 }, "green": body["green"] });
    app.route("/", Reply::with(200, again.to_string()));
    let anew = counter.now().await.unwrap();
    assert_eq!(anew.since(&stand), None, "blue was started again");
}

#[tokio::test]
async fn a_canary_is_whichever_slot_is_on_trial() {
    let app = App::start().await;
    let body = json!({
        "canary": { "error_rate": 0.022, "p95_latency": 0.31 },
        "stable": { "error_rate": 0.01, "p95_latency": 0.2 },
    });
    app.route("/", Reply::with(200, body.to_string()));
    let by_slot = json!({ "error-rate": ".{{role}}.error_rate", "p95": ".{{role}}.p95_latency" });
    let source = source(app.url.as_str(), by_slot).unwrap();
    let canary = Rate {
        error_rate: 0.022,
        p95: Some(0.31),
    };
    let stable = Rate {
        error_rate: 0.01,
        p95: Some(0.2),
    };
    let told = rates(source.as_ref(), Side::Second).await.unwrap();
    assert_eq!((told.first, told.second), (stable, canary));
    let told = rates(source.as_ref(), Side::First).await.unwrap();
    assert_eq!((told.first, told.second), (canary, stable));
    assert_eq!(told.of(Side::First), &canary);
}

#[tokio::test]
async fn a_document_without_a_slot_is_no_data() {
    let app = App::start().await;
    let counted = json!({ "requests": ".{{slot}}.n", "errors": ".{{slot}}.bad", "latency": ".{{slot}}.took" });
    for (green, said) in [
        (json!(null), "green: .green.n is missing"),
        (
            json!({ "n": "many" }),
            "green: .green.n is \"many\", and no number",
        ),
        (json!({ "n": 5, "bad": 6 }), "green: 6 errors of 5 requests"),
        (
            json!({ "n": 5, "bad": 0 }),
            "green: .green.took is missing; counts by their upper edges",
        ),
        (
            json!({ "n": 5, "bad": 0, "took": { "fast": 5 } }),
            "green: .green.took is {\"fast\":5}",
        ),
        (
            json!({ "n": 5, "bad": 0, "took": { "0.1": 5, "0.2": 4 } }),
            "green: .green.took is",
        ),
        (
            json!({ "n": 5, "bad": 0, "took": { "0.1": 6 } }),
            "none above the 5 requests",
        ),
        (
            json!({ "n": 5, "bad": 0, "took": { "0.2": 5 } }),
            "have other edges",
        ),
    ] {
        let body = json!({ "blue": { "n": 1, "bad": 0, "took": { "0.1": 1 } }, "green": green });
        app.route("/", Reply::with(200, body.to_string()));
        let source = source(app.url.as_str(), counted.clone()).unwrap();
        let none = counter(source.as_ref()).now().await.unwrap_err();
        assert!(none.said.contains(said) && !none.out_of_reach, "{none}");
    }
    let shares = json!({ "error-rate": ".{{slot}}.rate" });
    for (rate, said) in [
        (json!(2.5), ".rate is 2.5, which is no share; `in: percent`"),
        (json!(null), ".rate is null"),
    ] {
        app.route(
            "/",
            Reply::with(
                200,
                json!({ "blue": { "rate": 0 }, "green": { "rate": rate } }).to_string(),
            ),
        );
        let source = source(app.url.as_str(), shares.clone()).unwrap();
        let none = rates(source.as_ref(), Side::Second).await.unwrap_err();
        assert!(none.said.contains(said), "{none}");
    }
    let source = source("http://127.0.0.1:1", counted).unwrap();
    assert!(
        counter(source.as_ref())
            .now()
            .await
            .unwrap_err()
            .out_of_reach
    );
}

#[test]
fn paths_that_cannot_be_meant_are_refused() {
    for (by_slot, said) in [
        (
            json!({}),
            "`requests` and `errors` are wanted, or `error-rate` alone",
        ),
        (
            json!({ "requests": ".{{slot}}.n" }),
            "`requests` and `errors` are wanted",
        ),
        (
            json!({ "requests": ".{{slot}}.n", "errors": ".bad" }),
            "by-slot.errors: there is no {{slot}}",
        ),
        (
            json!({ "error-rate": ".{{version}}.{{slot}}" }),
            "by-slot.error-rate: {{slot}} and {{role}} are what",
        ),
        (
            json!({ "error-rate": ".{{slot}}.a", "latency": ".{{slot}}.b" }),
            "`latency` counts, and `error-rate` does not",
        ),
        (
            json!({ "error-rate": { "path": ".{{slot}}.a", "of": ".b" } }),
            "`of` is not known here",
        ),
        (
            json!({ "error-rate": ".{{slot}}.a", "p95": { "path": ".{{slot}}.b", "in": "percent" } }),
            "by-slot.p95: p95 is a duration",
        ),
    ] {
        let wrong = source("http://h", by_slot).map(drop).unwrap_err();
        assert!(wrong.contains(said), "{wrong}");
    }
}
