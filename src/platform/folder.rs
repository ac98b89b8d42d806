//! What is in a folder of this machine, with the hash of every file: what has to travel to
//! another machine, and how it is told that it has arrived.
//!
//! It is synchronous; who calls it does so where blocking is allowed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is in the folder.
    pub path: PathBuf,
    /// What it is.
    pub what: What,
    /// Its permissions.
    pub mode: u32,
    /// When it was written, in seconds since 1970.
    pub time: u64,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A directory.
    Directory,
    /// A link, and where it leads.
    Link(PathBuf),
    /// A file.
    File {
        /// In bytes.
        size: u64,
        /// SHA-256 in hexadecimal.
        hash: String,
    },
}

/// Everything in a folder, each directory before what is in it.
///
/// # Errors
/// What could not be read, or is neither file, directory nor link; and when it was cancelled.
pub fn items(folder: &Path, cancelled: &CancellationToken) -> io::Result<Vec<Item>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        let here = folder.join(&directory);
        let about = fs::metadata(&here).map_err(at(&here))?;
        let (mode, time) = (about.mode(), seconds(about.mtime()));
        if !directory.as_os_str().is_empty() {
            let what = What::Directory;
            let path = directory.clone();
            found.push(Item {
                path,
                what,
                mode,
                time,
            });
        }
        let mut names: Vec<_> = fs::read_dir(&here)
            .map_err(at(&here))?
            .collect::<Result<_, _>>()
            .map_err(at(&here))?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            if cancelled.is_cancelled() {
                return Err(io::Error::other("cancelled"));
            }
            let path = directory.join(entry.file_name());
            let place = folder.join(&path);
            let about = fs::symlink_metadata(&place).map_err(at(&place))?;
            let what = if about.is_dir() {
                open.push(path);
                continue;
            } else if about.is_symlink() {
                What::Link(fs::read_link(&place).map_err(at(&place))?)
            } else if about.is_file() {
                let (size, hash) = hash(&place, u64::MAX).map_err(at(&place))?;
                What::File { size, hash }
            } else {
                let said = io::Error::other("neither a file, a folder nor a link");
                return Err(at(&place)(said));
            };
            let (mode, time) = (about.mode(), seconds(about.mtime()));
            found.push(Item {
                path,
                what,
                mode,
                time,
            });
        }
    }
    Ok(found)
}

/// The hash of the first `length` bytes of a file, and how many there were.
///
/// # Errors
/// Whatever the file system said.
pub fn hash(path: &Path, length: u64) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?.take(length);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
    let hash = hasher.finalize();
    let hash = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, hash))
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |failed| io::Error::new(failed.kind(), format!("{path}: {failed}"))
}
