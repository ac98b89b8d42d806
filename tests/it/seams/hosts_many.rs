//! A hundred hosts at once: as many at work as may be, each with an outcome of its own, also where
//! some vanish in the middle. One sshd is all of them, at a hundred addresses.

use std::fs;
use std::path::Path;

use std::sync::Mutex;

use cutover::platform::host::Hosts;
use cutover::targets::{Desk, Target, TargetError, Went};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use super::targets::{made, order, tools};
use crate::world::patience::in_the_end;
use crate::world::sshd::Sshd;

const MANY: usize = 100;

fn hosts(sshd: &Sshd) -> Hosts {
    let block = |nth: usize| {
        json!({
            "address": format!("root@127.0.1.{}:{}", nth + 1, sshd.port()),
            "key": sshd.path("deploy"),
            "host-key": sshd.fingerprint(),
        })
    };
    let names: Vec<String> = (0..MANY).map(|nth| format!("web{nth}")).collect();
    let blocks = names.iter().enumerate();
    let blocks: Vec<(&str, Value)> = blocks.map(|(nth, name)| (&**name, block(nth))).collect();
    let (hosts, wrong) = built(&blocks, None);
    assert_eq!(wrong, []);
    hosts
}

fn fleet(hosts: &Hosts, folder: &Path, at_once: usize, run: &str) -> Box<dyn Target> {
    let mut tools = tools(folder);
    tools.hosts = hosts.clone();
    let names: Vec<&str> = hosts.all().map(|(name, _)| name).collect();
    let each = json!({ "kind": "command", "directory": folder, "run": run });
    let block = json!({ "kind": "fleet", "at-once": at_once, "hosts": names, "each": each });
    made(block, &tools).unwrap()
}

/// Deploys; returns the lines that were said, and how many went well by what they say, too.
async fn deploy(fleet: &dyn Target) -> (Result<String, TargetError>, Vec<String>, usize) {
    let (lines, well) = (Mutex::new(Vec::new()), Mutex::new(0));
    let say = |line| lines.lock().unwrap().push(line);
    let went = |went: Went| {
        let ended = went.well && went.said.contains("ended with 0");
        *well.lock().unwrap() += usize::from(ended);
    };
    let desk = Desk {
        say: &say,
        went: &went,
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let order = order("v1");
    let deployed = fleet.deploy(&order, &desk);
    let outcome = in_the_end("all are deployed to", deployed).await;
    (
        outcome,
        lines.into_inner().unwrap(),
        well.into_inner().unwrap(),
    )
}

#[tokio::test]
async fn a_hundred_hosts_at_once_and_some_that_vanish() {
    let sshd = Sshd::start_with("ListenAddress 0.0.0.0:PORT");
    let hosts = hosts(&sshd);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("here")).unwrap();
    // Each says how many are at work while it is.
    let run = "touch here/$$; ls here | wc -l >> seen; sleep 0.05; rm here/$$";
    let (outcome, _, well) = deploy(&*fleet(&hosts, folder.path(), 15, run)).await;
    let said = outcome.unwrap();
    assert!(said.starts_with("100 of 100: "), "{said}");
    assert_eq!(well, MANY);
    let seen = fs::read_to_string(folder.path().join("seen")).unwrap();
    let most = seen
        .lines()
        .map(|line| line.trim().parse::<usize>().unwrap());
    assert!((2..=15).contains(&most.max().unwrap()), "{seen}");
    let logins = || sshd.log().matches("Accepted publickey").count();
    assert_eq!(logins(), MANY, "one login for each");

    // The server of a connection is the parent of what waits for the command's end.
    let run = "case $(echo $SSH_CONNECTION | cut -d' ' -f3) in
        127.0.1.4|127.0.1.51|127.0.1.98) kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep 600;;
        esac; sleep 1; echo here";
    let (outcome, lines, well) = deploy(&*fleet(&hosts, folder.path(), MANY, run)).await;
    let Err(TargetError::Lost { said, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(said.ends_with("97 of 100 went well"), "{said}");
    for name in ["web3", "web50", "web97"] {
        let lost = |line: &&str| {
            line.starts_with(&format!("{name}: ")) && line.contains("the connection was lost after")
        };
        assert_eq!(said.split("; ").filter(lost).count(), 1, "{name}: {said}");
    }
    let here = lines.iter().filter(|line| line.ends_with(": here"));
    assert_eq!((here.count(), well), (MANY - 3, MANY - 3));
    // Those are logged in to again, and the others are not.
    let before = logins();
    let (outcome, ..) = deploy(&*fleet(&hosts, folder.path(), MANY, "true")).await;
    assert!(outcome.unwrap().starts_with("100 of 100"));
    assert_eq!(logins(), before + 3);
}
