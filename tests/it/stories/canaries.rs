//! Canaries, with real proxies in front of real slots: up the ladder, back in one jump, and where
//! they are left standing. The slots are asked by the program itself, past the proxy; what is
//! wrong with them is ordered by files beside what they serve.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::children::{exit_code, lines, output};
use crate::world::load::Load;
use crate::world::shop::{Ran, Shop, Way};

/// Short steps: what is shown is the ladder, not the patience.
const LADDER: &str = "kind: canary, steps: [10%, 50%, 100%], every: 250ms, warm-up: 0s, wait: 5s";

/// What is asked for takes longer than a moment only where it is ordered so.
const WORK: usize = 24_000;

/// A shop whose strategy is a canary, with more of the strategy's keys.
fn shop(way: Way, more: &str) -> Shop {
    let shop = Shop::open(way);
    let ladder = format!("{LADDER}, {more}");
    shop.configure("kind: blue-green, wait: 5s, watch: 0s", &ladder);
    shop
}

/// The same with somebody who counts.
fn judged(way: Way, more: &str) -> Shop {
    let shop = shop(way, &format!("source: prober, {more}"));
    shop.configure(
        "    proof:",
        "    metrics: [{ kind: prober, path: /work, rate: 100 }]\n    proof:",
    );
    for slot in ["blue", "green"] {
        fs::write(shop.path(slot).join("work"), "x".repeat(WORK)).unwrap();
    }
    shop
}

/// Runs the program to its end, with a folder of its own for what it leaves to the next run.
fn run(shop: &Shop, arguments: &str) -> Ran {
    Ran::of(command(shop, arguments).spawn().unwrap())
}

fn command(shop: &Shop, arguments: &str) -> Command {
    let mut command = shop.command(arguments);
    command.env("RUNNER_TEMP", shop.path(""));
    command
}

fn order(shop: &Shop, slot: &str, what: &str) {
    fs::write(shop.path(slot).join(what), "").unwrap();
}

/// The rows of a log with that label, without what differs.
fn rows(shop: &Shop, ran: &Ran, label: &str) -> Vec<String> {
    let told = shop.told(&ran.log);
    let rows = told.lines().filter_map(|line| line.strip_prefix("  "));
    let rows = rows.filter_map(|row| row.strip_prefix(label));
    rows.map(|row| row.trim().to_owned()).collect()
}

#[test]
fn a_release_climbs_the_ladder() {
    for way in [Way::Flags, Way::Map] {
        let shop = shop(way, "watch: 300ms, source: none");
        let ran = run(&shop, "rollout --version=v2");
        assert_eq!(ran.code, 0, "{}", ran.log);
        assert_eq!(ran.output("decision"), "promoted");
        assert_eq!(ran.output("weight"), "100");
        assert_eq!(shop.answers(), "green v2");
        let log = shop.told(&ran.log);
        for said in [
            "  way back   blue serves v1, one jump from any step prepared",
            "green 0 % -> 10 %",
            "for a weight of 10 %",
            "  step       1/3   10 %",
            "green 10 % -> 50 %",
            "green 50 % -> 100 %",
            "5 of 5 answers say v2, none v1",
        ] {
            assert!(log.contains(said), "{said:?} is not in\n{log}");
        }
    }
}

/// Without a single error, and with latency that HAProxy does not count.
#[test]
fn a_good_release_is_proved_good_and_promoted() {
    let shop = shop(Way::Map, "source: router, watch: 1s, at-most: 60s");
    let users = Load::on(shop.front(), 2);
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let steps = rows(&shop, &ran, "step");
    assert_eq!(steps.len(), 3, "{}", ran.log);
    assert!(steps[0].starts_with("1/3   10 %"), "{steps:?}");
    assert!(steps[0].contains("   safe"), "{steps:?}");
    assert_eq!(users.stop().1, 0, "requests were lost");
    assert_eq!(shop.answers(), "green v2");
}

#[test]
fn a_release_with_errors_is_taken_back_and_the_audit_judges_the_same() {
    let shop = judged(Way::Flags, "watch: 20s");
    shop.configure("    proof:", "    audit: { file: audit.jsonl }\n    proof:");
    order(&shop, "green", "broken");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert_eq!(ran.output("decision"), "rolled-back");
    assert!(
        ["worse", "limit-passed"].contains(&ran.output("reason-code")),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("green 10 % -> 0 %"), "{}", ran.log);
    assert_eq!(shop.answers(), "blue v1");

    let audit = fs::read_to_string(shop.path("audit.jsonl")).unwrap();
    let lines = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let glances: Vec<Value> = lines
        .filter(|line: &Value| line["event"] == "glanced")
        .collect();
    let live: Vec<&Value> = glances
        .iter()
        .map(|line| &line["data"]["verdict"])
        .collect();
    assert!(!live.is_empty());
    let again = output(&mut shop.command("replay audit.jsonl json"));
    let again = String::from_utf8(again.stdout).unwrap();
    let again: Vec<Value> = again
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        again
            .iter()
            .map(|look| &look["verdict"])
            .collect::<Vec<_>>(),
        live
    );
    for (look, glance) in again.iter().zip(&glances) {
        for metric in ["errors", "latency"] {
            let number = |of: &Value| of[metric]["ln-worse"].as_f64().unwrap();
            let apart = number(look) - number(&glance["data"]);
            assert!(apart.abs() < 1e-6, "{look} is not {glance}");
        }
    }
}

#[test]
fn a_release_that_is_slower_is_taken_back() {
    let shop = judged(Way::Map, "watch: 30s");
    order(&shop, "green", "slow");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "worse");
    assert!(ran.log.contains("p95 ratio"), "{}", ran.log);
    assert_eq!(shop.answers(), "blue v1");
}

