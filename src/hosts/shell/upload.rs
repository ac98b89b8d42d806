//! A folder on its way to a host: what is there already with the same hash stays, a file that
//! arrived in part is gone on with, and at the end all hashes are compared.
//!
//! It travels as one archive, a piece of a file at a time, so that neither a large file nor many
//! small ones cost more memory than a few pieces.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::files::{odd, word};
use super::questions::ask_within;
use super::{Out, Running, Shell, Speaker};
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

/// How long a command line may be: Linux takes 128 KiB in one word, and a path has 4 at most, which
/// quoting makes up to four times as long.
const COMMAND_LINE: usize = 40 << 10;

/// More than the names of any release, in bytes.
const NAMES: usize = 64 << 20;

/// Brings what is in `from` to the directory `to` there.
pub(super) async fn upload(
    line: &dyn Shell,
    from: &Path,
    to: &Path,
    cancelled: &CancellationToken,
) -> Result<Uploaded, HostError> {
    // What is made beside all else ends with it.
    let stop = cancelled.child_token();
    let _ends = stop.clone().drop_guard();
    let (folder, stopped) = (from.to_owned(), stop.clone());
    let items = aside(move || folder::items(&folder, &stopped)).await?;
    if let Some(odd) = items.iter().find(|item| !speakable(item)) {
        let said = "its name or its size is nothing that `sha256sum` and `tar` can tell";
        return Err(HostError::Refused(format!(
            "{}: {said}",
            odd.path.display()
        )));
    }
    let items = Arc::new(items);
    let (folder, listed, stopped) = (from.to_owned(), Arc::clone(&items), stop.clone());
    let mut hashing = pin!(aside(move || folder::hashes(&folder, &listed, &stopped)));
    let there = seen(line, to).await?;
    let mut uploaded = counted(&items);
    // Where nothing is yet, nobody waits for the hashes: they are made while all is sent.
    let (mut open, mut differ, mut made) = (items.iter().collect(), Vec::new(), None);
    if !there.is_empty() {
        let hashes = hashing.as_mut().await?;
        open = Vec::new();
        for item in items.iter() {
            let What::File(size) = item.what else {
                open.push(item);
                continue;
            };
            match there.get(&item.path) {
                Some(known) if hashes.get(&item.path) == Some(&known.hash) => {
                    if (known.mode, known.time) != (item.mode & 0o7777, item.time) {
                        differ.push(item);
                    }
                }
                Some(known) if (LARGE..size).contains(&known.size) => {
                    let (path, length, stopped) = (from.join(&item.path), known.size, stop.clone());
                    let same = aside(move || folder::hash(&path, length, &stopped)).await?;
                    if same == known.hash {
                        uploaded.sent += go_on(line, from, to, item, known.size).await?;
                        differ.push(item);
                    } else {
                        open.push(item);
                    }
                }
                _ => open.push(item),
            }
        }
        made = Some(hashes);
    }
    tidy(line, to, &items).await?;
    match mend(line, to, &differ).await {
        // What is another user's can only be replaced.
        Err(HostError::Refused(_)) => open.extend(differ),
        mended => mended?,
    }
    uploaded.sent += send(line, from, to, &open).await?;
    let hashes = match made {
        Some(hashes) => hashes,
        None => hashing.await?,
    };
    let there = seen(line, to).await?;
    for (path, hash) in &hashes {
        let found = there.get(path).map(|known| &known.hash);
        if found != Some(hash) {
            return Err(HostError::Refused(line.said(&format!(
                "{} arrived with the hash {}, wanted {hash}",
                path.display(),
                found.map_or("none", String::as_str)
            ))));
        }
    }
    Ok(uploaded)
}

/// Begins what blocks, where that is allowed; what is returned waits for its end.
fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> impl Future<Output = Result<T, HostError>> {
    let doing = tokio::task::spawn_blocking(work);
    async {
        let done = doing.await.map_err(io::Error::other).flatten();
        done.map_err(|failed| HostError::Refused(failed.to_string()))
    }
}

/// How many files there are, and how large they are together.
fn counted(items: &[Item]) -> Uploaded {
    let mut counted = Uploaded::default();
    for item in items {
        match item.what {
            What::Directory => {}
            What::Link(_) => counted.files += 1,
            What::File(size) => {
                counted.files += 1;
                counted.bytes += size;
            }
        }
    }
    counted
}

