//! Releases as folders: nothing half, nothing elsewhere, and always something to serve.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use cutover::targets::{Desk, Target, TargetError, Tools};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use super::targets::{deploy, made, order, tools};
use crate::world::patience::until;
use crate::world::sshd::Sshd;

/// A workspace with a `dist` folder, and the slots' folders in `slots`.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("dist")).unwrap();
        fs::write(place.at("dist/index.html"), "v1").unwrap();
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn target(&self) -> Box<dyn Target> {
        let options = json!({ "kind": "directory", "from": "dist", "to": "slots", "keep": 2 });
        made(options, &tools(self.0.path())).unwrap()
    }

    async fn deploy(&self, version: &str) -> Result<String, TargetError> {
        deploy(&*self.target(), &order(version)).await.0
    }

    fn releases(&self) -> Vec<String> {
        names(&self.at("slots/blue/releases"))
    }

    fn current(&self) -> String {
        let link = fs::read_link(self.at("slots/blue/current")).unwrap();
        link.to_str().unwrap().to_owned()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_is_copied_as_it_is() {
    let place = Place::new();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::create_dir_all(place.at("dist/bin/deep")).unwrap();
    fs::write(place.at("dist/bin/run"), "#!/bin/sh").unwrap();
    fs::set_permissions(place.at("dist/bin/run"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(place.at("dist/bin"), fs::Permissions::from_mode(0o555)).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(place.at("dist/index.html"));
    file.unwrap().set_modified(then).unwrap();
    symlink("../nowhere", place.at("dist/link")).unwrap();
    symlink("bin", place.at("dist/folder-link")).unwrap();

    let said = place.deploy("v1").await.unwrap();
    assert!(said.starts_with("4 files (1 KB) copied to "), "{said}");
    assert!(said.ends_with("slots/blue/releases/000001-v1"), "{said}");
    assert_eq!(place.current(), "releases/000001-v1");
    let copy = place.at("slots/blue/current");
    let mode = |path: &str| fs::metadata(copy.join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/run"), mode("bin")), (0o750, 0o555));
    assert!(copy.join("bin/deep").is_dir());
    assert_eq!(
        fs::read_link(copy.join("link")).unwrap(),
        Path::new("../nowhere")
    );
    assert!(
        fs::symlink_metadata(copy.join("folder-link"))
            .unwrap()
            .is_symlink()
    );
    let about = fs::metadata(copy.join("index.html")).unwrap();
    assert_eq!(about.modified().unwrap(), then);
}

#[tokio::test]
async fn the_newest_are_kept_and_what_is_or_was_current() {
    let place = Place::new();
    for version in ["v1", "v2", "v3"] {
        place.deploy(version).await.unwrap();
    }
    assert_eq!(place.releases(), ["000002-v2", "000003-v3"]);
    // A person points back; what they pointed to outlives the next deployment, and no more.
    place.deploy("v4").await.unwrap();
    fs::remove_file(place.at("slots/blue/current")).unwrap();
    symlink("releases/000003-v3", place.at("slots/blue/current")).unwrap();
    fs::create_dir(place.at("slots/blue/releases/notes")).unwrap();
    place.deploy("v5").await.unwrap();
    assert_eq!(
        place.releases(),
        ["000003-v3", "000004-v4", "000005-v5", "notes"]
    );
    place.deploy("v6").await.unwrap();
    assert_eq!(place.releases(), ["000005-v5", "000006-v6", "notes"]);
    assert_eq!(place.current(), "releases/000006-v6");
}

#[tokio::test]
async fn the_same_version_again_is_another_copy() {
    let place = Place::new();
    place.deploy("v1").await.unwrap();
    fs::write(place.at("dist/index.html"), "v1 rebuilt").unwrap();
    place.deploy("v1").await.unwrap();
    assert_eq!(place.releases(), ["000001-v1", "000002-v1"]);
    let served = fs::read_to_string(place.at("slots/blue/current/index.html")).unwrap();
    assert_eq!(served, "v1 rebuilt");
}

#[tokio::test]
async fn no_version_and_no_slot_leads_elsewhere() {
    let place = Place::new();
    for (i, version) in ["../../../escaped", "/etc", "", ".", "..", "a/b"]
        .iter()
        .enumerate()
    {
        place.deploy(version).await.unwrap();
        let current = place.current();
        assert!(
            current.starts_with(&format!("releases/{:06}-", i + 1)),
            "{current}"
        );
    }
    assert_eq!(names(&place.at("")), ["dist", "slots"]);
    assert_eq!(names(&place.at("slots")), ["blue"]);
    assert_eq!(names(&place.at("slots/blue")), ["current", "releases"]);
    for slot in ["..", ".", "a/b", "", "/etc"] {
        let mut order = order("v1");
        order.slot = slot.to_owned();
        let refused = deploy(&*place.target(), &order).await.0.unwrap_err();
        assert!(matches!(refused, TargetError::OutOfReach(_)), "{refused:?}");
    }
}

#[tokio::test]
async fn what_fails_leaves_the_slot_as_it_was() {
    let place = Place::new();
    place.deploy("v1").await.unwrap();
    let socket = std::os::unix::net::UnixListener::bind(place.at("dist/socket")).unwrap();
    let failed = place.deploy("v2").await.unwrap_err().to_string();
    assert!(failed.contains("dist/socket: neither a file"), "{failed}");
    drop(socket);
    fs::remove_dir_all(place.at("dist")).unwrap();
    fs::create_dir(place.at("dist")).unwrap();
    let failed = place.deploy("v2").await.unwrap_err().to_string();
    assert!(failed.contains("is empty"), "{failed}");
    assert_eq!(place.releases(), ["000001-v1"]);
    assert_eq!(place.current(), "releases/000001-v1");
}

#[tokio::test]
async fn a_cancelled_and_a_dropped_deployment_stop_at_the_next_file() {
    for drop_it in [false, true] {
        let place = Place::new();
        for i in 0..2000 {
            fs::write(place.at(&format!("dist/{i}")), "x").unwrap();
        }
        let (target, order) = (place.target(), order("v1"));
        let cancelled = CancellationToken::new();
        let desk = Desk {
            say: &|_| {},
            went: &|_| {},
            cancelled: &cancelled,
            run: &cancelled,
        };
        let mut deploying = target.deploy(&order, &desk);
        assert!(futures_util::poll!(&mut deploying).is_pending());
        if drop_it {
            drop(deploying);
        } else {
            cancelled.cancel();
            assert_eq!(deploying.await, Err(TargetError::Cancelled));
        }
        until("nothing is left of half a copy", || {
            place.at("slots/blue/releases").exists() && place.releases().is_empty()
        })
        .await;
        assert!(!place.at("slots/blue/current").exists());
    }
}

#[tokio::test]
async fn what_a_killed_run_left_is_swept() {
    let place = Place::new();
    fs::create_dir_all(place.at("slots/blue/releases/.incoming-000007-v0/x")).unwrap();
    symlink("releases/gone", place.at("slots/blue/.current-new")).unwrap();
    let (outcome, lines) = deploy(&*place.target(), &order("v1")).await;
    outcome.unwrap();
    assert_eq!(
        lines,
        ["removed the half copy .incoming-000007-v0 of an earlier run"]
    );
    assert_eq!(place.releases(), ["000001-v1"]);
    assert_eq!(names(&place.at("slots/blue")), ["current", "releases"]);
}

/// On another machine, where what is half there is gone on with, by a name that is a secret.
#[tokio::test]
async fn a_version_that_is_a_secret_is_known_again_over_there() {
    let (place, sshd) = (Place::new(), Sshd::start());
    let block = json!({
        "address": sshd.address(), "key": sshd.path("deploy"), "host-key": sshd.fingerprint(),
    });
    let tools = Tools {
        hosts: built(&[("web1", block)], None).0,
        ..tools(place.0.path())
    };
    tools.vault.keep("4f2a9c1d77");
    let slots = place.at("slots");
    let options = json!({ "kind": "directory", "from": "dist", "to": slots, "host": "web1" });
    let target = made(options, &tools).unwrap();
    let releases = place.at("slots/blue/releases");
    for half in [
        ".incoming-000001-4f2a9c1d77",
        ".incoming-000001-older-4f2a9c1d77",
    ] {
        fs::create_dir_all(releases.join(half)).unwrap();
        fs::write(releases.join(half).join("index.html"), "v1").unwrap();
    }
    let (outcome, lines) = deploy(&*target, &order("4f2a9c1d77")).await;
    let said = outcome.unwrap();
    assert!(said.contains("1 file (1 KB, 0 KB of them sent)"), "{said}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(place.releases(), ["000001-4f2a9c1d77"]);
    assert_eq!(place.current(), "releases/000001-4f2a9c1d77");
    let (outcome, _) = deploy(&*target, &order("4f2a9c1d77")).await;
    outcome.unwrap();
    assert_eq!(place.current(), "releases/000002-4f2a9c1d77");
}

#[tokio::test]
async fn folders_within_each_other_and_a_real_current_are_refused() {
    let place = Place::new();
    symlink(place.at("dist"), place.at("alias")).unwrap();
    for (from, to) in [("dist", "dist/out"), ("dist", "alias/out"), (".", "slots")] {
        let options = json!({ "kind": "directory", "from": from, "to": to });
        let target = made(options, &tools(place.0.path())).unwrap();
        let refused = target.prepare(&order("v1")).await.unwrap_err().to_string();
        assert!(
            refused.contains("within each other"),
            "{from} {to} {refused}"
        );
    }
    fs::create_dir_all(place.at("slots/blue/current")).unwrap();
    let refused = place.deploy("v1").await.unwrap_err().to_string();
    assert!(refused.contains("is not a link"), "{refused}");
    assert_eq!(
        names(&place.at("slots/blue")),
        ["current"],
        "nothing was begun"
    );
}

/// A reader that never stops finds a whole release behind `current` at every instant.
#[tokio::test]
async fn a_reader_never_sees_half_a_release() {
    let place = Place::new();
    place.deploy("v0").await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let looks = Arc::new(AtomicU64::new(0));
    let current = place.at("slots/blue/current");
    let reader = std::thread::spawn({
        let (over, looks) = (over.clone(), looks.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                // The folder behind the link, once, as a server that opens it does.
                let folder = current.canonicalize().unwrap();
                let served = fs::read_to_string(folder.join("index.html")).unwrap();
                assert_eq!(served.len(), 2);
                looks.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    for i in 1..9 {
        fs::write(place.at("dist/index.html"), format!("v{i}")).unwrap();
        place.deploy(&format!("v{i}")).await.unwrap();
        // A look may be overtaken by one deployment and not by two: the old release is kept once.
        let before = looks.load(Ordering::Relaxed);
        until("the reader looks", || {
            looks.load(Ordering::Relaxed) >= before + 2 || reader.is_finished()
        })
        .await;
    }
    over.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}
