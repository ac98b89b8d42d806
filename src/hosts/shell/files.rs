//! Files on another machine, by questions to a shell there: no more is needed than what every
//! Linux has, and no subsystem that may be switched off.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::questions::{DEADLINE, act, act_with, ask, lost};
use super::{Out, Running, Seat, Shell};
use crate::hosts::posix::{self, quoted};
use crate::platform::atomic_file::directory_of;
use crate::platform::host::{Held, HostError, Kind, Seen};
use crate::platform::process::End;
use crate::platform::text;

/// More than the names of any directory that is listed here.
const LISTING: usize = 4 << 20;

/// Up to here a file goes there in its question, in bytes.
const SHORT: usize = 16 << 10;

/// What a question ends with where there is nothing at the path.
const NOT_THERE: i32 = 44;

/// The same where there is something of another kind.
pub(super) const NOT_A_FILE: i32 = 45;

/// The same where it is done, and would not outlive a power cut.
const NOT_DURABLE: i32 = 47;

/// What is in a directory there.
pub(super) async fn list(
    line: &dyn Shell,
    directory: &Path,
) -> Result<Vec<(String, Kind)>, HostError> {
    let at = word(directory);
    let script = format!(
        "cd -- {at} || exit 1; for f in * .[!.]* ..?*; do if test -L \"$f\"; then k=o; elif test -d \"$f\"; then k=d; elif test -f \"$f\"; then k=f; elif test -e \"$f\"; then k=o; else continue; fi; printf '%s%s\\0' $k \"$f\"; done"
    );
    let (code, said) = ask(line, &script, LISTING).await?;
    if code != 0 {
        return Err(HostError::Refused(odd(line, &said)));
    }
    let entry = |entry: &[u8]| {
        let (kind, name) = entry.split_first()?;
        let kind = match kind {
            b'f' => Kind::File,
            b'd' => Kind::Directory,
            _ => Kind::Other,
        };
        Some((String::from_utf8_lossy(name).into_owned(), kind))
    };
    Ok(said.split(|byte| *byte == 0).filter_map(entry).collect())
}

/// Whether files can be made in a directory there.
pub(super) async fn writable(line: &dyn Shell, directory: &Path) -> Result<(), HostError> {
    let at = word(directory);
    let script = format!(
        "test -d {at} || {{ echo no such directory; exit 1; }}; test -w {at} && test -x {at} || {{ echo it may not be written to; exit 1; }}"
    );
    match ask(line, &script, 1 << 10).await? {
        (0, _) => Ok(()),
        (_, said) => Err(HostError::Refused(odd(line, &said))),
    }
}

/// Puts a file in the place of another there.
pub(super) async fn replace(
    line: &dyn Shell,
    path: &Path,
    content: &[u8],
) -> Result<(), HostError> {
    let (at, directory, length) = (word(path), word(directory_of(path)), content.len());
    // What is short and a word goes with the question to the shell that stays. `printf` is that
    // shell's own, so it is on no command line.
    let short = length <= SHORT && !content.contains(&0);
    let short = short.then(|| std::str::from_utf8(content).ok()).flatten();
    // The name is made up there, and what is left of a transfer that broke off is removed there:
    // a shell that complains of it to nobody would end by SIGPIPE, and never come to that. All that
    // may take long comes before it is `ready`, so that what is not known is but the renaming.
    let script = |source: &str| {
        format!(
            "trap '' PIPE; p={at}; d={directory}; test -d \"$p\" && {{ echo this is a directory; exit 1; }}; t=$(mktemp \"$d/.cutover-XXXXXX\") || exit 1; trap 'rm -f \"$t\"' EXIT; m=$(stat -L -c %a \"$p\" 2>/dev/null) || m=644; {source} > \"$t\" || exit 1; test $(wc -c < \"$t\") -eq {length} || {{ echo it did not arrive as a whole; exit 1; }}; chmod $m \"$t\" && {{ sync \"$t\" 2>/dev/null || sync; }} || exit 1; ready; mv -f \"$t\" \"$p\" || exit 1; sync \"$d\" 2>/dev/null || sync || exit {NOT_DURABLE}"
        )
    };
    // On the same way comes the line for which it waits, which is not its content.
    let apart = script(&format!("head -c {length}"));
    let did = match short {
        Some(text) => {
            let with_it = script(&format!("printf %s {}", quoted(text)));
            act(line, &with_it, (&apart, content)).await?
        }
        None => act_with(line, &apart, content).await?,
    };
    done(line, did).map(drop)
}

/// Renames a file there.
pub(super) async fn rename(line: &dyn Shell, from: &Path, to: &Path) -> Result<bool, HostError> {
    let (from, to, directory) = (word(from), word(to), word(directory_of(to)));
    let script = format!(
        "test -d {to} && {{ echo there is a directory; exit 1; }}; test -e {from} || exit {NOT_THERE}; test {from} = {to} || {{ ready; mv -f {from} {to}; }} || {{ test -e {from} || exit {NOT_THERE}; exit 1; }}; sync {directory} 2>/dev/null || sync || exit {NOT_DURABLE}"
    );
    done(line, act(line, &script, (&script, b"")).await?)
}

/// What came of a change; `false` is that there was nothing to change.
fn done(line: &dyn Shell, (code, said): (i32, Vec<u8>)) -> Result<bool, HostError> {
    match code {
        0 => Ok(true),
        NOT_THERE => Ok(false),
        NOT_DURABLE => Err(lost(odd(line, &said))),
        _ => Err(HostError::Refused(odd(line, &said))),
    }
}

