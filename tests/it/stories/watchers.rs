//! Rollouts on the proxies that watch a file: Traefik and Envoy.

use insta::assert_snapshot;
use regex_lite::Regex;

use crate::stories::load::nothing_is_lost;
use crate::world::load::Manner;
use crate::world::shop::{Shop, Way};

/// A check that the new release fails once users have it.
const BAD: &str = "    health:
      checks:
        - { kind: http, path: /release, expect: { text: v1 }, retries: 0, interval: 50ms, fall: 2 }
    smoke:
";

/// How a bad release ends.
fn bad(way: Way) -> String {
    let shop = Shop::open(way);
    shop.configure("    smoke:\n", BAD);
    shop.configure("watch: 0s", "watch: 20s");
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_eq!(ran.code, 20, "{}", ran.log);
    assert_eq!(ran.output("decision"), "rolled-back");
    assert_eq!(ran.output("active-slot"), "blue");
    assert_eq!(ran.output("served-version"), "v1");
    assert_eq!(ran.output("requests-failed"), "0");
    let mut after = shop.state();
    // What the release put into its slot stays there.
    after.insert("/shop/green/release".to_owned(), "v0\n".to_owned());
    assert_eq!(after, before);
    assert_eq!(shop.answers(), "blue v1");
    let told = shop.told(&ran.log);
    let (_, end) = told.split_once("  proved").unwrap();
    Regex::new(r"200 in \d[\d.]* m?s")
        .unwrap()
        .replace_all(end.trim_start(), "200 in [time]")
        .into_owned()
}

#[test]
fn a_good_release_is_promoted_on_traefik() {
    let shop = Shop::open(Way::Traefik);
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    Traefik has blue 0, green 100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
    let back = shop.cutover("rollback");
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_bad_release_is_taken_back_on_traefik() {
    assert_snapshot!(bad(Way::Traefik), @r#"
    5 of 5 answers say v2, none v1   [time]
      watch      200 in [time], body "v2" (2 times in a row)   [time]
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
    rolled back: GET /release failed under traffic
      measured   200 in [time], body "v2" (2 times in a row)
      wanted     "v1" in the body
      traffic    100 % on blue, says the router
      next       the release is in the idle slot again; look at its log there
    "#);
}

#[test]
fn a_good_release_is_promoted_on_envoy() {
    let shop = Shop::open(Way::Envoy);
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    Envoy has version [version]: blue 0, green 100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
    let back = shop.cutover("rollback");
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_bad_release_is_taken_back_on_envoy() {
    assert_snapshot!(bad(Way::Envoy), @r#"
    5 of 5 answers say v2, none v1   [time]
      watch      200 in [time], body "v2" (2 times in a row)   [time]
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
    rolled back: GET /release failed under traffic
      measured   200 in [time], body "v2" (2 times in a row)
      wanted     "v1" in the body
      traffic    100 % on blue, says the router
      next       the release is in the idle slot again; look at its log there
    "#);
}

/// Each step is proved by 200 answers to the public URL.
#[test]
fn traffic_goes_up_the_ladder_and_down_again() {
    for way in [Way::Traefik, Way::Envoy] {
        let shop = Shop::open(way);
        for weight in [10, 25, 50, 75, 100, 75, 50, 25, 10] {
            let ran = shop.cutover(&format!("switch-traffic --to=green --weight={weight}"));
            assert_eq!(ran.code, 0, "{}", ran.log);
            assert_eq!(ran.output("weight"), weight.to_string());
            assert_eq!(ran.output("requests-failed"), "0", "{}", ran.log);
        }
        let ran = shop.cutover("switch-traffic --to=blue");
        assert_eq!(ran.code, 0, "{}", ran.log);
        assert_eq!(shop.answers(), "blue v1");
    }
}

#[tokio::test]
async fn traefik_loses_nothing_for_who_keeps_the_connection() {
    nothing_is_lost(Way::Traefik, Manner::KeepAlive).await;
}

#[tokio::test]
async fn traefik_loses_nothing_that_is_posted() {
    nothing_is_lost(Way::Traefik, Manner::Post).await;
}

#[tokio::test]
async fn envoy_loses_nothing_for_who_keeps_the_connection() {
    nothing_is_lost(Way::Envoy, Manner::KeepAlive).await;
}

#[tokio::test]
async fn envoy_loses_nothing_that_is_posted() {
    nothing_is_lost(Way::Envoy, Manner::Post).await;
}
