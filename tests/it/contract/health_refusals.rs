//! Thresholds and sources that make no sense: each is refused with its place and what would do.

use serde_json::json;

use super::health::config;
use super::program::Program;

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_line() {
    let metrics = json!([
        { "kind": "prober", "duration": "30s" },
        { "kind": "json", "url": "http://h/", "figures": { "queue": ".a" } },
    ]);
    for (threshold, key, said) in [
        (
            json!({ "metric": "eror-rate", "above": "5%" }),
            "metric",
            "unknown metric \"eror-rate\", did you mean \"error-rate\"?",
        ),
        (
            json!({ "metric": "p95", "above": "5%" }),
            "above",
            "p95 is a duration: write a duration such as 800ms or 2s, not a percent",
        ),
        (
            json!({ "metric": "error-rate", "above": 5 }),
            "above",
            "error-rate is a percent: write a percentage such as 5%, not a number",
        ),
        (
            json!({ "metric": "queue", "above": "2s" }),
            "above",
            "queue is a number: write a plain number such as 40, not a duration",
        ),
        (
            json!({ "metric": "p95", "above": "5 mins" }),
            "above",
            "\"5 mins\" is not a limit; write it as 5%, 800ms, 2s, or a plain number",
        ),
        (
            json!({ "metric": "p95" }),
            "",
            "`above` or `below` is missing",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "below": "1s" }),
            "",
            "there are both `above` and `below`",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "clear-below": "3s" }),
            "clear-below",
            "is above `above`",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "clear-above": "3s" }),
            "clear-above",
            "goes with `below`",
        ),
        (
            json!({ "metric": "success-rate", "below": "99%", "clear-above": "98%" }),
            "clear-above",
            "is below `below`",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "for": "5m" }),
            "for",
            "goes on for 30 s and can say nothing of 5 m; let its `duration` be as long, or leave it out",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "source": "promtheus" }),
            "source",
            "unknown source \"promtheus\"",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "source": "json" }),
            "metric",
            "unknown metric \"p95\"; the metrics are: queue",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "severty": "critical" }),
            "severty",
            "did you mean \"severity\"?",
        ),
        (
            json!({ "metric": "p95", "above": "2s", "window": "10ms" }),
            "window",
            "is shorter than 1s",
        ),
    ] {
        let text = config("http://h", &metrics, &json!([threshold]), &json!([]));
        let ran = Program::at_a_terminal().config(&text).run(&["check"]).await;
        assert_eq!(ran.code, 64, "{}", ran.stdout);
        assert!(ran.stdout.contains(said), "{threshold} {}", ran.stdout);
        let path = match key {
            "" => "thresholds[0]".to_owned(),
            key => format!("thresholds[0].{key}"),
        };
        assert!(ran.stdout.contains(&path), "{path} {}", ran.stdout);
    }
    let text = config(
        "http://h",
        &json!([]),
        &json!([{ "metric": "p95", "above": "2s" }]),
        &json!([]),
    );
    let ran = Program::at_a_terminal().config(&text).run(&["check"]).await;
    assert!(
        ran.stdout.contains(
            "there is no source of figures; give one, such as `metrics: [{ kind: prober }]`"
        ),
        "{}",
        ran.stdout
    );
}
