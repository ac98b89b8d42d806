//! The way in for testers is looked at before users are sent anywhere, and where it does not work
//! people are warned and the rollout goes on.

use crate::world::shop::{Ran, Shop, Way};

const LADDER: &str = "kind: canary, steps: [10%, 100%], every: 250ms, warm-up: 0s, wait: 5s, watch: 300ms, source: none";

/// A shop whose config has testers, and HAProxy has their lines or not.
fn shop(has_lines: bool) -> Shop {
    let shop = Shop::open(Way::Map);
    shop.configure("kind: blue-green, wait: 5s, watch: 0s", LADDER);
    let key = "\"key\":\"green_weight\"";
    shop.configure(key, &format!("{key},\"testers\":{{\"header\":\"X-Slot\"}}"));
    if has_lines {
        shop.take_lines_anew();
    }
    shop
}

fn run(shop: &Shop, arguments: &str) -> Ran {
    let mut command = shop.command(arguments);
    command.env("RUNNER_TEMP", shop.path(""));
    Ran::of(command.spawn().unwrap())
}

#[test]
fn testers_reach_the_release_before_any_user() {
    let shop = shop(true);
    let looked = run(&shop, "preflight");
    assert!(!looked.log.contains("testers"), "{}", looked.log);
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let told = shop.told(&ran.log);
    let proved = "  testers    the header X-Slot = green reaches v2, whatever the weight";
    let [before, after] = [proved, "green 0 % -> 10 %"].map(|said| {
        told.find(said)
            .unwrap_or_else(|| panic!("{said:?} is not in\n{told}"))
    });
    assert!(before < after, "{told}");
    assert_eq!(shop.answers(), "green v2");
}

#[test]
fn a_route_that_does_not_work_is_a_warning() {
    let shop = shop(false);
    let looked = run(&shop, "preflight");
    for said in [
        "skipped    testers: the route does not work",
        "the header X-Slot = green is answered by v1, not by v0",
    ] {
        assert!(
            looked.log.contains(said),
            "{said:?} is not in\n{}",
            looked.log
        );
    }
    let ran = run(&shop, "rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    for said in [
        "the route for testers does not work",
        "the header X-Slot = green is answered by v1, not by v2",
        "cutover router-config --environment production",
    ] {
        assert!(ran.log.contains(said), "{said:?} is not in\n{}", ran.log);
    }
    assert_eq!(shop.answers(), "green v2");
}
