//! `health-check` with figures, as a workflow sees it: outputs, words, summary and exit code, on
//! the figures of a real Prometheus and of a load of its own.

use regex_lite::Regex;
use serde_json::{Value, json};

use super::program::{Program, Ran};
use crate::world::app::{App, Reply};
use crate::world::prometheus::{EVERY, History, Prometheus};

/// 400 requests a minute, of which 1 % fail, and 7 % since twelve minutes.
fn shop() -> Prometheus {
    let mut history = History::new();
    history.series(
        "requests_total",
        &["code=\"200\"", "code=\"500\""],
        200,
        |i, ago| {
            let all = (200 * EVERY - ago) as f64 / EVERY as f64 * 100.0;
            let failed = all * 0.01 + (720 - ago).max(0) as f64 / EVERY as f64 * 6.0;
            Some([all - failed, failed][i])
        },
    );
    history.series("p95_seconds", &[""], 200, |_, _| Some(0.184));
    history.series("tokens", &[""], 200, |_, ago| {
        Some(if ago > 150 { 0.5 } else { 0.9 })
    });
    history.start()
}

fn sources(prometheus: &Prometheus) -> Value {
    json!([{ "kind": "prometheus", "url": prometheus.url, "queries": {
        "error-rate": {
            "query": "sum(increase(requests_total{code=~\"5..\"}[{{window}}]))",
            "of": "sum(increase(requests_total[{{window}}]))",
        },
        "p95": "max(p95_seconds)",
        "token-usage": "max(tokens)",
        "gone": "sum(gone)",
    }}])
}

pub(super) fn config(public: &str, metrics: &Value, thresholds: &Value, checks: &Value) -> String {
    let config = json!({
        "version": 1, "app": "storefront", "environments": { "production": {
            "url": public,
            "slots": { "blue": { "url": "http://127.0.0.1:1" }, "green": { "url": "http://127.0.0.1:2" } },
            "release": { "kind": "header", "name": "X-Release" },
            "health": { "checks": checks, "thresholds": thresholds },
            "metrics": metrics,
        }},
    });
    serde_json::to_string_pretty(&config).unwrap()
}

async fn run(public: &str, metrics: &Value, thresholds: Value, checks: Value) -> Ran {
    let config = config(public, metrics, &thresholds, &checks);
    let program = Program::in_a_workflow().config(&config);
    program.run(&["health-check"]).await
}

fn matches(text: &str, pattern: &str) {
    assert!(
        Regex::new(pattern).unwrap().is_match(text),
        "{pattern}\n{text}"
    );
}

#[tokio::test]
async fn a_figure_past_its_limit_is_a_no() {
    let prometheus = shop();
    let thresholds = json!([
        { "metric": "error-rate", "above": "5%", "for": "5m" },
        { "metric": "p95", "above": "2s", "for": "10m", "severity": "warning" },
    ]);
    let ran = run(
        "http://127.0.0.1:1",
        &sources(&prometheus),
        thresholds,
        json!([]),
    )
    .await;
    assert_eq!(ran.code, 10, "{}", ran.stdout);
    let output = |name: &str| ran.outputs[name].as_str();
    assert_eq!(
        (output("decision"), output("reason-code")),
        ("failed", "limit-passed")
    );
    assert_eq!((output("healthy"), output("p95-ms")), ("false", "184"));
    let rate: f64 = output("error-rate").parse().unwrap();
    assert!((0.06..0.072).contains(&rate), "{rate}");
    assert!(output("requests-sent").parse::<u64>().unwrap() > 2000);
    let line = r"error-rate (6\.\d|7) % \(above 5 % for 1\d m( \d+ s)? since \d\d:\d\dZ; \d{3} of \d,\d{3} requests\)";
    matches(&ran.stdout, line);
    for pattern in [
        "failed.*: error-rate is past its limit",
        "wanted.* error-rate not above 5 % for 5 m",
        r"p95.* 184 ms \(limit: above 2 s for 10 m\)",
        "figures.* 1 of 2 within their limits, 1 unhealthy",
    ] {
        matches(&ran.stdout, pattern);
    }
    let table = r"\| error-rate \| (6\.\d|7) % \(\d{3} of \d,\d{3}\) \| above 5 % for 5 m \| 1\d m( \d+ s)? since \d\d:\d\dZ \| ❌ unhealthy, critical \|";
    matches(&ran.summary, table);
    matches(
        &ran.summary,
        r"\| p95 \| 184 ms \| above 2 s for 10 m \|  \| ✅ healthy \|",
    );
    let result: Value = serde_json::from_str(output("result")).unwrap();
    let figures = result["figures"].as_array().unwrap();
    assert_eq!(figures.len(), 4);
    assert_eq!(figures[0]["state"], "unhealthy");
    assert_eq!(
        (&figures[1]["value"], &figures[1]["unit"]),
        (&json!(0.184), &json!("duration"))
    );
    assert_eq!(figures[3]["value"], Value::Null);
}

