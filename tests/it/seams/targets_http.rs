//! The target that asks a deployment API: what it sends, once, and what it makes of the answers.

use std::path::Path;

use cutover::targets::TargetError;
use serde_json::{Value, json};

use super::targets::{deploy, made, order, tools};
use crate::world::app::{App, Reply};

#[tokio::test]
async fn an_api_gets_the_order_once() {
    let app = App::start().await;
    app.route("/v/a%2Fb%20c", Reply::with(200, ""));
    let options = json!({
        "kind": "http", "url": app.at("/").replace("http://", "http://me:pass@") + "v/{{version}}?slot={{slot}}",
        "headers": { "X-Token": "s3cr3t" },
    });
    let tools = tools(Path::new("/"));
    let target = made(options, &tools).unwrap();
    let (outcome, _) = deploy(&*target, &order("a/b c")).await;
    let said = outcome.unwrap();
    assert_eq!(
        said,
        format!("POST {} answered 200", app.at("/") + "v/{{version}}")
    );
    let seen = app.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (&*seen[0].method, &*seen[0].path),
        ("POST", "/v/a%2Fb%20c?slot=blue")
    );
    assert_eq!(seen[0].headers["x-token"], "s3cr3t");
    assert_eq!(seen[0].headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&seen[0].body).unwrap();
    let wanted =
        json!({ "app": "shop", "environment": "production", "slot": "blue", "version": "a/b c" });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn an_api_that_fails_is_quoted_and_a_lost_answer_is_called_lost() {
    let app = App::start().await;
    let tools = tools(Path::new("/"));
    tools.vault.keep("s3cr3t-token");
    let body = format!("{}s3cr3t-token", "no ".repeat(65));
    app.route("/refuse", Reply::with(409, body));
    app.route("/reset", Reply::Reset);
    app.route(
        "/moved",
        Reply::with(307, "").header("Location", "/elsewhere"),
    );
    let failed = async |path: &str, more: Value| {
        let mut options = json!({ "kind": "http", "url": app.at(path) });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        let target = made(options, &tools).unwrap();
        deploy(&*target, &order("v1")).await.0
    };
    let Err(TargetError::Failed { said, last_words }) =
        failed("/refuse", json!({ "expect-status": [200, 202] })).await
    else {
        panic!()
    };
    assert!(
        said.contains(" answered 409 after ") && said.ends_with("wanted 200 or 202"),
        "{said}"
    );
    assert!(last_words[0].ends_with("no ***"), "{last_words:?}");
    assert!(
        failed("/refuse", json!({ "expect-status": 409 }))
            .await
            .is_ok()
    );

    let lost = failed("/reset", json!({})).await.unwrap_err().to_string();
    assert!(
        lost.contains("lost") && lost.contains("may have begun"),
        "{lost}"
    );
    let moved = failed("/moved", json!({})).await.unwrap_err().to_string();
    assert!(moved.contains("answered 307"), "{moved}");
    assert_eq!(app.seen().len(), 4, "nothing is repeated or followed");

    let closed = made(
        json!({ "kind": "http", "url": "http://127.0.0.1:1/" }),
        &tools,
    )
    .unwrap();
    let closed = deploy(&*closed, &order("v1")).await.0.unwrap_err();
    assert!(matches!(closed, TargetError::OutOfReach(_)), "{closed:?}");
}

#[tokio::test]
async fn what_a_gateway_says_of_an_api_is_called_lost() {
    let app = App::start().await;
    let tools = tools(Path::new("/"));
    let answered = async |reply: Reply| {
        app.route("/deploy", reply);
        let target = made(json!({ "kind": "http", "url": app.at("/deploy") }), &tools);
        deploy(&*target.unwrap(), &order("v1")).await.0
    };
    // Who says so may have handed the order on, and the API be at work.
    for status in [408, 502, 503, 504, 520, 524, 527, 598, 599] {
        let ended = answered(Reply::with(status, "gone")).await;
        let Err(TargetError::Lost { said, last_words }) = ended else {
            panic!("{status}: {ended:?}");
        };
        assert!(
            said.contains(&format!(" answered {status} after ")),
            "{said}"
        );
        assert_eq!(last_words, ["gone"]);
    }
    // Gateways say when to come back, too.
    let busy = Reply::with(503, "").header("Retry-After", "5");
    let ended = answered(busy).await;
    assert!(matches!(ended, Err(TargetError::Lost { .. })), "{ended:?}");
    // These are the API's own.
    for status in [400, 404, 409, 429, 500, 501, 505, 519, 528] {
        let ended = answered(Reply::with(status, "no")).await;
        let failed = matches!(ended, Err(TargetError::Failed { .. }));
        assert!(failed, "{status}: {ended:?}");
    }
    // What is wanted went well, whoever says it.
    let target = made(
        json!({ "kind": "http", "url": app.at("/deploy"), "expect-status": [503] }),
        &tools,
    );
    app.route("/deploy", Reply::with(503, ""));
    let well = deploy(&*target.unwrap(), &order("v1")).await.0;
    assert!(well.is_ok(), "{well:?}");
}
