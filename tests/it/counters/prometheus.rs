//! Prometheus as a counter: a real one that looks at two real servers.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ask, counter, until_at};
use crate::seams::metrics::{made_for, slots};
use crate::world::backend::Backend;
use crate::world::prometheus::{EVERY, History};

fn source(url: &str) -> Value {
    json!({
        "kind": "prometheus", "url": url,
        "by-slot": {
            "requests": "sum(requests_total{slot=\"{{slot}}\"})",
            "errors": "sum(requests_total{slot=\"{{slot}}\",code=~\"5..\"})",
            "latency": "sum by (le) (seconds_bucket{slot=\"{{slot}}\"})",
        },
    })
}

fn nowhere() -> cutover::model::slot::Slots {
    slots(["http://127.0.0.1:1", "http://127.0.0.1:1"])
}

#[tokio::test]
async fn what_was_sent_is_what_is_counted() {
    let (blue, green) = (Backend::start().await, Backend::start().await);
    let prometheus = History::new().start_looking_at(&[("blue", blue.port), ("green", green.port)]);
    let made = made_for(source(&prometheus.url), nowhere()).unwrap();
    let counter = counter(made.as_ref());

    // Nobody has asked yet, so nobody has counted: that is no zero.
    ask(&blue.url(), "/", 20).await;
    let none = counter.now().await.unwrap_err();
    assert!(!none.out_of_reach, "{none}");
    assert!(none.said.contains(": no series for sum"), "{none}");

    // No series for errors is no error.
    ask(&green.url(), "/", 3).await;
    let before = until_at(&*counter, [20.0, 0.0], [3.0, 0.0]).await;
    assert_eq!(before.first.buckets, [(0.1, 20.0), (0.5, 20.0)]);

    ask(&blue.url(), "/", 9).await;
    ask(&blue.url(), "/fail", 1).await;
    ask(&green.url(), "/fail", 4).await;
    ask(&green.url(), "/slow", 2).await;
    let after = until_at(&*counter, [30.0, 1.0], [9.0, 4.0]).await;
    let both = after.since(&before).unwrap();
    assert_eq!((both.first.requests, both.first.errors), (10.0, 1.0));
    assert_eq!((both.second.requests, both.second.errors), (6.0, 4.0));
    assert_eq!(both.second.buckets, [(0.1, 4.0), (0.5, 6.0)]);

    // A server that was started again counts anew, and no difference is made of two lives.
    green.count_anew();
    ask(&green.url(), "/", 2).await;
    let anew = until_at(&*counter, [30.0, 1.0], [2.0, 0.0]).await;
    assert_eq!(anew.since(&after), None);
}

