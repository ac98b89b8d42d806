//! The way in for testers is looked at before users are sent anywhere, and where it does not work
//! people are warned and the rollout goes on.

use std::fs;

use serde_json::json;

use crate::world::haproxy::{Ground, HaProxy};
use crate::world::nginx::Nginx;
use crate::world::shop::{Ran, command, furnish, release_at, router_config, slots};

const LADDER: &str = "kind: canary, steps: [10%, 100%], every: 250ms, warm-up: 0s, wait: 5s, watch: 300ms, source: none";

/// A shop whose config has testers, and a HAProxy that has their lines or not.
struct Scene {
    slots: Nginx,
    haproxy: HaProxy,
}

impl Scene {
    fn set(has_lines: bool) -> Self {
        let (slots, ground) = (slots(), Ground::new());
        let map = ground.text_path("weight.map");
        fs::write(&map, "green_weight 0\n").unwrap();
        let mut router = json!({
            "kind": "haproxy", "address": format!("unix:{}", ground.text_path("admin.sock")),
            "map": map, "key": "green_weight", "testers": { "header": "X-Slot" },
        });
        furnish(&slots.site, &router, ground.front);
        let config = fs::read_to_string(slots.site.path("cutover.yml")).unwrap();
        if !has_lines {
            router.as_object_mut().unwrap().remove("testers");
            furnish(&slots.site, &router, ground.front);
        }
        let lines = router_config(&slots.site);
        let config = config.replace("kind: blue-green, wait: 5s, watch: 0s", LADDER);
        fs::write(slots.site.path("cutover.yml"), config).unwrap();
        let haproxy = ground.start(&lines);
        Self { slots, haproxy }
    }

    fn run(&self, arguments: &str) -> Ran {
        let mut command = command(&self.slots.site, arguments);
        command.env("RUNNER_TEMP", self.slots.site.directory());
        Ran::of(command.spawn().unwrap())
    }

    fn serves(&self) -> String {
        release_at(self.haproxy.ground.front)
    }
}

#[test]
fn testers_reach_the_release_before_any_user() {
    let scene = Scene::set(true);
    let looked = scene.run("preflight");
    assert!(!looked.log.contains("testers"), "{}", looked.log);
    let ran = scene.run("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    let proved = "  testers    the header X-Slot = green reaches v2, whatever the weight";
    let [before, after] = [proved, "green 0 % -> 10 %"].map(|said| {
        let found = ran.log.find(said);
        found.unwrap_or_else(|| panic!("{said:?} is not in\n{}", ran.log))
    });
    assert!(before < after, "{}", ran.log);
    assert_eq!(scene.serves(), "v2");
}

#[test]
fn a_route_that_does_not_work_is_a_warning() {
    let scene = Scene::set(false);
    let looked = scene.run("preflight");
    let ran = scene.run("rollout --version=v2");
    assert_eq!(ran.code, 0, "{}", ran.log);
    for (log, said) in [
        (&looked.log, "skipped    testers: the route does not work"),
        (
            &looked.log,
            "the header X-Slot = green is answered by v1, not by v0",
        ),
        (&ran.log, "the route for testers does not work"),
        (
            &ran.log,
            "the header X-Slot = green is answered by v1, not by v2",
        ),
        (&ran.log, "cutover router-config --environment production"),
    ] {
        assert!(log.contains(said), "{said:?} is not in\n{log}");
    }
    assert_eq!(scene.serves(), "v2");
}
