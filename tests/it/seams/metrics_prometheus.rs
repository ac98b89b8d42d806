//! Prometheus: the real one for what can be had of it, and a stand-in that is as strict for the
//! failures that it cannot be ordered to give.

use std::time::Duration;

use cutover::metrics::{NoData, Reading};
use serde_json::{Value, json};

use super::metrics::{ask, made, value};
use crate::world::prometheus::{EVERY, History, PASSWORD, Prometheus, USER};
use crate::world::stand_in::{Asked, Reply, StandIn};

const MINUTE: Duration = Duration::from_secs(60);
const TOKEN: &str = "t0ken-of-prometheus";

/// A shop with 100 requests in 15 s on two hosts, of which 1 fails, and 6 since ten minutes.
fn shop() -> Prometheus {
    let mut history = History::new();
    let labels = [
        "code=\"200\",host=\"a\"",
        "code=\"500\",host=\"a\"",
        "code=\"200\",host=\"b\"",
    ];
    history.series("requests_total", &labels, 160, |i, ago| {
        let since_begin = (160 * EVERY - ago) as f64 / EVERY as f64;
        let bad = (600 - ago).max(0) as f64 / EVERY as f64;
        let failed = since_begin + 5.0 * bad;
        Some(match i {
            1 => failed,
            0 => since_begin * 60.0 - failed,
            _ => since_begin * 40.0,
        })
    });
    history.series("idle_total", &[""], 160, |_, _| Some(7.0));
    history.series("load", &[""], 160, |_, ago| (ago > 420).then_some(0.5));
    history.series(
        "latency_bucket",
        &["le=\"0.1\"", "le=\"0.5\"", "le=\"+Inf\""],
        160,
        |i, ago| Some((160 * EVERY - ago) as f64 * [0.5, 1.0, 1.0][i]),
    );
    history.start()
}

async fn reading(
    url: &str,
    query: Value,
    name: &str,
    duration: Duration,
) -> Result<Reading, NoData> {
    let mut options = json!({ "kind": "prometheus", "url": url, "queries": {}, "timeout": "2s" });
    options["queries"][name] = query;
    of(options, name, duration).await
}

async fn of(options: Value, name: &str, duration: Duration) -> Result<Reading, NoData> {
    let source = made(options).unwrap();
    let at = "http://127.0.0.1:1/".parse().unwrap();
    source.read(&[ask(name, duration)], &at).await.remove(0)
}

#[tokio::test]
async fn figures_have_a_history() {
    let prometheus = shop();
    let errors = json!({
        "query": "sum(increase(requests_total{code=~\"5..\"}[{{window}}]))",
        "of": "sum(increase(requests_total[{{window}}]))",
    });
    let now = reading(
        &prometheus.url,
        errors.clone(),
        "error-rate",
        Duration::ZERO,
    )
    .await
    .unwrap();
    assert_eq!(now.series.points.len(), 1);
    let near = |a: f64, b: f64| (a - b).abs() < 0.005;
    assert!(near(value(&now), 0.06), "{now:?}");
    let range = reading(&prometheus.url, errors, "error-rate", 15 * MINUTE)
        .await
        .unwrap();
    // Back for twice as long, four samples to a window.
    assert_eq!(
        (range.series.points.len(), range.series.step),
        (120, 15_000)
    );
    assert!(
        range
            .series
            .points
            .is_sorted_by(|a, b| a.at + 15_000 == b.at)
    );
    let samples: Vec<_> = range
        .series
        .points
        .iter()
        .map(|it| it.sample.unwrap())
        .collect();
    assert!(near(samples[0].value, 0.01) && near(samples[119].value, 0.06));
    let all = samples[119].requests.unwrap();
    assert!((all - 400.0).abs() < 20.0, "{all} requests in a minute");
    let p95 = json!({
        "query": "histogram_quantile(0.95, sum by (le) (rate(latency_bucket[{{window}}])))",
        "requests": "sum(increase(latency_bucket{le=\"+Inf\"}[{{window}}]))",
    });
    let p95 = reading(&prometheus.url, p95, "p95", 5 * MINUTE)
        .await
        .unwrap();
    let last = p95.series.last().unwrap();
    assert!(near(last.value, 0.46) && last.requests.unwrap() > 50.0 && last.failed.is_none());
    let rps = json!("sum(rate(requests_total[{{window}}]))");
    let rps = reading(&prometheus.url, rps, "rps", Duration::ZERO)
        .await
        .unwrap();
    assert!((value(&rps) - 6.67).abs() < 0.3, "{rps:?}");
    let scalar = reading(
        &prometheus.url,
        json!("scalar(load) or 3"),
        "mine",
        Duration::ZERO,
    )
    .await;
    assert!(scalar.is_err());
    let scalar = reading(&prometheus.url, json!("3"), "mine", Duration::ZERO).await;
    assert_eq!(value(&scalar.unwrap()), 3.0);
    // Nothing in the last five minutes and more: gaps, and no zeros.
    let load = reading(
        &prometheus.url,
        json!("avg_over_time(load[15s])"),
        "cpu",
        10 * MINUTE,
    )
    .await;
    let points = load.unwrap().series.points;
    assert!(points.iter().rev().take(25).all(|it| it.sample.is_none()));
    assert!(
        points
            .iter()
            .any(|it| it.sample.is_some_and(|it| it.value == 0.5))
    );
}

