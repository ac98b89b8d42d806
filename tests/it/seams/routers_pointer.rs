//! The pointer: its fixtures for the contract, and what is its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use async_trait::async_trait;
use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::Http;
use cutover::routers::{Router, RouterError, Tools};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::routers::{Fixture, Plug, change, moved, routed, split};

pub(super) fn plugs() -> Vec<Plug> {
    vec![
        Plug {
            kind: "pointer",
            form: "file",
            set_up: || Box::pin(async { Box::new(Pointer::set_up("file")) as Box<dyn Fixture> }),
        },
        Plug {
            kind: "pointer",
            form: "symlink",
            set_up: || Box::pin(async { Box::new(Pointer::set_up("symlink")) as Box<dyn Fixture> }),
        },
    ]
}

pub(super) struct Pointer {
    directory: TempDir,
    form: &'static str,
}

impl Pointer {
    pub(super) fn set_up(form: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for slot in ["blue", "green"] {
            fs::create_dir_all(at("slots").join(slot)).unwrap();
        }
        match form {
            "file" => fs::write(at("live"), "blue\n").unwrap(),
            _ => symlink("slots/blue", at("live")).unwrap(),
        }
        Self { directory, form }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("live")
    }

    pub(super) fn block(&self) -> Value {
        json!({ "kind": "pointer", "path": self.path(), "form": self.form })
    }

    pub(super) fn tools(&self) -> Tools {
        let slot = |name: &str| Slot {
            name: name.to_owned(),
            url: "http://127.0.0.1:9/".parse().unwrap(),
        };
        Tools {
            hosts: cutover::platform::host::Hosts::default(),
            vault: cutover::platform::secret::Vault::default(),
            http: Http::default(),
            app: "shop".to_owned(),
            environment: "test".to_owned(),
            slots: Slots {
                first: slot("blue"),
                second: slot("green"),
            },
            directory: self.directory.path().to_owned(),
        }
    }
}

#[async_trait]
impl Fixture for Pointer {
    fn router(&self) -> Box<dyn Router> {
        let mut block = self.block();
        block["path"] = json!("live");
        routed(block, &self.tools()).unwrap()
    }

    fn state(&self) -> String {
        match self.form {
            "file" => fs::read_to_string(self.path()).unwrap(),
            _ => fs::read_link(self.path()).unwrap().display().to_string(),
        }
    }

    fn between(&self) -> Vec<u8> {
        Vec::new()
    }

    fn impossible(&self) -> Option<u8> {
        Some(25)
    }

    async fn answers(&self, _: usize) -> Option<BTreeMap<String, usize>> {
        None
    }
}

#[tokio::test]
async fn a_pointer_keeps_its_manner_and_leaves_nothing_behind() {
    for (form, first, second) in [
        ("file", "blue\n", "green\n"),
        ("symlink", "slots/blue", "slots/green"),
    ] {
        let pointer = Pointer::set_up(form);
        assert_eq!(pointer.state(), first);
        moved(pointer.router().as_ref(), split(100)).await;
        assert_eq!(pointer.state(), second);
        assert_eq!(fs::read_dir(pointer.directory.path()).unwrap().count(), 2);
    }
}

#[tokio::test]
async fn a_pointer_that_names_nobody_is_told_with_the_names() {
    let pointer = Pointer::set_up("file");
    fs::write(pointer.path(), "purple").unwrap();
    let said = pointer.router().read().await.unwrap_err().to_string();
    assert!(
        said.contains("\"purple\"") && said.contains("blue and green"),
        "{said}"
    );
    fs::remove_file(pointer.path()).unwrap();
    let said = pointer.router().read().await.unwrap_err().to_string();
    assert!(said.contains("echo blue > "), "{said}");

    let link = Pointer::set_up("symlink");
    fs::remove_file(link.path()).unwrap();
    fs::write(link.path(), "blue").unwrap();
    let said = link.router().read().await.unwrap_err().to_string();
    assert!(said.contains("not a symbolic link"), "{said}");
}

#[tokio::test]
async fn a_link_is_not_moved_to_where_nothing_is() {
    let link = Pointer::set_up("symlink");
    fs::remove_dir(link.directory.path().join("slots/green")).unwrap();
    let router = link.router();
    let from = router.read().await.unwrap();
    let refused = router.prepare(&change(&from, split(100))).await;
    assert!(
        matches!(&refused, Err(RouterError::Refused(said)) if said.contains("slots/green")),
        "{refused:?}"
    );
}
