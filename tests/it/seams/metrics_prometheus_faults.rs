//! What a real Prometheus cannot be ordered to do: a stand-in that is as strict about what it
//! takes, behind a gateway that wants a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::metrics::{made, value};
use super::metrics_prometheus::of;
use crate::world::stand_in::{Asked, Reply, StandIn};

const TOKEN: &str = "t0ken-of-prometheus";

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
