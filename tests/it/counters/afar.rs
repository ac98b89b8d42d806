//! A machine over a real sshd that sees a proxy's folder at a place where on this machine nothing is:
//! who looks here instead finds no log and no flag.

use std::path::Path;

use cutover::routers::{Router, Tools};
use serde_json::{Value, json};

use crate::seams::hosts::built;
use crate::seams::routers::routed;
use crate::world::sshd::{At, Sshd};

pub(super) struct Afar {
    pub(super) sshd: Sshd,
    place: tempfile::TempDir,
}

impl Afar {
    /// The machine that has this folder.
    pub(super) fn with(folder: &Path) -> Self {
        let place = tempfile::tempdir().unwrap();
        let at = At {
            last: 1,
            sees: Some((folder.to_owned(), place.path().to_owned())),
        };
        let sshd = Sshd::start_at(at, "LogLevel VERBOSE");
        Self { sshd, place }
    }

    /// A router there; the keys that are paths name what is in that folder.
    pub(super) fn router(&self, mut block: Value, tools: Tools) -> Box<dyn Router> {
        for key in ["flags", "access-log"] {
            if let Some(name) = block[key].as_str() {
                block[key] = json!(self.place.path().join(name));
            }
        }
        block["host"] = json!("web1");
        let host = json!({
            "address": self.sshd.address(),
            "key": self.sshd.path("deploy"),
            "host-key": self.sshd.fingerprint(),
        });
        let (hosts, wrong) = built(&[("web1", host)], None);
        assert_eq!(wrong, []);
        let directory = "/nowhere".into();
        let tools = Tools {
            hosts,
            directory,
            ..tools
        };
        routed(block, &tools).unwrap()
    }

    /// How many lines it was told to run, each of which costs a process and a login shell.
    pub(super) fn sessions(&self) -> usize {
        self.sshd.log().matches("Starting session").count()
    }
}
