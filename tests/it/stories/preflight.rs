//! May and can this be deployed now: each check where it says no, with what a person reads, and
//! the exit code that tells them apart.

use std::fs;
use std::time::Instant;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::records::in_workflow;
use crate::world::github::{Fault, Github, Verb};
use crate::world::ports::free;
use crate::world::shop::{Ran, Shop, Way};

/// What holds on every machine, however busy it is.
pub(super) const EASY: &str = "preflight: { cpu: 100%, memory: 100%, disk: 1MB }";

/// A shop whose environment has these blocks, too.
pub(super) fn shop(blocks: &str) -> Shop {
    let shop = Shop::open(Way::Flags);
    shop.configure("    strategy:", &format!("    {blocks}\n    strategy:"));
    shop
}

/// Runs the program with more variables.
pub(super) fn with(shop: &Shop, arguments: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = shop.command(arguments);
    command.envs(variables.iter().copied());
    Ran::of(command.spawn().unwrap())
}

/// The document of the run whose outputs went into `output`.
pub(super) fn result(shop: &Shop) -> Value {
    let outputs = fs::read_to_string(shop.path("output")).unwrap();
    let mut results = outputs.lines().filter(|line| line.starts_with("{\"schema"));
    serde_json::from_str(results.next_back().unwrap()).unwrap()
}

/// A preflight that says no by one check: its code, and the rows from that check on.
fn refused(blocks: &str, variables: &[(&str, &str)], code: i32, reason: &str) -> (Shop, String) {
    let shop = shop(&format!("{EASY}\n    {blocks}"));
    let before = shop.state();
    let ran = with(&shop, "preflight --version=v2", variables);
    assert_eq!(ran.code, code, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), reason, "{}", ran.log);
    assert_eq!(ran.output("decision"), "failed");
    assert_eq!(ran.output("healthy"), "false");
    assert_eq!(shop.state(), before);
    let told = told(&shop, &ran);
    (shop, told)
}

/// The log without its first line, and without what nobody could look at.
pub(super) fn told(shop: &Shop, ran: &Ran) -> String {
    let log = shop.told(&ran.log);
    let rows = log.lines().skip(1);
    let rows: Vec<&str> = rows
        .filter(|row| !row.starts_with("  skipped    other deployments"))
        .collect();
    rows.join("\n")
}

