//! Containers that are refused or do not get well, and deployments that are cut off: what is said, what is
//! put back, and what the next run mends. On a real Docker engine, as in `docker`.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cutover::targets::{Desk, TargetError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::docker::{World, has, looked_at};
use super::targets::order;
use crate::world::dockerd::{Berth, Dockerd};
use crate::world::patience::PATIENCE;
use crate::world::ports;
use crate::world::registry::{PASSWORD, Registry, USER, import};

fn words(failed: &TargetError) -> &[String] {
    match failed {
        TargetError::Failed { last_words, .. } => last_words,
        TargetError::TimedOut { last_words, .. } => last_words,
        _ => &[],
    }
}

#[test]
fn one_that_does_not_get_well_is_quoted_and_the_one_before_is_put_back() {
    let world = World::start();
    for release in ["v1", "v2"] {
        import(&world.dockerd, "shop", release, 0);
    }
    let (said, _) = world.good(&*world.target(json!({ "restart": "always" })), &order("v1"));
    assert!(
        said.contains("no health check: it ran for 500 ms without a restart"),
        "{said}"
    );
    let id = world.id("shop-blue");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = listener.local_addr().unwrap().port();

    let cases = [
        (
            json!({ "env": { "MODE": "exit" }, "restart": "no" }),
            "shop-blue ended with 3 after ",
            "cannot read the config",
        ),
        (
            json!({ "env": { "MODE": "crash" }, "restart": "always" }),
            "shop-blue keeps crashing: it was started ",
            "out of luck",
        ),
        (
            json!({ "health": looked_at("echo no page; false") }),
            // The engine may look once more before it is asked.
            "shop-blue is unhealthy: N looks in a row failed",
            "health: ended with 1: no page",
        ),
        (
            json!({ "health": looked_at("sleep 60"), "wait": "1s" }),
            "shop-blue is starting after 1 s",
            "release v2, mode none",
        ),
        (
            json!({ "env": { "MODE": "eat" }, "limits": { "memory": "8MB" }, "restart": "no", "steady": "15s" }),
            // The engine does not always notice that it was for this.
            "it was killedN for its memory, the limit is 8 MB",
            "release v2, mode eat",
        ),
        (
            json!({ "ports": { "blue": format!("127.0.0.1:{busy}:8080") } }),
            "is taken by a program on the engine's machine that is in no container",
            "",
        ),
    ];
    for (more, wanted, word) in cases {
        println!("{more}");
        let failed = world.bad(&*world.target(more), &order("v2"));
        let said = failed.to_string();
        let (from, to) = wanted.split_once('N').unwrap_or((wanted, ""));
        assert!(said.contains(from) && said.contains(to), "{said}");
        let end = "; the container before runs again";
        assert!(said.ends_with(end), "{said}");
        assert!(
            word.is_empty() || words(&failed).iter().any(|line| line.contains(word)),
            "{failed:?}"
        );
        let seen = world.dockerd.container("shop-blue");
        assert_eq!(
            (&seen["Id"], &seen["State"]["Running"]),
            (&json!(id), &json!(true))
        );
        assert_eq!(seen["HostConfig"]["RestartPolicy"]["Name"], "always");
        let names = world.dockerd.containers();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            names[1].starts_with("shop-blue.failed ") && !names[1].ends_with("running"),
            "{names:?}"
        );
        let failed = world.dockerd.container("shop-blue.failed");
        assert_eq!(failed["HostConfig"]["RestartPolicy"]["Name"], "no");
    }
    assert_eq!(world.served(), "v1");
    // The next good one takes the failed one away.
    world.good(&*world.target(json!({})), &order("v2"));
    let names = world.dockerd.containers();
    assert!(
        names.len() == 2 && names[1].starts_with("shop-blue.old-"),
        "{names:?}"
    );
    assert_eq!(world.served(), "v2");
}

#[test]
fn the_first_one_leaves_an_empty_slot_when_it_fails() {
    let world = World::start();
    import(&world.dockerd, "shop", "v1", 0);
    let target = world.target(json!({ "env": { "MODE": "exit" }, "restart": "no" }));
    let said = world.bad(&*target, &order("v1")).to_string();
    assert!(
        said.ends_with("there was no container before, so none runs in the slot"),
        "{said}"
    );
    assert_eq!(world.dockerd.containers(), ["shop-blue.failed exited"]);
}