#[tokio::test]
async fn what_a_figure_means_depends_on_its_threshold() {
    let prometheus = shop();
    let app = App::start().await;
    app.route("/ill", Reply::with(503, "starting"));
    let good = json!({ "metric": "p95", "above": "2s", "for": "10m" });
    let slow = json!([{ "kind": "http", "path": "/ill", "retries": 0 }]);
    for (threshold, checks, code, reason, healthy, said) in [
        (
            json!({ "metric": "error-rate", "above": "10%", "for": "5m" }),
            json!([]),
            0,
            "done",
            "true",
            r"figures: 2 of 2 within their limits",
        ),
        (
            json!({ "metric": "error-rate", "above": "5%", "for": "5m", "severity": "warning" }),
            json!([]),
            0,
            "degraded",
            "false",
            r"::warning::error-rate .* %25 \(above 5 %25 for 1\d m",
        ),
        (
            json!({ "metric": "token-usage", "above": "80%", "for": "5m" }),
            json!([]),
            0,
            "done",
            "",
            r"token-usage.* inconclusive: 90 % \(above 80 % for (2 m \d+|\d+(\.\d)?) s of 5 m since \d\d:\d\dZ\)",
        ),
        (
            json!({ "metric": "error-rate", "above": "2%", "for": "30m" }),
            json!([]),
            10,
            "limit-passed",
            "false",
            r"error-rate 3\.\d % \(above 2 % beyond doubt since \d\d:\d\dZ; 4\d\d of 1\d,\d{3} requests\)",
        ),
        (
            json!({ "metric": "token-usage", "above": "80%" }),
            json!([]),
            10,
            "limit-passed",
            "false",
            r"measured.* token-usage 90 % \(above 80 %\)",
        ),
        (
            json!({ "metric": "error-rate", "above": "5%", "for": "5m", "min-requests": 1000, "at-once": false }),
            json!([]),
            0,
            "done",
            "",
            r"inconclusive: too few requests: \d+ of \d,\d{3} requests, and 1000 in 60 s are needed \(limit: above 5 % for 5 m\)",
        ),
        (
            json!({ "metric": "gone", "above": 3, "for": "5m" }),
            json!([]),
            0,
            "done",
            "",
            r"::warning::gone is unknown: no series for sum\(gone\) \(limit: above 3 for 5 m\)",
        ),
        (
            json!({ "metric": "gone", "above": 3, "on-no-data": "fail" }),
            json!([]),
            10,
            "no-data",
            "",
            r"nothing is known of gone",
        ),
        (
            json!({ "metric": "error-rate", "above": "5%", "for": "5m" }),
            slow.clone(),
            10,
            "unhealthy",
            "false",
            r"::warning::error-rate .* %25 \(above 5 %25 for",
        ),
        (
            json!({ "metric": "gone", "above": 3, "on-no-data": "fail" }),
            slow,
            10,
            "unhealthy",
            "false",
            r"::warning::gone is unknown: no series",
        ),
    ] {
        let thresholds = json!([threshold, good]);
        let ran = run(
            app.url.as_str(),
            &sources(&prometheus),
            thresholds.clone(),
            checks,
        )
        .await;
        assert_eq!(ran.code, code, "{thresholds} {}", ran.stdout);
        assert_eq!(ran.outputs["reason-code"], reason, "{thresholds}");
        assert_eq!(ran.outputs["healthy"], healthy, "{thresholds}");
        matches(&ran.stdout, said);
    }
}

