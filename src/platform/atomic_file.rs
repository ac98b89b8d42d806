//! Files that are either the old one or the new one, also after a power cut.
//!
//! A file is written beside its place, synced, renamed over it, and the directory is synced.
//! What the file means, and whether the old one was the expected one, is the caller's matter.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The mode of a file that did not exist before: what `umask 022` gives, because a proxy's
/// workers often run as another user.
const MODE_OF_A_NEW_FILE: u32 = 0o644;

/// Replaces `path` by `content`, keeping the mode of the file that was there.
///
/// # Errors
/// Whatever the file system said; the old file is then still in place.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory_of(path);
    let mode = fs::metadata(path).map_or(MODE_OF_A_NEW_FILE, |old| old.permissions().mode());
    let mut file = tempfile::Builder::new()
        .prefix(".cutover-")
        .suffix(".tmp")
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_directory(directory)
}

/// Makes the renames in `directory` durable.
///
/// # Errors
/// Whatever the file system said.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// [`replace`] on a thread of its own: a busy disk takes its time, and the requests that are
/// measured beside a switch must not wait for it.
///
/// # Errors
/// As [`replace`].
pub async fn replace_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let (path, content) = (path.to_owned(), content.to_owned());
    aside(move || replace(&path, &content)).await
}

/// [`sync_directory`] on a thread of its own, for the same reason.
///
/// # Errors
/// As [`sync_directory`].
pub async fn sync_directory_aside(directory: &Path) -> io::Result<()> {
    let directory = directory.to_owned();
    aside(move || sync_directory(&directory)).await
}

async fn aside(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(io::Error::other)?
}

/// The directory that holds `path`; `.` for a bare name.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_of_the_old_file_is_kept_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("slot.map");
        replace(&path, b"one").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o644
        );
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error() {
        assert!(replace(Path::new("/nonexistent/x"), b"").is_err());
    }
}
