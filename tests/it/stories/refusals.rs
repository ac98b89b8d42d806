//! What is refused, before anything is touched; each with a way on.

use insta::assert_snapshot;

use crate::world::shop::{Shop, Way};

#[test]
fn the_slot_that_users_are_on_is_not_deployed_to() {
    let shop = Shop::open(Way::Flags);
    let before = shop.state();
    let ran = shop.cutover("deploy-slot --slot=blue --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · deploy-slot · production · storefront v2
      traffic    100 % on blue   [time]
      deploy     100 % of traffic on blue   [time]
    failed: blue receives traffic, so nothing is deployed to it
      measured   100 % of traffic on blue
      wanted     none
      traffic    100 % on blue, says the router
      next       deploy to green, or move all traffic there first: `cutover switch-traffic --to green`
    ");
    assert_eq!(ran.code, 10);
    assert_eq!(ran.output("reason-code"), "slot-is-active");
    assert_eq!(shop.state(), before);
}

#[test]
fn nobody_switches_what_they_did_not_expect() {
    let shop = Shop::open(Way::Map);
    let before = shop.state();
    let ran = shop.cutover("switch-traffic --expect-active=green");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · switch-traffic · production · storefront
      traffic    blue is active   [time]
    failed: another slot is active than expected
      measured   blue is active
      wanted     green, as `expect-active` says
      traffic    100 % on blue, says the router
      next       see who switched; then run again with the slot that is active
    ");
    for mode in ["switch-traffic", "rollback", "rollout --version=v2"] {
        let ran = shop.cutover(&format!("{mode} --expect-active=green"));
        assert_eq!(ran.code, 10, "{}", ran.log);
        assert_eq!(ran.output("reason-code"), "not-as-expected");
    }
    assert_eq!(shop.state(), before);
}

#[test]
fn traffic_is_not_sent_to_another_release_than_the_one_named() {
    let shop = Shop::open(Way::Flags);
    let before = shop.state();
    let ran = shop.cutover("switch-traffic --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · switch-traffic · production · storefront v2
      traffic    100 % on blue   [time]
    failed: green serves another release than the one to switch to
      measured   green says v0
      wanted     v2
      traffic    100 % on blue, says the router
      next       deploy it first: `cutover deploy-slot --slot green --version v2`
    ");
    assert_eq!(ran.code, 10);
    assert_eq!(shop.state(), before);
}
