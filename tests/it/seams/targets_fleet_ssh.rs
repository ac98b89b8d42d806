//! The `fleet` target over real sshds, each a machine with an address and a name of its own: all at
//! once, so many at once as may be, and what becomes of the others where one fails, vanishes or
//! takes too long, or the run is cancelled.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use cutover::targets::{Desk, Target, TargetError, Went};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use super::targets::{made, order, tools};
use crate::world::patience::{in_the_end, until};
use crate::world::sshd::{At, Sshd};

/// Machines `web1`, `web2`, … at addresses of their own, and a folder that all of them see.
struct Machines {
    sshds: Vec<Sshd>,
    folder: TempDir,
}

/// What a deployment came to.
struct Deployed {
    outcome: Result<String, TargetError>,
    lines: Vec<String>,
    /// One for each machine, in the order in which they came to their ends.
    went: Vec<Went>,
}

impl Deployed {
    /// Whether all went well there, by name.
    fn well<'a>(&'a self) -> Vec<(&'a str, bool)> {
        let pair = |went: &'a Went| (went.said.split(':').next().unwrap(), went.well);
        let mut all: Vec<_> = self.went.iter().map(pair).collect();
        all.sort_unstable();
        all
    }

    fn said_of(&self, name: &str) -> &str {
        let of = |went: &&Went| went.said.starts_with(&format!("{name}: "));
        self.went.iter().find(of).map_or("", |went| &went.said)
    }
}

