//! Why nginx refused a reload: the master says it in the error log and nowhere else.
//!
//! Reading it is a courtesy. Whether the reload was taken is seen from the generation.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::platform::text;
use crate::routers::placed::Placed;

/// How much of what was added is looked at.
const MOST: u64 = 256 * 1024;

/// What was added on another machine: the size that is there, and the first line from `$END` on.
const THERE: &str = r#"n=$(wc -c < "$FILE") || exit 1; test "$n" -lt "$END" && END=0
tail -c "+$((END + 1))" -- "$FILE" | head -c 262144 | grep -m 1 -F '[emerg]'"#;

/// nginx's error log, where one is known.
pub(super) struct ErrorLog {
    log: Option<Placed>,
}

impl ErrorLog {
    pub(super) const fn new(log: Option<Placed>) -> Self {
        Self { log }
    }

    /// Where the log ends now.
    pub(super) async fn end(&self) -> u64 {
        match &self.log {
            None => 0,
            Some(log) if log.is_here() => size(log.path()),
            Some(log) => {
                let said = log.shell(r#"wc -c < "$FILE""#, &[]).await;
                said.ok()
                    .and_then(|said| said.trim().parse().ok())
                    .unwrap_or(0)
            }
        }
    }

    /// The first `[emerg]` line after `end`, without its time. The first, because what follows
    /// is nginx trying the same again.
    pub(super) async fn emerg_after(&self, end: u64) -> Option<String> {
        let log = self.log.as_ref()?;
        let added = if log.is_here() {
            added_here(log.path(), end)?
        } else {
            let from = ("END".to_owned(), end.to_string());
            log.shell(THERE, &[from]).await.ok()?
        };
        let found = added
            .lines()
            .find_map(|line| line.find("[emerg]").map(|at| &line[at..]))?;
        Some(text::excerpt(found, 300))
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

fn added_here(path: &Path, end: u64) -> Option<String> {
    let mut file = File::open(path).ok()?;
    // A log that got shorter was rotated meanwhile: what is in it is new.
    let from = if size(path) < end { 0 } else { end };
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut added = Vec::new();
    file.take(MOST).read_to_end(&mut added).ok()?;
    Some(String::from_utf8_lossy(&added).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::host::Hosts;
    use crate::platform::secret::Vault;

    #[tokio::test]
    async fn only_what_was_added_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("error.log");
        let with = (&Hosts::default(), directory.path(), &Vault::default());
        let log = ErrorLog::new(Some(
            Placed::new(("error-log", "error.log"), None, with).unwrap(),
        ));
        assert_eq!((log.end().await, log.emerg_after(0).await), (0, None));
        fs::write(&path, "2026/11/21 12:00:00 [emerg] 7#7: old\n").unwrap();
        let end = log.end().await;
        assert_eq!(log.emerg_after(end).await, None);
        fs::write(
            &path,
            "2026/11/21 12:00:00 [emerg] 7#7: old\n[notice] x\n2026/11/21 12:00:01 [emerg] 7#7: new\n[emerg] again\n",
        )
        .unwrap();
        let said = log.emerg_after(end).await;
        assert_eq!(said.as_deref(), Some("[emerg] 7#7: new"));
        fs::write(&path, "[emerg] fresh\n").unwrap();
        assert_eq!(
            log.emerg_after(end).await.as_deref(),
            Some("[emerg] fresh"),
            "rotated"
        );
    }
}
