//! Traffic moved by itself, back, and piece by piece with the user's own steps in between.

use insta::assert_snapshot;

use crate::world::shop::{Ran, Shop, Way};

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
    assert_snapshot!(shop.told(&all), @r"
    cutover · deploy-slot · production · storefront v2
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      passed     green serves v2; traffic was not touched

    cutover · smoke-test · production · storefront
      smoke      1 of 1 on green   [time]
      passed     1 smoke check passed on green

    cutover · switch-traffic · production · storefront v2
      traffic    100 % on blue   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   100 % on green; 0 of [n] requests failed, slowest [time]
    ");
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
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollback · production · storefront
      traffic    100 % on green   [time]
      switch     blue 0 % -> 100 %    /shop/flags holds w0   [time]
      proved     5 of 5 answers say v1, none v2   [time]
      promoted   100 % on blue; 0 of [n] requests failed, slowest [time]
    ");
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
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollback · production · storefront
      traffic    100 % on green   [time]
      switch     blue 0 % -> 100 %    the map says `green_weight 0`, and so does the file   [time]
      proved     5 of 5 answers say v1, none v2   [time]
      promoted   100 % on blue; 0 of [n] requests failed, slowest [time]
    ");
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
    assert_snapshot!(shop.told(&all.join("\n\n")), @r"
    cutover · deploy-slot · production · storefront v2
      traffic    100 % on blue   [time]
      planned    v2 would go into green by ./deploy.sh

    cutover · switch-traffic · production · storefront
      traffic    100 % on blue   [time]
      way back   blue serves v1, restore prepared   [time]
      planned    traffic would go from 100 % on blue to 100 % on green

    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
      way back   blue serves v1, restore prepared   [time]
      planned    v2 would go into green by ./deploy.sh; then 1 smoke check; then traffic from 100 % on blue to 100 % on green

    cutover · rollback · production · storefront
      traffic    100 % on blue   [time]
      planned    traffic would go back from 100 % on blue to 100 % on green
    ");
    assert_eq!(shop.state(), before);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_smoke_test_that_fails_says_that_the_slot_is_not_healthy() {
    let shop = Shop::open(Way::Flags);
    shop.configure("status: 200", "status: 418");
    let ran = shop.cutover("smoke-test --slot=green");
    assert_eq!(
        (ran.code, ran.output("healthy")),
        (10, "false"),
        "{}",
        ran.log
    );
    assert_eq!(ran.output("reason-code"), "smoke-failed");
}

/// The first day: what is live works, and does not say its version yet.
#[test]
fn who_answers_and_names_no_release_is_gone_back_to_unproved() {
    let shop = Shop::open(Way::Flags);
    std::fs::remove_file(shop.path("blue/release")).unwrap();
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    for said in [
        "way back   unproved: blue answers and does not say its release",
        "traffic can go back there, and nobody can prove that it did",
    ] {
        assert!(ran.log.contains(said), "{said} in {}", ran.log);
    }
}

#[test]
fn a_ledger_that_cannot_be_read_is_told_and_in_nobodys_way() {
    let shop = Shop::open(Way::Flags);
    let temp = shop.path("temp");
    std::fs::create_dir(&temp).unwrap();
    std::fs::write(temp.join("cutover-ledger-local-0---production"), "{").unwrap();
    let mut finish = shop.command("finish");
    let ran = Ran::of(finish.env("RUNNER_TEMP", &temp).spawn().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.log);
    let said = "so what its run has left open is not known; see where traffic is";
    assert!(ran.log.contains(said), "{}", ran.log);
}