impl Machines {
    fn start(many: u8) -> Self {
        let one = |n| Sshd::start_at(At::address(n + 1), &format!("SetEnv NODE=web{n}"));
        Self {
            sshds: (1..=many).map(one).collect(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A fleet of them all, with what each of them runs.
    fn fleet(&self, more: Value, run: &str) -> Box<dyn Target> {
        let names: Vec<String> = (1..=self.sshds.len()).map(|n| format!("web{n}")).collect();
        let blocks: Vec<(&str, Value)> = names
            .iter()
            .zip(&self.sshds)
            .map(|(name, sshd)| {
                let block = json!({
                    "address": sshd.address(),
                    "key": sshd.path("deploy"),
                    "host-key": sshd.fingerprint(),
                });
                (name.as_str(), block)
            })
            .collect();
        let (hosts, wrong) = built(&blocks, None);
        assert_eq!(wrong, []);
        let mut each = json!({ "kind": "command", "run": run, "directory": self.folder.path() });
        let mut fleet = json!({ "kind": "fleet", "hosts": names });
        for (key, value) in more.as_object().unwrap() {
            let of_fleet = key == "at-once";
            let block = if of_fleet { &mut fleet } else { &mut each };
            block[key] = value.clone();
        }
        fleet["each"] = each;
        let with = cutover::targets::Tools {
            hosts,
            ..tools(self.folder.path())
        };
        made(fleet, &with).unwrap()
    }

    async fn deploy(&self, target: &dyn Target, cancelled: &CancellationToken) -> Deployed {
        let (lines, went) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let desk = Desk {
            say: &|line| lines.lock().unwrap().push(line),
            went: &|one: Went| {
                // For who waits until a failure is known.
                if !one.well {
                    fs::write(self.folder.path().join("known"), "").unwrap();
                }
                went.lock().unwrap().push(one);
            },
            cancelled,
            run: cancelled,
        };
        let order = order("v1");
        let deployed = target.deploy(&order, &desk);
        let outcome = in_the_end("it is deployed", deployed).await;
        Deployed {
            outcome,
            lines: lines.into_inner().unwrap(),
            went: went.into_inner().unwrap(),
        }
    }

    async fn run(&self, more: Value, run: &str) -> Deployed {
        let target = self.fleet(more, run);
        self.deploy(&*target, &CancellationToken::new()).await
    }

    fn has(&self, name: &str) -> bool {
        self.folder.path().join(name).exists()
    }

    /// Waits until a file is there.
    async fn comes(&self, name: &str) {
        until(&format!("{name} comes"), || self.has(name)).await;
    }

    /// Waits until a process is gone whose number is in a file.
    async fn ends(&self, name: &str) {
        let number = fs::read_to_string(self.folder.path().join(name)).unwrap();
        let process = Path::new("/proc").join(number.trim());
        until(&format!("{name} ends"), || !process.exists()).await;
    }
}

#[tokio::test]
async fn all_machines_are_deployed_to_at_the_same_time() {
    let machines = Machines::start(3);
    // Each waits for the others, so that they must be at work at the same time.
    let meet =
        "touch at.$NODE; until [ $(ls at.* | wc -l) = 3 ]; do sleep 0.01; done; echo $NODE $SLOT";
    let deployed = machines.run(json!({}), meet).await;
    let said = deployed.outcome.as_ref().unwrap();
    assert!(
        said.starts_with("3 of 3: ") && said.contains("slowest"),
        "{said}"
    );
    assert_eq!(
        deployed.well(),
        [("web1", true), ("web2", true), ("web3", true)]
    );
    for name in ["web1", "web2", "web3"] {
        // It ran there and nowhere else.
        let line = format!("{name}: {name} blue");
        assert!(deployed.lines.contains(&line), "{:?}", deployed.lines);
        let said = deployed.said_of(name);
        assert!(
            said.contains(&format!("on {name}")) && said.ends_with("ended with 0"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn no_more_are_at_work_than_may_be_and_a_slow_one_holds_nobody_up() {
    let machines = Machines::start(4);
    // The first goes on only when the last is at work, which takes the place of the others.
    let run = "mkdir in.$NODE; ls -d in.* | wc -l >> many; \
        [ $NODE = web1 ] && until test -e web4.began; do sleep 0.01; done; \
        touch $NODE.began; sleep 0.05; rmdir in.$NODE";
    let more = json!({ "at-once": 2, "timeout": "30s" });
    let deployed = machines.run(more, run).await;
    assert!(deployed.outcome.is_ok(), "{:?}", deployed.outcome);
    let many = fs::read_to_string(machines.folder.path().join("many")).unwrap();
    assert_eq!(many.lines().max(), Some("2"), "{many}");
    assert_eq!(deployed.well().len(), 4);
}

#[tokio::test]
async fn where_one_fails_those_at_work_end_and_no_further_one_begins() {
    let machines = Machines::start(3);
    let run = "touch $NODE.began; case $NODE in \
        web1) until test -e known; do sleep 0.01; done; touch web1.over;; \
        web2) until test -e web1.began; do sleep 0.01; done; echo disk full; exit 3;; esac";
    let deployed = machines.run(json!({ "at-once": 2 }), run).await;
    let Err(TargetError::Failed { said, last_words }) = &deployed.outcome else {
        panic!("{:?}", deployed.outcome);
    };
    assert!(
        said.contains("web2: ") && said.contains("ended with 3"),
        "{said}"
    );
    assert_eq!(last_words, &["web2: disk full"]);
    assert_eq!(deployed.well()[..2], [("web1", true), ("web2", false)]);
    assert!(machines.has("web1.over"));
    // The place that web2 left is taken by nobody.
    assert!(said.ends_with("1 of 3 went well; 1 not begun"), "{said}");
    assert_eq!(deployed.said_of("web3"), "web3: not begun");
    assert!(!machines.has("web3.began"));
}

#[tokio::test]
async fn one_that_vanishes_is_told_and_nothing_is_left_running_there() {
    let mut machines = Machines::start(3);
    let run = "echo $$ > pid.$NODE; [ $NODE = web2 ] && sleep 600; touch over.$NODE";
    let target = machines.fleet(json!({}), run);
    let mut web2 = machines.sshds.remove(1);
    let cancelled = CancellationToken::new();
    let deed = async {
        for name in ["pid.web2", "over.web1", "over.web3"] {
            machines.comes(name).await;
        }
        web2.vanish();
    };
    let (deployed, ()) = futures_util::join!(machines.deploy(&*target, &cancelled), deed);
    let Err(TargetError::Lost { said, .. }) = &deployed.outcome else {
        panic!("{:?}", deployed.outcome);
    };
    assert!(
        said.contains("web2: ") && said.ends_with("2 of 3 went well"),
        "{said}"
    );
    assert_eq!(
        deployed.well(),
        [("web1", true), ("web2", false), ("web3", true)]
    );
    machines.ends("pid.web2").await;
    assert!(!machines.has("over.web2"));
}

#[tokio::test]
async fn one_that_takes_too_long_is_ended_there() {
    let machines = Machines::start(3);
    let run = "echo $$ > pid.$NODE; [ $NODE != web3 ] || sleep 600";
    let deployed = machines.run(json!({ "timeout": "5s" }), run).await;
    let Err(TargetError::TimedOut { said, after, .. }) = &deployed.outcome else {
        panic!("{:?}", deployed.outcome);
    };
    assert_eq!(*after, Duration::from_secs(5));
    assert!(
        said.contains("web3: ") && said.ends_with("2 of 3 went well"),
        "{said}"
    );
    machines.ends("pid.web3").await;
    assert_eq!(
        deployed.well(),
        [("web1", true), ("web2", true), ("web3", false)]
    );
}

#[tokio::test]
async fn a_cancelled_run_leaves_nothing_running_anywhere() {
    let machines = Machines::start(3);
    let target = machines.fleet(json!({ "at-once": 2 }), "echo $$ > pid.$NODE; sleep 600");
    let cancelled = CancellationToken::new();
    let deed = async {
        machines.comes("pid.web1").await;
        machines.comes("pid.web2").await;
        cancelled.cancel();
    };
    let (deployed, ()) = futures_util::join!(machines.deploy(&*target, &cancelled), deed);
    assert_eq!(deployed.outcome, Err(TargetError::Cancelled));
    machines.ends("pid.web1").await;
    machines.ends("pid.web2").await;
    assert!(!machines.has("pid.web3"));
    assert_eq!(deployed.said_of("web3"), "web3: not begun");
}

#[tokio::test]
async fn where_one_cannot_be_reached_nobody_is_deployed_to() {
    let mut machines = Machines::start(3);
    machines.sshds[1].vanish();
    let deployed = machines.run(json!({}), "touch began.$NODE").await;
    let Err(TargetError::OutOfReach(said)) = &deployed.outcome else {
        panic!("{:?}", deployed.outcome);
    };
    assert!(
        said.starts_with("web2: web2 (root@127.0.0.3:")
            && said.ends_with("no machine was deployed to"),
        "{said}"
    );
    assert!(deployed.went.is_empty());
    assert_eq!(fs::read_dir(machines.folder.path()).unwrap().count(), 0);
}
