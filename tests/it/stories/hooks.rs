//! The built program with hooks, before real proxies: when each is run, what it is told, and what
//! its failure does.

use std::fs;

use insta::assert_snapshot;

use crate::world::shop::{Ran, Shop, Way};

/// Writes down when it was run, what it was told, and what both slots had then.
const SCRIPT: &str = r#"echo "$HOOK $SLOT $VERSION after $PREVIOUS_VERSION, $(cat blue/release) $(cat green/release) $DECISION $REASON" >> notes"#;

/// Runs that.
pub(super) const NOTE: &str = "sh note.sh";

/// A command, with what is added to its block.
pub(super) fn hook(run: &str, more: &str) -> String {
    let run = serde_json::Value::from(run);
    format!("{{ kind: command, run: {run}{more} }}")
}

/// A hook for every moment.
pub(super) fn every_moment() -> String {
    let note = hook(NOTE, ", name: note");
    [
        "before-deploy",
        "after-deploy",
        "before-switch",
        "after-switch",
        "on-rollback",
        "always",
    ]
    .map(|moment| format!("{moment}: [{note}]"))
    .join(", ")
}

/// A shop with a block before its `smoke`.
pub(super) fn shop(way: Way, block: &str) -> Shop {
    let shop = Shop::open(way);
    fs::write(shop.path("note.sh"), SCRIPT).unwrap();
    shop.configure("    smoke:\n", &format!("    {block}\n    smoke:\n"));
    shop
}

/// What was written down.
pub(super) fn notes(shop: &Shop) -> Vec<String> {
    let text = fs::read_to_string(shop.path("notes")).unwrap_or_default();
    let _ = fs::remove_file(shop.path("notes"));
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn rollout(shop: &Shop) -> Ran {
    shop.cutover("rollout --version=v2")
}

#[test]
fn each_has_its_moment() {
    let shop = shop(Way::Flags, &format!("hooks: {{ {} }}", every_moment()));
    let ran = rollout(&shop);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(
        notes(&shop),
        [
            "before-deploy green v2 after v1, v1 v0",
            "after-deploy green v2 after v1, v1 v2",
            "before-switch green v2 after v1, v1 v2",
            "after-switch green v2 after v1, v1 v2",
            "always green v2 after v1, v1 v2 promoted done",
        ]
    );
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
      hook       before-deploy note      sh note.sh ended with 0   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      hook       after-deploy note      sh note.sh ended with 0   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      hook       before-switch note      sh note.sh ended with 0   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      hook       after-switch note      sh note.sh ended with 0   [time]
      hook       always note      sh note.sh ended with 0   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
}

#[test]
fn each_mode_has_its_own() {
    let shop = shop(Way::Map, &format!("hooks: {{ {} }}", every_moment()));
    let moments = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{}", ran.log);
        let notes = notes(&shop);
        let all: Vec<_> = notes
            .iter()
            .map(|it| it.split(',').next().unwrap().to_owned())
            .collect();
        all.join("; ")
    };
    assert_eq!(
        moments(&shop.cutover("deploy-slot --version=v2")),
        "before-deploy green v2 after v1; after-deploy green v2 after v1; always green v2 after v1"
    );
    assert_eq!(
        moments(&shop.cutover("switch-traffic --to=green")),
        "before-switch green v2 after v1; after-switch green v2 after v1; always green v2 after v1"
    );
    // Nothing is moved, so nothing is before or after that.
    assert_eq!(
        moments(&shop.cutover("switch-traffic --to=green")),
        "always green v2 after "
    );
    // The release is the one that is left, and the previous one has the traffic again.
    assert_eq!(
        moments(&shop.cutover("rollback")),
        "on-rollback green v2 after v1; always green v2 after v1"
    );
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_dry_run_lists_them_and_runs_none() {
    let expand = hook(
        "./migrate.sh",
        ", name: migrate, migration: expand, timeout: 2m",
    );
    let contract = hook("./contract.sh", ", migration: contract");
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ before-deploy: [{expand}], after-switch: [{contract}], always: [{}] }}",
            hook(NOTE, ", name: note")
        ),
    );
    let ran = shop.cutover("rollout --version=v2 --dry-run");
    assert_eq!((ran.code, notes(&shop)), (0, Vec::new()), "{}", ran.log);
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
      way back   blue serves v1, restore prepared   [time]
      notice     hook before-deploy migrate: ./migrate.sh would be run (2 m at most, required, expand)
      notice     hook after-switch ./contract.sh would be run (10 m at most, contract, when the release is final)
      notice     hook always note: sh note.sh would be run (10 m at most)
      planned    v2 would go into green by ./deploy.sh; then 1 smoke check; then traffic from 100 % on blue to 100 % on green
    ");
}

