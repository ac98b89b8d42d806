//! Anomalies as a workflow sees them in `health-check`: against a week in a real Prometheus, and
//! against a recorded one; and what of the block makes no sense.

use serde_json::{Value, json};

use super::health::config;
use super::program::{Program, Ran};
use crate::world::prometheus::{History, Prometheus};

const DAY: i64 = 86_400;

/// What a figure is at a time of day, so many seconds ago; with a little noise.
fn usual(base: f64, ago: i64) -> f64 {
    let hour = (-ago).rem_euclid(DAY) as f64 / DAY as f64 * std::f64::consts::TAU;
    let minute = (ago / 60) as f64;
    base * (1.0 + 0.5 * hour.sin() + 0.1 * (minute * 12.9898).sin() * (minute * 0.714).sin())
}

/// A week of a shop in which the share of failed requests is what it always is, and one in which
/// it is three times as much since fifteen minutes.
fn week() -> Prometheus {
    let mut history = History::new();
    let samples = 7 * DAY / 60 + 40;
    let labels = ["case=\"well\"", "case=\"ill\""];
    history.series_every(60, "failed_share", &labels, samples, |i, ago| {
        let times = if i == 1 && ago < 900 { 3.0 } else { 1.0 };
        Some(usual(0.01, ago) * times)
    });
    history.series_every(60, "p95_seconds", &[""], samples, |_, ago| {
        Some(usual(0.18, ago + 7777))
    });
    history.start()
}

fn sources(url: &str, case: &str) -> Value {
    json!([{ "kind": "prometheus", "url": url, "queries": {
        "failed": { "query": format!("max(failed_share{{case=\"{case}\"}})"), "in": "ratio" },
        "p95": "max(p95_seconds)",
    }}])
}

fn block() -> Value {
    json!({ "metrics": { "error-rate": "failed", "p95": "p95" }, "isolation-forest": true })
}

/// The config of a health check, with the block.
fn with(metrics: &Value, block: &Value) -> String {
    let text = config("http://127.0.0.1:1", metrics, &json!([]), &json!([]));
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["environments"]["production"]["anomaly"] = block.clone();
    config.to_string()
}

async fn run(config: &str) -> Ran {
    let program = Program::in_a_workflow().config(config);
    program.run(&["health-check"]).await
}

fn anomalies(ran: &Ran) -> Value {
    let result: Value = serde_json::from_str(&ran.outputs["result"]).unwrap();
    result["anomalies"].clone()
}

