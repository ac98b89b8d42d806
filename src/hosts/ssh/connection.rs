//! The one connection to a host: how it is made, who may answer, and how it is kept warm.
//!
//! It is made when it is first needed and made again when it was lost; what had been begun over
//! the lost one is its caller's matter. Everything on the way has a deadline.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use russh::client::{Config, Handle, Handler, Msg, connect_stream};
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Preferred};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::login::Login;
use super::pins::{Pins, fingerprint};
use super::{Over, PORT};
use crate::platform::host::{HostError, Socket, Stream};
use crate::platform::secret::Vault;
use crate::platform::{names, text};

/// How long it may take until we are in, and until a channel is open.
const DEADLINE: Duration = Duration::from_secs(10);

/// After so much silence the host is asked whether it is there still; after three of them without
/// an answer the connection is lost.
const SILENCE: Duration = Duration::from_secs(5);

/// Commands at once over one connection: OpenSSH's `MaxSessions` is 10 by default.
const SEATS: usize = 8;

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
}

/// An open connection.
pub(super) struct Warm {
    handle: Handle<Gate>,
    seats: Arc<Semaphore>,
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

    /// A sentence about this host.
    pub(super) fn said(&self, what: impl std::fmt::Display) -> String {
        let what = what.to_string();
        let what = self.place.vault.redact(&what);
        format!("{} ({}): {what}", self.place.name, self.told())
    }

    /// The connection, which is made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Warm>, HostError> {
        let mut warm = self.warm.lock().await;
        if let Some(warm) = warm.as_ref().filter(|it| !it.handle.is_closed()) {
            return Ok(Arc::clone(warm));
        }
        let late = || format!("no connection within {}", text::duration(DEADLINE));
        let dialled = timeout(DEADLINE, self.dial()).await;
        let dialled = dialled.unwrap_or_else(|_| Err(late()));
        let fresh = Arc::new(dialled.map_err(|said| HostError::OutOfReach(self.said(said)))?);
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
        let mut handle = loop {
            let stream = self.wire().await?;
            let seen = Arc::new(Mutex::new(None));
            let gate = Gate {
                pins: self.place.pins.clone(),
                seen: Arc::clone(&seen),
            };
            let failed = match connect_stream(Arc::new(config(&kinds)), stream, gate).await {
                Ok(handle) => break handle,
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
        self.login.at(&mut handle).await?;
        Ok(Warm {
            handle,
            seats: Arc::new(Semaphore::new(SEATS)),
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
        let addresses = names::addresses(host, *port).await;
        let addresses = addresses.map_err(|failed| failed.to_string())?;
        let stream = TcpStream::connect(&addresses[..]).await;
        let stream = stream.map_err(|failed| failed.to_string())?;
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
    pub(super) async fn session(&self) -> Result<Session, HostError> {
        let mut again = true;
        loop {
            let warm = self.connection().await?;
            let seat = Arc::clone(&warm.seats).acquire_owned().await;
            let opened = timeout(DEADLINE, warm.handle.channel_open_session()).await;
            match opened {
                Ok(Ok(channel)) => return Ok(Session::new(channel, seat.ok(), warm)),
                Ok(Err(russh::Error::ChannelOpenFailure(why))) => {
                    return Err(HostError::Refused(
                        self.said(format!("it opens no session: {why:?}")),
                    ));
                }
                _ if again => {
                    again = false;
                    self.forget(&warm).await;
                }
                _ => {
                    let said = "it accepts us, and then opens no session";
                    return Err(HostError::OutOfReach(self.said(said)));
                }
            }
        }
    }

    /// A connection from that host to something.
    pub(super) async fn stream(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
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
                    return Err(HostError::OutOfReach(self.said(said)));
                }
                _ if again => {
                    again = false;
                    self.forget(&warm).await;
                }
                _ => {
                    let said = "it accepts us, and then opens no channel";
                    return Err(HostError::OutOfReach(self.said(said)));
                }
            }
        }
    }
}

fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match (one, other) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (one, other) => one == other,
    }
}

fn config(kinds: &[Algorithm]) -> Config {
    Config {
        keepalive_interval: Some(SILENCE),
        keepalive_max: 3,
        preferred: Preferred {
            key: Cow::Owned(kinds.to_vec()),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..Preferred::DEFAULT
        },
        ..Config::default()
    }
}

/// A channel with a command behind it. Dropped, it is closed, which ends the command.
pub(super) struct Session {
    hears: ChannelReadHalf,
    speaks: Speaker,
    _seat: Option<OwnedSemaphorePermit>,
    _warm: Arc<Warm>,
}

/// The way into a command's standard input.
#[derive(Clone)]
pub(super) struct Speaker(Arc<ChannelWriteHalf<Msg>>);

impl Speaker {
    /// Sends something, as soon as the other side has room for it.
    pub(super) async fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.0.data_bytes(bytes).await.map_err(io::Error::other)
    }

    /// Ends it.
    pub(super) async fn finish(&self) -> io::Result<()> {
        self.0.eof().await.map_err(io::Error::other)
    }
}

impl Session {
    fn new(channel: Channel<Msg>, seat: Option<OwnedSemaphorePermit>, warm: Arc<Warm>) -> Self {
        let (hears, speaks) = channel.split();
        Self {
            hears,
            speaks: Speaker(Arc::new(speaks)),
            _seat: seat,
            _warm: warm,
        }
    }

    /// Asks for a command.
    pub(super) async fn exec(&self, line: String) -> Result<(), russh::Error> {
        self.speaks.0.exec(true, line).await
    }

    /// The next that comes; `None` when nothing more does.
    pub(super) async fn next(&mut self) -> Option<ChannelMsg> {
        self.hears.wait().await
    }

    /// For who speaks while somebody else listens.
    pub(super) fn speaker(&self) -> Speaker {
        self.speaks.clone()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both are put into a queue, which has room but for a connection that is lost anyway.
        let _ = self.speaks.0.eof().now_or_never();
        let _ = self.speaks.0.close().now_or_never();
    }
}
