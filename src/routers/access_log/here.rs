//! An access log on this machine: it is kept open, so that it is read to its end whatever becomes of
//! its name.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Counted, Rest};

/// How much is read at a time.
const PIECE: usize = 64 << 10;

/// How far it was read.
#[derive(Default)]
pub(super) struct Here {
    current: Option<Tail>,
    /// One that was rotated away at the last look.
    leaving: Option<Tail>,
}

/// An open log, read so far.
struct Tail {
    file: File,
    at: u64,
    inode: u64,
    rest: Rest,
}

impl Here {
    /// Reads what was added since the last time; at the first time nothing, for that is the past.
    pub(super) fn read(&mut self, path: &Path, counted: &mut Counted) -> io::Result<()> {
        let Some(mut current) = self.current.take() else {
            self.current = Some(Tail::open(path, true)?);
            return Ok(());
        };
        if let Some(mut leaving) = self.leaving.take() {
            leaving.read(counted)?;
        }
        let read = current.read(counted);
        match fs::metadata(path) {
            // Moved away, and not reopened yet.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => self.current = Some(current),
            Err(failed) => {
                self.current = Some(current);
                return Err(failed);
            }
            Ok(found) if found.ino() == current.inode => self.current = Some(current),
            Ok(_) => {
                self.leaving = Some(current);
                let mut fresh = Tail::open(path, false)?;
                let read = fresh.read(counted);
                self.current = Some(fresh);
                read?;
            }
        }
        read
    }
}

impl Tail {
    fn open(path: &Path, at_its_end: bool) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let at = if at_its_end {
            file.seek(SeekFrom::End(0))?
        } else {
            0
        };
        let inode = file.metadata()?.ino();
        Ok(Self {
            file,
            at,
            inode,
            rest: Rest::default(),
        })
    }

    /// Reads whole lines to the end of the file.
    fn read(&mut self, counted: &mut Counted) -> io::Result<()> {
        // Shorter than before: it was emptied where it is.
        if self.file.metadata()?.len() < self.at {
            self.at = self.file.seek(SeekFrom::Start(0))?;
            self.rest.forget();
        }
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.file.read(&mut piece)?;
            if read == 0 {
                return Ok(());
            }
            self.at += read as u64;
            self.rest
                .take(piece.get(..read).unwrap_or_default(), counted);
        }
    }
}