/// A person looks, and goes on, or back.
#[test]
fn what_nothing_is_proved_of_is_held_where_it_is() {
    let shop = judged(Way::Flags, "watch: 1s, on-inconclusive: hold");
    shop.configure("rate: 100", "rate: 5");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 30, "{}", ran.log);
    assert_eq!(ran.output("decision"), "held");
    assert_eq!(ran.output("reason-code"), "inconclusive");
    assert_eq!(ran.output("weight"), "10");
    assert!(shop.path("flags/w10").exists());
    assert!(ran.log.contains("green stays at 10 %"), "{}", ran.log);
    assert!(
        ran.log
            .contains("cutover rollback --environment production"),
        "{}",
        ran.log
    );

    let on = run(&shop, "rollout --version=v2");
    assert_eq!(on.code, 30, "{}", on.log);
    assert!(
        on.log.contains("goes on with what was proved so far"),
        "{}",
        on.log
    );
    assert!(!on.log.contains("deploy"), "{}", on.log);

    let other = run(&shop, "rollout --version=v3");
    assert_eq!(other.code, 10, "{}", other.log);
    assert_eq!(other.output("reason-code"), "slot-is-active");

    let back = run(&shop, "rollback");
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn no_data_is_no_reason_to_go_back() {
    let shop = shop(Way::Flags, "watch: 1s, no-data-after: 1s");
    let nobody = "metrics: [{ kind: prometheus, url: 'http://127.0.0.1:1', by-slot: { requests: 'a{slot=\"{{slot}}\"}', errors: 'b{slot=\"{{slot}}\"}' } }]";
    shop.configure("    proof:", &format!("    {nobody}\n    proof:"));
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 30, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "no-data");
    assert!(shop.path("flags/w10").exists());
}

#[test]
fn what_befalls_both_is_no_reason_to_go_back() {
    let shop = judged(Way::Flags, "watch: 20s");
    order(&shop, "blue", "broken");
    order(&shop, "green", "broken");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 30, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "shared-incident");
    assert!(shop.path("flags/w10").exists());
}

#[test]
fn who_observes_touches_nothing() {
    let shop = judged(Way::Flags, "watch: 10s, observe: true");
    order(&shop, "green", "broken");
    let before = shop.state();
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.output("decision"), "planned");
    assert_eq!(ran.output("reason-code"), "observed");
    assert!(
        ran.log.contains("a rollout would take green back"),
        "{}",
        ran.log
    );
    assert_eq!(shop.state(), before);
}

#[test]
fn a_manual_step_waits_for_the_next_run() {
    let shop = shop(Way::Map, "watch: 300ms, source: none");
    shop.configure("50%,", "{ weight: 50%, manual: true },");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(ran.output("decision"), "paused");
    assert_eq!(ran.output("reason-code"), "manual-step");
    assert_eq!(ran.output("weight"), "10");
    let on = run(&shop, "rollout --version=v2");
    for said in [
        "goes on with the next step",
        "green 10 % -> 50 %",
        "green 50 % -> 100 %",
    ] {
        assert!(on.log.contains(said), "{}", on.log);
    }
    assert!(!on.log.contains("deploy"), "{}", on.log);
    assert_eq!(on.code, 0, "{}", on.log);
    assert_eq!(on.output("decision"), "promoted");
    assert_eq!(shop.answers(), "green v2");
}

/// At every step, by a signal and by none at all: one jump back.
#[test]
fn a_run_that_ends_at_any_step_leaves_traffic_on_the_old_release() {
    for (way, step) in [(Way::Flags, 1), (Way::Map, 2), (Way::Flags, 3)] {
        for signal in [Signal::TERM, Signal::KILL] {
            let shop = shop(way, "watch: 700ms, source: none");
            let mut child = command(&shop, "rollout --version=v2").spawn().unwrap();
            let mut printed = lines(child.stdout.take());
            let mut proved = 0;
            while proved < step {
                let line = printed.next().unwrap();
                proved += usize::from(line.starts_with("  proved"));
            }
            kill_process(Pid::from_child(&child), signal).unwrap();
            let rest: Vec<String> = printed.collect();
            let code = exit_code(&mut child);
            if signal == Signal::TERM {
                assert_eq!(code, Some(130), "{rest:?}");
            } else {
                let ran = run(&shop, "finish");
                assert_eq!(ran.code, 0, "{}", ran.log);
                assert_eq!(ran.output("decision"), "rolled-back");
            }
            assert_eq!(shop.answers(), "blue v1", "{signal:?} at step {step}");
        }
    }
}

/// A check of the public URL says nothing of the old release once the new one has all the traffic.
#[test]
fn a_check_of_the_public_address_is_no_opinion_about_the_old_release() {
    let shop = shop(Way::Flags, "watch: 20s, source: none");
    shop.configure("steps: [10%, 50%, 100%]", "steps: [100%]");
    // It says what it should as long as the old release answers there.
    let url = format!("http://127.0.0.1:{}/release", shop.front());
    let check = format!("{{ kind: http, url: '{url}', expect: {{ text: v1 }}, fall: 2 }}");
    shop.configure(
        "    proof:",
        &format!("    health: {{ checks: [{check}] }}\n    proof:"),
    );
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert_eq!(ran.output("reason-code"), "unhealthy");
    assert_eq!(shop.answers(), "blue v1");
}

/// Who asks both slots himself compares them also where one of them has all the traffic.
#[test]
fn a_slot_without_traffic_is_compared_by_who_asks_it() {
    let shop = judged(
        Way::Flags,
        "watch: 10s, observe: true, max-error-rate: 100%",
    );
    order(&shop, "green", "broken");
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let said = "a rollout would take green back: the canary is worse";
    assert!(ran.log.contains(said), "{}", ran.log);
}
