//! The contract of sources: there is an answer for each ask, and where there is no figure it says
//! in a line what there was instead. Then what `json` does by itself.

use std::time::{Duration, Instant};

use cutover::config::kinds::{Block, build};
use cutover::metrics::{Ask, KINDS, NoData, Reading, Source, Tools};
use cutover::model::metric::{Unit, unit_of};
use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use serde_json::{Value, json};
use url::Url;

use crate::world::app::{App, Reply};
use crate::world::prometheus::History;

pub(super) fn made(options: Value) -> Result<Box<dyn Source>, String> {
    made_for(options, slots(["http://127.0.0.1:1", "http://127.0.0.1:1"]))
}

/// blue and green, at these addresses.
pub(crate) fn slots(urls: [&str; 2]) -> Slots {
    let [first, second] = [("blue", urls[0]), ("green", urls[1])].map(|(name, url)| Slot {
        name: name.to_owned(),
        url: url.parse().unwrap(),
    });
    Slots { first, second }
}

pub(crate) fn made_for(options: Value, slots: Slots) -> Result<Box<dyn Source>, String> {
    let block: Block = serde_json::from_value(options).unwrap();
    let tools = Tools {
        http: Http::default(),
        vault: Vault::default(),
        slots,
    };
    build(KINDS, &block, &tools)
}

pub(super) fn ask(metric: &str, duration: Duration) -> Ask {
    Ask {
        metric: metric.to_owned(),
        window: Duration::from_secs(60),
        duration,
        back: duration * 2,
        min_requests: 20,
    }
}

