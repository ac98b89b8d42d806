//! Why nginx refused a reload: the master says it in the error log and nowhere else.
//!
//! Reading it is a courtesy. Whether the reload was taken is seen from the generation.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use crate::platform::text;

/// How much of what was added is looked at.
const MOST: u64 = 256 * 1024;

/// nginx's error log, where one is known.
pub(super) struct ErrorLog {
    path: Option<PathBuf>,
}

impl ErrorLog {
    pub(super) const fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// Where the log ends now.
    pub(super) fn end(&self) -> u64 {
        let size = |path| fs::metadata(path).map(|found| found.len()).ok();
        self.path.as_ref().and_then(size).unwrap_or(0)
    }

    /// The first `[emerg]` line after `end`, without its time. The first, because what follows
    /// is nginx trying the same again.
    pub(super) fn emerg_after(&self, end: u64) -> Option<String> {
        let mut file = File::open(self.path.as_ref()?).ok()?;
        // A log that got shorter was rotated meanwhile: what is in it is new.
        let from = if self.end() < end { 0 } else { end };
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut added = Vec::new();
        file.take(MOST).read_to_end(&mut added).ok()?;
        let added = String::from_utf8_lossy(&added);
        let found = added
            .lines()
            .find_map(|line| line.find("[emerg]").map(|at| &line[at..]))?;
        Some(text::excerpt(found, 300))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("error.log");
        let log = ErrorLog::new(Some(path.clone()));
        assert_eq!((log.end(), log.emerg_after(0)), (0, None));
        fs::write(&path, "2026/11/21 12:00:00 [emerg] 7#7: old\n").unwrap();
        let end = log.end();
        assert_eq!(log.emerg_after(end), None);
        fs::write(
            &path,
            "2026/11/21 12:00:00 [emerg] 7#7: old\n[notice] x\n2026/11/21 12:00:01 [emerg] 7#7: new\n[emerg] again\n",
        )
        .unwrap();
        assert_eq!(log.emerg_after(end).as_deref(), Some("[emerg] 7#7: new"));
        fs::write(&path, "[emerg] fresh\n").unwrap();
        assert_eq!(
            log.emerg_after(end).as_deref(),
            Some("[emerg] fresh"),
            "rotated"
        );
    }
}
