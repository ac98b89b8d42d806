//! What a run that was killed has left in a slot, and an engine that takes its time when a run is
//! cancelled: what was seen to be well is put back, and nothing else is waited for.

use std::path::Path;

use cutover::targets::{Desk, Target, TargetError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::docker::{WELL, World, has, looked_at};
use super::docker_mends::Relay;
use super::targets::order;
use crate::world::patience::until_blocking;
use crate::world::registry::{PASSWORD, Registry, USER, import};

fn with(releases: &[&str]) -> World {
    let world = World::start();
    for release in releases {
        import(&world.dockerd, "shop", release, 0);
    }
    world
}

/// Deploys until the new one is started, and goes no further, as one whose process is gone.
fn killed(world: &World, target: &dyn Target, version: &str) {
    let order = order(version);
    let desk = Desk {
        say: &|_| {},
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    world.runtime.block_on(async {
        let mut deploying = target.deploy(&order, &desk);
        let begun = |seen: &[String]| {
            let aside = |name: &String| name.starts_with("shop-blue.old-");
            seen.iter().any(aside) && has(seen, "shop-blue running")
        };
        while !begun(&world.dockerd.containers()) {
            let turn = std::time::Duration::from_millis(1);
            let turn = tokio::time::timeout(turn, &mut deploying).await;
            assert!(turn.is_err(), "{turn:?}");
        }
    });
}

/// One that nobody ever sees well.
fn never(world: &World, wait: &str) -> Box<dyn Target> {
    let health = json!({ "command": "sleep 60", "interval": "200ms", "timeout": "1m" });
    world.target(json!({ "health": health, "wait": wait }))
}

#[test]
fn what_was_never_seen_well_is_not_what_is_put_back() {
    let world = with(&["v1", "v2", "v3"]);
    let target = world.target(json!({ "restart": "always" }));
    world.good(&*target, &order("v1"));
    let id = world.id("shop-blue");
    killed(&world, &*never(&world, "1m"), "v2");
    let bad = world.target(json!({ "env": { "MODE": "exit" }, "restart": "no" }));
    // Twice: what was put back is the one before from then on.
    for _ in 0..2 {
        let said = world.bad(&*bad, &order("v3")).to_string();
        assert!(
            said.ends_with("; the container before runs again"),
            "{said}"
        );
        assert_eq!(
            (world.id("shop-blue"), world.served()),
            (id.clone(), "v1".to_owned())
        );
        let seen = world.dockerd.container("shop-blue");
        assert_eq!(seen["HostConfig"]["RestartPolicy"]["Name"], "always");
        let names = world.dockerd.containers();
        assert_eq!(names, ["shop-blue running", "shop-blue.failed exited"]);
    }
    // A good one takes the place of both, and the one before stands aside.
    killed(&world, &*never(&world, "1m"), "v2");
    world.good(&*target, &order("v3"));
    let names = world.dockerd.containers();
    let aside = format!("shop-blue.old-{} exited", &id[..12]);
    assert_eq!(names, ["shop-blue running", aside.as_str()]);
    assert_eq!(world.served(), "v3");
}

#[test]
fn the_same_again_is_put_back_where_it_does_not_get_well() {
    let world = with(&["v1", "v2", "v3"]);
    world.good(&*world.target(json!({})), &order("v1"));
    let id = world.id("shop-blue");
    killed(&world, &*never(&world, "2s"), "v2");
    let failed = world.bad(&*never(&world, "2s"), &order("v2"));
    assert!(matches!(failed, TargetError::TimedOut { .. }), "{failed:?}");
    let said = failed.to_string();
    assert!(
        said.ends_with("; the container before runs again"),
        "{said}"
    );
    assert_eq!(
        (world.id("shop-blue"), world.served()),
        (id, "v1".to_owned())
    );

    // Where it does, it is what is put back from then on.
    let well = world.target(json!({ "health": looked_at(WELL) }));
    killed(&world, &*well, "v2");
    let second = world.id("shop-blue");
    let (said, _) = world.good(&*well, &order("v2"));
    assert!(said.ends_with("nothing was changed"), "{said}");
    let bad = world.target(json!({ "env": { "MODE": "exit" }, "restart": "no" }));
    world.bad(&*bad, &order("v3"));
    assert_eq!(
        (world.id("shop-blue"), world.served()),
        (second, "v2".to_owned())
    );
}

fn pulled(registry: &Registry, socket: &Path, more: Value) -> Value {
    let mut options = json!({
        "image": registry.name(), "pull": "always", "engine": format!("unix://{}", socket.display()),
        "registry": { "user": USER, "password": PASSWORD },
    });
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options
}

#[test]
fn a_cancelled_one_starts_the_one_before_before_it_tidies_up() {
    let world = World::start();
    let registry = Registry::start();
    for release in ["v1", "v2", "v3"] {
        registry.push(&world.dockerd, release, 1000);
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("relay.sock");
    let relay = Relay::start(&socket, world.dockerd.socket());
    let target = |more: Value| world.target(pulled(&registry, &socket, more));
    world.good(&*target(json!({})), &order("v1"));
    world.bad(
        &*target(json!({ "env": { "MODE": "exit" }, "restart": "no" })),
        &order("v2"),
    );
    // The engine takes its time over the image of the one that failed.
    relay.holds("/images/sha256:");
    let never = target(json!({ "health": looked_at("sleep 60") }));
    let mut seen = Vec::new();
    let (ended, lines) = world.cancelled_by(&*never, &order("v3"), |cancelled| {
        let aside = |name: &String| name.starts_with("shop-blue.old-");
        world.until(|seen| seen.iter().any(aside) && has(seen, "shop-blue running"));
        cancelled.cancel();
        until_blocking("the image is to be removed", || relay.is_holding());
        seen = world.dockerd.containers();
        relay.lets_go();
    });
    assert_eq!(ended, Err(TargetError::Cancelled), "{lines:?}");
    assert!(has(&seen, "shop-blue running"), "{seen:?}");
    assert_eq!(world.served(), "v1");
    let failed = "removed the container shop-blue.failed";
    assert!(has(&lines, failed), "{lines:?}");
    let tagged = |version: &str| format!("{}:{version}", registry.name());
    assert_eq!(world.dockerd.images(), [tagged("v1"), tagged("v3")]);
}

#[test]
fn an_image_that_was_pulled_for_nothing_is_not_kept() {
    let world = World::start();
    let registry = Registry::start();
    for release in ["v1", "v2"] {
        registry.push(&world.dockerd, release, 1000);
    }
    let socket = world.dockerd.socket();
    let target = |more: Value| world.target(pulled(&registry, &socket, more));
    let count = || {
        let images = world.dockerd.ask("GET", "/images/json?all=1", "");
        images.as_array().unwrap().len()
    };
    let none = count();
    let nowhere = json!({ "mounts": ["/no/such/folder:/x"] });
    let refused = world
        .bad(&*target(nowhere.clone()), &order("v1"))
        .to_string();
    assert!(
        refused.contains("bind source path does not exist"),
        "{refused}"
    );
    assert_eq!(count(), none, "{:?}", world.dockerd.images());

    // What was there before stays, and so does what is in use.
    world.good(&*target(json!({})), &order("v1"));
    let one = count();
    world.bad(&*target(nowhere), &order("v1"));
    assert_eq!(count(), one);
    assert_eq!(world.served(), "v1");
}
