//! The file of an audit: appended to line by line, by one run at a time.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::chain::{Chain, Link};
use crate::platform::atomic_file::{directory_of, sync_directory};

/// How much is read at once when the last line is looked for.
const PIECE: u64 = 64 << 10;

/// A file that lines are appended to. It is locked as long as this lives.
pub(super) struct Lines {
    file: File,
    path: PathBuf,
    is_new: bool,
}

/// A file, and where its chain goes on.
pub(super) struct Opened {
    pub(super) lines: Option<Lines>,
    pub(super) chain: Chain,
    /// The last line does not say that it is the last.
    pub(super) is_unfinished: bool,
}

impl Default for Opened {
    fn default() -> Self {
        Self {
            lines: None,
            chain: Chain::begin(),
            is_unfinished: false,
        }
    }
}

impl Lines {
    /// Opens a file, and makes it where there is none. One that ends in something that is no
    /// line of an audit is put aside, which is the warning that comes with the new one.
    pub(super) fn open(path: &Path) -> Result<(Opened, Option<String>), String> {
        let said = |failed: io::Error| format!("{} cannot be written: {failed}", path.display());
        fs::create_dir_all(directory_of(path)).map_err(said)?;
        let mut file = locked(path)?;
        match tail(&mut file).map_err(said)? {
            None => Ok((Opened::of(file, path, true, Chain::begin(), false), None)),
            Some(last) => match chain_after(&last) {
                Some((chain, is_last)) => {
                    Ok((Opened::of(file, path, false, chain, !is_last), None))
                }
                None => {
                    let aside = aside(path);
                    fs::rename(path, &aside).map_err(said)?;
                    let warning = format!(
                        "{} ended in something that is no line of an audit: it is {} now, and a new one was begun",
                        path.display(),
                        aside.display()
                    );
                    let opened = Opened::of(locked(path)?, path, true, Chain::begin(), false);
                    Ok((opened, Some(warning)))
                }
            },
        }
    }

    /// Appends a line, in one write.
    pub(super) fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(format!("{line}\n").as_bytes())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.is_new {
            sync_directory(directory_of(&self.path))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Opened {
    fn of(file: File, path: &Path, is_new: bool, chain: Chain, is_unfinished: bool) -> Self {
        let path = path.to_owned();
        Self {
            lines: Some(Lines { file, path, is_new }),
            chain,
            is_unfinished,
        }
    }
}

/// Two runs that append to one file would break each other's chain.
fn locked(path: &Path) -> Result<File, String> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path);
    let file = file.map_err(|failed| format!("{} cannot be written: {failed}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another run is writing to {}; give each environment a file of its own",
            path.display()
        )),
        Err(TryLockError::Error(failed)) => {
            Err(format!("{} cannot be locked: {failed}", path.display()))
        }
    }
}

fn chain_after(last: &[u8]) -> Option<(Chain, bool)> {
    let last = last.strip_suffix(b"\n")?;
    Some((Chain::after(last)?, Link::read(last).ok()?.is_last()))
}

/// The last line, with its end if it has one; `None` where the file is empty.
fn tail(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let mut at = file.metadata()?.len();
    let mut tail = Vec::new();
    while at > 0 {
        let size = at.min(PIECE);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let mut piece = Vec::new();
        Read::by_ref(file).take(size).read_to_end(&mut piece)?;
        piece.append(&mut tail);
        tail = piece;
        let before_the_end = &tail[..tail.len().saturating_sub(1)];
        if let Some(end) = before_the_end.iter().rposition(|byte| *byte == b'\n') {
            return Ok(Some(tail.split_off(end + 1)));
        }
    }
    Ok((!tail.is_empty()).then_some(tail))
}

/// A name beside the file that nobody has.
fn aside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".broken-{}", Timestamp::now().as_millisecond()));
    PathBuf::from(name)
}