#[test]
fn a_required_one_before_the_deployment_stops_the_run() {
    let bad = hook(
        "echo no such table; exit 3",
        ", name: migrate, migration: expand",
    );
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ before-deploy: [{bad}], on-rollback: [{0}], always: [{0}] }}",
            hook(NOTE, "")
        ),
    );
    let ran = rollout(&shop);
    assert_eq!((ran.code, ran.output("reason-code")), (10, "hook-failed"));
    assert_eq!(shop.answers(), "blue v1");
    assert_eq!(
        notes(&shop),
        ["always green v2 after v1, v1 v0 failed hook-failed"],
        "nothing was deployed, and nothing went back"
    );
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | no such table
      hook       echo no such table; exit 3 ended with 3 after [time], wanted 0; it said: no such table   [time]
      hook       always      sh note.sh ended with 0   [time]
    failed: the hook before-deploy migrate failed
      measured   echo no such table; exit 3 ended with 3 after [time], wanted 0; it said: no such table
      wanted     its success, for it is required
      traffic    100 % on blue, says the router
      next       see what migrate has done to the data, for nothing of that was taken back; then run again
    ");
}

#[test]
fn a_required_one_after_the_switch_takes_traffic_back() {
    for way in [Way::Flags, Way::Map] {
        let bad = hook(
            "test \"$(cat green/release)\" = v3",
            ", name: look, required: true",
        );
        let shop = shop(
            way,
            &format!(
                "hooks: {{ after-switch: [{bad}], on-rollback: [{0}], always: [{0}] }}",
                hook(NOTE, "")
            ),
        );
        let ran = rollout(&shop);
        assert_eq!(
            (ran.code, ran.output("decision")),
            (20, "rolled-back"),
            "{}",
            ran.log
        );
        assert_eq!(shop.answers(), "blue v1");
        assert_eq!(
            notes(&shop),
            [
                "on-rollback green v2 after v1, v1 v2 rolled-back hook-failed",
                "always green v2 after v1, v1 v2 rolled-back hook-failed",
            ]
        );
    }
}

#[test]
fn one_that_is_not_required_is_a_warning() {
    // More than a message has room for; what it is about comes last.
    let bad = hook(
        "seq -f line_%g_that_comes_before_what_it_is_all_about 19; echo out of luck; exit 3",
        ", name: purge",
    );
    let not = hook("exit 4", ", required: false");
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ before-switch: [{not}], after-switch: [{bad}], always: [{bad}] }}"),
    );
    let ran = rollout(&shop);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (0, "promoted"),
        "{}",
        ran.log
    );
    for said in [
        "hook before-switch exit 4 failed, and is not required: exit 4 ended with 4",
        "hook after-switch purge failed, and is not required: ",
        "wanted 0; it said: … / line_",
        " / line_19_that_comes_before_what_it_is_all_about / out of luck",
        "hook always purge: failed: ",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
}

#[test]
fn a_contract_waits_until_the_release_is_final() {
    // Where it fails, nobody goes back, although the release was good.
    let contract = hook(
        &format!("{NOTE}; exit 3"),
        ", migration: contract, required: true",
    );
    let bad = hook("exit 4", ", required: true, name: look");
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ after-switch: [{contract}, {bad}] }}"),
    );
    let ran = rollout(&shop);
    assert_eq!((ran.code, notes(&shop)), (20, Vec::new()), "{}", ran.log);
    assert_eq!(shop.answers(), "blue v1", "until then there is a way back");

    shop.configure("exit 4", "exit 0");
    let ran = rollout(&shop);
    assert_eq!(
        (ran.code, ran.output("reason-code")),
        (30, "hook-failed"),
        "{}",
        ran.log
    );
    assert_eq!(shop.answers(), "green v2");
    assert_eq!(notes(&shop), ["after-switch green v2 after v1, v1 v2"]);
    assert!(
        ran.log
            .contains("a further rollout of it passes over its hooks"),
        "{}",
        ran.log
    );
}

