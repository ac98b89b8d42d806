//! What is shown: each difference with what GitHub has and what the config wants, and what a
//! token may not see.

use insta::assert_snapshot;
use serde_json::json;

use super::{Office, WHOLE};
use crate::world::github::environments::Rights;

/// As `WHOLE`, at GitHub.
fn whole() -> serde_json::Value {
    json!({
        "wait_timer": 10, "prevent_self_review": true,
        "reviewers": [{ "type": "User", "id": 11 }, { "type": "Team", "id": 21 }],
        "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
    })
}

#[tokio::test]
async fn what_is_equal_is_0() {
    let office = Office::of(WHOLE).await;
    office
        .github
        .environment_is("Production", whole(), &["release/*", "main"]);
    office.github.grant(Rights::Workflow);
    let ran = office.cutover(&["environments"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      equal      production: as the config says
      passed     production is as the config says
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(
        ran.result["environments"],
        json!([{ "environment": "production", "differences": [], "read-back": false }])
    );
    assert!(
        ran.summary
            .contains("| production |  | as the config says | as the config says | ✅ |"),
        "{}",
        ran.summary
    );
}

#[tokio::test]
async fn every_difference_is_told_with_both_sides() {
    let office = Office::open(&[
        ("staging", "    protection: { branches: protected }\n"),
        ("production", &format!("    protection: {WHOLE}\n")),
        ("sandbox", ""),
    ])
    .await;
    office
        .github
        .environment_is("production", json!({ "wait_timer": 5 }), &[]);
    office.github.grant(Rights::Workflow);
    let ran = office.cutover(&["environments"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · storefront
      differs    staging: environment is not at GitHub, should be there
      differs    staging: branches is all, should be protected
      notice     could not look up team OPS: GitHub answered 403 Resource not accessible by integration; only its name is compared
      differs    production: reviewers is none, should be octocat, team:OPS
      differs    production: prevent-self-review is false, should be true
      differs    production: wait-timer is 5m, should be 10m
      differs    production: branches is all, should be main, release/*
    failed: staging is not protected as the config says; production is not protected as the config says
      measured   production: reviewers none; prevent-self-review false; wait-timer 5m; branches all
      wanted     reviewers octocat, team:OPS; prevent-self-review true; wait-timer 10m; branches main, release/*
      traffic    not touched
      next       `cutover environments --environment production --apply` with an admin token, or by hand: https://github.com/shop/storefront/settings/environments
    ");
    assert_eq!(ran.code, 10);
    assert_eq!(ran.result["reason-code"], "protection-differs");
    assert_eq!(
        ran.result["environments"][1]["differences"][2],
        json!({ "key": "wait-timer", "is": "5m", "should": "10m", "by-hand": false })
    );
    for row in [
        "| environment | key | GitHub had | config | |",
        "| staging | branches | all | protected | ❌ differs |",
        "| production | wait-timer | 5m | 10m | ❌ differs |",
    ] {
        assert!(ran.summary.contains(row), "{row}: {}", ran.summary);
    }
    assert!(office.github.environment_writes().is_empty());
    let one = office
        .cutover(&["environments", "--environment=production"])
        .await;
    assert_eq!(one.code, 10, "{}", one.log);
    assert!(!one.log.contains("staging"), "{}", one.log);
}

#[tokio::test]
async fn odd_names_are_found_and_quoted() {
    for name in ["production/eu west", "größe ü", "it's 100%?#", "café"] {
        let office = Office::open(&[(name, "    protection: { wait-timer: 1h }\n")]).await;
        let ran = office.cutover(&["environments"]).await;
        assert_eq!(ran.code, 10, "{}", ran.log);
        assert!(ran.log.contains("not at GitHub"), "{}", ran.log);
        let (_, next) = ran.log.split_once("--environment ").unwrap();
        let (quoted, _) = next.split_once(" --apply").unwrap();
        let echoed = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {quoted}")])
            .output();
        assert_eq!(String::from_utf8(echoed.unwrap().stdout).unwrap(), name);
        let applied = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(applied.code, 0, "{}", applied.log);
        let (shown, _) = office.github.environment(name).unwrap();
        assert_eq!(shown["name"], name);
        let after = office.cutover(&["environments"]).await;
        assert_eq!(after.code, 0, "{}", after.log);
    }
}

#[tokio::test]
async fn many_branches_are_read_to_the_last_page() {
    let branches: Vec<String> = (0..230).map(|nth| format!("release/{nth}")).collect();
    let office = Office::of(&format!("{{ branches: [{}] }}", branches.join(", "))).await;
    let names: Vec<&str> = branches.iter().map(String::as_str).collect();
    let by_name = json!({
        "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
    });
    office.github.environment_is("production", by_name, &names);
    let ran = office.cutover(&["environments"]).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[tokio::test]
async fn what_a_token_may_not_see_is_said() {
    let office = Office::of(WHOLE).await;
    office.github.grant(Rights::Stranger);
    let ran = office.cutover(&["environments"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
    failed: production could not be read
      measured   could not read environment production: GitHub answered 404 Not Found
      wanted     a token that may read environments
      traffic    not touched
      next       give the job `permissions: { contents: read, actions: read }`
    ");
    assert_eq!(ran.code, 69);
    let mut command = office.command(&["environments"]);
    command.env("INPUT_TOKEN", "");
    let none = super::Ran::of(&office, command).await;
    assert_eq!(none.code, 64, "{}", none.log);
    assert!(
        none.log
            .contains("token: is missing, and the environments are on GitHub"),
        "{}",
        none.log
    );
}

#[tokio::test]
async fn who_does_not_exist_is_told_with_the_line() {
    let office =
        Office::of("{ reviewers: [octocat, monna, shop, team:opps, team:acme/ops] }").await;
    let ran = office.cutover(&["environments", "--apply=true"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments
      line 8     environments.production.protection.reviewers[1]: GitHub has no user monna; a team is written as team:monna
      line 8     environments.production.protection.reviewers[2]: GitHub has no user shop; a team is written as team:shop
      line 8     environments.production.protection.reviewers[3]: shop has no team opps, or the token may not see it (Members: read of the organization); a team goes by the name in its address
      line 8     environments.production.protection.reviewers[4]: the repository is shop's, and only teams of its owner can review, not those of acme
    failed: 4 problems in cutover.yml
      traffic    not touched
      next       correct the file; `cutover check --config cutover.yml` checks it alone
    ");
    assert_eq!(ran.code, 64);
    assert!(office.github.environment_writes().is_empty());
    // Who only looks is not sure about teams.
    let office = Office::of("{ reviewers: [team:opps] }").await;
    let ran = office.cutover(&["environments"]).await;
    assert_eq!(ran.code, 10, "{}", ran.log);
    assert!(
        ran.log
            .contains("shop has no team opps, or the token may not see it"),
        "{}",
        ran.log
    );
}

#[tokio::test]
async fn a_block_that_makes_no_sense_is_refused_with_its_lines() {
    let office = Office::open(&[
        ("a", "    protection: { reviewers: [a, b, c, d, e, f, G, g], wait-timer: 90s, tags: [v1], branches: protected }\n"),
        ("b", "    protection: { reviewers: [\"@mona\", team:], prevent-self-review: true, wait-timer: 31d, branches: [] }\n"),
        ("c", "    protection: { prevent-self-review: true, reviewer: [mona] }\n    guardrails: { protected: true }\n"),
        ("d", "    guardrails: { protected: true }\n"),
        ("e", "    protection: { reviewers: [mona], branches: [main, develop] }\n    guardrails: { protected: { reviewers: 2, branches: [main], wait-timer: 1h } }\n"),
        ("f", "    guardrails: { protected: { reviewers: 7, branches: all } }\n"),
        ("g", "    protection: {}\n    guardrails: { protected: {} }\n"),
    ])
    .await;
    let ran = office.cutover(&["check"]).await;
    assert_snapshot!(ran.log, @r#"
    cutover · check
      line 8     environments.a.protection.reviewers: there are 8 reviewers; GitHub takes at most 6, and a team counts as one
      line 8     environments.a.protection.reviewers: g is there twice
      line 8     environments.a.protection.wait-timer: GitHub counts whole minutes; write it as 10m or 2h
      line 8     environments.a.protection.tags: tags can stand only beside a list of branches, as branches: [main]
      line 13    environments.b.protection.reviewers[0]: "@mona" is not a reviewer; write a login as octocat, or a team as team:ops or team:acme/ops
      line 13    environments.b.protection.reviewers[1]: this must be a text, not a mapping
      line 18    environments.c.protection.prevent-self-review: this needs `reviewers` beside it: GitHub keeps it with them
      line 18    environments.c.protection.reviewer: unknown key "reviewer", did you mean "reviewers"? the keys are: branches, can-admins-bypass, prevent-self-review, reviewers, tags, wait-timer
      line 24    environments.d.guardrails.protected: `true` is: as in the environment's block `protection`, and there is none
      line 30    environments.e.guardrails.protected.reviewers: this contradicts `protection.reviewers`, which says 1 (mona); wanted here: at least 2
      line 30    environments.e.guardrails.protected.branches: this contradicts `protection.branches`, which says develop, main; wanted here: nothing but main
      line 35    environments.f.guardrails.protected.reviewers: 7 is out of range: 1 to 6 can be had
      line 35    environments.f.guardrails.protected.branches: `all` guards nothing; leave it out
      line 40    environments.g.protection: this says nothing; name at least one key
      line 41    environments.g.guardrails.protected: this says nothing; name at least one key
    failed: 15 problems in cutover.yml
      traffic    not touched
      next       correct the file; `cutover check --config cutover.yml` checks it alone
    "#);
    assert_eq!(ran.code, 64);
    let office = Office::open(&[("a", "")]).await;
    let none = office.cutover(&["environments"]).await;
    assert_eq!(none.code, 64);
    assert!(none.log.contains("none has `protection`"), "{}", none.log);
    let none = office
        .cutover(&["environments", "--environment", "a"])
        .await;
    assert!(
        none.log.contains("environments.a: `protection` is missing"),
        "{}",
        none.log
    );
}