#[test]
fn all_is_well_and_quickly_said() {
    let shop = shop(&format!(
        "{EASY}
    guardrails:
      branches: [main, release/*]
      windows: [{{ from: \"00:00\", to: \"24:00\", zone: Europe/Berlin }}]
      holidays: [2001-01-01]
      freeze: [{{ from: 2001-01-01, to: 2001-01-02 }}]
      secrets: [DB_PASSWORD]"
    ));
    let before = shop.state();
    let output = shop.path("output");
    let variables = [
        ("GITHUB_OUTPUT", output.to_str().unwrap()),
        ("DB_PASSWORD", "tell-nobody"),
        ("GITHUB_REF_NAME", "release/1.4"),
        ("GITHUB_REF_TYPE", "branch"),
    ];
    let began = Instant::now();
    let ran = with(&shop, "preflight --version=v2", &variables);
    let took = began.elapsed();
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · preflight · production · storefront v2
      skipped    other deployments: nobody can tell: there is no token, so GitHub is not asked
      preflight  14 checks passed, 1 skipped   [time]
      passed     v2 may go out: 14 checks passed, 1 skipped
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.output("healthy"), "true");
    assert!(took.as_millis() < 1500, "{took:?}");
    assert_eq!(shop.state(), before);
    let result = result(&shop);
    let checks = result["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 15, "{checks:?}");
    let disk = checks.iter().find(|one| one["name"] == "disk").unwrap();
    assert_eq!(
        (&disk["group"], &disk["verdict"]),
        (&json!("runner"), &json!("passed"))
    );
    assert!(!result.to_string().contains("tell-nobody"));
}

/// Without a word about it in the config the machine, the network and the router are looked at.
#[test]
fn it_needs_no_config_of_its_own() {
    let shop = Shop::open(Way::Map);
    let output = shop.path("output");
    let variables = [("GITHUB_OUTPUT", output.to_str().unwrap())];
    let ran = with(&shop, "preflight", &variables);
    // The machine of the tests may be too busy.
    assert!([0, 1].contains(&ran.code), "{}", ran.log);
    let result = result(&shop);
    let names = result["checks"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["cpu", "memory", "disk"]);
    assert_eq!(
        names[6..],
        ["other deployments", "config", "router", "way back"]
    );
}

#[test]
fn a_full_disk_is_1() {
    let shop = shop("preflight: { cpu: 100%, memory: 0%, disk: 9000TB }");
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (1, "preflight-runner")
    );
    assert!(ran.log.contains("  runner     memory: "), "{}", ran.log);
    assert!(
        ran.log.contains(" in use; wanted at most 0 %; next: "),
        "{}",
        ran.log
    );
    assert!(
        ran.log
            .contains("; wanted at least 9,000,000 GB; next: make room there"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("failed: 2 checks say no: memory, disk"),
        "{}",
        ran.log
    );
}

#[test]
fn a_database_that_is_not_there_is_3() {
    let port = free();
    let checks = format!(
        "health: {{ checks: [{{ kind: tcp, address: \"127.0.0.1:{port}\" }}, {{ kind: tcp, address: \"db.invalid:5432\" }}] }}"
    );
    let (_, told) = refused(&checks, &[], 3, "preflight-network");
    let told = told.replace(&port.to_string(), "5432");
    assert!(
        told.contains("  network    db.invalid:5432: health check: DNS: "),
        "{told}"
    );
    assert!(told.contains("is the name in the config right"), "{told}");
    let rows: Vec<&str> = told
        .lines()
        .filter(|row| !row.contains("invalid:"))
        .collect();
    assert_snapshot!(rows.join("\n"), @r"
    network    127.0.0.1:5432: health check: TCP: Connection refused (os error 111); wanted a connection within 5 s; next: is it up, and may this machine go there? Then correct the config or the firewall
    preflight  9 of 11 checks passed, 1 skipped   [time]
    measured   127.0.0.1:5432: health check: TCP: Connection refused (os error 111)
    wanted     a connection within 5 s
    traffic    100 % on blue, says the router
    next       is it up, and may this machine go there? Then correct the config or the firewall
    ");
}

/// The idle slot may be down before it gets its release; the active one may not.
#[test]
fn the_idle_slot_may_be_down() {
    let shop = shop(EASY);
    let config = fs::read_to_string(shop.path("cutover.yml")).unwrap();
    let url = |slot: &str| {
        let (_, rest) = config.split_once(&format!("{slot}: {{ url: ")).unwrap();
        rest.split_once(' ').unwrap().0.to_owned()
    };
    let (blue, green) = (url("blue"), url("green"));
    let nowhere = format!("http://127.0.0.1:{}/", free());
    shop.configure(
        &format!("green: {{ url: {green}"),
        &format!("green: {{ url: {nowhere}"),
    );
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("it is idle, and may be down"),
        "{}",
        ran.log
    );
    shop.configure(
        &format!("green: {{ url: {nowhere}"),
        &format!("green: {{ url: {green}"),
    );
    shop.configure(
        &format!("blue: {{ url: {blue}"),
        &format!("blue: {{ url: {nowhere}"),
    );
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 6, "the way back is graver: {}", ran.log);
    assert!(
        ran.log.contains("blue would not be fit to go back to"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("slot blue: TCP: Connection refused"),
        "{}",
        ran.log
    );
}

/// The log without how long each answer took.
fn untimed(shop: &Shop, ran: &Ran) -> String {
    let took = regex_lite::Regex::new(r"in [\d.]+ ms").unwrap();
    took.replace_all(&told(shop, ran), "in [time]").into_owned()
}

/// The way back leads to a slot that is well, or somebody says why it need not.
#[test]
fn an_active_slot_that_is_not_healthy_is_6() {
    let health = "health: { checks: [{ kind: http, path: /release, expect: { text: v2 } }] }";
    let shop = shop(&format!("{EASY}\n    {health}"));
    let ran = shop.cutover("preflight --version=v2");
    assert_snapshot!(untimed(&shop, &ran), @r#"
      guardrail  way back: blue is not healthy: GET /release: 200 in [time], body "v1"; wanted "v2" in the body; next: see what is wrong with blue; who deploys to repair it gives a reason with `override`
      preflight  8 of 9 checks passed, 1 skipped   [time]
    failed: 1 check says no: way back
      measured   way back: blue is not healthy: GET /release: 200 in [time], body "v1"
      wanted     "v2" in the body
      traffic    100 % on blue, says the router
      next       see what is wrong with blue; who deploys to repair it gives a reason with `override`
    "#);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (6, "preflight-guardrail")
    );
    let override_reason = [("INPUT_OVERRIDE", "this is the repair")];
    let ran = with(&shop, "preflight --version=v2", &override_reason);
    assert_snapshot!(untimed(&shop, &ran), @r#"
    warning    override: "this is the repair" passes over: blue is not healthy: GET /release: 200 in [time], body "v1"
    preflight  9 checks passed, 1 skipped   [time]
    passed     v2 may go out: 9 checks passed, 1 skipped
    "#);
    assert_eq!(
        (ran.code, ran.output("override")),
        (0, "this is the repair")
    );
    shop.configure("text: v2", "text: v1");
    let ran = shop.cutover("preflight --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[test]
fn a_missing_secret_is_4_and_an_empty_one_too() {
    let secrets = "guardrails: { secrets: [DB_PASSWORD, API_KEY, PRESENT] }";
    let variables = [("API_KEY", ""), ("PRESENT", "tell-nobody")];
    let (_, told) = refused(secrets, &variables, 4, "preflight-secrets");
    assert_snapshot!(told, @r"
      secrets    DB_PASSWORD: missing or empty; wanted a value; next: give the step `env: { DB_PASSWORD: ${{ secrets.DB_PASSWORD }} }`, and see that the secret is set for this environment
      secrets    API_KEY: missing or empty; wanted a value; next: give the step `env: { API_KEY: ${{ secrets.API_KEY }} }`, and see that the secret is set for this environment
      preflight  10 of 12 checks passed, 1 skipped   [time]
    failed: 2 checks say no: DB_PASSWORD, API_KEY
      measured   DB_PASSWORD: missing or empty
      wanted     a value
      traffic    100 % on blue, says the router
      next       give the step `env: { DB_PASSWORD: ${{ secrets.DB_PASSWORD }} }`, and see that the secret is set for this environment
    ");
}

fn record(run: &str, version: &str) -> Value {
    json!({ "cutover": {
        "schema_version": 1, "mode": "rollout", "slot": "blue", "version": version,
        "weight": 100, "previous": "green", "run_id": run, "run_attempt": "1",
        "job": "deploy", "mark": "m",
    }})
}

#[tokio::test]
async fn another_deployment_under_way_is_5() {
    let (shop, github) = (shop(EASY), Github::start().await);
    // Ours, one that is over, one of another environment.
    github.put(
        "production",
        "deploy:cutover",
        record("42", "v2"),
        "in_progress",
    );
    github.put(
        "production",
        "deploy:cutover",
        record("40", "v1"),
        "success",
    );
    github.put(
        "staging",
        "deploy:cutover",
        record("41", "v3"),
        "in_progress",
    );
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);

    github.put(
        "production",
        "deploy:cutover",
        record("41", "v3"),
        "in_progress",
    );
    github.run_is(41, "in_progress");
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_snapshot!(told(&shop, &ran), @r"
      busy       other deployments: GitHub Deployment 7 of v3 by run 41 is in progress; wanted no other deployment of this environment; next: wait for its end, then run this again; `concurrency:` in the workflow does that by itself
      preflight  9 of 10 checks passed   [time]
    failed: 1 check says no: other deployments
      measured   other deployments: GitHub Deployment 7 of v3 by run 41 is in progress
      wanted     no other deployment of this environment
      traffic    100 % on blue, says the router
      next       wait for its end, then run this again; `concurrency:` in the workflow does that by itself
    ");
    assert_eq!((ran.code, ran.output("reason-code")), (5, "preflight-busy"));
    // A run that was killed leaves its record open, and is nobody's obstacle.
    github.run_is(41, "completed");
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[tokio::test]
async fn what_github_does_not_say_is_said() {
    let (shop, github) = (shop(EASY), Github::start().await);
    github.put(
        "production",
        "deploy:cutover",
        record("41", "v3"),
        "in_progress",
    );
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_eq!(ran.code, 5, "the token may not look at runs: {}", ran.log);
    assert!(
        ran.log.contains("with `actions: read` it is looked at"),
        "{}",
        ran.log
    );
    github.order(Verb::List, [Fault::Forbidden, Fault::Forbidden]);
    let ran = in_workflow(&shop, &github, "preflight --version=v2").await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("other deployments: nobody can tell: "),
        "{}",
        ran.log
    );
}
