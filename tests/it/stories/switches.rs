//! Traffic moved by itself, back, and piece by piece with the user's own steps in between.

use insta::assert_snapshot;

use crate::world::shop::{Shop, Way};

#[test]
fn deploy_look_and_switch_one_after_the_other() {
    let shop = Shop::open(Way::Flags);
    let deployed = shop.cutover("deploy-slot --version=v2");
    assert_eq!(deployed.code, 0, "{}", deployed.log);
    let (slot, version) = (deployed.output("slot"), deployed.output("served-version"));
    assert_eq!((slot, version), ("green", "v2"));
    assert_eq!(shop.answers(), "blue v1", "deploy-slot moves no traffic");

    let smoked = shop.cutover(&format!("smoke-test --slot={slot}"));
    assert_eq!(smoked.code, 0, "{}", smoked.log);
    assert_eq!(smoked.output("healthy"), "true");

    let active = deployed.output("active-slot");
    let switched = shop.cutover(&format!(
        "switch-traffic --to={slot} --version={version} --expect-active={active}"
    ));
    assert_eq!(switched.code, 0, "{}", switched.log);
    assert_eq!(shop.answers(), "green v2");
    let all = [deployed.log, smoked.log, switched.log].join("\n\n");
    assert_snapshot!(shop.told(&all), @"");
}

#[test]
fn a_part_of_the_traffic_and_then_all_of_it() {
    for way in [Way::Flags, Way::Map] {
        let shop = Shop::open(way);
        let part = shop.cutover("switch-traffic --to=green --weight=25");
        assert_eq!(part.code, 0, "{}", part.log);
        assert_eq!(part.output("weight"), "25");
        assert_eq!(part.output("active-slot"), "blue");
        let all = shop.cutover("switch-traffic --to=green");
        assert_eq!(all.code, 0, "{}", all.log);
        assert_eq!(shop.answers(), "green v0");
    }
}

#[test]
fn back_on_nginx() {
    let shop = Shop::open(Way::Flags);
    assert_eq!(shop.cutover("rollout --version=v2").code, 0);
    let ran = shop.cutover("rollback");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.output("active-slot"), "blue");
    assert_eq!(ran.output("served-version"), "v1");
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn back_on_haproxy() {
    let shop = Shop::open(Way::Map);
    assert_eq!(shop.cutover("rollout --version=v2").code, 0);
    let ran = shop.cutover("rollback");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_dry_run_says_all_and_changes_nothing() {
    let shop = Shop::open(Way::Map);
    let before = shop.state();
    let mut all = Vec::new();
    for mode in [
        "deploy-slot --version=v2",
        "switch-traffic",
        "rollout --version=v2",
        "rollback",
    ] {
        let ran = shop.cutover(&format!("{mode} --dry-run"));
        assert_eq!(
            (ran.code, ran.output("decision")),
            (0, "planned"),
            "{}",
            ran.log
        );
        all.push(ran.log);
    }
    assert_snapshot!(shop.told(&all.join("\n\n")), @"");
    assert_eq!(shop.state(), before);
    assert_eq!(shop.answers(), "blue v1");
}
