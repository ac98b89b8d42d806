//! Units as a target, under a real systemd: what is told to a unit, what is put back, and what is
//! refused before anything is changed.

use std::path::Path;
use std::sync::Mutex;

use cutover::targets::{Desk, Order, Target, TargetError, Tools};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use super::targets::{Case, made, order, tools};
use crate::world::machine::Machine;
use crate::world::patience::{at_once_blocking, in_the_end};

/// A machine, and who asks it.
pub(super) struct World {
    runtime: Runtime,
    pub(super) machine: Machine,
}

pub(super) const BLUE: &str = "shop@blue.service";

impl World {
    pub(super) fn start() -> Self {
        Self {
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            machine: Machine::start(),
        }
    }

    pub(super) fn target(&self, login: &str, more: Value) -> Box<dyn Target> {
        made(with(more), &reaching(&self.machine, login)).unwrap()
    }

    /// Deploys while another thread watches, and may cancel.
    fn watched(
        &self,
        target: &dyn Target,
        order: &Order,
        watch: impl FnOnce(&CancellationToken) + Send,
    ) -> (Result<String, TargetError>, Vec<String>) {
        self.under(CancellationToken::new(), target, order, watch)
    }

    /// The same of a run that others may cancel, too.
    pub(super) fn under(
        &self,
        cancelled: CancellationToken,
        target: &dyn Target,
        order: &Order,
        watch: impl FnOnce(&CancellationToken) + Send,
    ) -> (Result<String, TargetError>, Vec<String>) {
        self.until(&cancelled, &cancelled, target, order, || watch(&cancelled))
    }

    /// The same until it is enough, which it is also where the run goes on.
    pub(super) fn until(
        &self,
        run: &CancellationToken,
        enough: &CancellationToken,
        target: &dyn Target,
        order: &Order,
        watch: impl FnOnce() + Send,
    ) -> (Result<String, TargetError>, Vec<String>) {
        let lines = Mutex::new(Vec::new());
        let say = |line| lines.lock().unwrap().push(line);
        let desk = Desk {
            say: &say,
            went: &|_| {},
            cancelled: enough,
            run,
        };
        let outcome = std::thread::scope(|scope| {
            scope.spawn(watch);
            self.runtime.block_on(in_the_end("it is deployed", async {
                target.prepare(order).await?;
                target.deploy(order, &desk).await
            }))
        });
        (outcome, lines.into_inner().unwrap())
    }

    pub(super) fn good(&self, target: &dyn Target, version: &str) -> String {
        self.watched(target, &order(version), |_| {}).0.unwrap()
    }

    pub(super) fn bad(&self, target: &dyn Target, version: &str) -> TargetError {
        self.watched(target, &order(version), |_| {}).0.unwrap_err()
    }

    pub(super) fn served(&self) -> String {
        self.machine.served("blue")
    }
}

/// A target of quick patience.
pub(super) fn with(more: Value) -> Value {
    let mut options = json!({
        "kind": "systemd", "unit": "shop@$SLOT.service", "host": "web1", "wait": "20s", "steady": "500ms",
    });
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options
}

pub(super) fn reaching(machine: &Machine, login: &str) -> Tools {
    let (hosts, wrong) = built(&[("web1", machine.host(login))], None);
    assert_eq!(wrong, []);
    Tools {
        hosts,
        ..tools(Path::new("/"))
    }
}

