//! Containers as a target, on a real Docker engine, with a real registry: from pull to prune, and what
//! reaches the container. What is refused, put back and mended is in `docker_faults`.

use std::path::Path;
use std::sync::Mutex;

use cutover::targets::{Desk, Order, Target, TargetError};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::targets::{Case, made, order, tools};
use crate::world::dockerd::Dockerd;
use crate::world::patience::{at_once_blocking, in_the_end, until_blocking};
use crate::world::ports;
use crate::world::registry::{PASSWORD, Registry, USER, import};

/// An engine, and who asks it.
pub(super) struct World {
    pub(super) runtime: Runtime,
    pub(super) dockerd: Dockerd,
    port: u16,
}

impl World {
    pub(super) fn start() -> Self {
        Self::on(Dockerd::serving())
    }

    pub(super) fn on(dockerd: Dockerd) -> Self {
        Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            dockerd,
            port: ports::free(),
        }
    }

    /// A target of quick patience, for images that were built on the engine.
    pub(super) fn target(&self, more: Value) -> Box<dyn Target> {
        let mut options = json!({
            "kind": "docker", "image": "shop", "pull": "never", "disk": "1MB",
            "engine": format!("unix://{}", self.dockerd.socket().display()),
            "ports": { "blue": format!("127.0.0.1:{}:8080", self.port), "green": [] },
            "wait": "20s", "steady": "500ms", "stop-timeout": "1s",
        });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        made(options, &tools(Path::new("/"))).unwrap()
    }

    fn deploy(
        &self,
        target: &dyn Target,
        order: &Order,
    ) -> (Result<String, TargetError>, Vec<String>) {
        self.cancelled_by(target, order, |_| {})
    }

    /// Deploys while another thread watches, and may cancel.
    pub(super) fn cancelled_by(
        &self,
        target: &dyn Target,
        order: &Order,
        watch: impl FnOnce(&CancellationToken) + Send,
    ) -> (Result<String, TargetError>, Vec<String>) {
        let lines = Mutex::new(Vec::new());
        let say = |line| lines.lock().unwrap().push(line);
        let cancelled = CancellationToken::new();
        let desk = Desk {
            say: &say,
            went: &|_| {},
            cancelled: &cancelled,
            run: &cancelled,
        };
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| watch(&cancelled));
            self.runtime.block_on(in_the_end("it is deployed", async {
                target.prepare(order).await?;
                target.deploy(order, &desk).await
            }))
        });
        (outcome, lines.into_inner().unwrap())
    }

    pub(super) fn good(&self, target: &dyn Target, order: &Order) -> (String, Vec<String>) {
        let (outcome, lines) = self.deploy(target, order);
        (
            outcome.unwrap_or_else(|failed| panic!("{failed:?} after {lines:?}")),
            lines,
        )
    }

    pub(super) fn bad(&self, target: &dyn Target, order: &Order) -> TargetError {
        let (outcome, lines) = self.deploy(target, order);
        outcome.expect_err(&format!("{lines:?}"))
    }

    /// What users of blue get, once somebody answers.
    pub(super) fn served(&self) -> String {
        let url = format!("http://127.0.0.1:{}/release", self.port);
        let mut said = String::new();
        until_blocking(&format!("somebody answers at {url}"), || {
            let curl = std::process::Command::new("curl")
                .args(["-s", "-m", "60", &url])
                .output()
                .unwrap();
            said = String::from_utf8(curl.stdout).unwrap();
            !said.is_empty()
        });
        said.trim().to_owned()
    }

    pub(super) fn id(&self, name: &str) -> String {
        self.dockerd.container(name)["Id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until the containers are as wanted.
    #[track_caller]
    pub(super) fn until(&self, wanted: impl Fn(&[String]) -> bool) {
        at_once_blocking("the containers are as wanted", || {
            wanted(&self.dockerd.containers())
        });
    }
}

pub(super) fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == name)
}

/// The engine's own look, quick.
pub(super) fn looked_at(command: &str) -> Value {
    json!({ "command": command, "interval": "200ms", "timeout": "2s", "retries": 2 })
}

pub(super) const WELL: &str = "wget -q -O /dev/null http://127.0.0.1:8080/release";

