//! The record on GitHub and the news to people, beside what happens to traffic.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::app::{App, Reply};
use crate::world::github::{Github, TOKEN};
use crate::world::scene::{CHECK_RUN, RUN, SHA, Scene};
use crate::world::shop::{Ran, Shop, Way};

/// Runs the program as a step of a workflow, off this thread, which is GitHub's meanwhile.
pub(super) async fn in_workflow(shop: &Shop, github: &Github, arguments: &str) -> Ran {
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
    assert_snapshot!(shop.told(&refused.log), @r"
    cutover · rollout · production · storefront v3 · blue-green
      traffic    the router says blue, GitHub Deployment 1 says green (v2)   [time]
    failed: the router and the last record disagree
      measured   the router says blue, GitHub Deployment 1 says green (v2)
      wanted     both the same
      traffic    100 % on blue, says the router
      next       if the router is right: `cutover switch-traffic --environment production --to blue` (proves it and records it); if the record is right: `cutover switch-traffic --environment production --to green`
    ");
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

#[tokio::test]
async fn a_rollout_is_recorded_and_people_are_told() {
    let (shop, github) = (Shop::open(Way::Flags), Github::start().await);
    let people = App::start().await;
    people.route("/hook", Reply::with(200, ""));
    let notify = format!(
        "notify: [{{ kind: webhook, url: {} }}]\n    strategy:",
        people.at("/hook")
    );
    shop.configure("strategy:", &notify);
    let ran = in_workflow(&shop, &github, "rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);

    let made = &github.deployments()[0];
    let id = made["id"].as_u64().unwrap();
    assert_eq!(ran.output("deployment-id"), id.to_string());
    assert_eq!(made["environment"], "production");
    let content = &made["payload"]["cutover"];
    assert_eq!(
        (&content["mode"], &content["slot"]),
        (&json!("rollout"), &json!("green"))
    );
    assert_eq!(
        (&content["version"], &content["previous"]),
        (&json!("v2"), &json!("blue"))
    );
    assert_eq!(github.states(id), ["in_progress", "success"]);

    let [post] = &people.seen()[..] else {
        panic!("told once, and not {:?}", people.seen());
    };
    let news: Value = serde_json::from_str(&post.body).unwrap();
    assert_eq!(news["decision"], "promoted");
    let facts = &news["facts"].as_array().unwrap()[..4];
    assert_eq!(
        Value::from(facts),
        json!([
            ["app", "storefront"],
            ["environment", "production"],
            ["version", "v2"],
            ["slot", "green"]
        ])
    );
}

#[tokio::test]
async fn without_a_token_a_workflow_is_told_what_it_misses() {
    let shop = Shop::open(Way::Flags);
    let run = shop
        .command("rollout --version=v2")
        .env("GITHUB_ACTIONS", "true")
        .spawn();
    let ran = Ran::of(run.unwrap());
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(ran.log.contains("::notice"), "{}", ran.log);
    assert!(
        ran.log
            .contains("no token: this run leaves no GitHub Deployment record"),
        "{}",
        ran.log
    );
}

/// A record of a small share says that most of the traffic is on the other slot, as the router does.
#[tokio::test]
async fn a_share_of_the_traffic_is_recorded_as_one() {
    for (to, other) in [("green", "blue"), ("blue", "green")] {
        let (shop, github) = (Shop::open(Way::Map), Github::start().await);
        let share = format!("switch-traffic --to={to} --weight=25");
        let ran = in_workflow(&shop, &github, &share).await;
        assert_eq!(ran.code, 0, "{}", ran.log);
        let content = &github.deployments()[0]["payload"]["cutover"];
        assert_eq!(
            (&content["slot"], &content["weight"]),
            (&json!(to), &json!(25))
        );
        assert_eq!(content["previous"], other);
        let next = in_workflow(&shop, &github, "switch-traffic").await;
        assert_eq!(next.code, 0, "{}", next.log);
    }
}

/// In a job with `environment:` there is one Deployment, GitHub's own, and it is as good a record.
#[tokio::test]
async fn the_deployment_of_the_job_is_the_record() {
    let scene = Scene::set("auto").await;
    let github = &scene.github;
    let id = github.job_begins("production", SHA, RUN);
    let ran = scene.run(id + 1000, "rollout --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(github.deployments().len(), 1, "{}", ran.log);
    let statuses = github.statuses(id);
    let ours = statuses.last().unwrap();
    let said = ours["description"].as_str().unwrap();
    assert!(
        said.starts_with("cutover: rollout green v2 100 %, rest blue; "),
        "{said}"
    );
    assert_eq!(ours["state"], "success");
    // A later step of the job fails, and GitHub has the last word.
    github.job_ends(id, "failure");
    // Somebody goes back by hand, past the record.
    scene.configure("records: auto", "records: none");
    let before = github.calls_but_locks();
    assert_eq!(scene.run(CHECK_RUN, "rollback").await.code, 0);
    assert_eq!(github.calls_but_locks(), before, "`none` asks nothing");
    scene.configure("records: none", "records: auto");
    let refused = scene.run(CHECK_RUN, "rollout --version=v3").await;
    assert_eq!(refused.code, 10, "{}", refused.log);
    let said = format!("the router says blue, GitHub Deployment {id} says green (v2)");
    assert!(refused.log.contains(&said), "{}", refused.log);
}

#[tokio::test]
async fn the_config_says_whose_deployment_is_the_record() {
    for (records, environment, made) in [
        ("auto", true, 1),
        ("auto", false, 1),
        ("create", true, 2),
        ("create", false, 1),
        ("adopt", true, 1),
        ("adopt", false, 0),
        ("none", true, 1),
        ("none", false, 0),
    ] {
        let scene = Scene::set(records).await;
        let check_run = if environment {
            scene.github.job_begins("production", SHA, RUN) + 1000
        } else {
            CHECK_RUN
        };
        let ran = scene.run(check_run, "rollout --version=v2").await;
        assert_eq!(ran.code, 0, "{}", ran.log);
        let count = scene.github.deployments().len();
        assert_eq!(count, made, "{records} {environment}: {}", ran.log);
        let warned = ran
            .log
            .contains("::warning::there is no GitHub Deployment: `records: adopt`");
        assert_eq!(warned, records == "adopt" && !environment, "{}", ran.log);
    }
}
