//! Rollouts that end well, that are taken back, and that are broken off.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::world::children::{exit_code, lines};
use crate::world::shop::{Ran, Shop, Way};

#[test]
fn a_good_release_is_promoted_on_nginx() {
    let shop = Shop::open(Way::Flags);
    shop.configure("watch: 0s }", "watch: 1s }\n    prober: { rate: 100 }");
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
      watch      1 s   errors 0 % (limit 5 %)   p95 [time]   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
    for (name, value) in [
        ("decision", "promoted"),
        ("environment", "production"),
        ("slot", "green"),
        ("active-slot", "green"),
        ("previous-slot", "blue"),
        ("weight", "100"),
        ("version", "v2"),
        ("served-version", "v2"),
        ("requests-failed", "0"),
        ("rolled-back", "false"),
    ] {
        assert_eq!(ran.output(name), value, "{name}");
    }
}

#[test]
fn a_good_release_is_promoted_on_haproxy() {
    let shop = Shop::open(Way::Map);
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    the map says `green_weight 100`, and so does the file   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
}

/// The price of a reload is said where everybody reads it.
#[test]
fn a_good_release_is_promoted_by_a_reload() {
    let shop = Shop::open(Way::Include);
    let summary = shop.path("summary.md");
    let mut run = shop.command("rollout --version=v2");
    let ran = Ran::of(run.env("GITHUB_STEP_SUMMARY", &summary).spawn().unwrap());
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains("keepalive_min_timeout"), "{summary}");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | green has v2
      deploy     green <- v2      ./deploy.sh ended with 0   [time]
      serves     green says v2   [time]
      smoke      1 of 1 on green   [time]
      way back   blue serves v1, restore prepared   [time]
      switch     green 0 % -> 100 %    5 of 5 new connections answered generation [generation]   [time]
      proved     5 of 5 answers say v2, none v1   [time]
      promoted   0 of [n] requests failed, slowest [time]
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
}

/// Users come through a cache: the router did as it was told, and users do not get the release.
#[test]
fn a_release_that_users_do_not_get_is_taken_back() {
    let shop = Shop::open(Way::Flags);
    shop.put_a_cache_in_front();
    shop.configure("within: 2s", "within: 1s");
    let before = shop.state();
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
      proved     v1 on 5 of the last 5 new connections to http://shop/release   [time]
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
    rolled back: the public URL did not answer with the intended release
      measured   v1 on 5 of the last 5 new connections to http://shop/release
      wanted     v2 in the text of /release, 5 in a row, within 1 s
      traffic    100 % on blue, says the router
      next       does the public URL go through this router, and does something cache that path? set `release.path` to one that is not cached
    ");
    assert_eq!(ran.code, 20);
    assert_eq!(ran.output("decision"), "rolled-back");
    assert_eq!(ran.output("active-slot"), "blue");
    assert_eq!(ran.output("served-version"), "v1");
    assert_eq!(ran.output("rolled-back"), "true");
    assert_eq!(shop.state()["/shop/flags/w0"], before["/shop/flags/w0"]);
    assert_eq!(shop.answers(), "blue v1");
}

#[test]
fn a_script_that_fails_leaves_traffic_alone() {
    let shop = Shop::open(Way::Flags);
    shop.configure("./deploy.sh", "\"echo no space left on device; exit 3\"");
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
    | no space left on device
      deploy     echo no space left on device; exit 3 ended with 3 after [time], wanted 0; it said: no space left on device   [time]
    failed: the deployment failed
      measured   echo no space left on device; exit 3 ended with 3 after [time], wanted 0; it said: no space left on device
      traffic    100 % on blue, says the router
      next       the slot receives no traffic: correct the deployment, then run again
    ");
    assert_eq!(ran.code, 10);
    assert_eq!(shop.state(), before);
}

#[test]
fn a_slot_that_still_serves_the_old_release_gets_no_traffic() {
    let shop = Shop::open(Way::Map);
    shop.configure("./deploy.sh", "\"true\"");
    shop.configure("wait: 5s", "wait: 200ms");
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on blue   [time]
      deploy     green <- v2      true ended with 0   [time]
      serves     green: v0   [time]
    failed: green serves another release than the one deployed
      measured   green: v0
      wanted     v2 in the text of /release, within 200 ms
      traffic    100 % on blue, says the router
      next       look at the log of green; did the deployment put this version there and start it?
    ");
    assert_eq!(ran.code, 10);
    assert_eq!(shop.state(), before);
}

#[test]
fn the_same_release_again_is_skipped() {
    let shop = Shop::open(Way::Flags);
    assert_eq!(shop.cutover("rollout --version=v2").code, 0);
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @r"
    cutover · rollout · production · storefront v2 · blue-green
      traffic    100 % on green   [time]
      skipped    v2 is live on green already; nothing was changed
    ");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.output("decision"), "skipped");
    assert_eq!(shop.state(), before);
}

#[test]
fn a_run_that_is_cancelled_under_watch_puts_traffic_back() {
    for way in [Way::Flags, Way::Map, Way::CaddyHandler] {
        let shop = Shop::open(way);
        shop.configure("watch: 0s", "watch: 60s");
        let mut run = shop.command("rollout --version=v2").spawn().unwrap();
        let mut printed = lines(run.stdout.take());
        let mut log: Vec<String> = Vec::new();
        while !log.last().is_some_and(|line| line.starts_with("  proved")) {
            log.push(printed.next().unwrap());
        }
        assert_eq!(shop.answers(), "green v2");
        kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
        let began = Instant::now();
        log.extend(printed);
        let code = exit_code(&mut run);
        let took = began.elapsed();
        let ran = Ran::read(code, &log.join("\n"));
        let log = shop.told(&ran.log);
        let (_, end) = log.split_once("  proved").unwrap();
        insta::allow_duplicates! {
            assert_snapshot!(end, @r"
         5 of 5 answers say v2, none v1   [time]
      warning    SIGTERM: the run is cancelled; traffic goes to a known good slot first
      watch      the run was cancelled   [time]
      back       green 100 % -> 0 %    proved on blue (v1)   [time]
    rolled back: the run was cancelled
      traffic    100 % on blue, says the router
      next       run it again when it suits; it begins anew
    ");
        }
        assert_eq!(ran.code, 130);
        assert!(
            took < Duration::from_secs(7),
            "the runner's patience: {took:?}"
        );
        assert_eq!(shop.answers(), "blue v1");
    }
}
