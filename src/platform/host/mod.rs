//! A machine on which commands run and files live: this one, or one far away.
//!
//! What is done to a machine is a few verbs ([`Host`]), the same wherever it is, so that who
//! deploys, routes or looks does not know how it is reached. This machine is [`Local`]; the ways
//! to the others are vendors, and on a floor above.

mod local;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::process::{Ran, Script, Sink};
use super::text;
pub use local::Local;

/// A connection to something on a host.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Something on a host that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A name or an address, as that host knows it, and a port.
    Tcp(String, u16),
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, or a link to one.
    File,
    /// A directory, or a link to one.
    Directory,
    /// Something else.
    Other,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How long ago it was written, by the clock of its host.
    pub age: Duration,
    /// The first bytes, as many as were asked for.
    pub content: Vec<u8>,
}

/// How far a file that grows was read. It is known by its inode, for its name may be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadTo {
    /// Which file it is.
    pub inode: u64,
    /// Where the next byte stands.
    pub at: u64,
}

/// A file that grows, looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The inode of the file that has the name now; `None` where none has.
    pub named: Option<u64>,
    /// What is new in the one that was read before; `None` where it is not in the directory any more.
    pub added: Option<Added>,
}

/// What was added to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Where it begins: the beginning of the file, if that is shorter than what was read.
    pub from: u64,
    /// How long the file is.
    pub size: u64,
    /// The bytes from there on, as many as were asked for.
    pub content: Vec<u8>,
}

/// Why a host did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is out of reach, or did not let us in. Nothing was begun.
    #[error("{0}")]
    OutOfReach(String),
    /// It was reached and said no. Nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It was begun, and then the way there was lost: how it ended is not known.
    #[error("{said}")]
    Lost {
        /// What happened.
        said: String,
        /// The last lines that came.
        last_lines: Vec<String>,
    },
}

/// A machine. Every verb ends within a time of its own, and is given up when it is dropped.
#[async_trait]
pub trait Host: Send + Sync {
    /// Its name in the config; `None` for this machine.
    fn name(&self) -> Option<&str>;

    /// Makes sure that it can be reached, and says as what.
    ///
    /// # Errors
    /// When it cannot.
    async fn reach(&self) -> Result<String, HostError>;

    /// Runs a command to its end, its timeout or its cancellation; nothing of it is left then.
    /// The `hidden` variables are the command's, too. On another machine they are no part of any
    /// process's environment, for whoever may look at processes there could read them in it.
    ///
    /// # Errors
    /// When it could not be begun, or its end is not known.
    async fn run(
        &self,
        script: &Script<'_>,
        hidden: &[(String, String)],
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Ran, HostError>;

    /// What is at a path; `None` where nothing is.
    ///
    /// # Errors
    /// When it cannot be told.
    async fn kind(&self, path: &Path) -> Result<Option<Kind>, HostError>;

    /// Reads a regular file, at most `cap` bytes of it.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    async fn read(&self, path: &Path, cap: u64) -> Result<Seen, HostError>;

    /// Reads on in a file that grows, at most `cap` bytes, also when it has another name in the same
    /// directory by now. Without `since` nothing is read: it says where the file ends.
    ///
    /// # Errors
    /// When it cannot be read, or what has the name is no regular file.
    async fn read_on(
        &self,
        path: &Path,
        since: Option<ReadTo>,
        cap: u64,
    ) -> Result<Grown, HostError>;

    /// Connects to something there.
    ///
    /// # Errors
    /// When nothing listens, or it may not be.
    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError>;

    /// What is in a directory, by name. Links are not followed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    async fn list(&self, directory: &Path) -> Result<Vec<(String, Kind)>, HostError>;

    /// Makes sure that files can be made and renamed in a directory, and makes none.
    ///
    /// # Errors
    /// When they cannot.
    async fn writable(&self, directory: &Path) -> Result<(), HostError>;

    /// Replaces a file, or makes it: whoever reads sees the old one or the new one, also after a
    /// power cut. Its mode is kept.
    ///
    /// # Errors
    /// When it could not be; after any but [`HostError::Lost`] the old one is in place.
    async fn replace(&self, path: &Path, content: &[u8]) -> Result<(), HostError>;

    /// Renames a file in one step. `false` is that there is none, and nothing was done.
    ///
    /// # Errors
    /// When it could not be. [`HostError::Lost`] is also a rename that would not outlive a power
    /// cut.
    async fn rename(&self, from: &Path, to: &Path) -> Result<bool, HostError>;

    /// Takes the lock (`flock`) on a directory, or on a file that is made for it, waiting for at
    /// most `patience`; `None` where somebody else keeps it. It is given back when it is dropped.
    ///
    /// # Errors
    /// When it cannot be asked for.
    async fn lock(&self, path: &Path, patience: Duration) -> Result<Option<Held>, HostError>;

    /// Brings what is in a folder of this machine to a directory there, with modes, times and
    /// links. What is there already is not sent again; what arrived is compared by its hash.
    ///
    /// # Errors
    /// When it is not there as a whole. A part of it may be, and is gone on with the next time.
    async fn upload(
        &self,
        from: &Path,
        to: &Path,
        cancelled: &CancellationToken,
    ) -> Result<Uploaded, HostError>;
}

/// A folder that has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    /// How many files and links it has.
    pub files: u64,
    /// How many bytes are in them.
    pub bytes: u64,
    /// How many of those had to be sent.
    pub sent: u64,
}

