//! The prober: what it sends, what it counts, and what it makes of what does not answer.

use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use super::metrics::{ask, made, read, value};
use crate::world::app::{App, Reply};
use crate::world::tls::Tls;

fn prober(more: Value) -> Value {
    let mut options = json!({ "kind": "prober", "duration": "1s", "rate": 50, "timeout": "1s" });
    options
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    options
}

#[tokio::test]
async fn it_sends_as_many_as_it_says_and_counts_each() {
    let app = App::start().await;
    app.route(
        "/health",
        Reply::with(200, "fine").after(Duration::from_millis(40)),
    );
    let options = prober(json!({ "path": "/health", "headers": { "X-Probe": "cutover" } }));
    let source = made(options).unwrap();
    assert!(source.follows_the_address());
    let asks = ["error-rate", "success-rate", "p50", "p99"].map(|it| ask(it, Duration::ZERO));
    let all = source.read(&asks, &app.url).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(app.seen().len(), 50);
    assert!(
        app.seen()
            .iter()
            .all(|it| it.headers["x-probe"] == "cutover")
    );
    let rate = all[0].series.last().unwrap();
    assert_eq!(
        (rate.value, rate.requests, rate.failed),
        (0.0, Some(50.0), Some(0.0))
    );
    assert_eq!(value(&all[1]), 1.0);
    assert!(all[1].series.is_of_good && !all[0].series.is_of_good);
    assert!(value(&all[2]) >= 0.04 && value(&all[3]) >= value(&all[2]));
    assert_eq!(all[0].note, "");
}

#[tokio::test]
async fn it_goes_on_for_as_long_as_is_asked() {
    let app = App::start().await;
    app.route("/", Reply::with(200, "fine"));
    let source = made(json!({ "kind": "prober", "rate": 20, "duration": "1s" })).unwrap();
    // 20 requests take a second; the first sample has so many before the duration begins.
    let all = source
        .read(&[ask("p95", Duration::from_secs(1))], &app.url)
        .await;
    assert_eq!(app.seen().len(), 40);
    let series = &all[0].as_ref().unwrap().series;
    assert_eq!((series.points.len(), series.step), (2, 1000));
    let requests: Vec<_> = series
        .points
        .iter()
        .map(|it| it.sample.unwrap().requests)
        .collect();
    assert_eq!(
        requests,
        [Some(20.0), Some(40.0)],
        "each looks back on a minute"
    );
}

#[tokio::test]
async fn failures_are_counted_by_what_they_were() {
    let app = App::start().await;
    app.route("/ill", Reply::with(503, "starting"));
    app.route("/busy", Reply::with(429, "later"));
    app.route("/hang", Reply::Hang);
    app.route("/reset", Reply::Reset);
    app.route("/half", Reply::HalfBody);
    let tls = Tls::start().await;
    let closed = "http://127.0.0.1:1/".to_owned();
    for (url, rate, note) in [
        (app.at("/ill"), 1.0, "50 5xx"),
        (app.at("/busy"), 0.0, "50 4xx"),
        (app.at("/hang"), 1.0, "50 timeout"),
        (app.at("/reset"), 1.0, "50 reset"),
        (app.at("/half"), 1.0, "50 reset"),
        (closed, 1.0, "50 refused"),
        ("http://no-such-host.invalid/".to_owned(), 1.0, "20 DNS"),
        (tls.url.clone(), 1.0, "50 TLS"),
    ] {
        // Names are looked up by the system, which takes its time.
        let few = json!({ "url": url, "rate": 5, "timeout": "5s" });
        let of = prober(match note {
            "20 DNS" => few,
            _ => json!({ "url": url }),
        });
        let at: Url = "http://127.0.0.1:1/".parse().unwrap();
        let reading = read(of, "error-rate", &at).await.unwrap();
        assert_eq!(
            (value(&reading), reading.note.as_str()),
            (rate, note),
            "{url}"
        );
        let unsent = |it: &String| it.contains("could not be sent");
        assert!(
            !reading.warnings.iter().any(unsent),
            "{:?}",
            reading.warnings
        );
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (more, said) in [
        (
            json!({ "path": "/", "url": "http://h/" }),
            "there are both `path` and `url`",
        ),
        (json!({ "path": "health" }), "path: a path begins with /"),
        (json!({ "duration": "10ms" }), "duration: at least 1s"),
    ] {
        let wrong = made(prober(more)).map(drop).unwrap_err();
        assert!(wrong.contains(said), "{wrong}");
    }
}
