//! The file beside HAProxy's memory: what a reload or a restart of HAProxy reads.
//!
//! It is replaced as a whole, and writers take `<file>.lock` first (scripts can do the same
//! with `flock`), so that no two of them mix one's file with the other's memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::platform::atomic_file::directory_of;
use crate::platform::host::{Held, Host, HostError, on};
use crate::platform::text::duration;
use crate::routers::RouterError;

/// How long another writer is waited for. A change takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any file of one entry, or of the states of all servers.
const CAP: u64 = 16 << 20;

/// A file that HAProxy reads when it starts.
pub(super) struct StateFile {
    /// The machine that has it.
    pub(super) host: Arc<dyn Host>,
    /// Where it is there.
    pub(super) path: PathBuf,
}

impl StateFile {
    /// Where it is: `/etc/haproxy/w.map on web1`.
    pub(super) fn told(&self) -> String {
        format!("{}{}", self.path.display(), on(&*self.host))
    }

    /// That there is none, and what to say if there cannot be one.
    pub(super) fn missing(&self) -> RouterError {
        RouterError::OutOfReach(format!(
            "there is no file {}; where HAProxy's map file is not on this machine, say `state-file: none`",
            self.told()
        ))
    }

    fn fault(&self, did: &str, failed: &HostError) -> RouterError {
        let said = format!("{} cannot be {did}: {failed}", self.path.display());
        match failed {
            HostError::Lost { .. } => RouterError::Lost(said),
            _ => RouterError::OutOfReach(said),
        }
    }

    /// The text, or nothing where there is no file.
    pub(super) async fn text(&self) -> Result<Option<String>, RouterError> {
        let failed = match self.host.read(&self.path, CAP).await {
            Ok(seen) => {
                let text = String::from_utf8(seen.content);
                let odd = HostError::Refused("this is not a text".to_owned());
                return text.map(Some).map_err(|_| self.fault("read", &odd));
            }
            Err(failed) => failed,
        };
        match self.host.kind(&self.path).await {
            Ok(None) => Ok(None),
            _ => Err(self.fault("read", &failed)),
        }
    }

    /// Replaces the file.
    pub(super) async fn write(&self, text: &str) -> Result<(), RouterError> {
        let written = self.host.replace(&self.path, text.as_bytes()).await;
        written.map_err(|failed| self.fault("written", &failed))
    }

    /// Whether it could be replaced.
    pub(super) async fn prepare(&self) -> Result<(), RouterError> {
        let writable = self.host.writable(directory_of(&self.path)).await;
        writable.map_err(|failed| self.fault("written", &failed))
    }

    /// Keeps other writers out until what is returned is dropped.
    pub(super) async fn lock(&self) -> Result<Held, RouterError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let held = self.host.lock(path.as_ref(), PATIENCE).await;
        let held = held.map_err(|failed| self.fault("locked", &failed))?;
        held.ok_or_else(|| {
            RouterError::Refused(format!(
                "{}.lock has been held by another writer for {}",
                self.path.display(),
                duration(PATIENCE)
            ))
        })
    }
}

/// [`StateFile::lock`], where there is a file.
pub(super) async fn lock(file: Option<&StateFile>) -> Result<Option<Held>, RouterError> {
    match file {
        Some(file) => file.lock().await.map(Some),
        None => Ok(None),
    }
}
