//! How often each mode asks GitHub: the README's table, measured with the program. A token has a
//! thousand requests an hour for its whole repository.

use std::fmt::Write as _;

use cutover::modes::MODES;

use crate::world::app::{App, Reply};
use crate::world::scene::{CHECK_RUN, RUN, SHA, Scene};

/// The most that a rollout may ask, and the lock's share of it.
const MOST: usize = 12;
const LOCK: usize = 5;

/// How a job stands to GitHub's own Deployments.
#[derive(Clone, Copy)]
enum Job {
    /// It has no `environment:`.
    Plain,
    /// It has one, and the token may read check runs.
    Environment,
    /// It has one, and the token may not.
    Blind,
}

/// The calls of a mode where the last record stands and the one before was followed by it.
async fn calls(mode: &str, job: Job) -> [usize; 2] {
    let people = App::start().await;
    people.route("/hook", Reply::with(200, ""));
    let scene = Scene::set("auto").await;
    let (old, last) = (
        scene.record("green", "v0", 39, "success"),
        scene.record("blue", "v1", 40, "success"),
    );
    scene.github.is_followed(old, last);
    scene.github.git(|git| git.was_locked());
    if mode == "preflight" {
        // Others are at work on this machine.
        let all = "preflight: { cpu: 100%, memory: 100%, disk: 1MB }";
        scene.configure("records: auto", &format!("records: auto\n    {all}"));
    }
    if mode == "environments" {
        let block = "protection: { branches: [main] }";
        scene.configure("records: auto", &format!("records: auto\n    {block}"));
        let by_name = serde_json::json!({
            "deployment_branch_policy": { "protected_branches": false, "custom_branch_policies": true },
        });
        scene
            .github
            .environment_is("production", by_name, &["main"]);
    }
    let check_run = match job {
        Job::Plain => CHECK_RUN,
        Job::Environment => scene.github.job_begins("production", SHA, RUN) + 1000,
        Job::Blind => {
            scene.github.job_begins("production", SHA, RUN);
            CHECK_RUN + 1
        }
    };
    let (first, arguments) = match mode {
        "deploy-slot" | "rollout" => ("", format!("{mode} --version=v2")),
        "switch-traffic" => ("deploy-slot --version=v2", mode.to_owned()),
        "rollback" => ("rollout --version=v2", mode.to_owned()),
        "notify" => (
            "",
            format!("notify --title=x --webhook={}", people.at("/hook")),
        ),
        "smoke-test" => ("", "smoke-test --slot=blue".to_owned()),
        _ => ("", mode.to_owned()),
    };
    if !first.is_empty() {
        let ran = scene.run(check_run, first).await;
        assert_eq!(ran.code, 0, "{first}: {}", ran.log);
    }
    let counts = || [scene.github.calls(), scene.github.calls_but_locks()];
    let before = counts();
    let ran = scene.run(check_run, &arguments).await;
    assert_eq!(ran.code, 0, "{mode}: {}", ran.log);
    assert!(!ran.log.contains("::warning"), "{mode}: {}", ran.log);
    let after = counts();
    [after[0] - before[0], after[1] - before[1]]
}

#[tokio::test]
async fn the_readme_counts_the_calls_of_every_mode() {
    let mut table = String::new();
    for (mode, _) in MODES {
        let (plain, own, blind) = tokio::join!(
            calls(mode, Job::Plain),
            calls(mode, Job::Environment),
            calls(mode, Job::Blind)
        );
        let lock = plain[0] - plain[1];
        assert_eq!([own[0] - own[1], blind[0] - blind[1]], [lock; 2], "{mode}");
        assert!(lock <= LOCK, "{mode}: {lock}");
        assert!(
            *mode != "rollout" || plain.max(own).max(blind)[0] <= MOST,
            "{plain:?} {own:?} {blind:?}"
        );
        let [plain, own, blind] = [plain[1], own[1], blind[1]];
        writeln!(table, "| `{mode}` | {lock} | {plain} | {own} | {blind} |").unwrap();
    }
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    assert!(
        readme.unwrap().contains(&table),
        "the README has not\n{table}"
    );
}
