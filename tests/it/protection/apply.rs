//! Made so: every change once and told, read back, also where it was interrupted, and not by whom
//! it may not be.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Office, WHOLE};
use crate::world::children::ended_meanwhile;
use crate::world::github::environments::Rights;
use crate::world::github::{Fault, Verb};
use crate::world::patience::until;

/// What the config's `WHOLE` comes to at GitHub.
fn is_whole(office: &Office) {
    let (shown, mut branches) = office.github.environment("production").unwrap();
    branches.sort();
    assert_eq!(branches, ["main", "release/*"]);
    let rules = shown["protection_rules"].as_array().unwrap();
    assert_eq!(rules[0]["wait_timer"], 10);
    assert_eq!(rules[1]["prevent_self_review"], true);
    let reviewers = rules[1]["reviewers"].as_array().unwrap();
    let ids: Vec<&Value> = reviewers.iter().map(|one| &one["reviewer"]["id"]).collect();
    assert_eq!(ids, [11, 21]);
}

#[tokio::test]
async fn from_nothing_to_all_of_it_once() {
    let office = Office::of(WHOLE).await;
    let ran = office.cutover(&["environments", "--apply", "true"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      differs    production: environment is not at GitHub, should be there
      differs    production: reviewers is none, should be octocat, team:OPS
      differs    production: prevent-self-review is false, should be true
      differs    production: wait-timer is none, should be 10m
      differs    production: branches is all, should be main, release/*
      changed    production: environment not at GitHub -> there
      changed    production: reviewers none -> octocat, team:OPS
      changed    production: prevent-self-review false -> true
      changed    production: wait-timer none -> 10m
      changed    production: branches all -> by name
      changed    production: branch main not listed -> listed
      changed    production: branch release/* not listed -> listed
      proved     production: read back, and as the config says
      passed     production is as the config says, after 7 changes
    ");
    assert_eq!(ran.code, 0);
    is_whole(&office);
    let writes = ["put production", "allow main", "allow release/*"];
    assert_eq!(office.github.environment_writes(), writes);
    assert!(
        ran.summary
            .contains("| production | wait-timer | none | 10m | ✅ changed |"),
        "{}",
        ran.summary
    );
    let again = office.cutover(&["environments", "--apply"]).await;
    assert_eq!(again.code, 0, "{}", again.log);
    assert_eq!(again.result["reason-code"], "already-there");
    assert_eq!(office.github.environment_writes(), writes);
}

#[tokio::test]
async fn what_the_config_does_not_name_stays() {
    let office = Office::of("{ branches: [main, hotfix/*], tags: [v*] }").await;
    let before = json!({
        "wait_timer": 30, "prevent_self_review": true,
        "reviewers": [{ "type": "User", "id": 12 }],
        "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
    });
    office
        .github
        .environment_is("production", before, &["main", "develop"]);
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      differs    production: branches is develop, main, should be hotfix/*, main, tag v*
      changed    production: branch hotfix/* not listed -> listed
      changed    production: tag v* not listed -> listed
      changed    production: branch develop listed -> not listed
      proved     production: read back, and as the config says
      passed     production is as the config says, after 3 changes
    ");
    let (shown, branches) = office.github.environment("production").unwrap();
    assert_eq!(branches, ["main", "hotfix/*", "v*"]);
    assert_eq!(shown["protection_rules"][0]["wait_timer"], 30);
    assert_eq!(shown["protection_rules"][1]["prevent_self_review"], true);
    // The whole environment was not put for the sake of a branch.
    assert_eq!(
        office.github.environment_writes(),
        ["allow hotfix/*", "allow v*", "forbid develop"]
    );
}

#[tokio::test]
async fn each_way_of_choosing_branches_leads_to_each_other() {
    let ways = [
        "all",
        "protected",
        "[main]",
        "[release/*]",
        "all",
        "[main]",
        "protected",
    ];
    let office = Office::of("{ wait-timer: 1m, branches: HERE }").await;
    let mut before = "HERE";
    for way in ways {
        let path = office.path("cutover.yml");
        let config = std::fs::read_to_string(&path).unwrap();
        let config = config.replace(
            &format!("branches: {before} "),
            &format!("branches: {way} "),
        );
        std::fs::write(&path, config).unwrap();
        before = way;
        let ran = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(ran.code, 0, "{way}: {}", ran.log);
        assert!(
            ran.log.contains("proved     production: read back"),
            "{}",
            ran.log
        );
        let after = office.cutover(&["environments"]).await;
        assert_eq!(after.code, 0, "{way}: {}", after.log);
    }
}

#[tokio::test]
async fn a_dry_run_says_it_and_does_nothing() {
    let office = Office::of(WHOLE).await;
    let ran = office
        .cutover(&["environments", "--apply", "--dry-run"])
        .await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.result["decision"], "planned");
    assert!(
        ran.log
            .contains("planned    production would be made as the config says: 5 differences"),
        "{}",
        ran.log
    );
    assert!(office.github.environment_writes().is_empty());
    assert!(office.github.environment("production").is_none());
}

#[tokio::test]
async fn the_workflows_own_token_cannot_and_is_told_who_can() {
    let mut logs = Vec::new();
    for rights in [Rights::Workflow, Rights::Reader] {
        let office = Office::of("{ wait-timer: 10m }").await;
        office.github.grant(rights);
        let ran = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(ran.code, 69, "{}", ran.log);
        assert!(office.github.environment_writes().is_empty());
        logs.push(ran.log.replace(
            "403 Resource not accessible by integration",
            "404 Not Found",
        ));
    }
    assert_eq!(logs[0], logs[1]);
    assert_snapshot!(logs[0], @r#"
    cutover · environments · production · storefront
      differs    production: environment is not at GitHub, should be there
      differs    production: wait-timer is none, should be 10m
    failed: production could not be changed
      measured   could not set the protection of environment production: GitHub answered 404 Not Found
      wanted     a token with `administration: write`
      traffic    not touched
      next       the workflow's own token cannot have that: make a fine-grained token (Administration: write; with teams also Members: read) or a GitHub App, and give it to the step: `with: { mode: environments, apply: true, token: "${{ secrets.CUTOVER_ADMIN_TOKEN }}" }`
    "#);
}

#[tokio::test]
async fn who_may_not_see_teams_is_told_who_can() {
    let office = Office::of("{ reviewers: [octocat, team:ops] }").await;
    office.github.grant(Rights::Workflow);
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_eq!(ran.code, 69, "{}", ran.log);
    let next = "next       the workflow's own token cannot have that: make a fine-grained token";
    for said in [
        "failed: a reviewer of production could not be looked up",
        next,
    ] {
        assert!(ran.log.contains(said), "{}", ran.log);
    }
}

#[tokio::test]
async fn where_one_cannot_be_read_none_is_changed() {
    let office = Office::open(&[
        ("staging", "    protection: { wait-timer: 1m }\n"),
        ("production", "    protection: { wait-timer: 10m }\n"),
    ])
    .await;
    let fault = [Fault::Page(500), Fault::Page(500), Fault::Page(500)];
    office.github.environment_is("production", json!({}), &[]);
    office.github.environment_is("staging", json!({}), &[]);
    office
        .github
        .order(Verb::ReadEnvironment, fault.into_iter().cycle().take(5));
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_eq!(ran.code, 69, "{}", ran.log);
    assert!(office.github.environment_writes().is_empty(), "{}", ran.log);
}

/// Whatever request it is that fails for good, a second run ends right; and an answer that is lost
/// after the work was done changes nothing twice.
#[tokio::test]
async fn half_done_is_done_by_running_it_again() {
    for (verb, nth) in [
        (Verb::PutEnvironment, 0),
        (Verb::Allow, 0),
        (Verb::Allow, 1),
        (Verb::Policies, 0),
        (Verb::Forbid, 0),
    ] {
        let office = Office::of(WHOLE).await;
        // Branches of a time before: a policy that is asked for anew brings them back.
        let by_name = json!({
            "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
        });
        office
            .github
            .environment_is("production", by_name, &["develop"]);
        office.github.environment_is("production", json!({}), &[]);
        office.github.fail_after(verb, nth);
        let broken = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(broken.code, 69, "{verb:?} {nth}: {}", broken.log);
        let in_part = broken.log.contains("production was changed in part");
        assert_eq!(in_part, verb != Verb::PutEnvironment, "{}", broken.log);
        office.github.mend();
        let again = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(again.code, 0, "{verb:?} {nth}: {}", again.log);
        is_whole(&office);
    }
}

#[tokio::test]
async fn a_lost_answer_changes_nothing_twice() {
    for verb in [Verb::PutEnvironment, Verb::Allow, Verb::Forbid] {
        let office = Office::of("{ wait-timer: 10m, branches: [main] }").await;
        let by_name = json!({
            "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
        });
        office
            .github
            .environment_is("production", by_name, &["develop"]);
        office.github.order(verb, [Fault::LostAfterEffect]);
        let ran = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(ran.code, 0, "{verb:?}: {}", ran.log);
        let writes = office.github.environment_writes();
        let of = |what: &str| writes.iter().filter(|one| one.starts_with(what)).count();
        assert_eq!((of("allow"), of("forbid")), (1, 1), "{writes:?}");
    }
}

#[tokio::test]
async fn what_only_a_person_can_change_is_left_and_said() {
    let office = Office::of("{ wait-timer: 10m, can-admins-bypass: false }").await;
    office.github.environment_is("production", json!({}), &[]);
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      differs    production: wait-timer is none, should be 10m
      differs    production: can-admins-bypass is true, should be false
      changed    production: wait-timer none -> 10m
      differs    production: can-admins-bypass is true, should be false
    failed: production is not protected as the config says
      measured   production: can-admins-bypass true
      wanted     can-admins-bypass false
      traffic    not touched
      next       GitHub's API cannot change it; a person can: https://github.com/shop/storefront/settings/environments
    ");
    assert_eq!(ran.code, 10);
    office.github.admins_may_bypass("production", false);
    let by_hand = office.cutover(&["environments"]).await;
    assert_eq!(by_hand.code, 0, "{}", by_hand.log);
}

#[tokio::test]
async fn what_github_will_not_have_is_said() {
    let office = Office::of("{ reviewers: [octocat, guest] }").await;
    office.github.people(&[("guest", 1001)], &[]);
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      differs    production: environment is not at GitHub, should be there
      differs    production: reviewers is none, should be octocat, guest
    failed: production could not be changed
      measured   could not set the protection of environment production: GitHub answered 422 Invalid request. Failed to create the environment protection rule. Please ensure the reviewers have read access.
      wanted     what the config says
      traffic    not touched
      next       reviewers need read access to the repository, and reviewers, wait timers and branches of a private one a plan that has them; what can be had is shown at https://github.com/shop/storefront/settings/environments
    ");
    assert_eq!(ran.code, 10);
    let office = Office::of("{ wait-timer: 10m, branches: [main] }").await;
    office.github.plan_is_free();
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_snapshot!(ran.log, @r"
    cutover · environments · production · storefront
      differs    production: environment is not at GitHub, should be there
      differs    production: wait-timer is none, should be 10m
      differs    production: branches is all, should be main
      changed    production: environment not at GitHub -> there
      changed    production: wait-timer none -> 10m
      changed    production: branches all -> by name
      changed    production: branch main not listed -> listed
      differs    production: wait-timer is none, should be 10m
    failed: production was changed, and GitHub does not show all of it
      measured   production: wait-timer none
      wanted     wait-timer 10m
      traffic    not touched
      next       a private repository needs a plan that has reviewers, wait timers and branches; what can be had is shown at https://github.com/shop/storefront/settings/environments
    ");
    assert_eq!(ran.code, 10);
}

/// Told to end, and ended, in the middle of it.
#[tokio::test]
async fn a_run_that_is_ended_in_the_middle_is_run_again() {
    for signal in ["-TERM", "-KILL"] {
        let office = Office::of(WHOLE).await;
        office.github.take_your_time(Duration::from_millis(200));
        let mut command = office.command(&["environments", "--apply"]);
        let running = command.spawn().unwrap();
        let pid = running.id().unwrap().to_string();
        let writes = || !office.github.environment_writes().is_empty();
        until("it writes", writes).await;
        let killed = std::process::Command::new("kill")
            .args([signal, &pid])
            .status();
        assert!(killed.unwrap().success());
        let ended = ended_meanwhile(running).await;
        let log = String::from_utf8(ended.stdout).unwrap();
        assert!(office.github.environment_writes().len() < 3, "{log}");
        if signal == "-TERM" {
            assert_eq!(ended.status.code(), Some(130), "{log}");
            assert!(log.contains("of production\n"), "{log}");
            assert!(log.contains("run it again: what is done stays"), "{log}");
        }
        let again = office.cutover(&["environments", "--apply"]).await;
        assert_eq!(again.code, 0, "{}", again.log);
        is_whole(&office);
    }
}

#[tokio::test]
async fn each_change_is_in_the_audit_of_its_environment() {
    let block = |name: &str| {
        format!("    protection: {{ wait-timer: 10m }}\n    audit: {{ file: {name}.jsonl }}\n")
    };
    let office = Office::open(&[("staging", &block("s")), ("production", &block("p"))]).await;
    let ran = office.cutover(&["environments", "--apply"]).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    for (file, environment) in [("s.jsonl", "staging"), ("p.jsonl", "production")] {
        let text = std::fs::read_to_string(office.path(file)).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert!(
            lines.iter().all(|line| line["environment"] == environment),
            "{text}"
        );
        let events: Vec<&str> = lines
            .iter()
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        assert_eq!(
            events,
            [
                "began",
                "compared",
                "changed",
                "step-done",
                "changed",
                "step-done",
                "compared",
                "ended",
                "closed"
            ]
        );
        let data = &lines[4]["data"];
        let what = format!("wait-timer of environment {environment} at GitHub");
        assert_eq!(
            *data,
            json!({ "what": what, "before": "none", "after": "10m" })
        );
        let verified = office.cutover(&["audit", "verify", file]).await;
        assert_eq!(verified.code, 0, "{}", verified.log);
    }
}