#[test]
fn from_pull_to_prune() {
    let world = World::start();
    let registry = Registry::start();
    let push = |release: &str| registry.push(&world.dockerd, release, 1000);
    let digests = ["v1", "v2", "v3", "v4"].map(push);
    import(&world.dockerd, "theirs", "v1", 0);
    let theirs = json!({ "Image": "theirs:v1" }).to_string();
    world.dockerd.ask(
        "POST",
        "/containers/create?name=shop-blue.old-theirs",
        &theirs,
    );
    let target = |digest: &str| {
        world.target(json!({
            "image": registry.name(), "pull": "always", "digest": digest, "keep": 2,
            "registry": { "user": USER, "password": PASSWORD }, "health": looked_at(WELL),
        }))
    };

    let (said, lines) = world.good(
        &*target(&digests[0]),
        &Order {
            fence: Some("7-1".into()),
            ..order("v1")
        },
    );
    let short = &digests[0][..19];
    assert!(
        said.starts_with(&format!(
            "shop-blue runs {}@{short}, healthy after ",
            registry.name()
        )),
        "{said}"
    );
    assert_eq!(lines[0], format!("pulling {}@{short}", registry.name()));
    assert!(
        lines[1].starts_with("pulled ") && lines[1].contains(": 1 layer, "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(world.served(), "v1");
    let labels = &world.dockerd.container("shop-blue")["Config"]["Labels"];
    assert_eq!(labels["cutover.release"], "v1");
    assert_eq!(
        (&labels["cutover.slot"], &labels["cutover.fence"]),
        (&json!("blue"), &json!("7-1"))
    );

    // The same again, by another run: nothing is changed.
    let id = world.id("shop-blue");
    let (said, _) = world.good(
        &*target(&digests[0]),
        &Order {
            fence: Some("8-1".into()),
            ..order("v1")
        },
    );
    assert!(
        said.ends_with("nothing was changed") && said.contains(" already, healthy"),
        "{said}"
    );
    assert_eq!(world.id("shop-blue"), id);

    // The other slot uses the first image, too.
    let green = Order {
        slot: "green".into(),
        ..order("v1")
    };
    world.good(&*target(&digests[0]), &green);
    for (nth, release) in [(1, "v2"), (2, "v3"), (3, "v4")] {
        let (_, lines) = world.good(&*target(&digests[nth]), &order(release));
        assert_eq!(world.served(), release);
        let gone = lines
            .iter()
            .filter(|line| line.starts_with("removed the image"))
            .count();
        // v1's is green's; v2's container is the first whose image nobody uses.
        assert_eq!(gone, usize::from(release == "v4"), "{lines:?}");
    }
    let names = world.dockerd.containers();
    let aside = names
        .iter()
        .filter(|name| name.starts_with("shop-blue.old-"))
        .count();
    assert_eq!(
        (names.len(), aside),
        (4, 2),
        "one of ours and theirs stand aside: {names:?}"
    );
    assert!(has(&names, "shop-blue.old-theirs created") && has(&names, "shop-green running"));
    assert!(has(&world.dockerd.images(), "theirs:v1"));
    let known = world
        .dockerd
        .ask("GET", "/images/json?digests=1", "")
        .to_string();
    let kept = digests
        .each_ref()
        .map(|digest| known.contains(digest.as_str()));
    assert_eq!(kept, [true, false, true, true], "{known}");
}

#[test]
fn two_networks_a_mount_and_limits_reach_the_container() {
    let world = World::start();
    import(&world.dockerd, "shop", "v1", 0);
    for (network, number) in [("front", 1), ("back", 2)] {
        let [high, low] = world.dockerd.port.to_be_bytes();
        let subnet = format!("10.{}.{low}.{}/28", 180 + u32::from(high) % 60, 16 * number);
        let body = json!({ "Name": network, "IPAM": { "Config": [{ "Subnet": subnet }] } });
        world
            .dockerd
            .ask("POST", "/networks/create", &body.to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let target = world.target(json!({
        "networks": ["front", "back"], "mounts": [format!("{}:/data:ro", folder.path().display()), "kept-$SLOT:/kept"],
        "limits": { "memory": "64MB", "cpus": 0.5, "pids": 50 }, "env": { "RELEASE": "$VERSION" },
    }));
    world.good(&*target, &order("v1"));
    let made = world.dockerd.container("shop-blue");
    let networks: Vec<_> = made["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    assert_eq!(networks, ["back", "front"]);
    let host = &made["HostConfig"];
    assert_eq!(
        (&host["Memory"], &host["NanoCpus"], &host["PidsLimit"]),
        (&json!(64_000_000), &json!(500_000_000), &json!(50))
    );
    let env = made["Config"]["Env"].as_array().unwrap();
    assert!(env.contains(&json!("RELEASE=v1")), "{env:?}");
    let mounts: Vec<_> = made["Mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["Destination"], &one["RW"]))
        .collect();
    assert!(
        mounts.contains(&(&json!("/data"), &json!(false)))
            && mounts.contains(&(&json!("/kept"), &json!(true))),
        "{mounts:?}"
    );
}

#[test]
fn what_it_has_started_it_stops() {
    let world = World::start();
    import(&world.dockerd, "shop", "v1", 0);
    let target = world.target(json!({}));
    world.good(&*target, &order("v1"));
    let desk = Desk {
        say: &|_| {},
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let stopping = target.stops().unwrap();
    // What is retired may have a version that nobody knows.
    for version in ["v1", "v1", ""] {
        let order = order(version);
        let said = world.runtime.block_on(stopping.stop(&order, &desk));
        assert_eq!(said.unwrap(), "shop-blue is stopped");
    }
    assert_eq!(world.dockerd.containers(), ["shop-blue exited"]);
    world.good(&*target, &order("v1"));
    assert_eq!(world.served(), "v1");
}

/// What the contract suite holds containers to.
pub(super) fn case(dockerd: &Dockerd) -> Case {
    let with = |more: Value| {
        let mut options = json!({
            "kind": "docker", "image": "shop", "pull": "never", "disk": "1MB", "steady": "100ms",
            "engine": format!("unix://{}", dockerd.socket().display()),
        });
        for (key, value) in more.as_object().unwrap() {
            options[key] = value.clone();
        }
        options
    };
    let never = json!({ "command": "sleep 60", "timeout": "1h" });
    Case {
        good: with(json!({})),
        failing: with(json!({ "env": { "MODE": "exit" }, "restart": "no" })),
        hopeless: (with(json!({ "engine": "unix:///gone.sock" })), order("v1")),
        slow: Some(with(
            json!({ "health": never, "wait": "1h", "timeout": "200ms" }),
        )),
    }
}
