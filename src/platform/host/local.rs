//! This machine, whose verbs are calls of the system.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{Added, Grown, Held, Host, HostError, Kind, ReadTo, Seen, Socket, Stream, Uploaded};
use crate::platform::atomic_file::{directory_of, replace_aside, sync_directory_aside};
use crate::platform::copy::copy;
use crate::platform::names;
use crate::platform::process::{self, OTHERS, Ran, Script, Sink};
use crate::platform::text;

/// How often a lock that is taken is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct Local;

#[async_trait]
impl Host for Local {
    fn name(&self) -> Option<&str> {
        None
    }

    async fn reach(&self) -> Result<String, HostError> {
        Ok("this machine".to_owned())
    }

    async fn run(
        &self,
        script: &Script<'_>,
        hidden: &[(String, String)],
        say: Sink<'_>,
        cancelled: &CancellationToken,
    ) -> Result<Ran, HostError> {
        let variables = [hidden, script.variables].concat();
        let script = Script {
            variables: &variables,
            ..*script
        };
        let ran = process::run(&script, say, cancelled).await;
        match ran {
            Ok(ran) if ran.lives_on => Err(HostError::Lost {
                said: format!(
                    "the command {} after {}, and {OTHERS}",
                    ran.end,
                    text::duration(ran.took)
                ),
                last_lines: ran.last_lines,
            }),
            Ok(ran) => Ok(ran),
            Err(failed) => Err(HostError::OutOfReach(failed.to_string())),
        }
    }

    async fn kind(&self, path: &Path) -> Result<Option<Kind>, HostError> {
        match fs::metadata(path) {
            Ok(about) if about.is_file() => Ok(Some(Kind::File)),
            Ok(about) if about.is_dir() => Ok(Some(Kind::Directory)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(failed) => Err(refused(failed)),
        }
    }

    async fn read(&self, path: &Path, cap: u64) -> Result<Seen, HostError> {
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || read(&path, cap)).await;
        let read = reading.map_err(io::Error::other).flatten();
        read.map_err(refused)
    }

    async fn read_on(
        &self,
        path: &Path,
        since: Option<ReadTo>,
        cap: u64,
    ) -> Result<Grown, HostError> {
        let path = path.to_owned();
        let reading = tokio::task::spawn_blocking(move || read_on(&path, since, cap)).await;
        let read = reading.map_err(io::Error::other).flatten();
        read.map_err(refused)
    }

    async fn list(&self, directory: &Path) -> Result<Vec<(String, Kind)>, HostError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory).map_err(refused)? {
            let entry = entry.map_err(refused)?;
            let kind = match entry.file_type().map_err(refused)? {
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Directory,
                _ => Kind::Other,
            };
            found.push((entry.file_name().to_string_lossy().into_owned(), kind));
        }
        Ok(found)
    }

    async fn writable(&self, directory: &Path) -> Result<(), HostError> {
        // A file without a name: who may make one may rename one, and nobody sees it.
        tempfile::tempfile_in(directory).map(drop).map_err(refused)
    }

    async fn replace(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        replace_aside(path, content).await.map_err(refused)
    }

    async fn rename(&self, from: &Path, to: &Path) -> Result<bool, HostError> {
        match fs::rename(from, to) {
            Ok(()) => {}
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(failed) => return Err(refused(failed)),
        }
        // The rename is in force; what can fail is only that it would outlive a power cut.
        let synced = sync_directory_aside(directory_of(to)).await;
        synced.map_err(|failed| HostError::Lost {
            said: failed.to_string(),
            last_lines: Vec::new(),
        })?;
        Ok(true)
    }

    async fn lock(&self, path: &Path, patience: Duration) -> Result<Option<Held>, HostError> {
        let file = match path.is_dir() {
            true => File::open(path),
            false => File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path),
        };
        let file = file.map_err(refused)?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Box::new(file))),
                Err(TryLockError::Error(failed)) => return Err(refused(failed)),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return Ok(None),
                Err(TryLockError::WouldBlock) => sleep(PAUSE).await,
            }
        }
    }

    async fn upload(
        &self,
        from: &Path,
        to: &Path,
        cancelled: &CancellationToken,
    ) -> Result<Uploaded, HostError> {
        let (from, to, stop) = (from.to_owned(), to.to_owned(), cancelled.clone());
        let copying = tokio::task::spawn_blocking(move || copy(&from, &to, &stop)).await;
        let copied = copying.map_err(|failed| refused(io::Error::other(failed)))?;
        let copied = copied.map_err(|failed| HostError::Refused(failed.to_string()))?;
        Ok(Uploaded {
            files: copied.files,
            bytes: copied.bytes,
            sent: copied.bytes,
        })
    }

    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        let stream: io::Result<Box<dyn Stream>> = match to {
            Socket::Unix(path) => UnixStream::connect(path).await.map(boxed),
            Socket::Tcp(host, port) => match names::addresses(host, *port).await {
                Ok(addresses) => TcpStream::connect(&addresses[..]).await.map(boxed),
                Err(failed) => Err(failed),
            },
        };
        stream.map_err(|failed| HostError::OutOfReach(failed.to_string()))
    }
}

fn boxed(stream: impl Stream + 'static) -> Box<dyn Stream> {
    Box::new(stream)
}

fn read(path: &Path, cap: u64) -> io::Result<Seen> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        // To open a pipe would be to wait for its other end.
        return Err(io::Error::other("this is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(cap).read_to_end(&mut content)?;
    Ok(Seen {
        // Written in the future is a clock that was set, and as fresh as can be.
        age: about.modified()?.elapsed().unwrap_or_default(),
        content,
    })
}

fn read_on(path: &Path, since: Option<ReadTo>, cap: u64) -> io::Result<Grown> {
    let about = match fs::metadata(path) {
        Ok(about) if about.is_file() => Some(about),
        Ok(_) => return Err(io::Error::other("this is not a regular file")),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => None,
        Err(failed) => return Err(failed),
    };
    let named = about.as_ref().map(|about| about.ino());
    let Some(since) = since else {
        let added = about.map(|about| Added {
            from: about.len(),
            size: about.len(),
            content: Vec::new(),
        });
        return Ok(Grown { named, added });
    };
    let found = match named == Some(since.inode) {
        true => Some(path.to_owned()),
        false => of_inode(directory_of(path), since.inode)?,
    };
    let added = match found {
        Some(found) => added(&found, since, cap)?,
        None => None,
    };
    Ok(Grown { named, added })
}

/// The file of that inode in a directory, whatever its name.
fn of_inode(directory: &Path, inode: u64) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.ino() == inode && entry.file_type()?.is_file() {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

fn added(path: &Path, since: ReadTo, cap: u64) -> io::Result<Option<Added>> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    // It was renamed meanwhile.
    if about.ino() != since.inode {
        return Ok(None);
    }
    let size = about.len();
    let from = if size < since.at { 0 } else { since.at };
    file.seek(SeekFrom::Start(from))?;
    let mut content = Vec::new();
    file.take(cap).read_to_end(&mut content)?;
    Ok(Some(Added {
        from,
        size,
        content,
    }))
}

fn refused(failed: io::Error) -> HostError {
    HostError::Refused(failed.to_string())
}
