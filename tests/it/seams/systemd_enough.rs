//! A unit that was waited for long enough, under a real systemd. After a failover's deadline somebody
//! follows in the slot, so systemd has done its work by then; after a cancelled run nobody does.

use cutover::targets::{Target, TargetError};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::systemd::{BLUE, World};
use super::targets::order;
use crate::world::patience::at_once_blocking;

/// It never gets ready, and takes all the time that it has to end.
const SLOW: &str = "v2-never-stays";

impl World {
    /// What systemd is at, and what it still has to do.
    fn at(&self) -> String {
        let words = ["systemctl", "show", "-P", "ActiveState", "-P", "Job", BLUE];
        let said = self.machine.run(&words);
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    /// Deploys the slow one and has enough of it once it has begun.
    fn enough(&self, run: &CancellationToken, then: impl FnOnce() + Send) -> Vec<String> {
        let target: Box<dyn Target> = self.target("root", json!({}));
        let enough = run.child_token();
        let begun = || {
            let journal = ["journalctl", "-q", "-o", "cat", "-u", BLUE];
            let said = self.machine.run(&journal).stdout;
            let told = String::from_utf8(said).unwrap();
            told.lines().last() == Some(&format!("release {SLOW}"))
                && self.machine.state(BLUE) == "activating"
        };
        let (ended, lines) = self.until(run, &enough, &*target, &order(SLOW), || {
            at_once_blocking("nothing was begun", begun);
            enough.cancel();
            then();
        });
        assert_eq!(ended, Err(TargetError::Cancelled));
        lines
    }
}

#[test]
fn it_is_over_when_it_returns() {
    let world = World::start();
    let run = CancellationToken::new();

    // Nothing ran before; systemd has killed it in the end.
    let lines = world.enough(&run, || {});
    assert_eq!(world.at(), "failed", "{lines:?}");
    let stopped = "the unit is stopped, as it was before";
    assert_eq!(lines, [format!("{BLUE}: {stopped}")]);

    world.good(&*world.target("root", json!({})), "v1");
    let lines = world.enough(&run, || {});
    assert_eq!(world.at(), "active", "{lines:?}");
    assert_eq!(world.served(), "v1");
    let back = "the release before runs again";
    assert_eq!(lines, [format!("{BLUE}: {back}")]);
}

#[test]
fn a_run_that_is_cancelled_meanwhile_waits_no_longer() {
    let world = World::start();
    world.good(&*world.target("root", json!({})), "v1");
    let run = CancellationToken::new();
    let lines = world.enough(&run, || {
        at_once_blocking("it is not put back", || {
            world.machine.state(BLUE) == "deactivating"
        });
        run.cancel();
    });
    let soon = "the release before is starting again";
    assert_eq!(lines, [format!("{BLUE}: {soon}")]);
    at_once_blocking("v1 does not come back", || world.served() == "v1");
}
