//! What comes between while containers are exchanged: an engine that falls silent, a container that
//! somebody removes, a run that was killed earlier. The slot has what it had before, or the new one.

use std::io::{self, Read as _, Write as _};
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
pub(super) struct Relay {
    silent: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<UnixStream>>>,
    held: Arc<Held>,
}

/// What is asked for and does not get to the engine for a while.
#[derive(Default)]
struct Held {
    words: Mutex<Option<String>>,
    is_there: AtomicBool,
}

impl Held {
    /// Hands over what a client asks.
    fn pass(&self, mut client: UnixStream, mut engine: &UnixStream) -> io::Result<()> {
        let mut bytes = [0; 8 << 10];
        loop {
            let asked = match client.read(&mut bytes)? {
                0 => return Ok(()),
                length => &bytes[..length],
            };
            let text = String::from_utf8_lossy(asked);
            let holds = || {
                let words = self.words.lock().unwrap();
                words.as_ref().is_some_and(|words| text.contains(words))
            };
            until_blocking("what is held is let go", || {
                let holds = holds();
                self.is_there.store(holds, Ordering::SeqCst);
                !holds
            });
            engine.write_all(asked)?;
        }
    }
}

impl Relay {
    pub(super) fn start(at: &Path, to: PathBuf) -> Self {
        let relay = Self {
            silent: Arc::default(),
            turned_away: Arc::default(),
            open: Arc::default(),
            held: Arc::default(),
        };
        let listener = UnixListener::bind(at).unwrap();
        let (silent, turned_away) = (Arc::clone(&relay.silent), Arc::clone(&relay.turned_away));
        let (open, held) = (Arc::clone(&relay.open), Arc::clone(&relay.held));
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
                let both = || (client.try_clone().unwrap(), engine.try_clone().unwrap());
                let ((from, into), held) = (both(), Arc::clone(&held));
                std::thread::spawn(move || {
                    let _ = held.pass(from, &into);
                    let _ = into.shutdown(Shutdown::Both);
                });
                let (mut into, mut from) = both();
                std::thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Both);
                });
                open.extend([client, engine]);
            }
        });
        relay
    }

    /// Keeps from the engine what has these words in it.
    pub(super) fn holds(&self, words: &str) {
        *self.held.words.lock().unwrap() = Some(words.to_owned());
    }

    pub(super) fn is_holding(&self) -> bool {
        self.held.is_there.load(Ordering::SeqCst)
    }

    pub(super) fn lets_go(&self) {
        *self.held.words.lock().unwrap() = None;
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
