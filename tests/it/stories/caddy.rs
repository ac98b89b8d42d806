//! Caddy before the slots: releases that are good, bad, cancelled and killed, by the flag file
//! and by the admin API.

use insta::assert_snapshot;

use crate::world::children::lines;
use crate::world::shop::{Ran, Shop, Way};

const BOTH: [Way; 2] = [Way::CaddyFlags, Way::CaddyHandler];

#[test]
fn a_good_release_is_promoted_by_a_flag_file() {
    let shop = Shop::open(Way::CaddyFlags);
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    /shop/flags holds w100   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
}

/// What a change costs is said where everybody reads it.
#[test]
fn a_good_release_is_promoted_by_the_admin_api() {
    let shop = Shop::open(Way::CaddyHandler);
    let summary = shop.path("summary.md");
    let mut run = shop.command("rollout --version=v2");
    let ran = Ran::of(run.env("GITHUB_STEP_SUMMARY", &summary).spawn().unwrap());
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains("Caddy restarts its HTTP app"), "{summary}");
    // How many requests failed after that is Caddy's doing.
    let log = shop.told(&ran.log);
    let (log, _) = log.split_once("  promoted").unwrap();
    assert_snapshot!(log, @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    live has green.shop only   [time]
      proved     5 of 5 answers say v2, none v1   [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
    let back = shop.cutover("rollback");
    assert_eq!(back.code, 0, "{}", back.log);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_bad_release_is_taken_back() {
    for way in BOTH {
        let shop = Shop::open(way);
        // With this release something fails that nobody asks before there are users.
        shop.configure("./deploy.sh", "\"./deploy.sh && touch broken\"");
        shop.configure(
            "    strategy:",
            "    health: { checks: [{ kind: command, run: test ! -e broken, fall: 2, interval: 50ms }] }\n    strategy:",
        );
        shop.configure("watch: 0s", "watch: 30s");
        let ran = shop.cutover("rollout --version=v2");
        let log = shop.told(&ran.log);
        let (_, end) = log.split_once("  proved").unwrap();
        insta::allow_duplicates! {
            assert_snapshot!(end, @r"
         5 of 5 answers say v2, none v1   [time]
      watch      it ended with 1 after [time] (2 times in a row)   [time]
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
    rolled back: test ! -e broken failed under traffic
      measured   it ended with 1 after [time] (2 times in a row)
      wanted     test ! -e broken to end with 0 within 30 s
      traffic    100 % on blue, says the router
      next       the release is in the idle slot again; look at its log there
    ");
        }
        assert_eq!(ran.code, 20);
        assert_eq!(ran.output("decision"), "rolled-back");
        assert_eq!(shop.answers(), "blue v1");
    }
}

/// Up a ladder and down again; each share is read back from two hundred answers to users.
#[test]
fn a_ladder_and_the_way_back() {
    for way in BOTH {
        let shop = Shop::open(way);
        for weight in [10, 25, 50, 75, 100, 75, 50, 25, 10] {
            let ran = shop.cutover(&format!("switch-traffic --to=green --weight={weight}"));
            assert_eq!(ran.code, 0, "{}", ran.log);
            assert_eq!(ran.output("weight"), weight.to_string());
            let proved = match weight {
                100 => "5 of 5 answers say v0".to_owned(),
                _ => format!("of 200 answers say v0, for a weight of {weight} %"),
            };
            assert!(ran.log.contains(&proved), "{}", ran.log);
        }
        let back = shop.cutover("switch-traffic --to=blue");
        assert_eq!(back.code, 0, "{}", back.log);
        assert_eq!(shop.answers(), "blue v1");
    }
}

/// Nothing of a run is left but what it wrote down.
#[test]
fn a_run_that_is_killed_under_watch_is_finished_with_traffic_back() {
    for way in BOTH {
        let shop = Shop::open(way);
        shop.configure("watch: 0s", "watch: 60s");
        let temp = shop.path("temp");
        std::fs::create_dir(&temp).unwrap();
        let mut run = shop.command("rollout --version=v2");
        let mut run = run.env("RUNNER_TEMP", &temp).spawn().unwrap();
        let mut printed = lines(run.stdout.take());
        while !printed.next().unwrap().starts_with("  proved") {}
        assert_eq!(shop.answers(), "green v2");
        run.kill().unwrap();
        run.wait().unwrap();
        let mut finish = shop.command("finish");
        let ran = Ran::of(finish.env("RUNNER_TEMP", &temp).spawn().unwrap());
        let log = shop.told(&ran.log);
        insta::allow_duplicates! {
            assert_snapshot!(log, @r"
    cutover · finish · production · storefront
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
      rolled-back rollout was cut off while it moved traffic: put back, 100 % on blue, says the router
    ");
        }
        assert_eq!(shop.answers(), "blue v1");
    }
}
