//! Prometheus: the real one, with a history, and all that it answers when there is no figure.

use std::time::Duration;

use cutover::metrics::{NoData, Reading, Stretch};
use serde_json::{Value, json};

use super::metrics::{ask, made, value};
use crate::world::prometheus::{EVERY, History, PASSWORD, Prometheus, USER};

const MINUTE: Duration = Duration::from_secs(60);

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

pub(super) async fn of(options: Value, name: &str, duration: Duration) -> Result<Reading, NoData> {
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
            "3 series where one is wanted, such as {code=\"200\",host=\"a\"} and {code=",
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

#[tokio::test]
async fn a_long_past_is_asked_for_in_pieces() {
    let mut history = History::new();
    // Four hours, of which the second is missing.
    history.series("load", &[""], 4 * 240, |_, ago| {
        let hour = ago / 3600;
        (hour != 2).then_some(hour as f64)
    });
    let prometheus = history.start();
    let source = made(json!({
        "kind": "prometheus", "url": prometheus.url, "queries": { "mine": "max(load)", "gone": "max(gone)" },
    }))
    .unwrap();
    assert!(source.remembers());
    let to = jiff::Timestamp::now().as_millisecond();
    let mut stretch = Stretch {
        metric: "mine".to_owned(),
        from: to - 6 * 3_600_000,
        to,
        step: Duration::from_secs(1),
    };
    // 21,600 times, of which a server answers 11,000 at most; nothing in the first two hours.
    let figures = source.past(&stretch).await.unwrap();
    assert!(figures.is_sorted_by(|a, b| a.0 < b.0));
    assert!(
        figures
            .iter()
            .all(|(at, _)| at % 1000 == 0 && *at > stretch.from && *at <= to)
    );
    // A value is good for five minutes more.
    let all = 3 * 3600 + 300;
    let n = figures.len() as i64;
    assert!((all - 60..=all + 60).contains(&n), "{n}");
    assert_eq!(figures[0].1, 3.0);
    assert_eq!(figures.last().unwrap().1, 0.0);
    stretch.metric = "gone".to_owned();
    let none = source.past(&stretch).await.unwrap_err();
    assert!(none.said.contains("no series for max(gone)"), "{none}");
}
