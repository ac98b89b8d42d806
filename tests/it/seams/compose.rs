//! Projects of Docker Compose as a target, on a real engine: what is brought up, what is put back, and
//! what is refused before anything is stopped.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cutover::targets::{Desk, Target, TargetError, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::docker::World;
use super::hosts::built;
use super::targets::{Case, made, order, tools};
use crate::world::dockerd::Dockerd;
use crate::world::patience::at_once_blocking;
use crate::world::registry::import;
use crate::world::sshd::Sshd;
use crate::world::watchers::tool;

/// What the file says. Without a health check, and with one that fails for some versions.
const FILE: &str = "services:
  web:
    image: shop:${VERSION}
    restart: always
    environment: { MODE: \"${MODE:-none}\", AT: \"$SLOT\", PRICE: 5$$ }
";
const LOOKED_AT: &str =
    "    healthcheck: { test: \"$CHECK\", interval: 200ms, timeout: 2s, retries: 2 }\n";

pub(super) struct Yard {
    pub(super) world: World,
    pub(super) folder: TempDir,
}

impl Yard {
    pub(super) fn open() -> Self {
        let world = World::start();
        let folder = tempfile::tempdir().unwrap();
        for release in ["v1", "v2"] {
            import(&world.dockerd, "shop", release, 0);
        }
        fs::write(folder.path().join("compose.yml"), FILE).unwrap();
        Self { world, folder }
    }

    pub(super) fn target(&self, env: Value, more: Value) -> Box<dyn Target> {
        let block = with(&self.world.dockerd, self.folder.path(), env, more);
        made(block, &tools(self.folder.path())).unwrap()
    }

    pub(super) fn good(&self, target: &dyn Target, version: &str) -> String {
        self.world.good(target, &order(version)).0
    }

    pub(super) fn bad(&self, target: &dyn Target, version: &str) -> TargetError {
        self.world.bad(target, &order(version))
    }

    /// What the container's program has said of itself.
    fn runs(&self, wanted: &str) -> bool {
        let (_, log) = self.world.dockerd.api(
            "GET",
            "/containers/shop-blue-web-1/logs?stdout=1&tail=1",
            "",
            &["--output", "-"],
        );
        let up = self.world.dockerd.containers() == ["shop-blue-web-1 running"];
        up && log.contains(wanted)
    }

    pub(super) fn left(&self) -> Vec<String> {
        let state = fs::read_dir(self.folder.path().join("state/cutover")).unwrap();
        let names = state.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn with(dockerd: &Dockerd, folder: &Path, env: Value, more: Value) -> Value {
    let mut options = json!({
        "kind": "compose", "file": "compose.yml", "command": tool("docker-compose"), "pull": "never", "steady": "500ms",
        "env": {
            "DOCKER_HOST": format!("unix://{}", dockerd.socket().display()), "XDG_STATE_HOME": folder.join("state"),
        },
    });
    for (key, value) in env.as_object().unwrap() {
        options["env"][key] = value.clone();
    }
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options
}

#[test]
fn a_project_comes_up_and_a_bad_one_is_put_back() {
    let yard = Yard::open();
    let target = yard.target(json!({}), json!({}));
    let said = yard.good(&*target, "v1");
    assert!(
        said.starts_with("shop-blue is up after ")
            && said.ends_with(": 1 container, no restart in 500 ms"),
        "{said}"
    );
    assert!(yard.runs("release v1, mode none"));
    let made = yard.world.dockerd.container("shop-blue-web-1");
    let env = made["Config"]["Env"].as_array().unwrap();
    assert!(
        env.contains(&json!("AT=blue")) && env.contains(&json!("PRICE=5$")),
        "{env:?}"
    );
    assert_eq!(yard.left(), ["shop-blue.yml"]);

    // It keeps crashing, which Compose alone takes for running.
    let crash = yard.target(json!({ "MODE": "crash" }), json!({ "steady": "4s" }));
    let TargetError::Failed { said, last_words } = yard.bad(&*crash, "v2") else {
        panic!("it failed otherwise");
    };
    assert!(
        said.contains("shop-blue-web-1 keeps crashing: ")
            && said.ends_with("; the project before runs again"),
        "{said}"
    );
    assert!(
        last_words.iter().any(|line| line.contains("out of luck")),
        "{last_words:?}"
    );
    assert!(yard.runs("release v1, mode none"));
    assert_eq!(yard.left(), ["shop-blue.yml"]);

    // What ran is put back as it was, though its file has changed since.
    let changed = FILE.to_owned() + LOOKED_AT;
    fs::write(yard.folder.path().join("compose.yml"), changed).unwrap();
    let ill = yard.target(json!({ "CHECK": "exit 1" }), json!({}));
    let failed = yard.bad(&*ill, "v2").to_string();
    assert!(
        failed.contains("up ended with 1") && failed.ends_with("; the project before runs again"),
        "{failed}"
    );
    assert!(yard.runs("release v1, mode none"));
    let made = yard.world.dockerd.container("shop-blue-web-1");
    assert_eq!(made["Config"]["Healthcheck"], Value::Null);

    let well = yard.target(json!({ "CHECK": super::docker::WELL }), json!({}));
    yard.good(&*well, "v2");
    assert!(yard.runs("release v2, mode none"));

    let desk = Desk {
        say: &|_| {},
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let stopping = well.stops().unwrap();
    for _ in 0..2 {
        let order = order("v2");
        let said = yard.world.runtime.block_on(stopping.stop(&order, &desk));
        assert_eq!(said.unwrap(), "shop-blue is stopped");
    }
    assert_eq!(yard.world.dockerd.containers(), ["shop-blue-web-1 exited"]);
    yard.good(&*well, "v2");
}

#[test]
fn what_was_not_up_is_stopped_again() {
    let yard = Yard::open();
    let file = FILE.to_owned() + LOOKED_AT;
    fs::write(yard.folder.path().join("compose.yml"), file).unwrap();
    let never = yard.target(
        json!({ "CHECK": "sleep 60" }),
        json!({ "wait": "3s", "steady": "0s" }),
    );
    let TargetError::TimedOut {
        said,
        last_words,
        after,
    } = yard.bad(&*never, "v1")
    else {
        panic!("it ended otherwise");
    };
    assert_eq!(after, Duration::from_secs(3));
    assert_eq!(
        said,
        "shop-blue: up was ended after 3 s; the project is stopped, as it was before"
    );
    let starting = |line: &String| {
        line.starts_with("shop-blue-web-1 Up ") && line.contains("health: starting")
    };
    assert!(last_words.iter().any(starting), "{last_words:?}");
    assert_eq!(yard.world.dockerd.containers(), ["shop-blue-web-1 exited"]);
}

#[test]
fn a_cancelled_one_lets_the_one_before_start_again() {
    let yard = Yard::open();
    let v1 = yard.target(json!({}), json!({}));
    yard.good(&*v1, "v1");
    let long = yard.target(json!({}), json!({ "steady": "1m" }));
    let (ended, lines) = yard.world.cancelled_by(&*long, &order("v2"), |cancelled| {
        at_once_blocking("v2 runs", || yard.runs("release v2"));
        cancelled.cancel();
    });
    assert_eq!(ended, Err(TargetError::Cancelled));
    let said = "shop-blue: the project before is starting again".to_owned();
    assert_eq!(lines.last(), Some(&said), "{lines:?}");
    yard.world
        .until(|names| names == ["shop-blue-web-1 running"]);
    at_once_blocking("v1 runs", || yard.runs("release v1"));
}

#[test]
fn on_a_host_it_is_the_host_s_file_and_a_lost_way_is_known_the_next_time() {
    let (yard, mut sshd) = (Yard::open(), Sshd::start());
    let reached = |sshd: &Sshd, env: Value, more: Value| {
        let web1 = json!({ "address": sshd.address(), "key": sshd.path("deploy"), "host-key": sshd.fingerprint() });
        let (hosts, wrong) = built(&[("web1", web1)], None);
        assert_eq!(wrong, []);
        let mut block = with(&yard.world.dockerd, yard.folder.path(), env, more);
        (block["host"], block["file"]) =
            (json!("web1"), json!(yard.folder.path().join("compose.yml")));
        let tools = Tools {
            hosts,
            ..tools(Path::new("/"))
        };
        tools.vault.keep("s3cr3t-token");
        made(block, &tools)
    };
    let v1 = reached(&sshd, json!({}), json!({})).unwrap();
    let said = yard.good(&*v1, "v1");
    assert!(said.ends_with("no restart in 500 ms on web1"), "{said}");
    let secret = reached(&sshd, json!({ "TOKEN": "s3cr3t-token" }), json!({}));
    let why = secret.map(drop).unwrap_err();
    assert!(
        why.starts_with("env.TOKEN: on a host") && !why.contains("s3cr3t"),
        "{why}"
    );

    let long = reached(&sshd, json!({}), json!({ "steady": "1m" })).unwrap();
    let (ended, _) = yard.world.cancelled_by(&*long, &order("v2"), |_| {
        at_once_blocking("v2 runs", || yard.runs("release v2"));
        sshd.vanish();
    });
    let Err(TargetError::Lost { said, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert!(
        said.contains("could not be put back") && said.contains("docker compose -p shop-blue ps"),
        "{said}"
    );
    // The next run knows what was well before the one that was lost.
    sshd.come_back(false);
    let crash = reached(&sshd, json!({ "MODE": "crash" }), json!({ "steady": "4s" })).unwrap();
    let failed = yard.bad(&*crash, "v2").to_string();
    assert!(
        failed.ends_with("the project before runs again"),
        "{failed}"
    );
    assert!(yard.runs("release v1"));

    // Lost for a moment: what was before is put back, and what was lost may be at work all the same.
    let (ended, _) = yard.world.cancelled_by(&*long, &order("v2"), |_| {
        at_once_blocking("v2 runs", || yard.runs("release v2"));
        sshd.cut();
    });
    let Err(TargetError::Lost { said, .. }) = ended else {
        panic!("{ended:?}");
    };
    let wanted = "the project before runs again, and what was lost may still be at work";
    assert!(said.ends_with(wanted), "{said}");
    assert!(yard.runs("release v1"));
}

#[test]
fn what_cannot_work_is_refused_and_stops_nothing() {
    let yard = Yard::open();
    let v1 = yard.target(json!({}), json!({}));
    yard.good(&*v1, "v1");
    let id = yard.world.id("shop-blue-web-1");
    let refused = |env: Value, more: Value| {
        let failed = yard.bad(&*yard.target(env, more), "v2");
        let TargetError::OutOfReach(said) = failed else {
            panic!("{failed:?}");
        };
        said
    };
    for (env, more, said) in [
        (
            json!({}),
            json!({ "file": "gone.yml" }),
            "gone.yml: no such file or directory",
        ),
        (
            json!({}),
            json!({ "command": "gone" }),
            "; the action's image has none: name the machine that has it with `host`",
        ),
        (
            json!({ "DOCKER_HOST": "unix:///gone.sock" }),
            json!({}),
            "Cannot connect to the Docker daemon",
        ),
        (
            json!({}),
            json!({ "project": "Shop-$SLOT" }),
            "small letters",
        ),
    ] {
        let why = refused(env, more);
        assert!(why.contains(said), "{why}");
    }
    fs::write(
        yard.folder.path().join("compose.yml"),
        "services: { web: { imaeg: x } }",
    )
    .unwrap();
    let why = refused(json!({}), json!({}));
    assert!(why.contains("imaeg"), "{why}");

    // An image that is not there, a version that is none, and a word of shell for one.
    fs::write(yard.folder.path().join("compose.yml"), FILE).unwrap();
    for (version, pull) in [("v9", "missing"), ("$(touch bad)`touch bad`", "never")] {
        let target = yard.target(json!({}), json!({ "pull": pull }));
        let failed = yard.bad(&*target, version);
        assert!(
            !failed.to_string().contains("could not be put back"),
            "{failed}"
        );
    }
    assert!(!yard.folder.path().join("bad").exists());
    assert_eq!(yard.world.id("shop-blue-web-1"), id, "it was let alone");
    for (more, said) in [
        (json!({ "file": " " }), "file: "),
        (json!({ "project": "shop" }), "put $SLOT into it"),
    ] {
        let block = with(&yard.world.dockerd, yard.folder.path(), json!({}), more);
        let why = made(block, &tools(Path::new("/"))).map(drop).unwrap_err();
        assert!(why.contains(said), "{why}");
    }
}

/// What the contract suite holds projects to.
pub(super) fn case(dockerd: &Dockerd, folder: &Path) -> Case {
    fs::write(folder.join("compose.yml"), FILE).unwrap();
    let with = |env: Value, more: Value| with(dockerd, folder, env, more);
    Case {
        good: with(json!({}), json!({ "steady": "100ms" })),
        failing: with(json!({ "MODE": "crash" }), json!({ "steady": "5s" })),
        hopeless: (with(json!({}), json!({ "file": "gone.yml" })), order("v1")),
        slow: Some(with(
            json!({ "MODE": "slow" }),
            json!({ "wait": "200ms", "steady": "0s" }),
        )),
    }
}
