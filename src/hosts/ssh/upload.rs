//! A folder on its way to a host: what is there already with the same hash stays, a file that
//! arrived in part is gone on with, and at the end all hashes are compared.
//!
//! It travels as one archive, a piece of a file at a time, so that neither a large file nor many
//! small ones cost more memory than a few pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::command::{Out, Running};
use super::connection::{Line, Speaker};
use super::files::{ask_within, odd, word};
use crate::hosts::posix;
use crate::hosts::tar::{self, END, header, padding};
use crate::platform::folder::{self, Item, What};
use crate::platform::host::{HostError, Uploaded};
use crate::platform::process::End;

/// How much is read and sent at a time.
const PIECE: usize = 256 << 10;

/// From this size on a file that arrived in part is gone on with, in bytes.
const LARGE: u64 = 1 << 20;

/// How long nothing may move.
const STILL: Duration = Duration::from_secs(60);

/// How long it may take there to make the hashes of everything.
const HASHING: Duration = Duration::from_secs(600);

/// More than the names of any release, in bytes.
const NAMES: usize = 64 << 20;

/// Brings what is in `from` to the directory `to` there.
pub(super) async fn upload(
    line: &Line,
    from: &Path,
    to: &Path,
    cancelled: &CancellationToken,
) -> Result<Uploaded, HostError> {
    let (folder, stop) = (from.to_owned(), cancelled.clone());
    let listed = tokio::task::spawn_blocking(move || folder::items(&folder, &stop)).await;
    let refused = |failed: io::Error| HostError::Refused(failed.to_string());
    let items = listed
        .map_err(io::Error::other)
        .flatten()
        .map_err(refused)?;
    if let Some(odd) = items.iter().find(|item| !speakable(item)) {
        let said = "its name or its size is nothing that `sha256sum` and `tar` can tell";
        return Err(HostError::Refused(format!(
            "{}: {said}",
            odd.path.display()
        )));
    }
    let there = seen(line, to).await?;
    let mut uploaded = Uploaded::default();
    let mut open = Vec::new();
    for item in &items {
        let What::File { size, hash } = &item.what else {
            uploaded.files += u64::from(matches!(item.what, What::Link(_)));
            open.push(item);
            continue;
        };
        uploaded.files += 1;
        uploaded.bytes += size;
        match there.get(&item.path) {
            Some((_, known)) if known == hash => {}
            Some((begun, known)) if (LARGE..*size).contains(begun) => {
                let (path, length) = (from.join(&item.path), *begun);
                let same = tokio::task::spawn_blocking(move || folder::hash(&path, length)).await;
                let (_, same) = same.map_err(io::Error::other).flatten().map_err(refused)?;
                if same == *known {
                    uploaded.sent += go_on(line, from, to, item, *begun).await?;
                } else {
                    open.push(item);
                }
            }
            _ => open.push(item),
        }
    }
    tidy(line, to, &items, &there).await?;
    uploaded.sent += send(line, from, to, &open).await?;
    let there = seen(line, to).await?;
    for item in &items {
        let What::File { hash, .. } = &item.what else {
            continue;
        };
        let found = there.get(&item.path).map(|(_, hash)| hash);
        if found != Some(hash) {
            return Err(HostError::Refused(line.said(format!(
                "{} arrived with the hash {}, wanted {hash}",
                item.path.display(),
                found.map_or("none", String::as_str)
            ))));
        }
    }
    Ok(uploaded)
}

/// Whether the tools over there can tell of it.
fn speakable(item: &Item) -> bool {
    let small = match item.what {
        What::File { size, .. } => size <= tar::LARGEST,
        _ => true,
    };
    let path = item.path.to_str();
    small && path.is_some_and(|path| !path.contains(['\n', '\r', '\\']))
}

/// The sizes and hashes of all files that are there already. The directory is made.
async fn seen(line: &Line, to: &Path) -> Result<BTreeMap<PathBuf, (u64, String)>, HostError> {
    let script = format!(
        "mkdir -p {0} && cd {0} || exit 1; find . -type f -exec stat -c '%s %n' {{}} + && echo // && find . -type f -exec sha256sum {{}} +",
        word(to)
    );
    let (code, said) = ask_within(line, &script, NAMES, HASHING).await?;
    let said = String::from_utf8_lossy(&said);
    let (sizes, hashes) = match (code, said.split_once("//\n")) {
        (0, Some(both)) => both,
        _ => return Err(HostError::Refused(odd(line, said.as_bytes()))),
    };
    let size = |row: &str| {
        let (size, name) = row.split_once(' ')?;
        Some((name.to_owned(), size.parse::<u64>().ok()?))
    };
    let sizes: BTreeMap<String, u64> = sizes.lines().filter_map(size).collect();
    let hash = |row: &str| {
        // Behind the hash stand two characters, the second of which is `*` on some systems.
        let (hash, name) = (row.get(..64)?, row.get(66..)?);
        let path = PathBuf::from(name.strip_prefix("./")?);
        Some((path, (*sizes.get(name)?, hash.to_owned())))
    };
    Ok(hashes.lines().filter_map(hash).collect())
}