#[test]
fn a_unit_is_told_its_version_and_a_bad_one_is_put_back() {
    let world = World::start();
    let target = world.target("root", json!({ "env": { "REGION": "eu \"1\" 100%" } }));
    let said = world.good(&*target, "v1");
    assert_eq!(
        said,
        "shop@blue.service is active, it ran for 500 ms without a restart on web1"
    );
    assert_eq!(world.served(), "v1");
    let environ = world.machine.run(&[
        "sh",
        "-c",
        "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID shop@blue)/environ",
    ]);
    let environ = String::from_utf8(environ.stdout).unwrap();
    assert!(environ.contains("REGION=eu \"1\" 100%\n"), "{environ}");

    // A version may be any word.
    let odd = r#"v2'"$(touch /tmp/x)`id` %n \ $HOME;"#;
    world.good(&*target, odd);
    assert_eq!(world.served(), odd);
    let broken = world.bad(&*target, "v3\n[Service]\nExecStart=/bin/sh");
    assert!(
        matches!(&broken, TargetError::OutOfReach(said) if said.contains("VERSION has a line break")),
        "{broken}"
    );

    // One that crashes is let go, and the one before runs again, as it was told.
    let before = world.machine.drop_in(BLUE).unwrap();
    let TargetError::Failed { said, last_words } = world.bad(&*target, "v3-crash") else {
        panic!("it failed otherwise");
    };
    assert!(
        said.starts_with("shop@blue.service keeps crashing: it was started ")
            && said.ends_with("; the release before runs again"),
        "{said}"
    );
    assert!(
        last_words
            .iter()
            .any(|line| line == "cannot read the config"),
        "{last_words:?}"
    );
    assert_eq!(world.served(), odd);
    assert_eq!(world.machine.drop_in(BLUE).unwrap(), before);
    let left = std::fs::read_dir(world.machine.path(&format!("units/{BLUE}.d"))).unwrap();
    assert_eq!(left.count(), 1, "nothing stands aside");
}

#[test]
fn what_never_ran_is_stopped_again_and_leaves_nothing() {
    let world = World::start();
    let once = world.target("root", json!({ "unit": "once@$SLOT.service" }));
    let TargetError::Failed { said, .. } = world.bad(&*once, "v1-crash") else {
        panic!("it failed otherwise");
    };
    assert!(
        said.starts_with("once@blue.service ended with 1 after ")
            && said.ends_with(", wanted it to run; the unit is stopped, as it was before"),
        "{said}"
    );
    assert!(!world.machine.path("units/once@blue.service.d").exists());
    assert_eq!(world.machine.state("once@blue"), "inactive");

    let never = world.target("root", json!({ "wait": "700ms" }));
    let late = world.bad(&*never, "v1-never");
    let TargetError::TimedOut {
        said, last_words, ..
    } = late
    else {
        panic!("{late:?}");
    };
    assert_eq!(
        said,
        "shop@blue.service is activating (start) after 700 ms, its wait is over; the unit is stopped, as it was before"
    );
    assert!(
        last_words.contains(&"release v1-never".to_owned()),
        "{last_words:?}"
    );

    let unmet = world.target("root", json!({ "unit": "unmet@$SLOT.service" }));
    let said = world.bad(&*unmet, "v1").to_string();
    assert!(said.contains("a condition of its is not met"), "{said}");
}

#[test]
fn what_cannot_work_is_refused_and_changes_nothing() {
    let world = World::start();
    let refused = |login: &str, more: Value| {
        let target = world.target(login, more);
        let failed = world.runtime.block_on(target.prepare(&order("v1")));
        let Err(TargetError::OutOfReach(said)) = failed else {
            panic!("{failed:?}");
        };
        said
    };
    assert_eq!(
        refused("root", json!({ "unit": "shpo@$SLOT.service" })),
        "there is no unit shpo@blue.service; put shpo@.service into /etc/systemd/system on web1"
    );
    let odd = refused("root", json!({ "unit": "odd@$SLOT.service" }));
    assert!(
        odd.starts_with("odd@blue.service cannot be loaded: "),
        "{odd}"
    );
    assert_eq!(
        refused("clerk", json!({})),
        "shop@blue.service on web1: clerk may not write in /etc/systemd/system; log in as root, or say `sudo: true`"
    );
    let asks = refused("clerk", json!({ "sudo": true }));
    assert!(
        asks.contains("sudo: a password is required; let that login run `sudo` without a password"),
        "{asks}"
    );
    let here = made(with(json!({ "host": null })), &tools(Path::new("/"))).unwrap();
    let here = world.runtime.block_on(here.prepare(&order("v1")));
    let here = here.unwrap_err().to_string();
    assert!(
        here.contains("systemd does not run here, process 1 is ")
            || here.contains("there is no unit")
            || here.contains("there is no systemctl"),
        "{here}"
    );
    let units = std::fs::read_dir(world.machine.path("units")).unwrap();
    let folders = units.filter(|unit| unit.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), 0);

    let known = reaching(&world.machine, "root");
    known.vault.keep("s3cr3t-token");
    for (more, said) in [
        (json!({ "unit": "shop.service" }), "shop@$SLOT.service"),
        (json!({ "unit": "shop@$SLOT" }), "shop@$SLOT.service"),
        (json!({ "steady": "1h" }), "steady: "),
        (json!({ "env": { "TOKEN": "s3cr3t-token" } }), "env.TOKEN: "),
        (json!({ "host": "wbe1" }), "did you mean \"web1\"?"),
    ] {
        let refused = made(with(more), &known).map(drop).unwrap_err();
        assert!(
            refused.contains(said) && !refused.contains("s3cr3t"),
            "{refused}"
        );
    }
}

