//! The guardrail `protected`: it says no to each thing that is less than the config wants, and to
//! what nobody can tell.

use insta::assert_snapshot;
use serde_json::json;

use super::{Office, WHOLE};
use crate::world::github::environments::Rights;

/// An office whose production has these blocks.
async fn guarded(blocks: &str) -> Office {
    let easy = "preflight: { cpu: 100%, memory: 100%, disk: 1MB, network: 100ms }";
    Office::open(&[("production", &format!("    {easy}\n{blocks}"))]).await
}

/// The rows about the guardrail, and the code.
async fn told(office: &Office, mode: &str) -> (String, i32) {
    let ran = office.cutover(&[mode, "--version=v2"]).await;
    let rows = ran.log.lines().filter(|row| row.contains("guardrail"));
    (rows.collect::<Vec<_>>().join("\n"), ran.code)
}

#[tokio::test]
async fn each_thing_that_is_less_is_a_no() {
    let office = guarded("    guardrails: { protected: { reviewers: 2, prevent-self-review: true, wait-timer: 10m, branches: [main, release/*], can-admins-bypass: false } }\n").await;
    let one = json!({ "reviewers": [{ "type": "User", "id": 11 }], "wait_timer": 5 });
    office.github.environment_is("production", one, &[]);
    office.github.grant(Rights::Workflow);
    let (rows, code) = told(&office, "preflight").await;
    assert_snapshot!(rows, @r"
    guardrail  protected.reviewers: 1 (octocat) at GitHub; wanted at least 2; next: change it by hand: https://github.com/shop/storefront/settings/environments; or say it in `protection`, and `cutover environments --environment production --apply` does it
    guardrail  protected.prevent-self-review: false at GitHub; wanted true; next: change it by hand: https://github.com/shop/storefront/settings/environments; or say it in `protection`, and `cutover environments --environment production --apply` does it
    guardrail  protected.wait-timer: 5m at GitHub; wanted at least 10m; next: change it by hand: https://github.com/shop/storefront/settings/environments; or say it in `protection`, and `cutover environments --environment production --apply` does it
    guardrail  protected.branches: all at GitHub; wanted nothing but main, release/*; next: change it by hand: https://github.com/shop/storefront/settings/environments; or say it in `protection`, and `cutover environments --environment production --apply` does it
    guardrail  protected.can-admins-bypass: true at GitHub; wanted false; next: only a person can change it: https://github.com/shop/storefront/settings/environments
    ");
    assert_eq!(code, 6);
}

#[tokio::test]
async fn with_a_block_the_command_mends_it() {
    let office = guarded(&format!(
        "    protection: {WHOLE}\n    guardrails: {{ protected: true }}\n"
    ))
    .await;
    let (rows, code) = told(&office, "preflight").await;
    assert_snapshot!(rows, @r"  guardrail  protected: GitHub has no environment of that name; a workflow that names it makes one without any protection; wanted a protected environment; next: `cutover environments --environment production --apply` with an admin token, or by hand: https://github.com/shop/storefront/settings/environments");
    assert_eq!(code, 6);
    let applied = office.cutover(&["environments", "--apply"]).await;
    assert_eq!(applied.code, 0, "{}", applied.log);
    office.github.grant(Rights::Workflow);
    let (rows, _) = told(&office, "preflight").await;
    assert_eq!(rows, "");
    let ran = office.cutover(&["preflight"]).await;
    let checks = ran.result["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|one| one["name"] == "protected")
        .unwrap();
    assert_eq!(check["verdict"], "passed");
    assert_eq!(
        check["measured"],
        "reviewers octocat, team:ops, not their own; wait-timer 10m; branches main, release/*"
    );
}

#[tokio::test]
async fn what_nobody_can_tell_is_a_no() {
    let office = guarded("    guardrails: { protected: { reviewers: 1 } }\n").await;
    office.github.grant(Rights::Stranger);
    let (rows, code) = told(&office, "preflight").await;
    assert_snapshot!(rows, @r"  guardrail  protected: nobody can tell: could not read environment production: GitHub answered 404 Not Found; wanted GitHub's word on how the environment is protected; next: give the job `permissions: { actions: read }`, beside those that it has");
    assert_eq!(code, 6);
    let mut command = office.command(&["preflight", "--version=v2"]);
    command.env("INPUT_TOKEN", "");
    let none = super::Ran::of(&office, command).await;
    assert_eq!(none.code, 6, "{}", none.log);
    assert!(
        none.log
            .contains("protected: nobody can tell: token: is missing"),
        "{}",
        none.log
    );
}
