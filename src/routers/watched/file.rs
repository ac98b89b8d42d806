//! The file that a proxy watches: read whole, replaced by one rename.
//!
//! Proxies watch the directory and not the file, so a link would be replaced where nobody looks
//! or changed where nobody sees it: it is refused.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use sha2::{Digest as _, Sha256};

use crate::platform::atomic_file::{directory_of, replace_unseen_aside};
use crate::platform::text::shell_word;
use crate::routers::RouterError;

/// A file in a directory that a proxy watches.
pub(in crate::routers) struct WatchedFile {
    path: PathBuf,
}

/// Which file it is, by what is in it.
pub(super) fn revision(content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("sha256 {hash}")
}

impl WatchedFile {
    /// A file with one of these extensions, by which the proxy tells what it is.
    ///
    /// # Errors
    /// When it has another.
    pub(in crate::routers) fn new(path: PathBuf, extensions: &[&str]) -> Result<Self, String> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) {
            return Ok(Self { path });
        }
        Err(format!(
            "file: {} does not end with .{}, so it would not be read as what it is",
            path.display(),
            extensions.join(" or .")
        ))
    }

    pub(in crate::routers) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn content(&self) -> Result<String, RouterError> {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| found.is_symlink()) {
            return Err(RouterError::Refused(format!(
                "{self} is a symbolic link, and changes behind a link are not seen by who watches the directory; put the file itself there"
            )));
        }
        fs::read_to_string(&self.path).map_err(|failed| {
            RouterError::OutOfReach(format!(
                "the file {self}: {failed}; `cutover router-config` prints what it holds at first"
            ))
        })
    }

    pub(super) async fn write(&self, content: &str) -> io::Result<()> {
        replace_unseen_aside(&self.path, content.as_bytes()).await
    }

    /// That the file could be replaced. Nothing is made in the directory, for that would be seen.
    pub(super) fn prepare(&self) -> Result<(), RouterError> {
        let directory = directory_of(&self.path);
        access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|failed| {
            RouterError::Refused(format!("writing in {}: {failed}", directory.display()))
        })
    }

    /// The command that makes the proxy look at the file again.
    pub(super) fn touched_by_rename(&self) -> String {
        let path = self.path.to_string_lossy();
        let beside = format!("{path}.again");
        let [path, beside] = [shell_word(&path), shell_word(&beside)];
        format!("cp -p {path} {beside} && mv {beside} {path}")
    }
}

impl fmt::Display for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_counts_and_a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.yml");
        assert!(WatchedFile::new(path.with_extension("json"), &["yml", "yaml"]).is_err());
        let file = WatchedFile::new(path.clone(), &["yml", "yaml"]).unwrap();
        assert!(matches!(file.content(), Err(RouterError::OutOfReach(_))));
        fs::write(directory.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("real", &path).unwrap();
        let said = file.content().unwrap_err().to_string();
        assert!(said.contains("symbolic link"), "{said}");
    }
}