/// Asks for one metric as it is now.
pub(super) async fn read(options: Value, metric: &str, at: &Url) -> Result<Reading, NoData> {
    let source = made(options).unwrap();
    let mut all = source.read(&[ask(metric, Duration::ZERO)], at).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

pub(super) fn value(reading: &Reading) -> f64 {
    reading.series.last().unwrap().value
}

#[tokio::test]
async fn every_kind_keeps_the_contract() {
    let app = App::start().await;
    app.route("/", Reply::with(200, r#"{"p95": 0.25}"#));
    app.route("/slow", Reply::Hang);
    let mut history = History::new();
    history.series("p95", &[""], 40, |_, _| Some(0.25));
    let prometheus = history.start();
    // The router has no figures; what it counts is in the suite of counters.
    for kind in KINDS.iter().filter(|kind| kind.name != "router") {
        let of = |url: &str| match kind.name {
            "prometheus" => {
                json!({ "kind": "prometheus", "url": url, "queries": { "p95": "p95" }, "timeout": "1s" })
            }
            "json" => {
                json!({ "kind": "json", "url": url, "figures": { "p95": ".p95" }, "timeout": "1s" })
            }
            "prober" => {
                json!({ "kind": "prober", "url": url, "duration": "1s", "rate": 20, "timeout": "1s" })
            }
            other => panic!("the kind {other} has no case in this suite"),
        };
        let good = match kind.name {
            "prometheus" => prometheus.url.clone(),
            _ => app.at("/"),
        };
        let source = made(of(&good)).unwrap();
        assert!(!source.told().is_empty() && !kind.about.is_empty());
        let metrics = source.metrics();
        assert!(
            metrics.contains(&("p95".to_owned(), Unit::Duration)),
            "{metrics:?}"
        );
        for (name, unit) in metrics {
            assert_eq!(unit_of(&name).unwrap_or(unit), unit, "{name}");
        }
        // The same metric may be asked for twice, by thresholds that differ.
        let asks = [
            ask("p95", Duration::ZERO),
            ask("p95", Duration::from_secs(1)),
        ];
        let all = source.read(&asks, &app.url).await;
        assert_eq!(all.len(), 2);
        for reading in all {
            let reading = reading.unwrap();
            assert!((0.0..=0.25).contains(&value(&reading)), "{}", kind.name);
            let series = reading.series;
            assert!(series.step > 0 && series.window > 0, "{}", kind.name);
            assert!(series.points.iter().all(|it| it.at <= series.end));
            assert!(
                series.points.is_sorted_by(|a, b| a.at < b.at),
                "{}",
                kind.name
            );
        }

        let mut odd = of(&good);
        odd["no-such-key"] = json!(1);
        let said = made(odd).map(drop).unwrap_err();
        assert!(said.contains("no-such-key"), "{said}");

        for silent in ["http://127.0.0.1:1", &app.at("/slow")] {
            let source = made(of(silent)).unwrap();
            let began = Instant::now();
            let all = source.read(&[ask("p95", Duration::ZERO)], &app.url).await;
            assert!(began.elapsed() < Duration::from_secs(5));
            // A server that does not answer is a figure for who measures requests.
            match &all[0] {
                Err(none) => {
                    assert!(none.out_of_reach && kind.name != "prober", "{none:?}");
                    assert!(!none.said.contains('\n'), "{none}");
                }
                Ok(_) => assert_eq!(kind.name, "prober"),
            }
        }
    }
}

#[tokio::test]
async fn a_json_figure_is_a_number_at_a_path() {
    let app = App::start().await;
    let body = json!({
        "tokens": { "used": 830_000, "limit": 1_000_000 }, "p95": 250, "queue": [7], "load": "high",
        "none": 0, "errors": 3, "all": 60,
    });
    app.route("/", Reply::with(200, body.to_string()));
    app.route("/text", Reply::with(200, "up and running"));
    app.route("/ill", Reply::with(503, "starting"));
    let of = async |path: &str, name: &str, figure: Value| {
        let mut options = json!({ "kind": "json", "url": app.at(path), "figures": {} });
        options["figures"][name] = figure;
        read(options, name, &app.url).await
    };
    for (name, figure, expected) in [
        (
            "token-usage",
            json!({ "path": ".tokens.used", "of": ".tokens.limit" }),
            0.83,
        ),
        (
            "token-usage",
            json!({ "path": ".tokens.used", "of": 2_000_000 }),
            0.415,
        ),
        ("p95", json!({ "path": ".p95", "in": "milliseconds" }), 0.25),
        ("queue", json!(".queue.0"), 7.0),
    ] {
        assert_eq!(value(&of("/", name, figure).await.unwrap()), expected);
    }
    let sample = of(
        "/",
        "error-rate",
        json!({ "path": ".errors", "of": ".all" }),
    )
    .await;
    let sample = sample.unwrap().series.last().unwrap();
    // A counter that is read twice is not two counts: it proves nothing by itself.
    assert_eq!(
        (sample.value, sample.requests, sample.failed),
        (0.05, Some(60.0), None)
    );
    for (path, figure, said) in [
        ("/", json!(".gone"), ".gone is missing in {\"tokens\""),
        ("/", json!(".load"), ".load is \"high\", and no number"),
        (
            "/",
            json!({ "path": ".p95", "of": ".none" }),
            ".p95 is 250 of 0, which is no share",
        ),
        (
            "/text",
            json!(".a"),
            "answered with no JSON: up and running",
        ),
        ("/ill", json!(".a"), "answered 503: starting"),
    ] {
        let none = of(path, "mine", figure).await.unwrap_err();
        assert!(none.said.contains(said), "{none}");
        assert_eq!(none.out_of_reach, path == "/ill");
    }
    for (name, figure, said) in [
        (
            "p95",
            json!({ "path": ".a", "in": "percent" }),
            "figures.p95: p95 is a duration, so it can be in: seconds or milliseconds",
        ),
        (
            "p95",
            json!({ "path": ".a", "of": ".b" }),
            "p95 is a duration",
        ),
        (
            "cpu",
            json!({ "path": ".a", "of": 0 }),
            "figures.cpu.of: this is not above 0",
        ),
        (
            "cpu",
            json!({ "path": ".a", "of": 1, "in": "ratio" }),
            "a part of something is a ratio",
        ),
        ("a b", json!(".a"), "\"a b\" is not a name for a metric"),
    ] {
        let mut options = json!({ "kind": "json", "url": "http://h/", "figures": {} });
        options["figures"][name] = figure;
        let wrong = made(options).map(drop).unwrap_err();
        assert!(wrong.contains(said), "{wrong}");
    }
}

#[tokio::test]
async fn a_json_figure_with_a_duration_is_looked_at_again() {
    let app = App::start().await;
    app.route("/", Reply::with(200, r#"{"queue": 9}"#));
    let options = json!({ "kind": "json", "url": app.at("/"), "figures": { "queue": ".queue" }, "interval": "1s" });
    let source = made(options).unwrap();
    let all = source
        .read(&[ask("queue", Duration::from_secs(2))], &app.url)
        .await;
    let series = &all[0].as_ref().unwrap().series;
    assert_eq!((series.points.len(), series.step), (2, 1000));
    assert_eq!(app.seen().len(), 2);
}