#[tokio::test]
async fn what_is_no_figure_says_what_it_is() {
    let prometheus = shop();
    for (query, said) in [
        (json!("gone"), "no series for gone"),
        (
            json!("rate(requests_total[1m])"),
            "3 series where one is wanted, such as {code=200,host=a} and {code=",
        ),
        (
            json!("requests_total{host=\"b\"} / (load - load)"),
            "no series for",
        ),
        (
            json!("0 * sum(idle_total) / (sum(idle_total) - 7)"),
            "NaN, which is no number, for 0 * sum(idle_total)",
        ),
        (
            json!("sum(idle_total) / (sum(idle_total) - 7)"),
            "+Inf, which is no number, for sum(idle_total)",
        ),
        (
            json!("sum(rate(requests_total[1m]"),
            "answered 400 bad_data: invalid parameter",
        ),
        (
            json!("requests_total * on() idle_total * on() requests_total"),
            "answered 422 execution:",
        ),
        (json!("\"text\""), "the query yields a string, not numbers"),
        (
            json!({ "query": "sum(requests_total{code=\"503\"})", "of": "sum(requests_total)" }),
            "while `of` has values; if no series means none, write `… or vector(0)`",
        ),
        (
            json!({ "query": "sum(requests_total)", "of": "gone" }),
            "no series for gone",
        ),
        (
            json!({ "query": "sum(requests_total)", "of": "sum(idle_total) * 0" }),
            "have no value at the same time, or divide by zero",
        ),
    ] {
        let none = reading(&prometheus.url, query, "cpu", Duration::ZERO)
            .await
            .unwrap_err();
        assert!(none.said.contains(said), "{none}");
        assert!(!none.out_of_reach && !none.said.contains('\n'), "{none}");
    }
    // Without a single request none has failed, and none was good.
    let idle = json!({ "query": "sum(increase(idle_total[{{window}}]))", "of": "sum(increase(idle_total[{{window}}]))" });
    let idle = reading(&prometheus.url, idle, "error-rate", Duration::ZERO)
        .await
        .unwrap();
    let sample = idle.series.last().unwrap();
    assert_eq!((sample.requests, sample.failed), (Some(0.0), Some(0.0)));
}

#[tokio::test]
async fn who_may_not_ask_is_told_so() {
    let mut history = History::new();
    history.series("up", &[""], 40, |_, _| Some(1.0));
    let prometheus = history.start_guarded();
    let mut options = json!({
        "kind": "prometheus", "url": prometheus.url, "queries": { "mine": "up" },
        "username": USER, "password": PASSWORD,
    });
    assert_eq!(
        value(&of(options.clone(), "mine", Duration::ZERO).await.unwrap()),
        1.0
    );
    options["password"] = json!("another");
    let none = of(options, "mine", Duration::ZERO).await.unwrap_err();
    assert!(none.out_of_reach, "{none}");
    assert!(
        none.said
            .contains("answered 401: Unauthorized; check `token`, or `username`"),
        "{none}"
    );
}

fn success(more: Value) -> String {
    let mut said = json!({
        "status": "success",
        "data": { "resultType": "vector", "result": [{ "metric": {}, "value": [1.5, "4"] }] },
    });
    said.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    said.to_string()
}

/// What a Prometheus behind a gateway takes: a form with a query, and the token.
fn refused(asked: &Asked) -> Option<Reply> {
    if asked.only("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return Some(Reply::of(403, "forbidden"));
    }
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&asked.body)
        .into_owned()
        .collect();
    let has = |name: &str| {
        form.iter()
            .any(|(key, value)| key == name && !value.is_empty())
    };
    let is_form = asked.only("content-type") == Some("application/x-www-form-urlencoded");
    if asked.method != "POST" || !is_form || !asked.query.is_empty() || !has("query") {
        return Some(Reply::of(400, "unexpected request"));
    }
    let strict = form.contains(&("partial_response".to_owned(), "false".to_owned()));
    if strict && asked.only("x-scope-orgid") == Some("stores") {
        let said = r#"{"status":"error","errorType":"execution","error":"store gone"}"#;
        return Some(Reply::of(422, said));
    }
    (asked.path != "/prom/api/v1/query").then(|| Reply::of(404, "no page here"))
}

