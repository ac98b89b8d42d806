//! The one connection to a host: how it is made, who may answer, and how it is kept warm.
//!
//! It is made when it is first needed and made again when it was lost; what had been begun over
//! the lost one is its caller's matter. Everything on the way has a deadline.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use russh::AlgorithmKind;
use russh::client::{Handle, Handler, connect_stream};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::login::Login;
use super::pins::{Pins, fingerprint};
use super::session::Session;
use super::terms::{config, same_kind};
use super::{Over, PORT};
use crate::hosts::shell::kept::{self, Kept};
use crate::hosts::shell::{Seat, Shell, Talk};
use crate::platform::host::{HostError, Socket, Stream};
use crate::platform::secret::Vault;
use crate::platform::{names, text};

/// How long it may take until the host takes our connection, and until a channel is open.
const DEADLINE: Duration = Duration::from_secs(10);

/// How long each half of the log-in may then take: it is arithmetic for both machines.
const LOGIN: Duration = Duration::from_secs(20);

/// How many log in at once: of hundreds of hosts the last must not seem dead because this machine is slow.
static DOOR: Semaphore = Semaphore::const_new(32);

/// Commands at once over one connection, and locks beside them, for who holds one needs a seat for
/// what is done under it. OpenSSH's `MaxSessions` is 10 by default, and a session that is over
/// stays one for a moment.
const SEATS: [usize; 2] = [6, 2];

/// How long a seat is waited for: others may be long at work.
const QUEUE: Duration = Duration::from_secs(600);

/// After how long a session that is refused is asked for again where so few may be open at once.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a host is, and who it must be.
pub(super) struct Place {
    /// Its name in the config.
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Over which host the way leads.
    pub(super) jump: Option<Over>,
    pub(super) pins: Pins,
    pub(super) vault: Vault,
}

/// The way to a host, whether it is open or not.
pub(super) struct Line {
    pub(super) place: Place,
    login: Login,
    warm: tokio::sync::Mutex<Option<Arc<Warm>>>,
    kept: kept::Place,
}

/// An open connection.
pub(super) struct Warm {
    handle: Handle<Gate>,
    seats: [Arc<Semaphore>; 2],
}

/// Looks at the host's key while the connection is made.
pub(super) struct Gate {
    pins: Pins,
    seen: Arc<Mutex<Option<PublicKey>>>,
}

impl Handler for Gate {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let key = shown.public_key();
        let held = self.pins.hold(&key);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(held)
    }
}

impl Line {
    pub(super) fn new(place: Place, login: Login) -> Self {
        Self {
            place,
            login,
            warm: tokio::sync::Mutex::default(),
            kept: kept::Place::default(),
        }
    }

