//! What a rollout over members leaves behind in a workflow: a closed record, a free lock, no ledger,
//! outputs and a summary; also where it was killed.

use std::process::{Command, Stdio};

use crate::world::children::output;
use crate::world::crew::{Crew, Front, NAMES};
use crate::world::github::{Github, TOKEN};
use crate::world::patience::until;
use crate::world::scene::{CHECK_RUN, RUN, SHA};

/// The program as a step of a job.
fn step(crew: &Crew, github: &Github, arguments: &str) -> Command {
    let mut command = crew.command(arguments);
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_API_URL", &github.api_url)
        .env("GITHUB_REPOSITORY", "shop/storefront")
        .env("GITHUB_RUN_ID", RUN.to_string())
        .env("GITHUB_RUN_ATTEMPT", "1")
        .env("GITHUB_JOB", "deploy")
        .env("GITHUB_SHA", SHA)
        .env("GITHUB_WORKSPACE", crew.path(""))
        .env("GITHUB_OUTPUT", crew.path("output"))
        .env("GITHUB_STEP_SUMMARY", crew.path("summary"))
        .env("RUNNER_TEMP", crew.path(""))
        .env("INPUT_TOKEN", TOKEN)
        .env("INPUT_CHECK-RUN-ID", CHECK_RUN.to_string())
        .stderr(Stdio::null());
    command
}

/// Runs a step to its end: its exit code and its log.
async fn run(mut command: Command) -> (Option<i32>, String) {
    let ran = tokio::task::spawn_blocking(move || output(&mut command));
    let ran = ran.await.unwrap();
    let log = String::from_utf8_lossy(&ran.stdout).into_owned();
    (ran.status.code(), log)
}

fn states(github: &Github) -> Vec<Vec<String>> {
    let ids = github.deployments();
    let ids = ids.iter().map(|one| one["id"].as_u64().unwrap());
    ids.map(|id| github.states(id)).collect()
}

fn assert_nothing_is_held(crew: &Crew, github: &Github, log: &str) {
    assert!(github.git(|git| git.is_free()), "{log}");
    let files = std::fs::read_dir(crew.path("")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let ledgers: Vec<String> = names
        .filter(|name| name.starts_with("cutover-ledger"))
        .collect();
    assert_eq!(ledgers, [""; 0], "{log}");
}

#[tokio::test]
async fn a_rollout_is_recorded_under_a_lock() {
    let crew = Crew::open(Front::HaProxy);
    let github = Github::start().await;
    github.check_run_without_environment(CHECK_RUN);
    let (code, log) = run(step(&crew, &github, "rollout --version=v2")).await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(states(&github), [["in_progress", "success"]], "{log}");
    let payload = github.deployments()[0]["payload"].to_string();
    assert!(payload.contains("\"slot\":\"members\""), "{payload}");
    assert_nothing_is_held(&crew, &github, &log);
    let summary = std::fs::read_to_string(crew.path("summary")).unwrap();
    for wanted in [
        "promoted: v2 on 3 members",
        "| traffic | members 0 % → 100 % |",
        "web1    2 of 3 stay in",
        "persistence cookie",
    ] {
        assert!(summary.contains(wanted), "{wanted} is not in {summary}");
    }
    assert!(!summary.contains("| proved | no |"), "{summary}");
    let outputs = std::fs::read_to_string(crew.path("output")).unwrap();
    assert!(outputs.contains("promoted"), "{outputs}");

    let (code, log) = run(step(&crew, &github, "rollout --version=worse")).await;
    assert_eq!(code, Some(20), "{log}");
    let last = states(&github).pop().unwrap();
    assert_eq!(last.last().unwrap(), "failure", "{log}");
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_nothing_is_held(&crew, &github, &log);
}

#[tokio::test]
async fn the_post_step_closes_what_a_killed_run_has_left() {
    let crew = Crew::open(Front::HaProxy);
    let github = Github::start().await;
    github.check_run_without_environment(CHECK_RUN);
    let mut command = step(&crew, &github, "rollout --version=stuck");
    let mut killed = command.spawn().unwrap();
    until("it is deployed to", || crew.is_down("web1")).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(crew.in_rotation(), ["web2", "web3"]);
    // As the orchestrator of the machine would: the member comes up with what it had.
    crew.revive("web1");
    let (code, log) = run(step(&crew, &github, "finish")).await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(crew.in_rotation(), NAMES, "{log}");
    let last = states(&github).pop().unwrap();
    assert_eq!(last.last().unwrap(), "inactive", "{log}");
    assert_nothing_is_held(&crew, &github, &log);
}
