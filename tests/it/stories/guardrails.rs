//! Guardrails: what people decided, before a rollout and by itself.

use std::fs;

use insta::assert_snapshot;

use super::preflight::{EASY, shop};
use super::records::in_workflow;
use crate::world::github::Github;
use crate::world::shop::{Ran, Shop};

/// A freeze that lasts as long as this program is used.
const FROZEN: &str = "freeze: [{ from: 2001-01-01, to: 2999-12-31, reason: the long winter }]";

fn guarded(guardrails: &str) -> Shop {
    shop(&format!("{EASY}\n    guardrails: {{ {guardrails} }}"))
}

fn on(shop: &Shop, name: &str, kind: &str, arguments: &str) -> Ran {
    let mut command = shop.command(arguments);
    command.env("GITHUB_REF_NAME", name);
    command.env("GITHUB_REF_TYPE", kind);
    Ran::of(command.spawn().unwrap())
}

/// The log without what differs from day to day.
fn told(shop: &Shop, ran: &Ran) -> String {
    let day = regex_lite::Regex::new(r"(\w{3} )?\d{4}-\d\d-\d\d \d\d:\d\d").unwrap();
    let log = day.replace_all(&shop.told(&ran.log), "[now]").into_owned();
    let today = regex_lite::Regex::new(r"\d{4}-\d\d-\d\d is in").unwrap();
    today.replace_all(&log, "[today] is in").into_owned()
}