/// A lock that is held.
pub type Held = Box<dyn Send + Sync>;

/// The machines that a config knows by name, and this one.
#[derive(Clone, Default)]
pub struct Hosts(Arc<BTreeMap<String, Arc<dyn Host>>>);

impl Hosts {
    /// The hosts of a config.
    pub fn new(all: BTreeMap<String, Arc<dyn Host>>) -> Self {
        Self(Arc::new(all))
    }

    /// All of them but this machine, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<dyn Host>)> {
        self.0.iter().map(|(name, host)| (name.as_str(), host))
    }

    /// The host of that name; this machine where none is named.
    ///
    /// # Errors
    /// The sentence that refuses a name that nobody has, with the nearest one that somebody has.
    pub fn named(&self, name: Option<&str>) -> Result<Arc<dyn Host>, String> {
        let Some(name) = name else {
            return Ok(Arc::new(Local));
        };
        if let Some(host) = self.0.get(name) {
            return Ok(Arc::clone(host));
        }
        let known = || self.0.keys().map(String::as_str);
        Err(match text::nearest(name, known()) {
            Some(near) => format!("host: unknown host \"{name}\", did you mean \"{near}\"?"),
            None if self.0.is_empty() => {
                format!("host: unknown host \"{name}\"; the environment has no `hosts`")
            }
            None => format!(
                "host: unknown host \"{name}\"; the hosts are: {}",
                known().collect::<Vec<_>>().join(", ")
            ),
        })
    }
}

/// ` on web1`, for a sentence about something on a host; nothing for this machine.
pub fn on(host: &dyn Host) -> String {
    let name = host.name();
    name.map_or_else(String::new, |name| format!(" on {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_host_is_refused_with_the_nearest() {
        let one = |name: &str| -> (String, Arc<dyn Host>) { (name.to_owned(), Arc::new(Local)) };
        let hosts = Hosts::new([one("web1"), one("bastion")].into());
        let said = |name: &str| hosts.named(Some(name)).err().unwrap();
        assert!(said("wbe1").contains("did you mean \"web1\"?"));
        assert!(said("x").ends_with("the hosts are: bastion, web1"));
        let none = Hosts::default().named(Some("web1")).err().unwrap();
        assert!(none.contains("has no `hosts`"));
        assert!(hosts.named(None).is_ok() && hosts.named(Some("web1")).is_ok());
    }
}
