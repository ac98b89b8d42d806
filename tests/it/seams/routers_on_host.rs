//! Routers that are files, with the files on a host that is reached over a real sshd: the same
//! contract as on this machine, and what is their own.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use cutover::routers::{Router, RouterError, Tools};
use serde_json::{Value, json};

use super::hosts::built;
use super::routers::{Fixture, Plug, Winners, change, moved, routed, split};
use super::routers_caddy::{self, OnCaddy};
use super::routers_envoy::OnEnvoy;
use super::routers_nginx::{OnNginx, tools};
use super::routers_pointer::Pointer;
use super::routers_traefik::{self, OnTraefik};
use crate::world::sshd::Sshd;

/// The keys whose paths are those of the host.
const PATHS: [&str; 5] = ["include", "error-log", "file", "path", "flags"];

pub(super) fn plugs() -> Vec<Plug> {
    vec![
        Plug {
            kind: "pointer",
            form: "file, on a host",
            set_up: || Box::pin(async { boxed(pointer("file")) }),
        },
        Plug {
            kind: "pointer",
            form: "symlink, on a host",
            set_up: || Box::pin(async { boxed(pointer("symlink")) }),
        },
        Plug {
            kind: "nginx",
            form: "include, on a host",
            set_up: || Box::pin(async { boxed(on_nginx(OnNginx::include(""))) }),
        },
        Plug {
            kind: "caddy",
            form: "flags, on a host",
            set_up: || Box::pin(async { boxed(on_caddy()) }),
        },
        Plug {
            kind: "traefik",
            form: "on a host",
            set_up: || Box::pin(async { boxed(on_traefik()) }),
        },
    ]
}

/// A fixture whose router has its files on a host.
struct OnHost<F> {
    inner: F,
    block: Value,
    tools: fn(&F) -> Tools,
    sshd: Sshd,
}

impl<F> OnHost<F> {
    fn new(inner: F, mut block: Value, tools: fn(&F) -> Tools) -> Self {
        let directory = tools(&inner).directory;
        for key in PATHS {
            if let Some(path) = block.get(key).and_then(Value::as_str) {
                block[key] = json!(directory.join(path));
            }
        }
        block["host"] = json!("lb1");
        Self {
            inner,
            block,
            tools,
            sshd: Sshd::start(),
        }
    }

    fn made(&self, block: Value) -> Result<Box<dyn Router>, String> {
        let host = json!({
            "address": self.sshd.address(),
            "key": self.sshd.path("deploy"),
            "host-key": self.sshd.fingerprint(),
        });
        let (hosts, wrong) = built(&[("lb1", host)], None);
        assert_eq!(wrong, []);
        // Of this machine's folder it knows nothing.
        let with = Tools {
            hosts,
            directory: "/nowhere".into(),
            ..(self.tools)(&self.inner)
        };
        routed(block, &with)
    }
}

fn boxed(fixture: impl Fixture + 'static) -> Box<dyn Fixture> {
    Box::new(fixture)
}

fn pointer(form: &'static str) -> OnHost<Pointer> {
    let pointer = Pointer::set_up(form);
    let block = pointer.block();
    OnHost::new(pointer, block, Pointer::tools)
}

fn on_nginx(on: OnNginx) -> OnHost<OnNginx> {
    let block = on.block.clone();
    OnHost::new(on, block, |on| tools(&on.nginx.site))
}

fn on_caddy() -> OnHost<OnCaddy> {
    let on = OnCaddy::flags();
    let block = on.block.clone();
    OnHost::new(on, block, |on| routers_caddy::tools(&on.slots))
}

fn on_traefik() -> OnHost<OnTraefik> {
    let on = OnTraefik::asked();
    let block = on.block.clone();
    OnHost::new(on, block, |on| {
        routers_traefik::tools(&on.traefik.place, &on.slots)
    })
}

fn on_envoy() -> OnHost<OnEnvoy> {
    let on = OnEnvoy::running();
    let block = on.block.clone();
    OnHost::new(on, block, |on| {
        routers_traefik::tools(&on.envoy.place, &on.slots)
    })
}

#[async_trait]
impl<F: Fixture> Fixture for OnHost<F> {
    fn router(&self) -> Box<dyn Router> {
        self.made(self.block.clone()).unwrap()
    }

    fn state(&self) -> String {
        self.inner.state()
    }

    fn between(&self) -> Vec<u8> {
        self.inner.between()
    }

    fn impossible(&self) -> Option<u8> {
        self.inner.impossible()
    }

    fn of_two_writers(&self) -> Winners {
        self.inner.of_two_writers()
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        self.inner.answers(times).await
    }
}

/// The rest of the contract is the same code as Traefik's.
#[tokio::test]
async fn envoy_takes_a_file_on_a_host() {
    let on = on_envoy();
    let before = moved(&*on.router(), split(25)).await;
    moved(&*on.router(), split(100)).await;
    assert_eq!(on.answers(4).await.unwrap()["green"], 4);
    on.router().restore(&before).await.unwrap();
    assert_eq!(on.router().read().await.unwrap().split, split(25));
}

