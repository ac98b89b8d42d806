//! Copies a folder as it is: files with their modes and times, links as links, nothing else.
//!
//! Owners are not kept. The copy is on the disk, and not only in memory, when this returns.
//! It is synchronous; who calls it does so where blocking is allowed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files and links.
    pub files: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// Why a folder was not copied; a part of the copy may be there.
#[derive(Debug, thiserror::Error)]
pub enum NotCopied {
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// What failed, with the path.
    #[error("{0}")]
    Failed(String),
}

/// Copies the content of `from` into `to`, which must not exist.
///
/// # Errors
/// When something could not be read or written, is neither file, folder nor link, or when it
/// was cancelled.
pub fn copy(from: &Path, to: &Path, cancelled: &CancellationToken) -> Result<Copied, NotCopied> {
    let mut copied = Copied::default();
    // A folder gets its mode last: it may be one that nobody may write to.
    let mut modes: Vec<(PathBuf, Permissions)> = Vec::new();
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = folders.pop() {
        let at = |what: &Path| {
            let what = what.display().to_string();
            move |failed: io::Error| NotCopied::Failed(format!("{what}: {failed}"))
        };
        let mode = fs::metadata(&from).map_err(at(&from))?.permissions();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&to)
            .map_err(at(&to))?;
        modes.push((to.clone(), mode));
        for entry in fs::read_dir(&from).map_err(at(&from))? {
            if cancelled.is_cancelled() {
                return Err(NotCopied::Cancelled);
            }
            let entry = entry.map_err(at(&from))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(at(&source))?;
            if kind.is_dir() {
                folders.push((source, target));
                continue;
            }
            if kind.is_symlink() {
                let aim = fs::read_link(&source).map_err(at(&source))?;
                symlink(aim, &target).map_err(at(&target))?;
            } else if kind.is_file() {
                copied.bytes += file(&source, &target).map_err(at(&source))?;
            } else {
                let said = "neither a file, a folder nor a link";
                return Err(at(&source)(io::Error::other(said)));
            }
            copied.files += 1;
        }
    }
    for (folder, mode) in modes.into_iter().rev() {
        fs::set_permissions(&folder, mode)
            .map_err(|failed| NotCopied::Failed(format!("{}: {failed}", folder.display())))?;
    }
    settle(to).map_err(|failed| NotCopied::Failed(format!("{}: {failed}", to.display())))?;
    Ok(copied)
}

fn file(from: &Path, to: &Path) -> io::Result<u64> {
    let bytes = fs::copy(from, to)?;
    // Web servers make `ETag` and `Last-Modified` of it: equal files should look equal in both slots.
    let time = fs::metadata(from)?.modified()?;
    match File::options().write(true).open(to) {
        Ok(copy) => copy.set_modified(time)?,
        // A file that nobody may write to cannot be opened for it either, but read.
        Err(failed) if failed.kind() == io::ErrorKind::PermissionDenied => {
            File::open(to)?.set_modified(time)?;
        }
        Err(failed) => return Err(failed),
    }
    Ok(bytes)
}

/// Waits until everything written is on the disk: one call for the whole file system, because
/// one for each of thousands of files takes minutes.
#[cfg(target_os = "linux")]
fn settle(folder: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(folder)?)?)
}

#[cfg(not(target_os = "linux"))]
fn settle(_: &Path) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