/// Whether the tools over there can tell of it.
fn speakable(item: &Item) -> bool {
    let small = match item.what {
        What::File(size) => size <= tar::LARGEST,
        _ => true,
    };
    let path = item.path.to_str();
    small && path.is_some_and(|path| !path.contains(['\n', '\r', '\\']))
}

/// A file that is there already.
struct Known {
    size: u64,
    mode: u32,
    time: u64,
    hash: String,
}

/// All files that are there already. The directory is made. `openssl` knows
/// the processors' own instructions for SHA-256, of which many a `sha256sum` makes no use: it is
/// asked where it works.
async fn seen(line: &dyn Shell, to: &Path) -> Result<BTreeMap<PathBuf, Known>, HostError> {
    let script = format!(
        "mkdir -p {0} && cd {0} || exit 1; find . -type f -exec stat -c '%s %a %Y %n' {{}} + && echo // && h=sha256sum; echo | openssl dgst -sha256 -r >/dev/null 2>&1 && h='openssl dgst -sha256 -r'; find . -type f -exec $h {{}} +",
        word(to)
    );
    let (code, said) = ask_within(line, &script, NAMES, HASHING).await?;
    let said = String::from_utf8_lossy(&said);
    let (states, hashes) = match (code, said.split_once("//\n")) {
        (0, Some(both)) => both,
        _ => return Err(HostError::Refused(odd(line, said.as_bytes()))),
    };
    let state = |row: &str| {
        let mut words = row.splitn(4, ' ');
        let (size, mode) = (words.next()?.parse::<u64>(), words.next()?);
        // What is from before 1970 is sent as if it were from then.
        let time = words.next()?.parse::<i64>().ok()?;
        let time = u64::try_from(time).unwrap_or_default();
        let mode = u32::from_str_radix(mode, 8).ok()?;
        Some((words.next()?.to_owned(), (size.ok()?, mode, time)))
    };
    let states: BTreeMap<String, (u64, u32, u64)> = states.lines().filter_map(state).collect();
    let hash = |row: &str| {
        // Behind the hash stand two characters, the second of which is `*` on some systems.
        let (hash, name) = (row.get(..64)?, row.get(66..)?);
        let path = PathBuf::from(name.strip_prefix("./")?);
        let (size, mode, time) = *states.get(name)?;
        let hash = hash.to_owned();
        let known = Known {
            size,
            mode,
            time,
            hash,
        };
        Some((path, known))
    };
    Ok(hashes.lines().filter_map(hash).collect())
}

/// Removes what is no part of it: an earlier one of the same name had other files, links and
/// directories.
async fn tidy(line: &dyn Shell, to: &Path, items: &[Item]) -> Result<(), HostError> {
    let at = word(to);
    let script =
        format!("cd {at} && find . ! -type d && echo // && find . -depth -type d ! -name .");
    let (code, said) = ask_within(line, &script, NAMES, HASHING).await?;
    let said = String::from_utf8_lossy(&said);
    let (files, directories) = match (code, said.split_once("//\n")) {
        (0, Some(both)) => both,
        _ => return Err(HostError::Refused(odd(line, said.as_bytes()))),
    };
    for (remove, there, wanted) in [("rm -f", files, false), ("rmdir", directories, true)] {
        let is_wanted = |item: &&Item| matches!(item.what, What::Directory) == wanted;
        let known = items.iter().filter(is_wanted);
        let known: BTreeSet<&Path> = known.map(|item| item.path.as_path()).collect();
        let strange = there.lines().filter_map(|name| name.strip_prefix("./"));
        let strange = strange.map(Path::new).filter(|path| !known.contains(path));
        let remove = format!("{remove} --");
        let scripts = batches(&at, strange.map(|path| (remove.as_str(), path)));
        for script in scripts {
            fed(line, &script, async |_: &Speaker| Ok(0)).await?;
        }
    }
    Ok(())
}

/// Gives files their mode and their time, which need not be sent for that.
async fn mend(line: &dyn Shell, to: &Path, differ: &[&Item]) -> Result<(), HostError> {
    let mut all = Vec::new();
    for item in differ {
        all.push((format!("touch -d @{} --", item.time), item.path.as_path()));
        all.push((format!("chmod {:o} --", item.mode & 0o7777), &item.path));
    }
    // One command for all that are to be alike.
    all.sort();
    let at = word(to);
    for script in batches(&at, all.iter().map(|(verb, path)| (verb.as_str(), *path))) {
        fed(line, &script, async |_: &Speaker| Ok(0)).await?;
    }
    Ok(())
}

