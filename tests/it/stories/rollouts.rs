//! Rollouts that end well, that are taken back, and that are broken off.

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::world::shop::{Ran, Shop, Way};

#[test]
fn a_good_release_is_promoted_on_nginx() {
    let shop = Shop::open(Way::Flags);
    shop.configure("watch: 0s", "watch: 1s");
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
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
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
}

/// The price of a reload is said where everybody reads it.
#[test]
fn a_good_release_is_promoted_by_a_reload() {
    let shop = Shop::open(Way::Include);
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(shop.answers(), "green v2");
}

/// Users come through a cache: the router did as it was told, and users do not get the release.
#[test]
fn a_release_that_users_do_not_get_is_taken_back() {
    let shop = Shop::open(Way::Flags);
    shop.put_a_cache_in_front();
    shop.configure("within: 2s", "within: 300ms");
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
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
    assert_snapshot!(shop.told(&ran.log), @"");
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
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 10);
    assert_eq!(shop.state(), before);
}

#[test]
fn the_same_release_again_is_skipped() {
    let shop = Shop::open(Way::Flags);
    assert_eq!(shop.cutover("rollout --version=v2").code, 0);
    let before = shop.state();
    let ran = shop.cutover("rollout --version=v2");
    assert_snapshot!(shop.told(&ran.log), @"");
    assert_eq!(ran.code, 0);
    assert_eq!(ran.output("decision"), "skipped");
    assert_eq!(shop.state(), before);
}

#[test]
fn a_run_that_is_cancelled_under_watch_puts_traffic_back() {
    for way in [Way::Flags, Way::Map] {
        let shop = Shop::open(way);
        shop.configure("watch: 0s", "watch: 60s");
        let mut run = shop.command("rollout --version=v2").spawn().unwrap();
        let mut printed = BufReader::new(run.stdout.take().unwrap()).lines();
        let mut log: Vec<String> = Vec::new();
        while !log.last().is_some_and(|line| line.starts_with("  proved")) {
            log.push(printed.next().unwrap().unwrap());
        }
        assert_eq!(shop.answers(), "green v2");
        kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
        let began = Instant::now();
        log.extend(printed.map(Result::unwrap));
        let code = run.wait().unwrap().code();
        let took = began.elapsed();
        let ran = Ran::read(code, &log.join("\n"));
        let log = shop.told(&ran.log);
        let (_, end) = log.split_once("  proved").unwrap();
        insta::allow_duplicates! {
            assert_snapshot!(end, @"");
        }
        assert_eq!(ran.code, 130);
        assert!(
            took < Duration::from_secs(7),
            "the runner's patience: {took:?}"
        );
        assert_eq!(shop.answers(), "blue v1");
    }
}
