//! What GitHub keeps and a deployment has to wait for: required checks and approvals. Each where
//! it says no, with what a person reads.

use insta::assert_snapshot;
use jiff::{Timestamp, ToSpan as _};

use super::preflight::{EASY, shop, told};
use crate::world::github::gates::SHA;
use crate::world::github::{Fault, Github, TOKEN, Verb};
use crate::world::shop::{Ran, Shop};

pub(super) fn guarded(guardrails: &str) -> Shop {
    shop(&format!("{EASY}\n    guardrails: {{ {guardrails} }}"))
}

/// A run of the program in a job of run 42, which bo started, with more variables.
pub(super) async fn asks(
    shop: &Shop,
    github: &Github,
    mode: &str,
    variables: &[(&str, &str)],
) -> Ran {
    let mut command = shop.command(&format!("{mode} --version=v2"));
    command
        .env("GITHUB_API_URL", &github.api_url)
        .env("GITHUB_REPOSITORY", "shop/storefront")
        .env("GITHUB_SHA", SHA)
        .env("GITHUB_REF_NAME", "main")
        .env("GITHUB_REF_TYPE", "branch")
        .env("GITHUB_ACTOR", "bo")
        .env("GITHUB_RUN_ID", "42")
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("RUNNER_NAME", "runner-7")
        .env("INPUT_TOKEN", TOKEN)
        .envs(variables.iter().copied());
    let run = move || Ran::of(command.spawn().unwrap());
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn preflight(shop: &Shop, github: &Github) -> Ran {
    asks(shop, github, "preflight", &[]).await
}

/// So many minutes ago, as GitHub writes it.
pub(super) fn ago(minutes: i64) -> String {
    let at = Timestamp::now() - minutes.minutes();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Times as they stand in the middle of a row differ by a minute.
fn rows(shop: &Shop, ran: &Ran) -> String {
    let rough = regex_lite::Regex::new(r"\b(\d+ h )?\d+ m ago").unwrap();
    rough.replace_all(&told(shop, ran), "[n] ago").into_owned()
}

#[tokio::test]
async fn checks_that_did_not_go_well_are_6() {
    let shop = guarded("required-checks: [build, lint, e2e, ci/legacy, biuld, docs]");
    let github = Github::start().await;
    github.check("build", "completed", Some("failure"));
    github.check("lint", "in_progress", None);
    github.check("docs", "completed", Some("skipped"));
    github.commit_status("ci/legacy", "error");
    let before = shop.state();
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran), @r#"
      guardrail  check build: failure; wanted a success on 4f2a9c1; next: look at it, repair it, and deploy the commit that passes; `Re-run failed jobs` is for those that fail by chance
      guardrail  check lint: not over: in_progress; wanted a success on 4f2a9c1; next: wait for its end, then run this again; inside of one workflow `needs:` waits by itself
      guardrail  check e2e: missing; the commit has build, ci/legacy, docs, lint; wanted a success on 4f2a9c1; next: does its workflow run for this commit, and is the name as the checks page shows it?
      guardrail  check ci/legacy: error; wanted a success on 4f2a9c1; next: look at it, repair it, and deploy the commit that passes; `Re-run failed jobs` is for those that fail by chance
      guardrail  check biuld: missing; the commit has build, ci/legacy, docs, lint; wanted a success on 4f2a9c1; next: is "build" meant? Then correct the name
      preflight  11 of 16 checks passed   [time]
    failed: 5 checks say no: check build, check lint, check e2e, check ci/legacy, check biuld
      measured   check build: failure
      wanted     a success on 4f2a9c1
      traffic    100 % on blue, says the router
      next       look at it, repair it, and deploy the commit that passes; `Re-run failed jobs` is for those that fail by chance
    "#);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (6, "preflight-guardrail")
    );
    // The same before a rollout, which then changes nothing.
    let ran = asks(&shop, &github, "rollout", &[]).await;
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "preflight-guardrail")
    );
    assert_eq!(shop.state(), before);
}

#[tokio::test]
async fn checks_that_went_well_are_found_on_every_page_and_nobody_waits_for_himself() {
    let shop = guarded("required-checks: [build, optional, ci/legacy, deploy, report]");
    let github = Github::start().await;
    for nth in 0..230 {
        github.check(&format!("shard {nth}"), "completed", Some("success"));
    }
    github.check("build", "completed", Some("success"));
    github.check("optional", "completed", Some("neutral"));
    github.commit_status("ci/legacy", "success");
    // This job is the check run 9232, and another job of its run is not over.
    github.check_of("deploy", "in_progress", None, 15368, 42);
    github.check_of("report", "queued", None, 15368, 42);
    let own = [("INPUT_CHECK-RUN-ID", "9232")];
    let ran = asks(&shop, &github, "preflight", &own).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(github.asked(Verb::CheckRuns), 3);
}