#[test]
fn a_contract_before_the_deployment_has_no_way_back() {
    let contract = hook("true", ", name: drop, migration: contract");
    let bad = hook("exit 4", ", required: true");
    let shop = shop(
        Way::Flags,
        &format!("hooks: {{ before-deploy: [{contract}], after-switch: [{bad}] }}"),
    );
    let ran = rollout(&shop);
    assert_eq!(
        (ran.code, ran.output("decision")),
        (30, "held"),
        "{}",
        ran.log
    );
    assert_eq!(shop.answers(), "green v2");
    for said in [
        "there is no automatic way back",
        "while its data are contracted",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
    shop.cutover("rollback");
    let canary = shop.cutover("rollout --version=v3 --strategy=canary");
    assert_eq!(
        (canary.code, canary.output("reason-code")),
        (64, "bad-input")
    );

    // A release that has none.
    shop.configure("exit 4", "exit 0");
    let ran = shop.cutover("rollout --version=v4 --migration=expand");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let said = "hook before-deploy drop is left out";
    assert!(ran.log.contains(said), "{}", ran.log);
    assert!(!ran.log.contains("no automatic way back"), "{}", ran.log);
}

#[test]
fn a_ladder_is_one_switch_to_them() {
    let shop = shop(Way::Map, &format!("hooks: {{ {} }}", every_moment()));
    shop.configure(
        "strategy: { kind: blue-green, wait: 5s, watch: 0s }",
        "strategy: { kind: canary, steps: [20%, 60%, 100%], watch: 100ms, every: 100ms, warm-up: 0s, source: none, wait: 5s }",
    );
    let ran = rollout(&shop);
    assert_eq!(ran.code, 0, "{}", ran.log);
    let all: Vec<_> = notes(&shop);
    let all: Vec<_> = all.iter().map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(
        all,
        [
            "before-deploy",
            "after-deploy",
            "before-switch",
            "after-switch",
            "always"
        ]
    );
    let rows: Vec<_> = ran
        .log
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let at = |label: &str| rows.iter().position(|row| *row == label).unwrap();
    let hooks: Vec<_> = rows
        .iter()
        .enumerate()
        .filter(|(_, row)| **row == "hook")
        .collect();
    assert!(hooks[2].0 < at("switch"), "{}", ran.log);
    let last = rows
        .iter()
        .rposition(|row| *row == "watch" || *row == "step")
        .unwrap_or_default();
    assert!(last < hooks[3].0, "{}", ran.log);
}

#[test]
fn a_rehearsal_leaves_them_out() {
    let shop = shop(
        Way::Flags,
        &format!(
            "hooks: {{ {} }}\n    drain: {{ deadline: 10m }}",
            every_moment()
        ),
    );
    let ran = shop.cutover("rehearse");
    assert_eq!((ran.code, notes(&shop)), (0, Vec::new()), "{}", ran.log);
    for said in ["the hooks", "the drain"] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let shop = shop(
        Way::Flags,
        "hooks: { always: [{ kind: command, run: x, required: true }], after-switch: [{ kind: command, run: y, migration: expand }], before-deploy: [{ kind: command, run: ' ' }] }",
    );
    shop.configure(
        "    smoke:",
        "    drain: { after: stop, delay: 1h }\n    smoke:",
    );
    let ran = shop.cutover("check");
    assert_eq!(ran.code, 64);
    for said in [
        "environments.production.hooks.always[0].required: the verdict is there by then",
        "environments.production.hooks.after-switch[0].migration: an expand is what",
        "environments.production.hooks.before-deploy[0]: run: there is no command",
        "environments.production.drain.after: needs `retire`",
        "environments.production.drain.delay: 15 m at most",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
    assert!(ran.log.contains("line 12 "), "{}", ran.log);
}
