//! Hooks when a run is cancelled or killed: what is ended, what is still run, and that nothing of
//! the end is begun twice.

use std::fs;
use std::path::Path;
use std::process::Child;

use crate::locks::signal;
use crate::world::children::{exit_code, lines};
use crate::world::patience::until_blocking;
use crate::world::shop::{Ran, Shop, Way};

use super::hooks::{NOTE, hook, notes, shop};

/// Waits until a file is there, and has something in it.
fn read_when_there(path: &Path) -> String {
    let mut text = String::new();
    until_blocking(&format!("{} comes", path.display()), || {
        text = fs::read_to_string(path).unwrap_or_default();
        text.ends_with('\n')
    });
    text.trim().to_owned()
}

/// Begins a run with a place of its own for its ledger.
fn begin(shop: &Shop, arguments: &str) -> Child {
    let temp = shop.path("temp");
    fs::create_dir_all(&temp).unwrap();
    let mut command = shop.command(arguments);
    command.env("RUNNER_TEMP", temp).spawn().unwrap()
}

/// Reads what is printed up to a line, and returns the rest when the run has ended.
pub(super) fn ended_after(mut child: Child, line: &str, then: impl FnOnce(&Child)) -> Ran {
    let mut printed = String::new();
    let mut lines = lines(child.stdout.take());
    while !printed.contains(line) {
        let Some(next) = lines.next() else {
            panic!("{line} is not in {printed}");
        };
        printed += &(next + "\n");
    }
    then(&child);
    lines.for_each(|next| printed += &(next + "\n"));
    Ran::read(exit_code(&mut child), &printed)
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").unwrap_or_default().1;
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Runs on with a child of its own, and says which.
const ENDLESS: &str = "sleep 1000 & echo $! > pid; wait";

#[test]
fn a_cancelled_hook_is_ended_with_all_its_children() {
    let end = hook(NOTE, ", name: note");
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ after-switch: [{}], on-rollback: [{end}], always: [{end}] }}",
            hook(ENDLESS, "")
        ),
    );
    let child = begin(&shop, "rollout --version=v2");
    let pid = read_when_there(&shop.path("pid"));
    assert_eq!(shop.answers(), "green v2");
    signal("-INT", &child.id().to_string());
    let ran = Ran::of(child);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (130, "rolled-back"),
        "{}",
        ran.log
    );
    assert!(!is_alive(&pid), "{}", ran.log);
    assert_eq!(shop.answers(), "blue v1");
    assert_eq!(
        notes(&shop),
        [
            "on-rollback green v2 after v1, v1 v2 rolled-back cancelled",
            "always green v2 after v1, v1 v2 rolled-back cancelled",
        ]
    );
    assert!(
        ran.log.contains("its last hooks have 2 s in all"),
        "{}",
        ran.log
    );
}

#[test]
fn the_last_hooks_of_a_cancelled_run_have_two_seconds() {
    let long = hook(ENDLESS, ", name: long");
    let more = hook("echo too late > late", ", name: more");
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ after-deploy: [{}], always: [{long}, {more}] }}",
            hook("echo x > begun; sleep 1000", "")
        ),
    );
    let child = begin(&shop, "rollout --version=v2");
    read_when_there(&shop.path("begun"));
    signal("-INT", &child.id().to_string());
    let ran = Ran::of(child);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (130, "failed"),
        "{}",
        ran.log
    );
    let pid = read_when_there(&shop.path("pid"));
    assert!(!is_alive(&pid), "{}", ran.log);
    for said in [
        "hook always long: ended after ",
        "hook always more: left out, because the time of a cancelled run is over",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
    assert!(!shop.path("late").exists());
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_run_that_is_cancelled_in_its_last_hook_keeps_its_verdict() {
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ always: [{}] }}", hook(ENDLESS, ", name: long")),
    );
    let child = begin(&shop, "rollout --version=v2");
    let pid = read_when_there(&shop.path("pid"));
    signal("-INT", &child.id().to_string());
    let ran = Ran::of(child);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (0, "promoted"),
        "{}",
        ran.log
    );
    assert!(!is_alive(&pid), "{}", ran.log);
    assert_eq!(shop.answers(), "green v2");
}

#[test]
fn the_post_step_runs_the_last_hooks_of_a_run_that_was_killed_once() {
    let end = hook(NOTE, ", name: note");
    let shop = shop(
        Way::Map,
        &format!(
            "hooks: {{ after-switch: [{}], on-rollback: [{end}], always: [{end}] }}",
            hook(ENDLESS, "")
        ),
    );
    let mut child = begin(&shop, "rollout --version=v2");
    let pid = read_when_there(&shop.path("pid"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(shop.answers(), "green v2");
    assert_eq!(notes(&shop), Vec::<String>::new());
    signal("-KILL", &pid);

    let finished = Ran::of(begin(&shop, "finish"));
    assert_eq!(finished.code, 0, "{}", finished.log);
    assert_eq!(shop.answers(), "blue v1");
    assert_eq!(
        notes(&shop),
        [
            "on-rollback green v2 after v1, v1 v2 rolled-back done",
            "always green v2 after v1, v1 v2 rolled-back done",
        ]
    );
    let again = Ran::of(begin(&shop, "finish"));
    assert_eq!(again.code, 0);
    assert_eq!(notes(&shop), Vec::<String>::new());
}

#[test]
fn a_last_hook_that_was_begun_is_not_begun_again() {
    let first = hook(&format!("{NOTE}; {ENDLESS}"), ", name: first");
    let second = hook(NOTE, ", name: second");
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ always: [{first}, {second}] }}"),
    );
    let mut child = begin(&shop, "rollout --version=v2");
    let pid = read_when_there(&shop.path("pid"));
    child.kill().unwrap();
    child.wait().unwrap();
    signal("-KILL", &pid);
    assert_eq!(notes(&shop).len(), 1);

    let finished = Ran::of(begin(&shop, "finish"));
    assert_eq!(finished.code, 0, "{}", finished.log);
    assert_eq!(shop.answers(), "green v2", "it was final");
    assert_eq!(
        notes(&shop),
        ["always green v2 after v1, v1 v2 passed done"],
        "only the one that had not begun"
    );
}

/// A way back by `switch-traffic` needs what a contract takes away.
#[test]
fn a_switch_contracts_where_a_version_says_that_it_goes_out() {
    let contract = hook(NOTE, ", name: drop, migration: contract, required: true");
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ after-switch: [{contract}] }}"),
    );
    assert_eq!(shop.cutover("deploy-slot --version=v2").code, 0);
    for to in ["green", "blue"] {
        let ran = shop.cutover(&format!("switch-traffic --to={to}"));
        assert_eq!((ran.code, notes(&shop)), (0, Vec::new()), "{}", ran.log);
        let said = "hook after-switch drop is left out: this may be a way back; give `version`";
        assert!(ran.log.contains(said), "{}", ran.log);
    }
    let ran = shop.cutover("switch-traffic --to=green --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(notes(&shop), ["after-switch green v2 after v1, v1 v2"]);
}