/// Removes files that are no part of it: an earlier one of the same name had others.
async fn tidy(
    line: &Line,
    to: &Path,
    items: &[Item],
    there: &BTreeMap<PathBuf, (u64, String)>,
) -> Result<(), HostError> {
    let known: BTreeSet<&Path> = items.iter().map(|item| item.path.as_path()).collect();
    let strange = there.keys().filter(|path| !known.contains(path.as_path()));
    let strange: Vec<String> = strange.map(|path| word(path)).collect();
    for some in strange.chunks(100) {
        let script = format!("cd {} && rm -f -- {}", word(to), some.join(" "));
        fed(line, &script, async |_: &Speaker| Ok(0)).await?;
    }
    Ok(())
}

/// Sends the rest of a file that arrived in part.
async fn go_on(
    line: &Line,
    from: &Path,
    to: &Path,
    item: &Item,
    begun: u64,
) -> Result<u64, HostError> {
    let script = format!("exec cat >> {}", word(&to.join(&item.path)));
    let feed = async |speaker: &Speaker| {
        let mut file = File::open(from.join(&item.path)).await?;
        file.seek(io::SeekFrom::Start(begun)).await?;
        pour(speaker, file).await
    };
    let sent = fed(line, &script, feed).await?;
    // Its mode and its time are those of what arrived in part; they come with an empty archive.
    let script = format!(
        "chmod {:o} {1} && touch -d @{2} {1}",
        item.mode & 0o7777,
        word(&to.join(&item.path)),
        item.time
    );
    fed(line, &script, async |_: &Speaker| Ok(0)).await?;
    Ok(sent)
}

/// Sends what is missing as an archive.
async fn send(line: &Line, from: &Path, to: &Path, open: &[&Item]) -> Result<u64, HostError> {
    // Who unpacks as root would else take the owners from the archive.
    let script = format!("exec tar -xpof - -C {}", word(to));
    let feed = async |speaker: &Speaker| {
        let mut sent = 0;
        for item in open {
            let what = match &item.what {
                What::Directory => tar::What::Directory,
                What::Link(to) => tar::What::Link(to),
                What::File { size, .. } => tar::What::File(*size),
            };
            speaker
                .send(header(&item.path, what, item.mode, item.time))
                .await?;
            let What::File { size, .. } = &item.what else {
                continue;
            };
            let file = File::open(from.join(&item.path)).await?.take(*size);
            let poured = pour(speaker, file).await?;
            if poured < *size {
                let said = format!("{} became shorter meanwhile", item.path.display());
                return Err(io::Error::other(said));
            }
            speaker.send(vec![0; padding(*size)]).await?;
            sent += size;
        }
        speaker.send(END.to_vec()).await?;
        Ok(sent)
    };
    fed(line, &script, feed).await
}

/// Reads to the end and sends it piece by piece.
async fn pour(speaker: &Speaker, mut file: impl tokio::io::AsyncRead + Unpin) -> io::Result<u64> {
    let mut sent = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Ok(sent);
        }
        piece.truncate(read);
        let sending = timeout(STILL, speaker.send(piece)).await;
        sending
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nothing moves any more"))??;
        sent += read as u64;
    }
}

/// Runs a script there whose standard input is fed. What it says is why it failed.
async fn fed(
    line: &Line,
    script: &str,
    feed: impl AsyncFnOnce(&Speaker) -> io::Result<u64>,
) -> Result<u64, HostError> {
    let (exec, mark) = posix::question(script);
    let mut running = Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 1 << 10)).await?;
    let speaker = running.session.speaker();
    let feeding = async {
        let fed = feed(&speaker).await;
        let ended = speaker.finish().await;
        fed.and_then(|sent| ended.map(|()| sent))
    };
    let mut feeding = std::pin::pin!(feeding);
    // Who has ended takes nothing more, and would be waited for in vain.
    let sent = loop {
        tokio::select! {
            biased;
            fed = &mut feeding => break Some(fed),
            more = running.hear() => if !more || running.ended.is_some() { break None },
        }
    };
    let rest = async { while running.hear().await {} };
    let _ = timeout(STILL, rest).await;
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    match (running.ended, sent, running.out) {
        (Some(End::Code(0)), Some(Ok(sent)), _) => Ok(sent),
        (Some(_), Some(Err(failed)), _) => Err(HostError::Refused(line.said(failed))),
        (Some(_), _, Out::Bytes(said, _)) => Err(HostError::Refused(odd(line, &said))),
        _ => Err(HostError::Lost {
            said: line.said("the connection was lost while files were on their way"),
            last_lines: Vec::new(),
        }),
    }
}