#[test]
fn a_cancelled_one_ends_what_it_began() {
    let world = World::start();
    let registry = Registry::start();
    registry.push(&world.dockerd, "v1", 0);
    registry.push(&world.dockerd, "v2", 8 << 20);
    let us = json!({ "user": USER, "password": PASSWORD });
    let options = json!({ "image": registry.name(), "pull": "always", "registry": us });
    world.good(&*world.target(options.clone()), &order("v1"));
    let (id, images) = (world.id("shop-blue"), world.dockerd.images());

    // In the middle of a layer, which then never comes.
    let target = world.target(options.clone());
    let (ended, lines) = world.cancelled_by(&*target, &order("v2"), |cancelled| {
        registry.freeze_in_a_layer();
        cancelled.cancel();
    });
    assert_eq!(ended, Err(TargetError::Cancelled), "{lines:?}");
    registry.thaw();
    assert_eq!(world.dockerd.images(), images);
    assert_eq!(
        (world.id("shop-blue"), world.dockerd.containers().len()),
        (id.clone(), 1)
    );

    // While it waits for the new one to get well.
    let mut waiting = options.clone();
    waiting["health"] = looked_at("sleep 60");
    let target = world.target(waiting);
    let (ended, lines) = world.cancelled_by(&*target, &order("v2"), |cancelled| {
        let aside = |name: &String| name.starts_with("shop-blue.old-");
        world.until(|seen| seen.iter().any(aside) && has(seen, "shop-blue running"));
        cancelled.cancel();
    });
    assert_eq!(ended, Err(TargetError::Cancelled), "{lines:?}");
    assert!(has(&lines, "the container before runs again"), "{lines:?}");
    assert_eq!(world.id("shop-blue"), id);
    assert_eq!(world.dockerd.containers()[0], "shop-blue running");
    assert_eq!(world.served(), "v1");
}

/// The process is gone in the middle: what it would have done next is not done.
#[test]
fn a_killed_one_is_mended_by_the_next() {
    let world = World::start();
    for release in ["v1", "v2"] {
        import(&world.dockerd, "shop", release, 0);
    }
    let dockerd = &world.dockerd;
    let did = |path: &str| dockerd.ask("POST", &format!("/containers/{path}"), "");
    // Made, and the old one stopped; stopped and renamed; both renamed; and started.
    let points: [&[&str]; 4] = [
        &["shop-blue/stop?t=0"],
        &[
            "shop-blue/stop?t=0",
            "shop-blue/rename?name=shop-blue.old-1",
        ],
        &[
            "shop-blue/stop?t=0",
            "shop-blue/rename?name=shop-blue.old-1",
            "shop-blue.next/rename?name=shop-blue",
        ],
        &[
            "shop-blue/stop?t=0",
            "shop-blue/rename?name=shop-blue.old-1",
            "shop-blue.next/rename?name=shop-blue",
            "shop-blue/start",
        ],
    ];
    for (nth, point) in points.iter().enumerate() {
        for name in dockerd.containers() {
            let name = name.split(' ').next().unwrap().to_owned();
            dockerd.ask("DELETE", &format!("/containers/{name}?force=1"), "");
        }
        world.good(&*world.target(json!({})), &order("v1"));
        let old = world.id("shop-blue");
        // A container that is never started is made by a deployment that a name keeps from going on.
        let next = {
            let target = world.target(json!({}));
            let order = order("v2");
            let cancelled = CancellationToken::new();
            let desk = Desk {
                say: &|_| {},
                went: &|_| {},
                cancelled: &cancelled,
                run: &cancelled,
            };
            world.runtime.block_on(async {
                let mut deploying = target.deploy(&order, &desk);
                let began = Instant::now();
                // Dropped as soon as the new one is there.
                while !has(&dockerd.containers(), "shop-blue.next created") {
                    let turn = tokio::time::timeout(Duration::from_millis(1), &mut deploying).await;
                    assert!(turn.is_err() && began.elapsed() < PATIENCE, "{turn:?}");
                }
            });
            world.id("shop-blue.next")
        };
        for step in *point {
            did(step);
        }
        let (said, lines) = world.good(&*world.target(json!({})), &order("v2"));
        assert_eq!(world.served(), "v2", "{nth}: {said} {lines:?}");
        let names = dockerd.containers();
        assert_eq!(names.len(), 2, "{nth}: {names:?}");
        assert!(
            has(&names, "shop-blue running") && names[1].ends_with(" exited"),
            "{names:?}"
        );
        let aside = names[1].split(' ').next().unwrap();
        assert_eq!(world.id(aside), old, "{nth}");
        // What was started was whole, and is left alone.
        assert_eq!(world.id("shop-blue") == next, nth == 3, "{nth}");

        // And one that fails after a kill puts back what ran before.
        if nth == 1 {
            did("shop-blue/stop?t=0");
            did("shop-blue/rename?name=shop-blue.old-2");
            let bad = world.target(json!({ "env": { "MODE": "exit" }, "restart": "no" }));
            let said = world.bad(&*bad, &order("v1")).to_string();
            assert!(said.ends_with("the container before runs again"), "{said}");
            assert_eq!(world.served(), "v2");
        }
    }
}

