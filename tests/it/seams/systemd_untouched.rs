//! A unit whose exchange did not get as far as to change anything, under a real systemd: the release
//! that runs there runs on, undisturbed, and is told the same.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cutover::platform::host::{
    Grown, Held, Host, HostError, Hosts, Kind, ReadTo, Seen, Socket, Stream, Uploaded,
};
use cutover::platform::process::{Ran, Script, Sink};
use cutover::targets::{Target, TargetError, Tools};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::systemd::{BLUE, World, reaching, with};
use super::targets::{made, order, tools};

/// A host that is reached, and a run that is cancelled at the moment at which it is about to do that.
struct CutBefore {
    host: Arc<dyn Host>,
    what: &'static str,
    run: CancellationToken,
}

#[async_trait]
impl Host for CutBefore {
    fn name(&self) -> Option<&str> {
        self.host.name()
    }
    async fn reach(&self) -> Result<String, HostError> {
        self.host.reach().await
    }
    async fn run(
        &self,
        script: &Script<'_>,
        hidden: &[(String, String)],
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Ran, HostError> {
        if script.run.contains(self.what) {
            self.run.cancel();
        }
        self.host.run(script, hidden, say, cancelled).await
    }
    async fn kind(&self, path: &Path) -> Result<Option<Kind>, HostError> {
        self.host.kind(path).await
    }
    async fn read(&self, path: &Path, cap: u64) -> Result<Seen, HostError> {
        self.host.read(path, cap).await
    }
    async fn read_on(
        &self,
        path: &Path,
        since: Option<ReadTo>,
        cap: u64,
    ) -> Result<Grown, HostError> {
        self.host.read_on(path, since, cap).await
    }
    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        self.host.connect(to).await
    }
    async fn list(&self, directory: &Path) -> Result<Vec<(String, Kind)>, HostError> {
        self.host.list(directory).await
    }
    async fn writable(&self, directory: &Path) -> Result<(), HostError> {
        self.host.writable(directory).await
    }
    async fn replace(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        self.host.replace(path, content).await
    }
    async fn rename(&self, from: &Path, to: &Path) -> Result<bool, HostError> {
        self.host.rename(from, to).await
    }
    async fn lock(&self, path: &Path, patience: Duration) -> Result<Option<Held>, HostError> {
        self.host.lock(path, patience).await
    }
    async fn upload(
        &self,
        from: &Path,
        to: &Path,
        cancelled: &CancellationToken,
    ) -> Result<Uploaded, HostError> {
        self.host.upload(from, to, cancelled).await
    }
}

/// What must stay as it is: what the unit is told, which start it is of, and what is beside it.
fn standing(world: &World) -> String {
    let folder = format!("/etc/systemd/system/{BLUE}.d");
    let look = format!(
        "cat {folder}/50-cutover.conf; ls -A {folder} | grep -v fill; systemctl show -P InvocationID -P ActiveState {BLUE}"
    );
    let said = world.machine.run(&["sh", "-c", &look]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("VERSION=v1") && said.contains("active"),
        "{said}"
    );
    said
}

#[test]
fn a_full_disk_leaves_the_unit_as_it_was() {
    let world = World::start();
    let shell = |line: &str| {
        let done = world.machine.run(&["sh", "-c", line]);
        assert!(done.status.success(), "{line}: {done:?}");
    };
    let folder = format!("/etc/systemd/system/{BLUE}.d");
    shell(&format!(
        "mkdir {folder} && mount -t tmpfs -o size=64k tmpfs {folder}"
    ));
    let target = world.target("root", json!({}));
    world.good(&*target, "v1");
    let before = standing(&world);
    shell(&format!(
        "! dd if=/dev/zero of={folder}/fill bs=4k 2>/dev/null"
    ));

    let failed = world.bad(&*target, "v2");
    assert_eq!(standing(&world), before);
    assert_eq!(world.served(), "v1");
    let TargetError::Failed { said, .. } = failed else {
        panic!("{failed:?}");
    };
    assert!(
        said.contains("No space left on device") && said.ends_with("; the unit was left as it was"),
        "{said}"
    );

    // There is room again.
    shell(&format!("rm {folder}/fill"));
    world.good(&*target, "v2");
    assert_eq!(world.served(), "v2");
}

/// Deploys v2 where v1 is, and cancels the run when it is about to do `what`.
fn cut_before(world: &World, what: &'static str) -> (Result<String, TargetError>, Vec<String>) {
    let run = CancellationToken::new();
    let reached = reaching(&world.machine, "root").hosts;
    let host: Arc<dyn Host> = Arc::new(CutBefore {
        host: reached.named(Some("web1")).unwrap(),
        what,
        run: run.clone(),
    });
    let tools = Tools {
        hosts: Hosts::new([("web1".to_owned(), host)].into()),
        ..tools(Path::new("/"))
    };
    let target: Box<dyn Target> = made(with(json!({})), &tools).unwrap();
    world.under(run, &*target, &order("v2"), |_| {})
}

#[test]
fn a_cancel_before_anything_is_written_leaves_the_unit_as_it_was() {
    let world = World::start();
    world.good(&*world.target("root", json!({})), "v1");
    let before = standing(&world);
    let (ended, lines) = cut_before(&world, "> 50-cutover.new");
    assert_eq!(ended, Err(TargetError::Cancelled));
    assert_eq!(standing(&world), before);
    assert_eq!(world.served(), "v1");
    assert_eq!(lines, [format!("{BLUE}: the unit was left as it was")]);
}

/// What was before is what a failure goes back to, and by now the new one is well.
#[test]
fn a_cancel_once_the_unit_is_well_leaves_nothing_to_go_back_to() {
    let world = World::start();
    world.good(&*world.target("root", json!({})), "v1");
    let (ended, _) = cut_before(&world, "rm -f -- \"$2/50-cutover.before\"");
    assert!(ended.is_ok(), "{ended:?}");
    let folder = format!("/etc/systemd/system/{BLUE}.d");
    let left = world.machine.run(&["ls", "-A", &folder]);
    assert_eq!(String::from_utf8(left.stdout).unwrap(), "50-cutover.conf\n");
    assert_eq!(world.served(), "v2");
}