#[tokio::test]
async fn who_measured_nothing_has_not_passed() {
    let nowhere =
        json!([{ "kind": "prometheus", "url": "http://127.0.0.1:1", "queries": { "p95": "p95" } }]);
    let thresholds = json!([{ "metric": "p95", "above": "2s" }]);
    let ran = run(
        "http://127.0.0.1:1",
        &nowhere,
        thresholds.clone(),
        json!([]),
    )
    .await;
    assert_eq!(ran.code, 69, "{}", ran.stdout);
    assert_eq!(
        (
            ran.outputs["reason-code"].as_str(),
            ran.outputs["healthy"].as_str()
        ),
        ("out-of-reach", "")
    );
    matches(
        &ran.stdout,
        r"measured.* Prometheus at http://127.0.0.1:1: TCP: .* \(limit: above 2 s\)",
    );
    // With checks that pass it is known that the service answers: a warning.
    let check = json!([{ "kind": "command", "run": "true" }]);
    let ran = run("http://127.0.0.1:1", &nowhere, thresholds, check).await;
    assert_eq!(
        (ran.code, ran.outputs["healthy"].as_str()),
        (0, ""),
        "{}",
        ran.stdout
    );
    matches(&ran.stdout, "::warning::p95 is unknown: Prometheus at");
    matches(
        &ran.stdout,
        "1 check passed, figures: 0 of 1 within their limits, 1 unknown",
    );
}

#[tokio::test]
async fn a_load_of_its_own_is_judged_from_what_it_felt() {
    let app = App::start().await;
    app.route("/", Reply::with(500, "no"));
    app.route("/well", Reply::with(200, "yes"));
    let of = |path: &str| json!([{ "kind": "prober", "path": path, "rate": 20, "duration": "1s" }]);
    let thresholds = json!([
        { "metric": "error-rate", "above": "5%" },
        { "metric": "p95", "above": "2s" },
    ]);
    let ran = run(app.url.as_str(), &of("/"), thresholds.clone(), json!([])).await;
    assert_eq!(
        ran.code, 10,
        "few requests, all failing, is bad: {}",
        ran.stdout
    );
    let line = r"error-rate 100 % \(above 5 %; 20 of 20 requests; 20 5xx\)";
    matches(&ran.stdout, line);
    assert_eq!(ran.outputs["error-rate"], "1");
    let thresholds = json!([{ "metric": "success-rate", "below": "99%" }]);
    let ran = run(app.url.as_str(), &of("/well"), thresholds, json!([])).await;
    assert_eq!(
        (ran.code, ran.outputs["healthy"].as_str()),
        (0, "true"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        (
            ran.outputs["error-rate"].as_str(),
            ran.outputs["requests-sent"].as_str()
        ),
        ("0", "20")
    );
    for name in ["p50-ms", "p95-ms", "p99-ms"] {
        let ms: f64 = ran.outputs[name].parse().unwrap();
        assert!(ms > 0.0, "{name}");
    }
}

#[tokio::test]
async fn a_slot_is_measured_by_what_can_look_at_it() {
    let app = App::start().await;
    app.route("/", Reply::with(200, "yes"));
    let metrics = json!([
        { "kind": "prometheus", "url": "http://127.0.0.1:1", "queries": { "cpu": "cpu" } },
        { "kind": "prober", "rate": 20, "duration": "1s" },
    ]);
    let thresholds =
        json!([{ "metric": "cpu", "above": "80%" }, { "metric": "p95", "above": "2s" }]);
    let text = config("http://127.0.0.1:1", &metrics, &thresholds, &json!([]));
    let text = text.replace("http://127.0.0.1:2", app.url.as_str().trim_end_matches('/'));
    let program = Program::in_a_workflow().config(&text);
    let ran = program.run(&["health-check", "--slot", "green"]).await;
    assert_eq!(
        (ran.code, ran.outputs["healthy"].as_str()),
        (0, "true"),
        "{}",
        ran.stdout
    );
    assert_eq!(app.seen().len(), 20);
    matches(
        &ran.stdout,
        "Prometheus at http://127.0.0.1:1 was not asked: it knows the environment, and not green alone",
    );
}