#[test]
fn an_engine_s_disk_that_is_too_small_is_seen_before_and_told_when_it_fills() {
    let small = Berth {
        network: true,
        disk: Some(24),
        ..Berth::default()
    };
    let world = World::on(Dockerd::with(&small));
    let (registry, builder) = (Registry::start(), Dockerd::serving());
    registry.push(&builder, "v1", 0);
    registry.push(&builder, "v2", 30 << 20);
    let us = json!({ "user": USER, "password": PASSWORD });
    let options = json!({ "image": registry.name(), "pull": "always", "registry": us });
    world.good(&*world.target(options.clone()), &order("v1"));
    let id = world.id("shop-blue");
    let mut wants = options.clone();
    wants["disk"] = json!("1GB");
    let refused = world.bad(&*world.target(wants), &order("v2"));
    assert!(matches!(refused, TargetError::OutOfReach(_)), "{refused:?}");
    let said = refused.to_string();
    assert!(
        said.contains(" MB are free in ") && said.contains("wanted 1 GB; nothing was stopped"),
        "{said}"
    );
    let full = world.bad(&*world.target(options), &order("v2")).to_string();
    assert!(
        full.contains("no space left on device; the engine's disk is full"),
        "{full}"
    );
    assert_eq!(
        (world.id("shop-blue"), world.served()),
        (id, "v1".to_owned())
    );
}

#[test]
fn what_can_be_refused_is_refused_before_anything_is_stopped() {
    let world = World::start();
    let registry = Registry::start();
    let digest = registry.push(&world.dockerd, "v1", 0);
    registry.push(&world.dockerd, "v2", 0);
    let name = registry.name();
    let us = json!({ "user": USER, "password": PASSWORD });
    let target = |more: Value| {
        let mut options = json!({ "image": name, "pull": "always", "registry": us });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        world.target(options)
    };
    world.good(&*target(json!({})), &order("v1"));
    let id = world.id("shop-blue");
    import(&world.dockerd, "theirs", "v1", 0);
    let taken = ports::free();
    let theirs = json!({
        "Image": "theirs:v1", "ExposedPorts": { "8080/tcp": {} },
        "HostConfig": { "PortBindings": { "8080/tcp": [{ "HostPort": taken.to_string() }] } },
    });
    world
        .dockerd
        .ask("POST", "/containers/create?name=other", &theirs.to_string());
    world.dockerd.ask("POST", "/containers/other/start", "");

    let long = "v".repeat(129);
    for (more, version, wanted) in [
        (
            json!({ "digest": digest }),
            "v2",
            "in the registry, wanted sha256:",
        ),
        (json!({}), "v9", "was it pushed under that name?"),
        (
            json!({ "registry": { "user": USER, "password": "wrong" } }),
            "v2",
            "see `registry.user` and `registry.password`",
        ),
        (
            json!({ "registry": null }),
            "v2",
            "see `registry.user` and `registry.password`",
        ),
        (
            json!({ "pull": "never" }),
            "v2",
            "`pull: never` says that it is not pulled",
        ),
        (json!({}), &long, "cannot be the tag of an image"),
        (json!({ "disk": "900TB" }), "v2", "wanted 900,000 GB"),
        (
            json!({ "networks": ["front"] }),
            "v2",
            "docker network create front",
        ),
        (
            json!({ "mounts": ["/no/such/folder:/x"] }),
            "v2",
            "bind source path does not exist",
        ),
        (
            json!({ "ports": { "blue": format!("127.0.0.1:{taken}:8080") } }),
            "v2",
            "is taken by the container other",
        ),
        (
            json!({ "ports": { "green": [] } }),
            "v2",
            "`ports` says nothing of blue, only of green",
        ),
        (json!({ "container": "other$SLOT" }), "v2", ""),
        (
            json!({ "engine": "unix:///no/such.sock" }),
            "v2",
            "the engine at /no/such.sock does not answer",
        ),
        (
            json!({ "engine": "tcp://127.0.0.1:1", "tls": { "certificate": "gone.pem", "key": "k" } }),
            "v2",
            "tls.certificate cannot be read",
        ),
    ] {
        if wanted.is_empty() {
            world
                .dockerd
                .ask("POST", "/containers/other/rename?name=otherblue", "");
        }
        let refused = world
            .bad(&*target(more.clone()), &order(version))
            .to_string();
        assert!(refused.contains(wanted), "{more}: {refused}");
        assert!(
            !wanted.is_empty()
                || refused.contains("a container otherblue is there and is not of blue"),
            "{refused}"
        );
        assert!(!refused.contains(PASSWORD), "{refused}");
        let seen = world.dockerd.container("shop-blue");
        assert_eq!(
            (&seen["Id"], &seen["State"]["Running"]),
            (&json!(id), &json!(true)),
            "{more}"
        );
        assert_eq!(
            world.dockerd.containers().len(),
            2,
            "{more}: nothing is left"
        );
    }
    assert_eq!(world.served(), "v1");
}