    /// `deploy@10.0.0.5:22`.
    pub(super) fn told(&self) -> String {
        let Place { host, port, .. } = &self.place;
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.clone(),
        };
        format!("{}@{host}:{port}", self.login.user)
    }

    /// The connection, which is made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Warm>, HostError> {
        let mut warm = self.warm.lock().await;
        if let Some(warm) = warm.as_ref().filter(|it| !it.handle.is_closed()) {
            return Ok(Arc::clone(warm));
        }
        let dialled = self.dial().await;
        let fresh = Arc::new(dialled.map_err(|said| HostError::OutOfReach(self.said(&said)))?);
        *warm = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// Not to be used again: it does not answer.
    async fn forget(&self, lost: &Arc<Warm>) {
        let mut warm = self.warm.lock().await;
        if warm.as_ref().is_some_and(|it| Arc::ptr_eq(it, lost)) {
            *warm = None;
        }
    }

    async fn dial(&self) -> Result<Warm, String> {
        let mut kinds = self.place.pins.algorithms();
        let mut shown = Vec::new();
        let late = |_| {
            format!(
                "it takes our connection and does not let us in within {}",
                text::duration(LOGIN)
            )
        };
        let (mut handle, _turn) = loop {
            // What the way leads over has logged in by then, and holds no turn.
            let stream = self.wire().await?;
            let turn = DOOR.acquire().await;
            let seen = Arc::new(Mutex::new(None));
            let gate = Gate {
                pins: self.place.pins.clone(),
                seen: Arc::clone(&seen),
            };
            let greeting = connect_stream(Arc::new(config(&kinds)), stream, gate);
            let failed = match timeout(LOGIN, greeting).await.map_err(late)? {
                Ok(handle) => break (handle, turn),
                Err(failed) => failed,
            };
            let key = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
            match (failed, key) {
                (russh::Error::UnknownKey, Some(key)) => {
                    // A fingerprint does not say of which kind its key is: it may be another one.
                    kinds.retain(|kind| !same_kind(kind, &key.algorithm()));
                    shown.push(key);
                    if kinds.is_empty() {
                        return Err(self.stranger(&shown));
                    }
                }
                (
                    russh::Error::NoCommonAlgo {
                        kind: AlgorithmKind::Key,
                        ..
                    },
                    _,
                ) if !shown.is_empty() => {
                    return Err(self.stranger(&shown));
                }
                (
                    russh::Error::NoCommonAlgo {
                        kind: AlgorithmKind::Key,
                        theirs,
                        ..
                    },
                    _,
                ) => {
                    return Err(format!(
                        "it shows no key of the kind that is pinned ({}); it has {}",
                        self.place.pins.told(),
                        theirs.join(", ")
                    ));
                }
                (failed, _) => return Err(failed.to_string()),
            }
        };
        let login = self.login.at(&mut handle);
        timeout(LOGIN, login).await.map_err(late)??;
        Ok(Warm {
            handle,
            seats: SEATS.map(|seats| Arc::new(Semaphore::new(seats))),
        })
    }

    /// What the protocol is spoken over.
    async fn wire(&self) -> Result<Box<dyn Stream>, String> {
        let Place {
            host, port, jump, ..
        } = &self.place;
        if let Some(over) = jump {
            let to = Socket::Tcp(host.clone(), *port);
            return over.connect(&to).await.map_err(|failed| failed.to_string());
        }
        let connecting = async {
            let addresses = names::addresses(host, *port).await;
            let addresses = addresses.map_err(|failed| failed.to_string())?;
            let stream = TcpStream::connect(&addresses[..]).await;
            stream.map_err(|failed| failed.to_string())
        };
        let late = |_| format!("no connection within {}", text::duration(DEADLINE));
        let stream = timeout(DEADLINE, connecting).await.map_err(late)??;
        // Small questions and small answers: none should wait for the next one.
        stream
            .set_nodelay(true)
            .map_err(|failed| failed.to_string())?;
        Ok(Box::new(stream))
    }

    /// That the host is not who it should be, and what to do if it is after all.
    fn stranger(&self, shown: &[PublicKey]) -> String {
        let Place {
            host, port, pins, ..
        } = &self.place;
        let name = match *port {
            PORT => host.clone(),
            port => format!("[{host}]:{port}"),
        };
        let print = |key: &PublicKey| format!("{} {}", key.algorithm().as_str(), fingerprint(key));
        let all: Vec<String> = shown.iter().map(print).collect();
        let first = &shown[0];
        let line = PublicKey::new(first.key_data().clone(), "").to_openssh();
        format!(
            "it shows a key that is not the pinned one, so nothing was sent: shown {}, pinned {}; if its owner says that the shown one is right, write `host-key: \"{}\"`, or add the line `{name} {}` to `known-hosts`; else somebody sits between",
            all.join(", "),
            pins.told(),
            fingerprint(first),
            line.unwrap_or_default()
        )
    }

    /// A channel for a command. One over a connection that turns out to be lost is tried once more.
    async fn session(&self, seat: Seat) -> Result<Session, HostError> {
        let (mut again, mut refused) = (true, None);
        loop {
            let warm = self.connection().await?;
            let seats = Arc::clone(&warm.seats[seat as usize]);
            let taking = timeout(QUEUE, seats.acquire_owned()).await;
            let said = "too many commands are at work there for one more to begin";
            let taken = taking.map_err(|_| HostError::OutOfReach(self.said(&said)))?;
            let opened = timeout(DEADLINE, warm.handle.channel_open_session()).await;
            match opened {
                Ok(Ok(channel)) => return Ok(Session::new(channel, taken.ok(), warm)),
                Ok(Err(russh::Error::ChannelOpenFailure(_)))
                    if refused.get_or_insert_with(Instant::now).elapsed() < DEADLINE =>
                {
                    // The shell that stays gives way; and what has just ended keeps its place for a
                    // moment more, on a busy machine for longer.
                    if let Some(kept) = Kept::of(self) {
                        kept.end().await;
                    }
                    sleep(PAUSE).await;
                }
                Ok(Err(russh::Error::ChannelOpenFailure(why))) => {
                    return Err(HostError::Refused(
                        self.said(&format!("it opens no session: {why:?}")),
                    ));
                }
                _ if again => {
                    again = false;
                    self.forget(&warm).await;
                }
                _ => {
                    let said = "it accepts us, and then opens no session";
                    return Err(HostError::OutOfReach(self.said(&said)));
                }
            }
        }
    }

    /// A connection from that host to something.
    async fn stream(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        let mut again = true;
        loop {
            let warm = self.connection().await?;
            let handle = &warm.handle;
            let opening = async {
                match to {
                    Socket::Unix(path) => {
                        handle
                            .channel_open_direct_streamlocal(path.to_string_lossy())
                            .await
                    }
                    Socket::Tcp(host, port) => {
                        let port = u32::from(*port);
                        handle
                            .channel_open_direct_tcpip(host, port, "127.0.0.1", 0)
                            .await
                    }
                }
            };
            match timeout(DEADLINE, opening).await {
                Ok(Ok(channel)) => return Ok(Box::new(channel.into_stream())),
                Ok(Err(russh::Error::ChannelOpenFailure(why))) => {
                    let at = match to {
                        Socket::Unix(path) => format!("unix:{}", path.display()),
                        Socket::Tcp(host, port) => format!("{host}:{port}"),
                    };
                    let said = format!("{at} cannot be opened over there: {why:?}");
                    return Err(HostError::OutOfReach(self.said(&said)));
                }
                _ if again => {
                    again = false;
                    self.forget(&warm).await;
                }
                _ => {
                    let said = "it accepts us, and then opens no channel";
                    return Err(HostError::OutOfReach(self.said(&said)));
                }
            }
        }
    }
}

#[async_trait]
impl Shell for Line {
    fn name(&self) -> &str {
        &self.place.name
    }

    async fn reach(&self) -> Result<String, HostError> {
        // A connection that was open may be lost, which shows when it is used.
        self.session(Seat::Command).await?;
        Ok(self.told())
    }

    async fn begin(&self, line: String, seat: Seat) -> Result<Box<dyn Talk>, HostError> {
        let session = self.session(seat).await?;
        let begun = session.speaks.exec(true, line).await;
        begun.map_err(|failed| HostError::OutOfReach(self.said(&failed)))?;
        Ok(Box::new(session))
    }

    fn keeps(&self) -> Option<&kept::Place> {
        Some(&self.kept)
    }

    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        self.stream(to).await
    }

    fn said(&self, what: &dyn Display) -> String {
        let what = what.to_string();
        let what = self.place.vault.redact(&what);
        format!("{} ({}): {what}", self.place.name, self.told())
    }

    fn mute(&self, words: &str) -> String {
        match words.is_empty() {
            true => "its login shell ran nothing and said nothing".to_owned(),
            false => format!("its login shell did not run the command; it said: {words}"),
        }
    }
}