#[test]
fn a_branch_that_may_not_is_6() {
    let shop = guarded("branches: [main, release/*]");
    let ran = on(&shop, "feature/x", "branch", "preflight --version=v2");
    assert_snapshot!(told(&shop, &ran), @r"
    cutover · preflight · production · storefront v2
      skipped    other deployments: nobody can tell: there is no token, so GitHub is not asked
      guardrail  branch: feature/x; wanted main or release/*; next: merge it first, or add the branch to `guardrails.branches`
      preflight  9 of 10 checks passed, 1 skipped   [time]
    failed: 1 check says no: branch
      measured   branch: feature/x
      wanted     main or release/*
      traffic    100 % on blue, says the router
      next       merge it first, or add the branch to `guardrails.branches`
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (6, "preflight-guardrail")
    );
    let tag = on(&shop, "main", "tag", "preflight --version=v2");
    assert_eq!(tag.code, 6, "{}", tag.log);
    assert!(
        tag.log
            .contains("branch: main, which is a tag; wanted main or release/*"),
        "{}",
        tag.log
    );
    let good = on(&shop, "release/2", "branch", "preflight --version=v2");
    assert_eq!(good.code, 0, "{}", good.log);
}

#[test]
fn a_freeze_stops_a_rollout_before_anything() {
    let shop = guarded(FROZEN);
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(told(&shop, &ran), @r"
    cutover · rollout · production · storefront v2 · blue-green
      skipped    other deployments: nobody can tell: there is no token, so GitHub is not asked
      guardrail  freeze: [today] is in the freeze 2001-01-01 to 2999-12-31 (the long winter); wanted a day outside of it; next: none opens within a year; who must go earlier gives a reason with `override`
      preflight  9 of 10 checks passed, 1 skipped   [time]
    failed: 1 check says no: freeze
      measured   freeze: [today] is in the freeze 2001-01-01 to 2999-12-31 (the long winter)
      wanted     a day outside of it
      traffic    100 % on blue, says the router
      next       none opens within a year; who must go earlier gives a reason with `override`
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "preflight-guardrail")
    );
    assert_eq!(shop.state(), before);
}

#[test]
fn who_gives_a_reason_passes_and_is_heard() {
    let shop = guarded(FROZEN);
    let mut command = shop.command("rollout --version=v2");
    command.env("INPUT_OVERRIDE", "card payments are down");
    command.env("GITHUB_ACTOR", "ana");
    let ran = Ran::of(command.spawn().unwrap());
    assert_snapshot!(told(&shop, &ran), @r#"
    cutover · rollout · production · storefront v2 · blue-green
      warning    override by ana: "card payments are down" passes over: [today] is in the freeze 2001-01-01 to 2999-12-31 (the long winter) (wanted a day outside of it)
      skipped    other deployments: nobody can tell: there is no token, so GitHub is not asked
      preflight  10 checks passed, 1 skipped   [time]
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    "#);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.output("override"), "card payments are down");
    assert_eq!(shop.answers(), "green v2");
}

/// What GitHub does not protect is not rolled out; what it protects is.
#[tokio::test]
async fn a_rollout_waits_for_protection() {
    let shop = guarded("protected: { wait-timer: 10m, branches: [main] }");
    let github = Github::start().await;
    let before = shop.state();
    let ran = in_workflow(&shop, &github, "rollout --version=v2").await;
    assert_eq!(ran.code, 10, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "preflight-guardrail");
    let said = "GitHub has no environment of that name; a workflow that names it makes one without any protection";
    assert!(ran.log.contains(said), "{}", ran.log);
    assert_eq!(shop.state(), before);
    let body = serde_json::json!({
        "wait_timer": 15,
        "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
    });
    github.environment_is("production", body, &["main"]);
    let good = in_workflow(&shop, &github, "rollout --version=v2").await;
    assert_eq!(good.code, 0, "{}", good.log);
    assert_eq!(shop.answers(), "green v2");
}

/// A day that is never today, whenever that is.
#[test]
fn outside_of_the_window_is_6() {
    let shop =
        guarded("windows: [{ days: DAY, from: \"02:00\", to: \"16:00\", zone: Pacific/Auckland }]");
    let in_three_days = jiff::Timestamp::now() + jiff::Span::new().hours(72);
    let zone = jiff::tz::TimeZone::get("Pacific/Auckland").unwrap();
    let day = in_three_days
        .to_zoned(zone)
        .strftime("%a")
        .to_string()
        .to_lowercase();
    shop.configure("DAY", &day);
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 6, "{}", ran.log);
    let wanted = format!("wanted {day} 02:00-16:00 Pacific/Auckland; next: the next time is ");
    assert!(ran.log.contains(&wanted), "{}", ran.log);
    assert!(
        ran.log.contains(
            " 02:00 Pacific/Auckland; who must go earlier gives a reason with `override`"
        ),
        "{}",
        ran.log
    );
}

#[test]
fn a_holiday_is_6() {
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let shop = guarded(&format!(
        "holidays: [{today}, {}]",
        today.tomorrow().unwrap()
    ));
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 6, "{}", ran.log);
    assert!(
        ran.log
            .contains("is a holiday; wanted another day; next: the next time is"),
        "{}",
        ran.log
    );
}

#[test]
fn a_version_that_staging_never_had_is_6() {
    let staging = shop(EASY);
    let front = format!("http://127.0.0.1:{}", staging.front());
    let shop = guarded("after: [staging]");
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let more = format!(
        "{config}  staging:\n    url: {front}\n    slots: {{ a: {{ url: http://a.invalid }}, b: {{ url: http://b.invalid }} }}\n    release: {{ kind: text, path: /release }}\n"
    );
    fs::write(shop.path("cutover.yml"), more).unwrap();
    let ran = shop.cutover("preflight --environment=production --version=v2");
    let log = told(&shop, &ran);
    let from = log.find("failed:").unwrap();
    assert_snapshot!(log[from..], @r"
    failed: 1 check says no: after staging
      measured   after staging: staging serves v1
      wanted     v2 on staging, with success
      traffic    100 % on blue, says the router
      next       roll it out there first: `cutover rollout --environment staging --version v2`
    ");
    assert_eq!(ran.code, 6);
    assert_eq!(staging.cutover("rollout --version=v2").code, 0);
    let ran = shop.cutover("preflight --environment=production --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[tokio::test]
async fn a_record_counts_where_staging_does_not_answer() {
    let (shop, github) = (guarded("after: [staging]"), Github::start().await);
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let more = format!(
        "{config}  staging:\n    url: http://127.0.0.1:{}\n    slots: {{ a: {{ url: http://a.invalid }}, b: {{ url: http://b.invalid }} }}\n    release: {{ kind: text, path: /release }}\n",
        crate::world::ports::free()
    );
    fs::write(shop.path("cutover.yml"), more).unwrap();
    let arguments = "preflight --environment=production --version=v2";
    let nobody = shop.cutover(arguments);
    assert_eq!(nobody.code, 6, "{}", nobody.log);
    assert!(
        nobody.log.contains("nobody can tell: there is no token"),
        "{}",
        nobody.log
    );
    let none = in_workflow(&shop, &github, arguments).await;
    assert_eq!(none.code, 6, "{}", none.log);
    assert!(
        none.log.contains("no record says that staging got v2"),
        "{}",
        none.log
    );
    let record = serde_json::json!({ "cutover": {
        "schema_version": 1, "mode": "rollout", "slot": "a", "version": "v2", "weight": 100,
        "previous": "b", "run_id": "40", "run_attempt": "1", "job": "deploy", "mark": "m",
    }});
    github.put("staging", "deploy:cutover", record, "success");
    let recorded = in_workflow(&shop, &github, arguments).await;
    assert_eq!(recorded.code, 0, "{}", recorded.log);
}

#[test]
fn a_router_that_cannot_be_read_is_6() {
    let shop = guarded("branches: []");
    fs::remove_dir_all(shop.path("flags")).unwrap();
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 6, "{}", ran.log);
    assert!(ran.log.contains("  guardrail  router: "), "{}", ran.log);
    assert!(
        ran.log
            .contains("way back: the router has to be in order first"),
        "{}",
        ran.log
    );
}

#[test]
fn what_was_expected_must_be_so() {
    let shop = shop(EASY);
    let ran = shop.cutover("preflight --version=v2 --expect-active=green");
    assert_eq!(ran.code, 6, "{}", ran.log);
    assert!(
        ran.log
            .contains("another slot is active than expected: blue is active"),
        "{}",
        ran.log
    );
}

/// All are told, and the gravest gives the code.
#[test]
fn several_at_once_are_all_told() {
    let shop = shop(&format!(
        "preflight: {{ cpu: 100%, memory: 100%, disk: 9000TB }}\n    guardrails: {{ branches: [main], secrets: [NONE], {FROZEN} }}"
    ));
    let ran = on(&shop, "x", "branch", "preflight --version=v2");
    assert_eq!(ran.code, 6, "{}", ran.log);
    let said = "4 checks say no: disk, NONE, branch, freeze";
    assert!(ran.log.contains(said), "{}", ran.log);
}

#[test]
fn wrong_guardrails_are_refused_with_their_lines() {
    let shop = guarded(
        "windows: [{ days: mo-fri, from: \"25:00\", to: \"16:00\", zone: Europe/Berln }], freeze: [{ from: 2026-02-30, to: 2026-01-01 }]",
    );
    let ran = shop.cutover("check");
    assert_eq!(ran.code, 64, "{}", ran.log);
    for said in [
        "is not days of the week",
        "is not a time of day",
        "is not a time zone",
        "is not a date",
    ] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
    let shop = guarded("after: [stagin], windows: [{ from: \"02:00\", to: \"02:00\" }]");
    let ran = shop.cutover("check");
    assert_eq!(ran.code, 64, "{}", ran.log);
    assert!(
        ran.log.contains("unknown environment \"stagin\""),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("the window has no length"), "{}", ran.log);
}

/// Over a contract nobody goes back by itself: it is said before, and then it is so.
#[test]
fn a_bad_release_after_a_contract_is_held() {
    let shop = shop(EASY);
    shop.put_a_cache_in_front();
    shop.configure("within: 2s", "within: 1s");
    let looked = shop.cutover("preflight --version=v2 --migration=contract");
    assert_eq!(looked.code, 0, "{}", looked.log);
    assert!(
        looked
            .log
            .contains("way back: none over `migration: contract`"),
        "{}",
        looked.log
    );
    shop.configure("    strategy:", "    migration: contract\n    strategy:");
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(told(&shop, &ran), @r"
    cutover · rollout · production · storefront v2 · blue-green
      skipped    other deployments: nobody can tell: there is no token, so GitHub is not asked
      skipped    way back: none over `migration: contract`: once switched, traffic stays on the new release, and people are told where it is bad
      preflight  8 checks passed, 2 skipped   [time]
      traffic    100 % on blue   [time]
      warning    migration: contract: the old release does not fit the data afterwards, so there is no automatic way back: once switched, traffic stays on the new release, also when it is bad, and people are told at once
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     v1 on 5 of the last 5 new connections to http://shop/release   [time]
      stays      100 % on green   [time]
    held: the public URL did not answer with the intended release
      measured   v1 on 5 of the last 5 new connections to http://shop/release
      wanted     v2 in the text of /release, 5 in a row, within 1 s
      traffic    100 % on green, says the router
      next       does the public URL go through this router, and does something cache that path? set `release.path` to one that is not cached
    ");
    assert_eq!((ran.code, ran.output("decision")), (30, "held"));
    assert_eq!(shop.answers(), "green v2");
}

/// What fails before the switch has touched nothing, contract or not.
#[test]
fn a_contract_that_does_not_come_to_the_switch_fails() {
    let shop = shop(EASY);
    shop.configure("./deploy.sh", "\"false\"");
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2 --migration=contract");
    assert_eq!(ran.code, 10, "{}", ran.log);
    assert_eq!(shop.state(), before);
}

/// What the record says of the slots must be what the router says.
#[tokio::test]
async fn slots_that_are_not_as_recorded_are_6() {
    let (shop, github) = (shop(EASY), Github::start().await);
    let record = serde_json::json!({ "cutover": {
        "schema_version": 1, "mode": "rollout", "slot": "green", "version": "v0", "weight": 100,
        "previous": "blue", "run_id": "41", "run_attempt": "1", "job": "deploy", "mark": "m",
    }});
    github.put("production", "deploy:cutover", record, "success");
    let before = shop.state();
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_snapshot!(told(&shop, &ran), @r"
    cutover · preflight · production · storefront v2
      guardrail  router: the router and the last record disagree: the router says blue, GitHub Deployment 1 says green (v0); wanted both the same; next: if the router is right: `cutover switch-traffic --environment production --to blue` (proves it and records it); if the record is right: `cutover switch-traffic --environment production --to green`
      skipped    way back: the router has to be in order first
      preflight  8 of 9 checks passed, 1 skipped   [time]
    failed: 1 check says no: router
      measured   router: the router and the last record disagree: the router says blue, GitHub Deployment 1 says green (v0)
      wanted     both the same
      traffic    100 % on blue, says the router
      next       if the router is right: `cutover switch-traffic --environment production --to blue` (proves it and records it); if the record is right: `cutover switch-traffic --environment production --to green`
    ");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (6, "preflight-guardrail")
    );
    assert_eq!(shop.state(), before);
}

/// A config that is wrong is refused before anything is looked at, with all that is wrong.
#[test]
fn a_config_that_is_wrong_is_64() {
    let shop = guarded("branches: main, afer: [staging]");
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 64, "{}", ran.log);
    for said in ["\"main\" is not a list", "unknown key \"afer\""] {
        assert!(ran.log.contains(said), "{said}: {}", ran.log);
    }
}