/// Takes a lock there. It is held by a process that waits for the end of its input.
pub(super) async fn lock(
    line: &dyn Shell,
    path: &Path,
    patience: Duration,
) -> Result<Option<Held>, HostError> {
    // Not every `flock` can wait.
    let (at, tries) = (word(path), patience.as_millis() / 50);
    let script = format!(
        "command -v flock >/dev/null || {{ echo it has no flock; exit 1; }}; if test -d {at}; then exec 9<{at}; else exec 9>>{at}; fi || exit 1; n=0; until flock -n 9; do test $? -eq 1 || exit 1; n=$((n+1)); test $n -gt {tries} && exit {NOT_THERE}; sleep .05 || sleep 1; done; echo held; exec cat >/dev/null"
    );
    let (exec, mark) = posix::question(&script);
    let out = Out::Bytes(Vec::new(), 1 << 10);
    let mut running = Running::begin_on(Seat::Lock, line, exec, mark, out).await?;
    let held = |running: &Running<'_>| matches!(&running.out, Out::Bytes(said, _) if said.ends_with(b"held\n"));
    let taking = async { while !held(&running) && running.hear().await {} };
    let late = timeout(DEADLINE + patience, taking).await.is_err();
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    if held(&running) {
        return Ok(Some(Box::new(running.talk)));
    }
    match (running.ended, running.out) {
        (Some(End::Code(NOT_THERE)), _) => Ok(None),
        (Some(_), Out::Bytes(said, _)) => Err(HostError::Refused(odd(line, &said))),
        _ if late => Ok(None),
        _ => Err(HostError::OutOfReach(line.said(&"the connection was lost"))),
    }
}

/// A path as a word that is no option.
pub(super) fn word(path: &Path) -> String {
    let path = path.to_string_lossy();
    match path.starts_with('-') {
        true => quoted(&format!("./{path}")),
        false => quoted(&path),
    }
}

/// What is at a path there.
pub(super) async fn kind(line: &dyn Shell, path: &Path) -> Result<Option<Kind>, HostError> {
    let path = match path.as_os_str().is_empty() {
        true => word(Path::new(".")),
        false => word(path),
    };
    let script = format!(
        "if test -d {path}; then echo d; elif test -f {path}; then echo f; elif test -e {path}; then echo o; else echo n; fi"
    );
    let (_, said) = ask(line, &script, 64).await?;
    match said.as_slice() {
        b"d\n" => Ok(Some(Kind::Directory)),
        b"f\n" => Ok(Some(Kind::File)),
        b"o\n" => Ok(Some(Kind::Other)),
        b"n\n" => Ok(None),
        other => Err(HostError::Refused(odd(line, other))),
    }
}

/// Reads a file there.
pub(super) async fn read(line: &dyn Shell, path: &Path, cap: u64) -> Result<Seen, HostError> {
    let at = word(path);
    let script = format!(
        "test -e {at} || exit {NOT_THERE}; test -f {at} || exit {NOT_A_FILE}; w=$(stat -L -c %Y {at}) || exit 1; echo $w $(date +%s); exec head -c {cap} {at}"
    );
    let room = usize::try_from(cap)
        .unwrap_or(usize::MAX)
        .saturating_add(64);
    let (code, said) = ask(line, &script, room).await?;
    let refused = |said: &str| Err(HostError::Refused(line.said(&said)));
    match code {
        0 => {}
        NOT_THERE => return refused("no such file"),
        NOT_A_FILE => return refused("this is not a regular file"),
        _ => return Err(HostError::Refused(odd(line, &said))),
    }
    let mut parts = said.splitn(2, |byte| *byte == b'\n');
    let (times, content) = (parts.next().unwrap_or_default(), parts.next());
    let times = String::from_utf8_lossy(times);
    let times = times.split_once(' ');
    let number = |text: &str| text.parse::<u64>().ok();
    match (
        times.and_then(|(w, n)| Some((number(w)?, number(n)?))),
        content,
    ) {
        (Some((written, now)), Some(content)) => Ok(Seen {
            age: Duration::from_secs(now.saturating_sub(written)),
            content: content.to_vec(),
        }),
        _ => Err(HostError::Refused(odd(line, &said))),
    }
}

/// What was said, in a sentence about the host.
pub(super) fn odd(line: &dyn Shell, said: &[u8]) -> String {
    line.said(&text::excerpt(&String::from_utf8_lossy(said), 200))
}

#[cfg(test)]
mod tests {
    use std::fmt::Display;
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::hosts::shell::Talk;
    use crate::platform::host::{Socket, Stream};

    /// A machine that keeps no shell and runs nothing, but keeps what it was asked to.
    #[derive(Default)]
    struct Deaf(Mutex<Vec<String>>);

    #[async_trait]
    impl Shell for Deaf {
        fn name(&self) -> &str {
            "deaf"
        }

        async fn reach(&self) -> Result<String, HostError> {
            Err(HostError::OutOfReach(String::new()))
        }

        async fn begin(&self, line: String, _: Seat) -> Result<Box<dyn Talk>, HostError> {
            self.0.lock().unwrap().push(line);
            Err(HostError::OutOfReach(String::new()))
        }

        async fn connect(&self, _: &Socket) -> Result<Box<dyn Stream>, HostError> {
            Err(HostError::OutOfReach(String::new()))
        }

        fn said(&self, what: &dyn Display) -> String {
            what.to_string()
        }

        fn mute(&self, words: &str) -> String {
            words.to_owned()
        }
    }

    #[tokio::test]
    async fn what_is_in_a_file_is_on_no_command_line() {
        let deaf = Deaf::default();
        let path = Path::new("/etc/file");
        assert!(replace(&deaf, path, b"s3cr3t").await.is_err());
        let asked = deaf.0.into_inner().unwrap();
        assert!(
            asked.len() == 1 && asked[0].contains("/etc/file"),
            "{asked:?}"
        );
        assert!(!asked[0].contains("s3cr3t"), "{asked:?}");
    }
}
