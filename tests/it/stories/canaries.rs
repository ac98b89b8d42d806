//! Canaries, with real proxies in front of real slots: up the ladder, back in one jump, and where
//! they are left standing.

use insta::assert_snapshot;

use crate::world::shop::{Shop, Way};

/// Short steps: what is shown is the ladder, not the patience.
const LADDER: &str = "kind: canary, steps: [10%, 50%, 100%], watch: 300ms, every: 100ms, warm-up: 0s, wait: 5s";

fn shop(way: Way, more: &str) -> Shop {
    let shop = Shop::open(way);
    shop.configure(
        "kind: blue-green, wait: 5s, watch: 0s",
        &format!("{LADDER}{more}"),
    );
    shop
}

#[test]
fn a_good_release_climbs_the_ladder() {
    for way in [Way::Flags, Way::Map] {
        let shop = shop(way, ", source: none");
        let ran = shop.cutover("rollout --version=v2");
        println!("{}", ran.log);
        insta::allow_duplicates! {
            assert_snapshot!(shop.told(&ran.log), @"");
        }
        assert_eq!(ran.code, 0);
        assert_eq!(ran.output("decision"), "promoted");
        assert_eq!(ran.output("weight"), "100");
        assert_eq!(shop.answers(), "green v2");
    }
}
