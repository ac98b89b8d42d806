//! The file beside HAProxy's memory: what a reload or a restart of HAProxy reads.
//!
//! It is replaced as a whole, and writers take `<file>.lock` first (scripts can do the same
//! with `flock`), so that no two of them mix one's file with the other's memory.

use std::fs::{self, File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use crate::platform::atomic_file::{directory_of, replace_aside};
use crate::platform::text::duration;
use crate::routers::RouterError;

/// How long another writer is waited for. A change takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that HAProxy reads when it starts.
pub(super) struct StateFile {
    /// Where it is on this machine.
    pub(super) path: PathBuf,
}

impl StateFile {
    fn fault(&self, did: &str, failed: &std::io::Error) -> RouterError {
        RouterError::OutOfReach(format!("{} cannot be {did}: {failed}", self.path.display()))
    }

    /// The text, or nothing where there is no file.
    pub(super) fn text(&self) -> Result<Option<String>, RouterError> {
        match fs::read_to_string(&self.path) {
            Ok(text) => Ok(Some(text)),
            Err(failed) if failed.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(failed) => Err(self.fault("read", &failed)),
        }
    }

    /// Replaces the file.
    pub(super) async fn write(&self, text: &str) -> Result<(), RouterError> {
        let written = replace_aside(&self.path, text.as_bytes()).await;
        written.map_err(|failed| self.fault("written", &failed))
    }

    /// Whether it could be replaced.
    pub(super) fn prepare(&self) -> Result<(), RouterError> {
        tempfile::tempfile_in(directory_of(&self.path))
            .map(drop)
            .map_err(|failed| self.fault("written", &failed))
    }

    /// Keeps other writers out until the returned file is dropped.
    pub(super) async fn lock(&self) -> Result<File, RouterError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|failed| self.fault("locked", &failed))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(failed)) => return Err(self.fault("locked", &failed)),
                Err(TryLockError::WouldBlock) if began.elapsed() > PATIENCE => {
                    return Err(RouterError::Refused(format!(
                        "{}.lock has been held by another writer for {}",
                        self.path.display(),
                        duration(PATIENCE)
                    )));
                }
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }
}
