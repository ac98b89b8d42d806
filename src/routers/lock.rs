//! One writer at a time, for routers whose state is a file that anybody may replace.
//!
//! The lock is `flock(2)` on the file's directory: it leaves nothing behind, ends with its
//! process however that ends, and is not in the way of programs that do not ask for it. It
//! makes "compare, then write" one act among runs of Cutover on one host, and no more. It is taken
//! on the machine where the file is.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RouterError;
use crate::platform::atomic_file::directory_of;
use crate::platform::host::{Held, Host, HostError};

/// How often a lock that is taken is tried again.
const PAUSE: Duration = Duration::from_millis(25);

/// The right to replace files in a directory; given back when dropped.
pub(super) struct Lock {
    _held: Held,
}

/// Takes the lock on the directory that holds `path`, waiting for at most `patience`.
///
/// # Errors
/// [`RouterError::OutOfReach`] when there is no such directory, [`RouterError::Conflict`] when
/// another process keeps the lock.
pub(super) async fn take(
    host: &dyn Host,
    path: &Path,
    patience: Duration,
) -> Result<Lock, RouterError> {
    let directory = directory_of(path);
    let taken = || RouterError::Conflict {
        expected: "nobody else at work".to_owned(),
        found: format!("a lock on {} by another process", directory.display()),
    };
    if host.name().is_some() {
        let asked = host.lock(directory, patience).await;
        let held = asked.map_err(|failed: HostError| {
            RouterError::OutOfReach(format!("the directory {}: {failed}", directory.display()))
        })?;
        return held.map(|held| Lock { _held: held }).ok_or_else(taken);
    }
    let file = File::open(directory).map_err(|failed| {
        RouterError::OutOfReach(format!("the directory {}: {failed}", directory.display()))
    })?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            // A file system without locks is no reason to refuse: the comparison is still made.
            Ok(()) | Err(TryLockError::Error(_)) => {
                return Ok(Lock {
                    _held: Box::new(file),
                });
            }
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                return Err(taken());
            }
            Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::Local;

    #[tokio::test]
    async fn a_lock_is_had_once_and_again_after_it_was_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.conf");
        let first = take(&Local, &path, Duration::ZERO).await.unwrap();
        assert!(matches!(
            take(&Local, &path, Duration::ZERO).await,
            Err(RouterError::Conflict { .. })
        ));
        drop(first);
        assert!(take(&Local, &path, Duration::ZERO).await.is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