#[tokio::test]
async fn the_branch_s_own_requirements_are_6() {
    let shop = guarded("required-checks: branch-protection");
    let github = Github::start().await;
    github.branch(
        "release/1.4",
        &[("build", Some(15368)), ("any", Some(-1)), ("lint", None)],
    );
    github.rule("security");
    github.check_of("build", "completed", Some("success"), 7, 40);
    github.check("any", "completed", Some("success"));
    github.check("lint", "completed", Some("cancelled"));
    let on = |name| [("GITHUB_REF_NAME", name), ("GITHUB_REF_TYPE", "branch")];
    let ran = asks(&shop, &github, "preflight", &on("release/1.4")).await;
    assert_snapshot!(told(&shop, &ran), @r"
      guardrail  check build: there is one of that name, and not by the app 15368 that has to say it; wanted a success on 4f2a9c1; next: see in the branch's protection which app that is, and that it runs for this commit
      guardrail  check lint: cancelled; wanted a success on 4f2a9c1; next: look at it, repair it, and deploy the commit that passes; `Re-run failed jobs` is for those that fail by chance
      guardrail  check security: missing; the commit has any, build, lint; wanted a success on 4f2a9c1; next: does its workflow run for this commit, and is the name as the checks page shows it?
      preflight  11 of 14 checks passed   [time]
    failed: 3 checks say no: check build, check lint, check security
      measured   check build: there is one of that name, and not by the app 15368 that has to say it
      wanted     a success on 4f2a9c1
      traffic    100 % on blue, says the router
      next       see in the branch's protection which app that is, and that it runs for this commit
    ");
    assert_eq!(ran.code, 6);

    github.branch("main", &[]);
    let github = Github::start().await;
    github.branch("main", &[]);
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  guardrail  required checks: GitHub requires no check of main; wanted at least one; next: require them there (branch protection, or a ruleset), or name them in `guardrails.required-checks`");
    assert_eq!(ran.code, 6);
    let tag = [("GITHUB_REF_NAME", "v1"), ("GITHUB_REF_TYPE", "tag")];
    let ran = asks(&shop, &github, "preflight", &tag).await;
    assert!(
        ran.log.contains("a tag has no branch protection"),
        "{}",
        ran.log
    );
    assert_eq!(ran.code, 6);
}

/// A guardrail that cannot be looked at is not passed over.
#[tokio::test]
async fn checks_that_cannot_be_seen_are_6() {
    let shop = guarded("required-checks: [build]");
    let github = Github::start().await;
    github.check("build", "completed", Some("success"));
    github.order(Verb::CheckRuns, [Fault::Forbidden]);
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  guardrail  required checks: nobody can tell: could not list the commit's check runs: GitHub answered 403 Resource not accessible by integration; give the job `permissions: { checks: read }`; the workflow of a fork's pull request cannot have it; wanted all of them well; next: give the job `permissions: { checks: read, statuses: read, contents: read }` and the step its token");
    assert_eq!(ran.code, 6);
    github.order(Verb::CommitStatus, [Fault::NoJson; 3]);
    let ran = preflight(&shop, &github).await;
    assert!(
        ran.log.contains("GitHub's answer makes no sense"),
        "{}",
        ran.log
    );
    assert_eq!(ran.code, 6);
    github.order(Verb::CheckRuns, [Fault::Page(502)]);
    let ran = preflight(&shop, &github).await;
    assert_eq!(ran.code, 0, "a second try goes well: {}", ran.log);
    let ran = asks(&shop, &github, "preflight", &[("INPUT_TOKEN", "")]).await;
    assert!(
        ran.log
            .contains("required checks: nobody can tell: there is no token"),
        "{}",
        ran.log
    );
    assert_eq!(ran.code, 6);
    // A version that is a commit is the commit; this one nobody knows.
    let other = [("INPUT_VERSION", "c0ffee0000000000000000000000000000000000")];
    let mut command = shop.command("preflight");
    command.envs([
        ("GITHUB_API_URL", github.api_url.as_str()),
        ("GITHUB_REPOSITORY", "shop/storefront"),
        ("GITHUB_SHA", SHA),
        ("INPUT_TOKEN", TOKEN),
    ]);
    command.envs(other);
    let run = move || Ran::of(command.spawn().unwrap());
    let ran = tokio::task::spawn_blocking(run).await.unwrap();
    assert!(ran.log.contains("No commit found for SHA"), "{}", ran.log);
}

#[tokio::test]
async fn a_run_that_too_few_approved_is_6() {
    let shop = guarded("approval: { by: [ana, cy], minimum: 2 }");
    let github = Github::start().await;
    github.run_began(&ago(5));
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran), @r"
      guardrail  approval: nobody whose approval counts; wanted 2 approvals of this run for production by ana, cy; next: let the job name `environment: production`, set required reviewers for it at GitHub, and let one of them approve this run
      preflight  10 of 11 checks passed   [time]
    failed: 1 check says no: approval
      measured   approval: nobody whose approval counts
      wanted     2 approvals of this run for production by ana, cy
      traffic    100 % on blue, says the router
      next       let the job name `environment: production`, set required reviewers for it at GitHub, and let one of them approve this run
    ");
    assert_eq!(ran.code, 6);
    github.review("ana", "approved", "Production");
    github.review("ana", "approved", "production");
    github.review("cy", "approved", "staging");
    github.review("cy", "rejected", "production");
    github.review("eve", "approved", "production");
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  guardrail  approval: only ana; not counted: eve, who is not among those that may; wanted 2 approvals of this run for production by ana, cy; next: let the job name `environment: production`, set required reviewers for it at GitHub, and let one of them approve this run");
    assert_eq!(ran.code, 6);
    github.review("cy", "approved", "production");
    let ran = preflight(&shop, &github).await;
    assert_eq!(ran.code, 0, "{}", ran.log);

    let shop = guarded("approval: {}");
    let github = Github::start().await;
    github.run_began(&ago(5));
    github.review("Bo", "approved", "production");
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  guardrail  approval: nobody whose approval counts; not counted: Bo, who started this run; wanted 1 approval of this run for production, not by who started it; next: let the job name `environment: production`, set required reviewers for it at GitHub, and let one of them approve this run");
    assert_eq!(ran.code, 6);
    let other = [("GITHUB_ACTOR", "ana"), ("GITHUB_TRIGGERING_ACTOR", "bo")];
    let ran = asks(&shop, &github, "preflight", &other).await;
    assert_eq!(
        ran.code, 6,
        "who runs it again has started it, too: {}",
        ran.log
    );
    shop.configure("approval: {}", "approval: { self-review: true }");
    let ran = preflight(&shop, &github).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

/// GitHub gives no time of an approval. What gives one is the deployment that waited for it.
#[tokio::test]
async fn an_approval_of_this_morning_is_6() {
    let shop = guarded("approval: {}");
    let github = Github::start().await;
    github.review("ana", "approved", "production");
    github.run_began(&ago(600));
    let deployment = github.job_begins("production", SHA, 42);
    let own = (deployment + 1000).to_string();
    let own = [("INPUT_CHECK-RUN-ID", own.as_str())];
    github.waited_until(deployment, &ago(250));
    let ran = asks(&shop, &github, "preflight", &own).await;
    assert_snapshot!(rows(&shop, &ran), @r"
      guardrail  approval: by ana [n] ago; wanted an approval of the last 4 h; next: start the run anew and have it approved again, or raise `guardrails.approval.max-age`
      preflight  10 of 11 checks passed   [time]
    failed: 1 check says no: approval
      measured   approval: by ana [n] ago
      wanted     an approval of the last 4 h
      traffic    100 % on blue, says the router
      next       start the run anew and have it approved again, or raise `guardrails.approval.max-age`
    ");
    assert_eq!(ran.code, 6);
    github.waited_until(deployment, &ago(230));
    let ran = asks(&shop, &github, "preflight", &own).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[tokio::test]
async fn where_no_time_is_known_another_one_counts_and_that_is_said() {
    let shop = guarded("approval: { max-age: 30m }");
    let github = Github::start().await;
    github.review("ana", "approved", "production");
    github.run_began(&ago(600));
    // Without a check run: the job of this runner.
    github.job(1, "runner-6", &ago(1));
    github.job(2, "runner-7", &ago(45));
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(rows(&shop, &ran).lines().next().unwrap(), @r"  guardrail  approval: by ana [n] ago, or before (GitHub tells no time of an approval, so this job's beginning counts); wanted an approval of the last 30 m; next: start the run anew and have it approved again, or raise `guardrails.approval.max-age`");
    assert_eq!(ran.code, 6);
    shop.configure("max-age: 30m", "max-age: 1h");
    let ran = preflight(&shop, &github).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
    // This job has no environment, so it was another one that was approved, who knows when.
    github.check_run_without_environment(77);
    let own = [("INPUT_CHECK-RUN-ID", "77")];
    let ran = asks(&shop, &github, "preflight", &own).await;
    assert_snapshot!(rows(&shop, &ran).lines().next().unwrap(), @r"  guardrail  approval: by ana 10 h ago, or after (GitHub tells no time of an approval, and this job was not seen to wait for it, so the run's beginning counts); wanted an approval of the last 1 h; next: let the very job that deploys name the environment, or start the run anew");
    assert_eq!(ran.code, 6);
    // The token may not read check runs: as if there were none, and this job is known by its number.
    github.job(78, "runner-8", &ago(2));
    let own = [("INPUT_CHECK-RUN-ID", "78")];
    let ran = asks(&shop, &github, "preflight", &own).await;
    assert_eq!(ran.code, 0, "{}", ran.log);
}

#[tokio::test]
async fn an_approval_that_cannot_be_seen_is_6() {
    let shop = guarded("approval: {}");
    let github = Github::start().await;
    github.review("ana", "approved", "production");
    github.order(Verb::Approvals, [Fault::Forbidden]);
    let ran = preflight(&shop, &github).await;
    assert_snapshot!(told(&shop, &ran).lines().next().unwrap(), @r"  guardrail  approval: nobody can tell: could not list the run's approvals: GitHub answered 403 Resource not accessible by integration; give the job `permissions: { actions: read }`; the workflow of a fork's pull request cannot have it; wanted an approval of this run for production; next: give the job `permissions: { actions: read, checks: read, deployments: read }` and the step its token");
    assert_eq!(ran.code, 6);
    let ran = asks(&shop, &github, "preflight", &[("GITHUB_RUN_ID", "")]).await;
    assert!(
        ran.log.contains("this is no run of a workflow"),
        "{}",
        ran.log
    );
    assert_eq!(ran.code, 6);
}

#[test]
fn wrong_words_are_refused_with_their_lines() {
    let refused = |guardrails: &str, said: &str| {
        let ran = guarded(guardrails).cutover("check");
        assert_eq!(ran.code, 64, "{guardrails}: {}", ran.log);
        assert!(ran.log.contains(said), "{guardrails}: {}", ran.log);
        assert!(ran.log.contains("line 1"), "{guardrails}: {}", ran.log);
    };
    refused(
        "required-checks: build",
        "write a list of names, as [build, test], or branch-protection",
    );
    refused(
        "required-checks: { a: b }",
        "this must be a text or a list, not a mapping",
    );
    refused("secrets: [{ max-age: 90d }]", "`name` is missing");
    refused("secrets: [{ name: A, max-age: 90 }]", "is not a duration");
    refused(
        "secrets: [{ name: A, if-unknown: maybe }]",
        "unknown word \"maybe\"",
    );
    refused("secrets: [{ name: A, age: 90d }]", "unknown key \"age\"");
    refused(
        "approval: { by: [ana], minimum: 2 }",
        "2 approvals are wanted, and `by` names 1",
    );
    refused(
        "approval: { by: [\"@org/team\"] }",
        "is not a user's name at GitHub",
    );
    refused("approval: { minimum: 0 }", "0 is out of range");
    refused("approval: { max-age: 4 }", "is not a duration");
}

/// What each costs, as the README says.
#[tokio::test]
async fn each_gate_has_its_price() {
    let price = async |guardrails: &str| {
        let (shop, github) = (guarded(guardrails), Github::start().await);
        github.check("build", "completed", Some("success"));
        github.branch("main", &[("build", None)]);
        github.run_began(&ago(5));
        github.review("ana", "approved", "production");
        github.job(77, "runner-7", &ago(3));
        github.lists_secrets();
        github.secret("repository", "DB_PASSWORD", &ago(5));
        let deployment = github.job_begins("production", SHA, 42);
        let own = (deployment + 1000).to_string();
        let variables = [("INPUT_CHECK-RUN-ID", own.as_str()), ("DB_PASSWORD", "x")];
        let ran = asks(&shop, &github, "preflight", &variables).await;
        assert_eq!(ran.code, 0, "{guardrails}: {}", ran.log);
        github.calls()
    };
    let without = price("branches: []").await;
    let secrets = "secrets: [{ name: DB_PASSWORD, max-age: 90d }]";
    for (guardrails, most) in [
        ("secrets: [DB_PASSWORD]", 0),
        ("required-checks: [build]", 2),
        ("required-checks: branch-protection", 4),
        ("approval: {}", 4),
        (secrets, 3),
    ] {
        assert_eq!(price(guardrails).await - without, most, "{guardrails}");
    }
}
