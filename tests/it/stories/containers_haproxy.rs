//! A container application behind a real HAProxy, from the registry to the pruning of what is old:
//! the first release of all, then one after the other under load without a lost request.

use std::fs;

use serde_json::json;

use super::containers::{CONFIG, ask, cutover};
use crate::world::children::output;
use crate::world::dockerd::Dockerd;
use crate::world::haproxy::Ground;
use crate::world::load::{Load, Manner};
use crate::world::ports;
use crate::world::registry::{PASSWORD, Registry, USER};
use crate::world::shop::Ran;

#[test]
fn containers_behind_haproxy_from_pull_to_prune() {
    let (dockerd, registry) = (Dockerd::serving(), Registry::start());
    let releases = ["v1", "v2", "v3", "v4"];
    for release in releases {
        registry.push(&dockerd, release, 100_000);
    }
    let slots = [ports::free(), ports::free()];
    let at = |port: u16| format!("http://127.0.0.1:{port}");
    let inside = |port: u16| format!("127.0.0.1:{port}:8080");
    let target = json!({
        "kind": "docker", "image": registry.name(), "disk": "1MB", "stop-timeout": "2s", "wait": "20s",
        "registry": { "user": USER, "password": "${REGISTRY_PASSWORD}" },
        "ports": { "blue": inside(slots[0]), "green": inside(slots[1]) },
        "env": { "MODE": "none" }, "keep": 1,
        "health": { "command": "wget -q -O /dev/null http://127.0.0.1:8080/", "interval": "300ms" },
    });
    let ground = Ground::new();
    let map = ground.text_path("weight.map");
    fs::write(&map, "green_weight 0\n").unwrap();
    let router = json!({
        "kind": "haproxy", "address": format!("unix:{}", ground.text_path("admin.sock")),
        "map": map, "key": "green_weight",
    });
    let users = format!("http://127.0.0.1:{}", ground.front);
    let config = CONFIG
        .replace("URL", &users)
        .replace("BLUE", &at(slots[0]))
        .replace("GREEN", &at(slots[1]))
        .replace("TARGET", &target.to_string())
        .replace("{ kind: nginx, flags: flags }", &router.to_string());
    fs::write(ground.path("cutover.yml"), config).unwrap();
    let directory = ground.directory.path().to_owned();
    let run = |arguments: &str| {
        let ran = Ran::of(cutover(&directory, &dockerd, arguments).spawn().unwrap());
        assert!(!ran.log.contains(PASSWORD), "{}", ran.log);
        ran
    };
    let lines = output(&mut cutover(&directory, &dockerd, "router-config"));
    let haproxy = ground.start(&String::from_utf8(lines.stdout).unwrap());
    let served = || ask(&format!("{users}/release"));

    // Nothing is live yet.
    let ran = run("rollout --version=v1");
    assert_eq!((ran.code, served().as_str()), (0, "v1"), "{}", ran.log);
    let load = Load::of(Manner::NewConnection, haproxy.ground.front, 4);
    for release in &releases[1..] {
        let ran = run(&format!("rollout --version={release}"));
        let ended = (ran.code, ran.output("requests-failed"));
        assert_eq!(ended, (0, "0"), "{}", ran.log);
        assert_eq!(served(), *release);
    }
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed");
    assert!(
        failed == 0 && sent > 100,
        "{failed} of {sent} requests failed: {why}"
    );
    // One of each slot is kept, and nothing else.
    assert_eq!(
        dockerd.containers(),
        ["shop-blue running", "shop-green running"]
    );
}
