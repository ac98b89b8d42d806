//! What is refused, before anything is touched; each with a way on.

use insta::assert_snapshot;
use serde_json::json;

use crate::world::github::{Github, TOKEN};
use crate::world::shop::{Ran, Shop, Way};

#[test]
fn the_slot_that_users_are_on_is_not_deployed_to() {
    let shop = Shop::open(Way::Flags);
    let before = shop.state();
    let ran = shop.cutover("deploy-slot --slot=blue --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 10);
    assert_eq!(ran.output("reason-code"), "slot-is-active");
    assert_eq!(shop.state(), before);
}

#[test]
fn nobody_switches_what_they_did_not_expect() {
    let shop = Shop::open(Way::Map);
    let before = shop.state();
    let ran = shop.cutover("switch-traffic --expect-active=green");
    assert_snapshot!(shop.told(&ran.log), @"");
    for mode in ["switch-traffic", "rollback", "rollout --version=v2"] {
        let ran = shop.cutover(&format!("{mode} --expect-active=green"));
        assert_eq!(ran.code, 10, "{}", ran.log);
        assert_eq!(ran.output("reason-code"), "not-as-expected");
    }
    assert_eq!(shop.state(), before);
}

#[test]
fn traffic_is_not_sent_to_another_release_than_the_one_named() {
    let shop = Shop::open(Way::Flags);
    let before = shop.state();
    let ran = shop.cutover("switch-traffic --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 10);
    assert_eq!(shop.state(), before);
}

/// Runs the program as a step of a workflow, off this thread, which is GitHub's meanwhile.
async fn in_workflow(shop: &Shop, github: &Github, arguments: &str) -> Ran {
    let outputs = shop.nginx.site.path("outputs");
    std::fs::write(&outputs, "").unwrap();
    let mut command = shop.command(arguments);
    command
        .env("GITHUB_API_URL", &github.api_url)
        .env("GITHUB_REPOSITORY", "shop/storefront")
        .env("GITHUB_SHA", "4f2a9c1d5e6f708192a3b4c5d6e7f8091a2b3c4d")
        .env("GITHUB_RUN_ID", "42")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("GITHUB_JOB", "deploy")
        .env("INPUT_TOKEN", TOKEN);
    let run = move || Ran::of(command.spawn().unwrap());
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn router_and_record_disagree_and_the_command_repairs_it() {
    let (shop, github) = (Shop::open(Way::Flags), Github::start().await);
    let good = in_workflow(&shop, &github, "rollout --version=v2").await;
    assert_eq!(good.code, 0, "{}", good.log);
    assert_eq!(github.deployments().len(), 1, "{}", good.log);
    // Somebody goes back by hand, past the record.
    assert_eq!(shop.cutover("rollback").code, 0);
    let before = shop.state();
    let refused = in_workflow(&shop, &github, "rollout --version=v3").await;
    assert_snapshot!(shop.told(&refused.log), @"");
    assert_eq!(refused.code, 10);
    assert_eq!(refused.output("reason-code"), "record-disagrees");
    assert_eq!(shop.state(), before);

    let (_, command) = refused
        .log
        .split_once("if the router is right: `cutover ")
        .unwrap();
    let (command, _) = command.split_once('`').unwrap();
    let repaired = in_workflow(&shop, &github, command).await;
    assert_eq!(repaired.code, 0, "{command}: {}", repaired.log);
    assert_eq!(shop.state(), before, "the router was right");
    let next = in_workflow(&shop, &github, "rollout --version=v3").await;
    assert_eq!(next.code, 0, "{}", next.log);
    assert_eq!(shop.answers(), "green v3");
}

#[tokio::test]
async fn or_the_record_is_right() {
    let (shop, github) = (Shop::open(Way::Map), Github::start().await);
    let payload = json!({ "cutover": {
        "schema_version": 1, "mode": "rollout", "slot": "green", "version": "v0",
        "weight": 100, "previous": "blue", "run_id": "41", "run_attempt": "1",
        "job": "deploy", "mark": "m",
    }});
    github.put("production", "deploy:cutover", payload, "success");
    let refused = in_workflow(&shop, &github, "switch-traffic").await;
    assert_eq!(refused.code, 10, "{}", refused.log);
    let (_, command) = refused
        .log
        .split_once("if the record is right: `cutover ")
        .unwrap();
    let (command, _) = command.split_once('`').unwrap();
    let repaired = in_workflow(&shop, &github, command).await;
    assert_eq!(repaired.code, 0, "{command}: {}", repaired.log);
    assert_eq!(shop.answers(), "green v0");
}
