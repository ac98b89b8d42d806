//! The file that a proxy watches: read whole, replaced by one rename.
//!
//! Proxies watch the directory and not the file, so a link would be replaced where nobody looks
//! or changed where nobody sees it: it is refused.

use std::fmt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::platform::host::HostError;
use crate::platform::text::shell_word;
use crate::routers::RouterError;
use crate::routers::placed::Placed;

/// A file in a directory that a proxy watches.
pub(in crate::routers) struct WatchedFile {
    placed: Placed,
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
    pub(in crate::routers) fn new(placed: Placed, extensions: &[&str]) -> Result<Self, String> {
        let path = placed.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| extensions.contains(&extension)) {
            return Ok(Self { placed });
        }
        Err(format!(
            "file: {} does not end with .{}, so it would not be read as what it is",
            path.display(),
            extensions.join(" or .")
        ))
    }

    pub(super) const fn placed(&self) -> &Placed {
        &self.placed
    }

    pub(in crate::routers) fn path(&self) -> &Path {
        self.placed.path()
    }

    pub(super) async fn content(&self) -> Result<String, RouterError> {
        let unread = |failed: HostError| {
            RouterError::OutOfReach(format!(
                "the file {self}: {failed}; `cutover router-config` prints what it holds at first"
            ))
        };
        if self.placed.is_link().await.map_err(unread)? {
            return Err(RouterError::Refused(format!(
                "{self} is a symbolic link, and changes behind a link are not seen by who watches the directory; put the file itself there"
            )));
        }
        self.placed.text().await.map_err(unread)
    }

    pub(super) async fn write(&self, content: &str) -> Result<(), HostError> {
        self.placed.write_unseen(content).await
    }

    /// The command that makes the proxy look at the file again.
    pub(super) fn touched_by_rename(&self) -> String {
        let path = self.path().to_string_lossy();
        let beside = format!("{path}.again");
        let [path, beside] = [shell_word(&path), shell_word(&beside)];
        format!("cp -p {path} {beside} && mv {beside} {path}")
    }
}

impl fmt::Display for WatchedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.placed.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::Hosts;
    use crate::platform::secret::Vault;
    use std::fs;

    #[tokio::test]
    async fn the_extension_counts_and_a_link_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.yml");
        let made = |name| {
            let with = (&Hosts::default(), directory.path(), &Vault::default());
            let placed = Placed::new(("file", name), None, with).unwrap();
            WatchedFile::new(placed, &["yml", "yaml"])
        };
        assert!(made("live.json").is_err());
        let file = made("live.yml").unwrap();
        assert!(matches!(
            file.content().await,
            Err(RouterError::OutOfReach(_))
        ));
        fs::write(directory.path().join("real"), "x").unwrap();
        std::os::unix::fs::symlink("real", &path).unwrap();
        let said = file.content().await.unwrap_err().to_string();
        assert!(said.contains("symbolic link"), "{said}");
    }
}