/// Scripts that do things to what is in a directory, none of which is too long for a command line.
fn batches<'a>(at: &str, all: impl Iterator<Item = (&'a str, &'a Path)>) -> Vec<String> {
    let (mut scripts, mut last): (Vec<String>, _) = (Vec::new(), "");
    for (verb, path) in all {
        let name = word(path);
        match scripts.last_mut() {
            Some(script) if script.len() + verb.len() + name.len() < COMMAND_LINE => {
                *script += &match verb == last {
                    true => format!(" {name}"),
                    false => format!(" && {verb} {name}"),
                };
            }
            _ => scripts.push(format!("cd {at} && {verb} {name}")),
        }
        last = verb;
    }
    scripts
}

/// Sends the rest of a file that arrived in part. It is written where it belongs and not wherever the
/// file ends by then: what a line that was lost has brought may still be written, too, and those are
/// the same bytes at the same places.
async fn go_on(
    line: &dyn Shell,
    from: &Path,
    to: &Path,
    item: &Item,
    begun: u64,
) -> Result<u64, HostError> {
    // `dd` takes nothing; it moves to the place from which `cat` goes on.
    let script = format!(
        "command -v dd >/dev/null || {{ echo it has no dd; exit 1; }}; {{ dd bs=1 seek={begun} count=0 2>/dev/null && exec cat; }} 1<> {}",
        word(&to.join(&item.path))
    );
    let feed = async |speaker: &Speaker| {
        let mut file = File::open(from.join(&item.path)).await?;
        file.seek(io::SeekFrom::Start(begun)).await?;
        pour(speaker, file).await
    };
    fed(line, &script, feed).await
}

/// Sends what is missing as an archive.
async fn send(line: &dyn Shell, from: &Path, to: &Path, open: &[&Item]) -> Result<u64, HostError> {
    // Who unpacks as root would else take the owners from the archive.
    let script = format!("exec tar -xpof - -C {}", word(to));
    let feed = async |speaker: &Speaker| {
        let mut sent = 0;
        for item in open {
            let what = match &item.what {
                What::Directory => tar::What::Directory,
                What::Link(to) => tar::What::Link(to),
                What::File(size) => tar::What::File(*size),
            };
            let header = header(&item.path, what, item.mode, item.time);
            in_time(speaker.send(header)).await?;
            let What::File(size) = &item.what else {
                continue;
            };
            let file = File::open(from.join(&item.path)).await?.take(*size);
            let poured = pour(speaker, file).await?;
            if poured < *size {
                let said = format!("{} became shorter meanwhile", item.path.display());
                return Err(io::Error::other(said));
            }
            in_time(speaker.send(vec![0; padding(*size)])).await?;
            sent += size;
        }
        in_time(speaker.send(END.to_vec())).await?;
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
        in_time(speaker.send(piece)).await?;
        sent += read as u64;
    }
}

async fn in_time(sending: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "nothing moves any more");
    timeout(STILL, sending).await.map_err(late)?
}

/// Runs a script there whose standard input is fed. What it says is why it failed.
async fn fed(
    line: &dyn Shell,
    script: &str,
    feed: impl AsyncFnOnce(&Speaker) -> io::Result<u64>,
) -> Result<u64, HostError> {
    let (exec, mark) = posix::question(script);
    let mut running = Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 1 << 10)).await?;
    let speaker = running.talk.speaker();
    let feeding = async {
        let fed = feed(&speaker).await;
        let ended = in_time(speaker.finish()).await;
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
    // What was handed over may be on its way for long over a slow line. It moves as long as there is
    // more room for it.
    while timeout(STILL, running.hear()).await == Ok(true) {}
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    let lost = running.lost().to_owned();
    match (running.ended, sent, running.out) {
        (Some(End::Code(0)), Some(Ok(sent)), _) => Ok(sent),
        (Some(_), Some(Err(failed)), _) => Err(HostError::Refused(line.said(&failed))),
        (Some(_), _, Out::Bytes(said, _)) => Err(HostError::Refused(odd(line, &said))),
        _ => Err(HostError::Lost {
            said: line.said(&format!("{lost} while files were on their way")),
            last_lines: Vec::new(),
        }),
    }
}
