//! What is refused where there are members, before anything is changed; and what each mode does
//! there.

use crate::world::children::{exit_code, lines};
use crate::world::crew::{Crew, Front, NAMES};
use crate::world::shop::Ran;

/// Nothing of it has happened.
fn untouched(crew: &Crew) {
    assert_eq!(crew.releases(), ["v1"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

#[test]
fn modes_for_two_slots_say_what_to_do_instead() {
    let crew = Crew::open(Front::HaProxy);
    for (arguments, wanted) in [
        (
            "switch-traffic --to=web2",
            "a release goes over them by `cutover rollout --environment production",
        ),
        (
            "rollback",
            "the old release goes back over them by `cutover rollout",
        ),
        (
            "rollout --version=v2 --strategy=canary",
            "canary needs two slots, and production has members",
        ),
        (
            "rollout --version=v2 --strategy=blue-green",
            "blue-green needs two slots",
        ),
        ("deploy-slot --version=v2", "name the member with `slot:`"),
        (
            "deploy-slot --version=v2 --slot=web9",
            "web1, web2 and web3",
        ),
        ("smoke-test", "name the member with `slot:`"),
        ("rehearse", "production has members"),
    ] {
        let ran = crew.cutover(arguments);
        assert_eq!(ran.code, 64, "{arguments}: {}", ran.log);
        assert!(ran.log.contains(wanted), "{arguments}: {}", ran.log);
    }
    untouched(&crew);
}

#[test]
fn a_config_says_what_does_not_go_together() {
    let crew = Crew::open(Front::HaProxy);
    let good = std::fs::read_to_string(crew.path("cutover.yml")).unwrap();
    for (from, to, wanted) in [
        (
            "kind: rolling,",
            "kind: rolling, batch: 2,",
            "more than half of 3 members",
        ),
        (
            "kind: rolling, pause: 1s, drain: 5s, wait: 3s, watch: 1s, min-requests: 5",
            "kind: blue-green",
            "blue-green needs two slots",
        ),
        (
            "\"kind\":\"haproxy\"",
            "\"kind\":\"haproxy\",\"map\":\"w\"",
            "with `members`, say `backend`",
        ),
        (
            "    release:",
            "    slots: { a: { url: http://a }, b: { url: http://b } }\n    release:",
            "two slots or several members, not both",
        ),
    ] {
        assert!(good.contains(from), "{from} is not in {good}");
        std::fs::write(crew.path("cutover.yml"), good.replace(from, to)).unwrap();
        let ran = crew.cutover("check");
        assert_eq!(ran.code, 64, "{to}: {}", ran.log);
        assert!(ran.log.contains(wanted), "{to}: {}", ran.log);
    }
    let (head, rest) = good.split_once("    router: ").unwrap();
    let (_, tail) = rest.split_once('\n').unwrap();
    let caddy = format!("{head}    router: {{ kind: caddy, flags: flags }}\n{tail}");
    std::fs::write(crew.path("cutover.yml"), caddy).unwrap();
    let ran = crew.cutover("check");
    assert!(
        ran.log
            .contains("the router caddy does not take single members out; haproxy and nginx can"),
        "{}",
        ran.log
    );
    // Left out, the strategy is rolling.
    let (head, rest) = good.split_once("    strategy: ").unwrap();
    let (_, tail) = rest.split_once('\n').unwrap();
    std::fs::write(crew.path("cutover.yml"), format!("{head}{tail}")).unwrap();
    let ran = crew.cutover("rollout --version=v2 --dry-run");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log
            .contains("v2 would go to web1, then web2, then web3 by ./deploy.sh"),
        "{}",
        ran.log
    );
    untouched(&crew);
}

#[test]
fn one_member_is_deployed_to_when_it_is_out_only() {
    let crew = Crew::open(Front::HaProxy);
    // How busy this machine is, is not what this is about.
    let idle = "preflight: { cpu: 100%, memory: 100%, disk: 1MB }\n    prober:";
    crew.configure("prober:", idle);
    let ran = crew.cutover("deploy-slot --slot=web2 --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "slot-is-active"),
        "{}",
        ran.log
    );
    untouched(&crew);
    crew.haproxy().cli("set server shop/web2 state drain");
    let ran = crew.cutover("deploy-slot --slot=web2 --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(crew.releases(), ["v1", "v2", "v1"]);
    assert_eq!(crew.in_rotation(), ["web1", "web3"]);
    for arguments in ["smoke-test --slot=web2", "preflight --version=v2"] {
        let ran = crew.cutover(arguments);
        assert_eq!(ran.code, 0, "{arguments}: {}", ran.log);
    }
    // A rollout passes over its deployment, and puts it in.
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert!(
        ran.log.contains("web2 gets no traffic (out)"),
        "{}",
        ran.log
    );
    assert!(!ran.log.contains("web2 <- v2"), "{}", ran.log);
    assert_eq!(crew.releases(), ["v2"; 3]);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// HAProxy would give it traffic with the first of its checks that passes, tested or not.
#[test]
fn one_member_that_is_only_down_is_not_deployed_to() {
    let crew = Crew::open(Front::HaProxy);
    let idle = "preflight: { cpu: 100%, memory: 100%, disk: 1MB }\n    prober:";
    crew.configure("prober:", idle);
    crew.haproxy().cli("disable health shop/web2");
    crew.haproxy().cli("set server shop/web2 health down");
    let ran = crew.cutover("deploy-slot --slot=web2 --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "slot-is-active"),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("state drain"), "{}", ran.log);
    assert_eq!(crew.releases(), ["v1"; 3]);
}

#[test]
fn a_rollout_does_not_begin_with_members_that_are_not_in_order() {
    let crew = Crew::open(Front::HaProxy);
    crew.haproxy().cli("set server shop/web3 state maint");
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "not-as-expected"),
        "{}",
        ran.log
    );
    assert!(ran.log.contains("web3: in maintenance"), "{}", ran.log);
    crew.haproxy().cli("set server shop/web3 state ready");

    std::fs::write(crew.path("web2/down"), "").unwrap();
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (10, "unhealthy"),
        "{}",
        ran.log
    );
    assert!(
        ran.log.contains("web2 gets traffic and does not say"),
        "{}",
        ran.log
    );
    // Out of rotation it is what the rollout begins with.
    crew.haproxy().cli("set server shop/web2 state drain");
    let ran = crew.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let first = ran.log.lines().find(|line| line.contains("<- v2"));
    assert!(first.unwrap().contains("web2 <- v2"), "{}", ran.log);
    assert_eq!(crew.in_rotation(), NAMES);
}

/// Somebody takes the others out in the middle of a rollout: the last one stays in.
#[test]
fn the_last_member_stays_in() {
    let crew = Crew::open(Front::HaProxy);
    crew.configure("pause: 1s", "pause: 3s");
    let mut run = crew.command("rollout --version=v2").spawn().unwrap();
    let mut printed = lines(run.stdout.take());
    let mut log: Vec<String> = Vec::new();
    while !log.last().is_some_and(|line| line.starts_with("  proved")) {
        log.push(printed.next().unwrap());
    }
    for name in ["web1", "web3"] {
        crew.haproxy()
            .cli(&format!("set server shop/{name} state drain"));
    }
    log.extend(printed);
    let ran = Ran::read(exit_code(&mut run), &log.join("\n"));
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (20, "slot-is-active"),
        "{}",
        ran.log
    );
    let said = "without web2 nobody would be left for users, so nothing was taken out";
    assert!(ran.log.contains(said), "{}", ran.log);
    // What this run took out is in again; what somebody else did stays.
    assert_eq!(crew.in_rotation(), ["web1", "web2"], "{}", ran.log);
    assert_eq!(crew.releases(), ["v1"; 3], "{}", ran.log);
}

#[test]
fn members_with_different_releases_get_their_own_back() {
    let crew = Crew::open(Front::HaProxy);
    crew.put("web2", "v0");
    let ran = crew.cutover("rollout --version=worse");
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert!(
        ran.log
            .contains("the members serve different releases (v1, v0)"),
        "{}",
        ran.log
    );
    assert_eq!(crew.releases(), ["v1", "v0", "v1"]);
    assert_eq!(crew.in_rotation(), NAMES);
}