#[tokio::test]
async fn the_past_is_read_in_pieces_and_has_no_zeros_of_its_own() {
    const EDGES: usize = 65;
    let mut history = History::new();
    let seconds = |ago: i64| ((241 * EVERY) - ago) as f64;
    // Green is on for the last ten minutes only.
    let is_on = |slot: usize, ago: i64| slot == 0 || ago <= 600;
    let labels = ["slot=\"blue\",code=\"200\"", "slot=\"green\",code=\"200\""];
    history.series("requests_total", &labels, 240, |slot, ago| {
        is_on(slot, ago).then(|| seconds(ago))
    });
    let buckets: Vec<String> = ["blue", "green"]
        .into_iter()
        .flat_map(|slot| {
            (0..EDGES).map(move |k| match k {
                64 => format!("slot=\"{slot}\",le=\"+Inf\""),
                k => format!("slot=\"{slot}\",le=\"{}\"", k + 1),
            })
        })
        .collect();
    let buckets: Vec<&str> = buckets.iter().map(String::as_str).collect();
    history.series("seconds_bucket", &buckets, 240, |i, ago| {
        is_on(i / EDGES, ago).then(|| seconds(ago))
    });
    let prometheus = history.start();
    let made = made_for(source(&prometheus.url), nowhere()).unwrap();
    let counter = counter(made.as_ref());
    let every = Duration::from_secs(5);
    let all = counter
        .before(Duration::from_secs(3000), every)
        .await
        .unwrap();

    // 600 points of 65 series are more than one answer holds.
    assert_eq!(all.len(), 600);
    assert!(all.windows(2).all(|pair| pair[1].at == pair[0].at + 5000));
    let total = all[599].since(&all[0]).unwrap();
    let near = |requests: f64, wanted: f64| (requests - wanted).abs() <= EVERY as f64;
    assert!(near(total.first.requests, 2995.0), "{total:?}");
    // It stands where it was seen next, so its appearance is no burst of requests.
    assert!(near(total.second.requests, 600.0), "{total:?}");
    assert_eq!(all[0].second.buckets.len(), 64);
    for pair in all.windows(2) {
        let step = pair[1].since(&pair[0]).unwrap();
        assert!(step.second.requests <= EVERY as f64, "{step:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_counted_says_why() {
    let mut history = History::new();
    let labels = ["slot=\"blue\",code=\"200\"", "slot=\"green\",code=\"200\""];
    history.series("requests_total", &labels, 3, |_, _| Some(1000.0));
    let edges = |edges: &'static [&str]| {
        ["blue", "green"]
            .into_iter()
            .flat_map(|slot| {
                edges
                    .iter()
                    .map(move |le| format!("slot=\"{slot}\",le=\"{le}\""))
            })
            .collect::<Vec<_>>()
    };
    let half = edges(&["0.1", "+Inf"]);
    let half: Vec<&str> = half.iter().map(String::as_str).collect();
    history.series("seconds_bucket", &half, 3, |_, _| Some(500.0));
    let other = [
        "slot=\"blue\",le=\"1\"",
        "slot=\"green\",le=\"2\"",
        "slot=\"blue\",le=\"+Inf\"",
        "slot=\"green\",le=\"+Inf\"",
    ];
    history.series("other_bucket", &other, 3, |_, _| Some(1000.0));
    let prometheus = history.start();
    for (key, query, said) in [
        (
            "latency",
            "sum by (le) (seconds_bucket{slot=\"{{slot}}\"})",
            "`requests` counts 1000 and `latency` 500, so they are not of the same requests; leave `requests` out",
        ),
        (
            "latency",
            "sum by (le) (other_bucket{slot=\"{{slot}}\"})",
            "the histograms of blue and green have other edges",
        ),
        (
            "latency",
            "sum(seconds_bucket{slot=\"{{slot}}\"})",
            "a series without the label `le`",
        ),
        (
            "latency",
            "sum by (le) (gone_bucket{slot=\"{{slot}}\"})",
            "blue: 1000 requests, and no series for `latency`",
        ),
        (
            "latency",
            "sum by (le) (seconds_bucket{slot=\"{{slot}}\",le!=\"+Inf\"})",
            "the bucket +Inf is missing",
        ),
        (
            "errors",
            "2 * sum(requests_total{slot=\"{{slot}}\"})",
            "blue: 2000 errors of 1000 requests",
        ),
        (
            "errors",
            "0 * sum(requests_total{slot=\"{{slot}}\"}) / 0",
            "blue: NaN, which is no number",
        ),
        (
            "requests",
            "requests_total{slot=~\"{{slot}}|blue|green\"}",
            "2 series where one is wanted",
        ),
    ] {
        let mut options = source(&prometheus.url);
        if key != "latency" {
            options["by-slot"]
                .as_object_mut()
                .unwrap()
                .remove("latency");
        }
        options["by-slot"][key] = json!(query);
        let made = made_for(options, nowhere()).unwrap();
        let none = counter(made.as_ref()).now().await.unwrap_err();
        assert!(none.said.contains(said) && !none.out_of_reach, "{none}");
    }
    let made = made_for(source("http://127.0.0.1:1"), nowhere()).unwrap();
    let none = counter(made.as_ref()).now().await.unwrap_err();
    assert!(none.out_of_reach, "{none}");
}

#[test]
fn queries_that_cannot_be_meant_are_refused() {
    for (key, query, said) in [
        (
            "errors",
            json!("sum(errors_total)"),
            "by-slot.errors: {{slot}} is not in it, so both slots would be the same",
        ),
        (
            "errors",
            json!("sum(rate(errors_total{slot=\"{{slot}}\"}[1m]))"),
            "by-slot.errors: rate(…) is a difference",
        ),
        (
            "requests",
            json!("x{slot=\"{{slot}}\",v=\"{{version}}\"}"),
            "by-slot.requests: {{version}} is not known here; {{slot}} is what can be filled in",
        ),
        (
            "latency-in",
            json!("percent"),
            "by-slot.latency-in: seconds or milliseconds",
        ),
    ] {
        let mut options = source("http://h");
        options["by-slot"][key] = query;
        let wrong = made_for(options, nowhere()).map(drop).unwrap_err();
        assert!(wrong.contains(said), "{wrong}");
    }
    let by_slot = json!({ "errors": "e{s=\"{{slot}}\"}" });
    let options = json!({ "kind": "prometheus", "url": "http://h", "by-slot": by_slot });
    let wrong = made_for(options, nowhere()).map(drop).unwrap_err();
    assert!(
        wrong.contains("by-slot: `requests` is missing, or `latency`"),
        "{wrong}"
    );
}