#[tokio::test]
async fn what_the_real_one_cannot_be_ordered_to_give() {
    let many = vec![json!({ "metric": { "a": "b".repeat(1000) }, "value": [1.5, "4"] }); 2000];
    let many = success(json!({ "data": { "resultType": "vector", "result": many } }));
    for (status, body, said, out_of_reach) in [
        (
            503,
            "upstream is gone".to_owned(),
            "answered 503: upstream is gone",
            true,
        ),
        (
            503,
            r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#.to_owned(),
            "answered 503 timeout: query timed out",
            true,
        ),
        (
            200,
            "<html>sign in</html>".to_owned(),
            "answered 200 with something else than its query API: <html>sign in",
            false,
        ),
        (
            200,
            r#"{"status":"success"}"#.to_owned(),
            "with something else than its query API",
            false,
        ),
        (
            200,
            success(json!({ "isPartial": true })),
            "answered with a part of the data",
            false,
        ),
        (
            200,
            many,
            "answered with more than 1 MiB; put sum(…)",
            false,
        ),
    ] {
        let body = body.clone();
        let server = StandIn::start(move |asked| {
            refused(&asked).unwrap_or_else(|| Reply::of(status, body.clone()))
        })
        .await;
        let url = format!("http://{}/prom", server.address);
        let options = json!({
            "kind": "prometheus", "url": url, "queries": { "mine": "up" }, "token": TOKEN,
        });
        let none = of(options.clone(), "mine", Duration::ZERO)
            .await
            .unwrap_err();
        assert!(none.said.contains(said), "{none}");
        assert_eq!(none.out_of_reach, out_of_reach, "{none}");
        let mut wrong = options;
        wrong["token"] = json!("an0ther-token");
        let none = of(wrong, "mine", Duration::ZERO).await.unwrap_err();
        assert!(
            none.said.contains("answered 403: forbidden; check `token`"),
            "{none}"
        );
    }
    let server = StandIn::start(|_| Reply::Silence).await;
    let url = format!("http://{}", server.address);
    let options = json!({
        "kind": "prometheus", "url": url, "queries": { "mine": "up" }, "timeout": "200ms",
    });
    let none = of(options, "mine", Duration::ZERO).await.unwrap_err();
    assert!(
        none.out_of_reach && none.said.contains("HTTP: no answer after"),
        "{none}"
    );
}

#[tokio::test]
async fn partial_answers_and_warnings_are_told() {
    let server = StandIn::start(|asked| {
        let more = json!({ "isPartial": true, "warnings": ["store 2 is gone"] });
        refused(&asked).unwrap_or_else(|| Reply::of(200, success(more)))
    })
    .await;
    let mut options = json!({
        "kind": "prometheus", "url": format!("http://{}/prom", server.address), "token": TOKEN,
        "queries": { "mine": "up" }, "allow-partial": true, "headers": { "X-Scope-OrgID": "stores" },
    });
    let reading = of(options.clone(), "mine", Duration::ZERO).await.unwrap();
    assert_eq!(value(&reading), 4.0);
    assert_eq!(reading.warnings.len(), 1);
    assert!(
        reading.warnings[0].ends_with("warns: store 2 is gone"),
        "{reading:?}"
    );
    options["allow-partial"] = json!(false);
    let none = of(options, "mine", Duration::ZERO).await.unwrap_err();
    assert!(
        none.said.contains("answered 422 execution: store gone"),
        "{none}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let of = |query: Value, more: Value| {
        let mut options =
            json!({ "kind": "prometheus", "url": "http://h", "queries": { "error-rate": query } });
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        made(options).map(drop).unwrap_err()
    };
    let counted = "sum(increase(x[{{window}}]))";
    for (query, more, said) in [
        (json!(""), json!({}), "queries.error-rate: a query is empty"),
        (
            json!("x{slot=\"{{slott}}\"}"),
            json!({}),
            "{{slott}} is not known here; {{window}} is",
        ),
        (
            json!({ "query": "sum(rate(x[1m]))", "of": counted }),
            json!({}),
            "both say over which time",
        ),
        (
            json!({ "query": counted, "of": counted, "in": "percent" }),
            json!({}),
            "a part of something is a ratio",
        ),
        (
            json!({ "query": counted, "of": counted, "requests": counted }),
            json!({}),
            "`of` is enough here",
        ),
        (
            json!({ "query": "x", "in": "seconds" }),
            json!({}),
            "error-rate is a percent, so it can be in: ratio or percent",
        ),
        (
            json!("x"),
            json!({ "token": "a", "username": "b", "password": "c" }),
            "both `token` and a user",
        ),
        (
            json!("x"),
            json!({ "username": "b" }),
            "`username` and `password` go together",
        ),
        (
            json!("x"),
            json!({ "queries": {} }),
            "queries: there is none",
        ),
    ] {
        let wrong = of(query, more);
        assert!(wrong.contains(said), "{wrong}");
    }
}