#[test]
fn a_login_that_is_not_root_s_goes_by_sudo() {
    let world = World::start();
    let target = world.target("deploy", json!({ "sudo": true }));
    world.good(&*target, "v1");
    assert_eq!(world.served(), "v1");
    let failed = world.bad(&*target, "v2-crash");
    let TargetError::Failed { last_words, .. } = failed else {
        panic!("{failed:?}");
    };
    assert!(
        last_words
            .iter()
            .any(|line| line == "cannot read the config"),
        "{last_words:?}"
    );
    assert_eq!(world.served(), "v1");
}

#[test]
fn a_cancelled_one_and_one_whose_way_is_lost_end_defined() {
    let mut world = World::start();
    let target = world.target("root", json!({}));
    world.good(&*target, "v1");
    let begun = |world: &World| {
        let told = || world.machine.drop_in(BLUE).unwrap_or_default();
        at_once_blocking("nothing was begun", || {
            told().contains("v2-never") && world.machine.state(BLUE) == "activating"
        });
    };
    let (ended, lines) = world.watched(&*target, &order("v2-never"), |cancelled| {
        begun(&world);
        cancelled.cancel();
    });
    assert_eq!(ended, Err(TargetError::Cancelled));
    assert_eq!(
        lines,
        ["shop@blue.service: the release before is starting again"]
    );
    at_once_blocking("v1 does not come back", || world.served() == "v1");

    let (ended, _) = world.watched(&*target, &order("v2-never"), |_| {
        begun(&world);
        world.machine.vanish();
    });
    let Err(TargetError::Lost { said, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert!(
        said.contains("could not be put back")
            && said.contains("systemctl status shop@blue.service"),
        "{said}"
    );
    // The next run knows what was there before the one that was lost.
    world.machine.come_back();
    let target = world.target("root", json!({}));
    let failed = world.bad(&*target, "v3-crash").to_string();
    assert!(
        failed.ends_with("the release before runs again"),
        "{failed}"
    );
    assert_eq!(world.served(), "v1");
}

#[test]
fn it_stops_what_it_has_started() {
    let world = World::start();
    let target = world.target("root", json!({}));
    world.good(&*target, "v1");
    let desk = Desk {
        say: &|_| {},
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let stopping = target.stops().unwrap();
    let order = order("v1");
    for _ in 0..2 {
        let said = world.runtime.block_on(stopping.stop(&order, &desk));
        assert_eq!(said.unwrap(), "shop@blue.service is stopped on web1");
    }
    assert_eq!(world.machine.state(BLUE), "inactive");
    world.good(&*target, "v1");
    assert_eq!(world.served(), "v1");
}

/// What the contract suite holds units to.
pub(super) fn case(_: &Machine) -> Case {
    let with = |version: &str| {
        with(
            json!({ "unit": "shop@$SLOT.service", "steady": "100ms", "env": { "VERSION": version } }),
        )
    };
    let mut slow = with("v1-never");
    (slow["wait"], slow["steady"]) = (json!("200ms"), json!("0s"));
    Case {
        good: with("v1"),
        failing: with("v1-crash"),
        hopeless: (
            super::systemd::with(json!({ "unit": "gone@$SLOT.service" })),
            order("v1"),
        ),
        slow: Some(slow),
    }
}

/// The tools that reach it.
pub(super) fn hosts(machine: &Machine) -> cutover::platform::host::Hosts {
    reaching(machine, "root").hosts
}