#[tokio::test]
async fn a_link_and_the_link_to_a_file_stay_what_they_are() {
    let on = pointer("symlink");
    moved(&*on.router(), split(100)).await;
    assert_eq!(on.state(), "slots/green");
    let (from, green) = (
        on.router().read().await.unwrap(),
        on.inner.tools().directory,
    );
    std::fs::remove_dir(green.join("slots/blue")).unwrap();
    let said = on.router().prepare(&change(&from, split(0))).await;
    let said = said.unwrap_err().to_string();
    assert!(said.contains("would point at slots/blue"), "{said}");

    let on = pointer("file");
    let live = on.inner.tools().directory.join("live");
    std::fs::rename(&live, live.with_extension("real")).unwrap();
    std::os::unix::fs::symlink("live.real", &live).unwrap();
    moved(&*on.router(), split(100)).await;
    assert!(live.is_symlink());
    assert_eq!(on.state(), "green\n");
    std::fs::remove_file(&live).unwrap();
    let said = on.router().read().await.unwrap_err().to_string();
    assert!(
        said.contains("live on lb1: it is not there; echo blue > "),
        "{said}"
    );
}

#[tokio::test]
async fn a_reload_that_is_refused_over_there_is_quoted_from_the_log_over_there() {
    let on = on_nginx(OnNginx::include(""));
    let router = on.router();
    let from = router.read().await.unwrap();
    // The test does not see it, and the reload does: the port is somebody else's.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    on.inner.nginx.edit(
        "server { listen",
        &format!("server {{ listen 127.0.0.1:{port}; }}\nserver {{ listen"),
    );
    let failed = router.apply(&change(&from, split(25))).await.unwrap_err();
    let RouterError::Drifted { said, .. } = &failed else {
        // The old file, too, has the port by now, so that either is what nginx says.
        assert!(matches!(failed, RouterError::NotTaken(_)), "{failed:?}");
        assert!(failed.to_string().contains("[emerg]"), "{failed}");
        return;
    };
    assert!(
        said.contains("[emerg]") && said.contains("bind()"),
        "{said}"
    );
}

#[tokio::test]
async fn a_command_that_fails_over_there_changes_nothing() {
    let on = on_nginx(OnNginx::include(""));
    let before = on.state();
    let mut block = on.block.clone();
    block["test"] = json!("echo no such module; exit 1");
    let router = on.made(block).unwrap();
    let from = router.read().await.unwrap();
    let said = router
        .apply(&change(&from, split(25)))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("on lb1 ended with 1: no such module"),
        "{said}"
    );
    assert_eq!(on.state(), before);
}

#[tokio::test]
async fn a_watched_directory_sees_a_rename_alone() {
    let on = on_traefik();
    let file = on.inner.traefik.place.path("watched/live.yml");
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let names = || {
        let all = std::fs::read_dir(file.parent().unwrap()).unwrap();
        let mut all: Vec<_> = all.map(|one| one.unwrap().file_name()).collect();
        all.sort();
        all
    };
    let before = names();
    moved(&*on.router(), split(25)).await;
    assert_eq!((mode(&file), names()), (0o640, before));
    let above = std::fs::read_dir(on.inner.traefik.place.directory()).unwrap();
    let left = above.map(|one| one.unwrap().file_name().to_string_lossy().into_owned());
    assert_eq!(left.filter(|name| name.starts_with(".cutover")).count(), 0);
}

#[test]
fn what_cannot_be_on_a_host_is_refused() {
    let on = pointer("file");
    let wrong = |key: &str, value: Value| {
        let mut block = on.block.clone();
        block[key] = value;
        on.made(block).err().unwrap()
    };
    let said = wrong("path", json!("live"));
    assert_eq!(said, "path: on a `host` the path must begin with /");
    let said = wrong("host", json!("lb2"));
    assert!(said.starts_with("host: unknown host \"lb2\""), "{said}");
    let on_lb1 = |mut block: Value| {
        block["host"] = json!("lb1");
        if block["kind"] == "caddy" {
            block["upstreams"] = json!({ "blue": "h:1", "green": "h:2" });
        }
        on.made(block)
    };
    for (key, block) in [
        ("flags", json!({ "kind": "caddy", "flags": "flags" })),
        ("flags", json!({ "kind": "nginx", "flags": "flags" })),
        (
            "access-log",
            json!({ "kind": "caddy", "flags": "/flags", "access-log": "log" }),
        ),
        (
            "access-log",
            json!({ "kind": "nginx", "flags": "/flags", "access-log": "log" }),
        ),
    ] {
        let said = on_lb1(block).err().unwrap();
        assert_eq!(
            said,
            format!("{key}: on a `host` the path must begin with /")
        );
    }
    // There is nothing that would be there.
    let bare = json!({ "kind": "caddy", "handler": "live" });
    let said = on_lb1(bare.clone()).err().unwrap();
    assert!(
        said.starts_with("`host` goes with `flags` or `access-log`"),
        "{said}"
    );
    let mut logged = bare;
    logged["access-log"] = json!("/log");
    assert!(on_lb1(logged).is_ok());
}