#[tokio::test]
async fn a_week_of_prometheus_knows_what_is_unusual() {
    let prometheus = week();
    let ran = run(&with(&sources(&prometheus.url, "well"), &block())).await;
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let said = "anomaly    2 of 2 metrics as expected";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    assert_eq!(anomalies(&ran), json!([]));

    let ran = run(&with(&sources(&prometheus.url, "ill"), &block())).await;
    // It is told, and is no limit: the check itself is a yes.
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    let all = anomalies(&ran);
    let one = &all[0];
    assert_eq!(
        (&one["metric"], &one["unit"]),
        (&json!("failed"), &json!("percent"))
    );
    let number = |key: &str| one[key].as_f64().unwrap();
    assert!(
        (2.6..3.4).contains(&(number("measured") / number("expected"))),
        "{one}"
    );
    assert!(
        number("threshold") < number("measured") && number("p-value") < 0.001,
        "{one}"
    );
    assert_eq!(all.as_array().unwrap().len(), 1);
    for said in [
        "is expected at this time of day (unusual above",
        "anomaly    1 of 2 metrics as expected, 1 not: severity",
        "::warning",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    assert!(ran.summary.contains("#### Anomalies"), "{}", ran.summary);
    assert!(ran.summary.contains("| failed | "), "{}", ran.summary);

    // The same week from a file, where the server has only its own last hours.
    let end = jiff::Timestamp::now().as_second();
    let lines = (30..7 * DAY / 60).rev().map(|n| {
        let (at, ago) = (end - n * 60, n * 60);
        let (failed, p95) = (usual(0.01, ago), usual(0.18, ago + 7777));
        format!("{{\"at\": {at}, \"failed\": {failed}, \"p95\": {p95}}}\n")
    });
    let mut recorded = block();
    recorded["recording"] = json!("week.jsonl");
    let text = with(&sources(&prometheus.url, "ill"), &recorded);
    let program = Program::in_a_workflow().config(&text);
    let program = program.file("week.jsonl", &lines.collect::<String>());
    let ran = program.run(&["health-check"]).await;
    assert_eq!(anomalies(&ran)[0]["metric"], "failed", "{}", ran.stdout);
    assert_eq!(anomalies(&ran).as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_known_is_no_anomaly() {
    let mut history = History::new();
    history.series_every(60, "p95_seconds", &[""], 50, |_, ago| {
        Some(usual(0.18, ago))
    });
    let prometheus = history.start();
    let config = with(&sources(&prometheus.url, "well"), &block());
    let ran = run(&config).await;
    assert_eq!(ran.code, 0, "{}", ran.stdout);
    for said in [
        "anomaly: failed: no series for max(failed_share",
        "anomaly: p95: ",
        "of baseline, and 30 are needed",
        "anomaly: nothing was judged",
    ] {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
    let mut recorded = block();
    recorded["recording"] = json!("gone.jsonl");
    let ran = run(&with(&sources(&prometheus.url, "well"), &recorded)).await;
    let said = "anomaly: gone.jsonl: No such file";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
}

#[tokio::test]
async fn a_block_that_makes_no_sense_is_refused_with_its_line() {
    let metrics = sources("http://h", "well");
    for (key, value, at, said) in [
        (
            "source",
            json!("prometeus"),
            "source",
            "did you mean \"prometheus\"?",
        ),
        (
            "source",
            json!("prober"),
            "source",
            "does not know the past",
        ),
        (
            "metrics",
            json!({ "p95": "p59" }),
            "metrics.p95",
            "did you mean \"p95\"?",
        ),
        (
            "metrics",
            json!({ "cpu": "p95" }),
            "metrics.cpu",
            "p95 is no percent",
        ),
        (
            "metrics",
            json!({}),
            "metrics",
            "one of error-rate, p95, cpu and memory is needed",
        ),
        ("baseline", json!("1h"), "baseline", "2 h are the least"),
        (
            "step",
            json!("1s"),
            "baseline",
            "more than 50,000 of each metric",
        ),
        ("step", json!("500ms"), "step", "whole seconds are wanted"),
        ("window", json!("2m"), "window", "three steps are the least"),
        (
            "on",
            json!("rollback"),
            "on",
            "needs 8 m after a switch to say anything, and `strategy.watch` is 30 s",
        ),
        ("on", json!("roll-back"), "on", "did you mean \"rollback\"?"),
        (
            "exclude",
            json!([{ "from": "2026-11-18T10:00:00Z", "to": "2026-11-18T09:00:00Z" }]),
            "exclude[0].to",
            "is not after `from`",
        ),
        (
            "exclude",
            json!([{ "from": "yesterday", "to": "2026-11-18T09:00:00Z" }]),
            "exclude[0].from",
            "\"yesterday\" is not a moment",
        ),
        ("memory-limit", json!(5), "memory-limit", "5"),
        (
            "recordin",
            json!("x"),
            "recordin",
            "did you mean \"recording\"?",
        ),
    ] {
        let mut block = block();
        block[key] = value;
        let mut metrics = metrics.clone();
        let all = metrics.as_array_mut().unwrap();
        all.push(json!({ "kind": "prober" }));
        let text = with(&metrics, &block);
        let ran = Program::at_a_terminal().config(&text).run(&["check"]).await;
        assert_eq!(ran.code, 64, "{key}: {}", ran.stdout);
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
        let path = format!("anomaly.{at}");
        assert!(ran.stdout.contains(&path), "{path}: {}", ran.stdout);
    }
    let text = with(&json!([{ "kind": "prober" }]), &json!({}));
    let ran = Program::at_a_terminal().config(&text).run(&["check"]).await;
    let said = "needs a source that knows the past, such as a `prometheus` in `metrics`";
    assert!(ran.stdout.contains(said), "{}", ran.stdout);
    let named = json!([{ "kind": "prometheus", "url": "http://h", "queries": { "queue": "x" } }]);
    let ran = Program::at_a_terminal().config(&with(&named, &json!({})));
    let ran = ran.run(&["check"]).await;
    assert!(
        ran.stdout
            .contains("has none of error-rate, p95, cpu and memory"),
        "{}",
        ran.stdout
    );
}
