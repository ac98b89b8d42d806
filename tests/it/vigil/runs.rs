//! The built program as a workflow starts it by its schedule: which issues there are afterwards,
//! and who was told what.

use cutover::report::vigil::hidden;
use serde_json::json;

use super::scene::{CLOCK, Scene, ran};
use crate::world::app::Reply;

#[tokio::test]
async fn an_outage_is_told_once_escalated_once_and_closed_with_its_length() {
    let scene = Scene::set(CLOCK).await;
    scene.run("1", 0).await.says(&["nothing is remembered yet"]);
    let memory = scene.issue("Health of storefront, production");
    assert_eq!(
        memory["state"], "closed",
        "there is nothing to be done in it"
    );
    assert_eq!(memory["labels"][0]["name"], "cutover-health-memory");
    scene.later(900);
    let calls = scene.github.calls();
    let healthy = scene.run("2", 0).await;
    healthy.says(&["memory     up since", "after its time"]);
    assert_eq!(scene.github.calls() - calls, 2, "a healthy look");
    assert_eq!(scene.told(), [""; 0]);

    scene.later(900);
    scene.is_well(false);
    scene
        .run("3", 10)
        .await
        .says(&["down since", "2 of 2 checks failed"]);
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let incident = scene.issue("production is down: storefront");
    let number = incident["number"].as_u64().unwrap();
    assert_eq!(incident["labels"][0]["name"], "cutover-health");
    let body = incident["body"].as_str().unwrap();
    assert!(body.contains("| evidence | http, file |"), "{body}");
    assert!(body.contains("503"), "{body}");
    scene.later(900);
    scene.run("4", 10).await;
    assert_eq!(scene.told().len(), 1, "it is as before");
    assert!(scene.called().is_empty(), "not yet");
    scene.later(900);
    scene.run("5", 10).await;
    let key = "cutover/storefront/production/health";
    assert_eq!(scene.called(), [json!(["trigger", key])]);
    scene.later(900);
    scene.run("6", 10).await;

    scene.is_well(true);
    scene.later(900);
    scene
        .run("7", 10)
        .await
        .says(&["this look is good, 1 of 2"]);
    scene.later(900);
    scene.run("8", 0).await;
    assert_eq!(
        scene.told(),
        ["down: storefront, production", "up: storefront, production"]
    );
    assert_eq!(
        scene.called(),
        [json!(["trigger", key]), json!(["resolve", key])]
    );
    let closed = scene.issue("production was down for");
    assert_eq!(
        (closed["number"].as_u64(), &closed["state"]),
        (Some(number), &json!("closed"))
    );
    assert_eq!(closed["title"], "production was down for 1 h: storefront");
    let comments = scene.github.comments_on(number);
    assert_eq!(comments.len(), 2, "{comments:?}");
    assert!(
        comments[0].contains("**Still down after 30 m.** Called now: night."),
        "{comments:?}"
    );
    assert!(comments[1].contains("**Up again.**"), "{comments:?}");
}

#[tokio::test]
async fn the_week_is_summed_up_with_what_was_deployed() {
    let scene =
        Scene::set("clock: { missed-alert: 1000, weekly: { day: daily, at: '00:00' } }").await;
    scene.run("1", 0).await;
    scene.later(86_400);
    let issue = scene.issue("Health of");
    let body = issue["body"].as_str().unwrap();
    let mut memory = hidden::find(body).unwrap();
    let old = hidden::hide(&memory);
    memory.weekly = memory.weekly.map(|at| at - 86_400);
    let body = body.replace(&old, &hidden::hide(&memory));
    scene
        .github
        .somebody_edits(issue["number"].as_u64().unwrap(), &body);
    for state in ["success", "failure", "success"] {
        let payload = json!({ "cutover": {
            "schema_version": 1, "mode": "rollout", "slot": "blue", "version": "v2", "weight": 100,
            "previous": "green", "run_id": "7", "run_attempt": "1", "job": "deploy",
        }});
        scene
            .github
            .put("production", "deploy:cutover", payload, state);
    }
    let now = jiff::Timestamp::now().to_string();
    scene.github.deployments_are_of(&now);
    scene.run("2", 0).await;
    assert_eq!(
        scene.told(),
        ["the week of storefront, production: 100 % available"]
    );
    let message = scene.chat.heard()[0]["message"].to_string();
    assert!(
        message.contains("deployments: 2 went well, 1 did not"),
        "{message}"
    );
    assert!(message.contains("100 % of 2 looks passed"), "{message}");
}

#[tokio::test]
async fn a_gate_is_a_look_by_itself() {
    let scene = Scene::set(CLOCK).await;
    scene.is_well(false);
    ran(scene.command("1", "push"), 10).await;
    assert_eq!(
        scene.told(),
        ["failed: health-check of storefront, production"]
    );
    assert!(scene.github.issues().is_empty());
    assert_eq!(scene.github.calls(), 0);
}

#[tokio::test]
async fn a_warning_is_told_as_degraded() {
    let scene = Scene::set("thresholds: [{ metric: p95, above: 500ms, severity: warning }]").await;
    let path = scene.home.path().join("cutover.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    let metrics = format!(
        "    metrics: [{{ kind: json, url: '{}', figures: {{ p95: {{ path: .p95, in: milliseconds }} }} }}]\n",
        scene.app.at("/figures")
    );
    std::fs::write(&path, config + &metrics).unwrap();
    scene
        .app
        .route("/figures", Reply::with(200, "{\"p95\": 900}"));
    ran(scene.command("1", "push"), 0).await;
    assert_eq!(
        scene.told(),
        ["degraded: health-check of storefront, production"]
    );
    assert_eq!(scene.chat.heard()[0]["severity"], "warning");
}

#[tokio::test]
async fn a_clock_that_makes_no_sense_is_refused_with_its_lines() {
    let scene = Scene::set(
        "clock:
        schedule: '* * * * *'
        rise: 0
        all-good: often
        weekly: { day: monday, at: '09:00' }
        rollback-on: critical
        label: 'a,b'",
    )
    .await;
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&[
        "every 1 m at its closest",
        "0 is out of range",
        "the words are: daily, hourly, off",
        "is not days of the week",
    ]);
    let scene =
        Scene::set("clock: { rollback-on: critical, escalate-to: [nigth, pigeons], label: 'a,b' }")
            .await;
    let path = scene.home.path().join("cutover.yml");
    let config = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, config + "    records: none\n").unwrap();
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&[
        "the age of the last deployment is not known: `records` is none",
        "nothing can put traffic back: the environment has no `router`",
        "no entry of `notify` is \"nigth\", did you mean \"night\"?",
        "by name and kind there are: webhook, night, pagerduty",
        "a label has 1 to 43 characters and no comma",
    ]);
    let scene = Scene::set("clock: { younger-than: 1h }").await;
    let refused = ran(scene.command("1", "schedule"), 64).await;
    refused.says(&["goes with `rollback-on: critical`"]);
}
