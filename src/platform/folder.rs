//! What is in a folder of this machine, and the hash of every file: what has to travel to another
//! machine, and how it is told that it has arrived.
//!
//! It is synchronous; who calls it does so where blocking is allowed.

use std::collections::BTreeMap;
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
    /// A file, and its size in bytes.
    File(u64),
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
                What::File(about.len())
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

/// The hashes of all files among `items`, by their paths: SHA-256 in hexadecimal.
///
/// # Errors
/// What could not be read or has another size meanwhile; and when it was cancelled.
pub fn hashes(
    folder: &Path,
    items: &[Item],
    cancelled: &CancellationToken,
) -> io::Result<BTreeMap<PathBuf, String>> {
    let files = items.iter().filter_map(|item| match item.what {
        What::File(size) => Some((item, size)),
        _ => None,
    });
    let hashed = files.map(|(item, size)| {
        let place = folder.join(&item.path);
        let hash = hash(&place, size, cancelled).map_err(at(&place))?;
        Ok((item.path.clone(), hash))
    });
    hashed.collect()
}

/// The hash of the first `length` bytes of a file.
///
/// # Errors
/// Whatever the file system said; that there are fewer; and when it was cancelled.
pub fn hash(path: &Path, length: u64, cancelled: &CancellationToken) -> io::Result<String> {
    let mut file = File::open(path)?.take(length);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    while file.limit() > 0 {
        if cancelled.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Err(io::Error::other("it became shorter meanwhile"));
        }
        hasher.update(&buffer[..read]);
    }
    let hash = hasher.finalize();
    Ok(hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or_default()
}

fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |failed| io::Error::new(failed.kind(), format!("{path}: {failed}"))
}
