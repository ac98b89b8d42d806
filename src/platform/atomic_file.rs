//! Files that are either the old one or the new one, also after a power cut.
//!
//! A file is written beside its place, synced, renamed over it, and the directory is synced.
//! What the file means, and whether the old one was the expected one, is the caller's matter.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
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
    replace_from(directory_of(path), path, content)
}

/// [`replace`] for a directory that somebody watches: the file is written one directory above,
/// so that the rename is all there is to see. Where that cannot be, it is written beside its
/// place after all.
///
/// # Errors
/// As [`replace`].
pub fn replace_unseen(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = fs::canonicalize(directory_of(path))?;
    let above = directory
        .parent()
        .map(|above| replace_from(above, path, content));
    match above {
        Some(Ok(())) => Ok(()),
        _ => replace(path, content),
    }
}

fn replace_from(writing: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mode = fs::metadata(path).map_or(MODE_OF_A_NEW_FILE, |old| old.permissions().mode());
    let mut file = tempfile::Builder::new()
        .prefix(&draft_of(path))
        .suffix(".tmp")
        .tempfile_in(writing)?;
    file.write_all(content)?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|failed| failed.error)?;
    sync_directory(directory_of(path))
}

/// Removes what a process that was killed while it wrote `path` has left beside it. Only for a file
/// that nobody else writes now.
pub fn clear_drafts(path: &Path) {
    let draft = draft_of(path);
    let beside = fs::read_dir(directory_of(path)).into_iter().flatten();
    for entry in beside.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&draft) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// How the name of what becomes `path` begins. It says which file that is, and is short, however long
/// the name of that is.
fn draft_of(path: &Path) -> String {
    let mut of = DefaultHasher::new();
    path.file_name().hash(&mut of);
    format!(".cutover-{:016x}-", of.finish())
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

/// [`replace_unseen`] on a thread of its own, for the same reason.
///
/// # Errors
/// As [`replace`].
pub async fn replace_unseen_aside(path: &Path, content: &[u8]) -> io::Result<()> {
    let (path, content) = (path.to_owned(), content.to_owned());
    aside(move || replace_unseen(&path, &content)).await
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
    fn who_watches_the_directory_sees_a_rename_and_no_more() {
        let above = tempfile::tempdir().unwrap();
        let watched = above.path().join("watched");
        fs::create_dir(&watched).unwrap();
        let path = watched.join("live.yml");
        for content in ["one", "two"] {
            replace_unseen(&path, content.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::read_dir(&watched).unwrap().count(), 1);
            assert_eq!(fs::read_dir(above.path()).unwrap().count(), 1);
        }
        assert!(replace_unseen(Path::new("/nonexistent/x"), b"").is_err());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        replace(&path("ledger"), b"one").unwrap();
        for of in ["ledger", "other"] {
            let left = format!("{}AbCdEf.tmp", draft_of(&path(of)));
            fs::write(path(&left), b"tw").unwrap();
        }
        clear_drafts(&path("ledger"));
        let names = fs::read_dir(directory.path()).unwrap().flatten();
        let mut names: Vec<_> = names.map(|entry| entry.path()).collect();
        names.sort();
        let other = format!("{}AbCdEf.tmp", draft_of(&path("other")));
        assert_eq!(names, [path(&other), path("ledger")]);
    }

    #[test]
    fn a_directory_that_is_missing_is_an_error() {
        assert!(replace(Path::new("/nonexistent/x"), b"").is_err());
    }
}
