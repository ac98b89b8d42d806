//! What comes between while containers are exchanged: an engine that falls silent, a container that
//! somebody removes, a run that was killed earlier. The slot has what it had before, or the new one.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cutover::targets::TargetError;
use serde_json::json;

use super::docker::{World, has};
use super::targets::order;
use crate::world::patience::until_blocking;
use crate::world::registry::import;

/// The way to an engine's socket, which can be closed for a while.
struct Relay {
    silent: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Relay {
    fn start(at: &Path, to: PathBuf) -> Self {
        let relay = Self {
            silent: Arc::default(),
            turned_away: Arc::default(),
            open: Arc::default(),
        };
        let listener = UnixListener::bind(at).unwrap();
        let (silent, turned_away) = (Arc::clone(&relay.silent), Arc::clone(&relay.turned_away));
        let open = Arc::clone(&relay.open);
        // Ends with the test's process; nobody waits for it.
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let mut open = open.lock().unwrap();
                if silent.load(Ordering::SeqCst) {
                    turned_away.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let Ok(engine) = UnixStream::connect(&to) else {
                    continue;
                };
                for (from, into) in [(&client, &engine), (&engine, &client)] {
                    let (mut from, mut into) =
                        (from.try_clone().unwrap(), into.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut into);
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
                open.extend([client, engine]);
            }
        });
        relay
    }

    /// Cuts what is open, and lets nobody in until it has turned somebody away so often.
    fn is_silent_for(&self, times: usize) {
        let mut open = self.open.lock().unwrap();
        self.silent.store(true, Ordering::SeqCst);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(open);
        until_blocking("somebody is turned away", || {
            self.turned_away.load(Ordering::SeqCst) >= times
        });
        self.silent.store(false, Ordering::SeqCst);
    }
}

fn with_two_releases() -> World {
    let world = World::start();
    for release in ["v1", "v2"] {
        import(&world.dockerd, "shop", release, 0);
    }
    world
}

#[test]
fn an_engine_that_falls_silent_for_a_while_is_asked_again() {
    let world = with_two_releases();
    world.good(&*world.target(json!({})), &order("v1"));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("relay.sock");
    let relay = Relay::start(&socket, world.dockerd.socket());
    let target = world.target(json!({
        "engine": format!("unix://{}", socket.display()), "steady": "4s",
    }));
    let (outcome, lines) = world.cancelled_by(&*target, &order("v2"), |_| {
        world.until(|names| {
            has(names, "shop-blue running") && names.iter().any(|it| it.contains(".old-"))
        });
        relay.is_silent_for(3);
    });
    outcome.unwrap_or_else(|failed| panic!("{failed:?} after {lines:?}"));
    assert_eq!(world.served(), "v2");
}

#[test]
fn a_new_one_that_somebody_removes_does_not_keep_the_old_one_down() {
    let world = with_two_releases();
    world.good(&*world.target(json!({})), &order("v1"));
    let id = world.id("shop-blue");
    let target = world.target(json!({ "steady": "10s" }));
    let (outcome, lines) = world.cancelled_by(&*target, &order("v2"), |_| {
        world.until(|names| {
            has(names, "shop-blue running") && names.iter().any(|it| it.contains(".old-"))
        });
        world
            .dockerd
            .ask("DELETE", "/containers/shop-blue?force=1", "");
    });
    let failed = outcome.unwrap_err();
    assert!(matches!(failed, TargetError::Failed { .. }), "{failed:?}");
    let said = failed.to_string();
    assert!(
        said.ends_with("; the container before runs again"),
        "{said} {lines:?}"
    );
    assert_eq!(world.dockerd.containers(), ["shop-blue running"]);
    assert_eq!((world.served().as_str(), world.id("shop-blue")), ("v1", id));
}

#[test]
fn what_a_killed_run_stopped_ran() {
    let world = with_two_releases();
    let target = world.target(json!({ "restart": "always" }));
    world.good(&*target, &order("v1"));
    // So far it had come: what is laid down is stopped next.
    let policy = json!({ "RestartPolicy": { "Name": "no" } }).to_string();
    world
        .dockerd
        .ask("POST", "/containers/shop-blue/update", &policy);
    let bad = world.target(json!({ "env": { "MODE": "exit" }, "restart": "no" }));
    world
        .dockerd
        .ask("POST", "/containers/shop-blue/stop?t=0", "");
    let said = world.bad(&*bad, &order("v2")).to_string();
    assert!(
        said.ends_with("; the container before runs again"),
        "{said}"
    );
    assert_eq!(world.served(), "v1");
    let policy =
        world.dockerd.container("shop-blue")["HostConfig"]["RestartPolicy"]["Name"].clone();
    assert_eq!(policy, "always");
    // What was not even stopped is not taken for one that nothing has to be done to.
    let policy = json!({ "RestartPolicy": { "Name": "no" } }).to_string();
    world
        .dockerd
        .ask("POST", "/containers/shop-blue/update", &policy);
    let (said, _) = world.good(&*target, &order("v1"));
    assert!(!said.contains("nothing was changed"), "{said}");
    let policy =
        world.dockerd.container("shop-blue")["HostConfig"]["RestartPolicy"]["Name"].clone();
    assert_eq!(policy, "always");
}
