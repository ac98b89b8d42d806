//! What is remembered, where it cannot be written, is spoiled, or two write at once.

use cutover::report::vigil::hidden;
use serde_json::Value;

use super::scene::{CLOCK, Scene, ran};
use crate::world::children::output_meanwhile;
use crate::world::github::{Fault, Verb};

#[tokio::test]
async fn who_cannot_remember_tells_what_it_sees() {
    let scene = Scene::set(CLOCK).await;
    scene.is_well(false);
    let mut command = scene.command("1", "schedule");
    command.env_remove("INPUT_TOKEN");
    ran(command, 10)
        .await
        .says(&["it has no memory", "there is no token"]);
    scene.github.order(Verb::ListIssues, [Fault::Forbidden]);
    let refused = scene.run("2", 10).await;
    refused.says(&["it has no memory", "permissions: { issues: write }"]);
    let told = "failed: health-check of storefront, production";
    assert_eq!(scene.told(), [told, told]);
    assert_eq!(scene.called().len(), 2, "nobody can be called later");
    assert!(scene.github.issues().is_empty());

    // It may read, and not write: nothing is remembered, and it is told all the same.
    scene
        .github
        .order(Verb::OpenIssue, [Fault::Forbidden, Fault::Forbidden]);
    let refused = scene.run("3", 10).await;
    refused.says(&[
        "the look is not remembered",
        "permissions: { issues: write }",
    ]);
    assert_eq!(scene.told().len(), 3);
    assert_eq!(scene.told()[2], "down: storefront, production");
}

#[tokio::test]
async fn what_somebody_spoiled_begins_anew_and_nobody_is_called_twice() {
    let scene = Scene::set(CLOCK).await;
    // A stranger cannot set a label, and is not believed.
    let mark = hidden::mark("memory", "storefront", "production");
    scene.github.somebody_opens(
        "eve",
        "mine",
        &format!("{mark}\n<!-- cutover memory {{}} -->"),
    );
    scene.is_well(false);
    scene.run("1", 10).await;
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let number = scene.issue("Health of")["number"].as_u64().unwrap();
    let good = scene.issue("Health of")["body"]
        .as_str()
        .unwrap()
        .to_owned();
    for (spoiled, why) in [
        ("hello".to_owned() + &mark, "it is not there any more"),
        (
            good.replace("\"down\"", "\"up\""),
            "it says up, and has an incident",
        ),
        (
            good.replace("\"version\":1", "\"version\":2"),
            "it has form 2",
        ),
        (good.replace("\"at\":1", "\"at\":9"), "still to come"),
    ] {
        scene.github.somebody_edits(number, &spoiled);
        let ran = scene.run("2", 10).await;
        ran.says(&[
            "what was remembered is not usable",
            why,
            "it is down still, by its issue",
        ]);
        assert_eq!(scene.told().len(), 1, "{why}");
    }
    scene.is_well(true);
    for code in [10, 0] {
        scene.later(900);
        scene.run("3", code).await;
    }
    assert_eq!(scene.told()[1..], ["up: storefront, production"]);
    assert_eq!(scene.issue("production was down for")["state"], "closed");
}

#[tokio::test]
async fn two_runs_at_once_tell_once() {
    let scene = Scene::set(CLOCK).await;
    scene.run("1", 0).await;
    scene.later(900);
    scene.is_well(false);
    // Long enough that both have read what is remembered before either writes.
    scene
        .github
        .take_your_time(std::time::Duration::from_millis(300));
    tokio::join!(scene.run("2", 10), scene.run("3", 10));
    assert_eq!(scene.told(), ["down: storefront, production"]);
    let all = scene.github.issues();
    let open: Vec<&Value> = all.iter().filter(|one| one["state"] == "open").collect();
    assert_eq!(open.len(), 1, "{all:?}");
    scene.is_well(true);
    for _ in 0..2 {
        scene.later(900);
        let [mut one, mut other] = ["4", "5"].map(|run| scene.command(run, "schedule"));
        tokio::join!(output_meanwhile(&mut one), output_meanwhile(&mut other));
    }
    assert_eq!(scene.told()[1..], ["up: storefront, production"]);
    assert!(
        scene
            .github
            .issues()
            .iter()
            .all(|one| one["state"] == "closed")
    );
}
