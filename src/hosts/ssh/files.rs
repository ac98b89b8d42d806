//! Files on a host over SSH, by questions to a shell there: no more is needed than what every
//! Linux has, and no subsystem that may be switched off.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::command::{Out, Running};
use super::connection::Line;
use crate::hosts::posix::{self, quoted};
use crate::platform::atomic_file::directory_of;
use crate::platform::host::{Held, HostError, Kind, Seen};
use crate::platform::process::End;
use crate::platform::text;

/// How long a question may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// More than the names of any directory that is listed here.
const LISTING: usize = 4 << 20;

/// What a question ends with where there is nothing at the path.
const NOT_THERE: i32 = 44;

/// The same where there is something of another kind.
const NOT_A_FILE: i32 = 45;

/// The same where it is done, and would not outlive a power cut.
const NOT_DURABLE: i32 = 47;

/// Asks a shell there something that changes nothing: its code and what it printed, at most `cap`
/// bytes. Where the way is lost it is asked once more.
async fn ask(line: &Line, script: &str, cap: usize) -> Result<(i32, Vec<u8>), HostError> {
    ask_within(line, script, cap, DEADLINE).await
}

/// The same for what takes longer.
pub(super) async fn ask_within(
    line: &Line,
    script: &str,
    cap: usize,
    deadline: Duration,
) -> Result<(i32, Vec<u8>), HostError> {
    let mut again = true;
    loop {
        let (exec, mark) = posix::question(script);
        let asking = async {
            let out = Out::Bytes(Vec::new(), cap);
            let mut running = Running::begin(line, exec, mark, out).await?;
            // What its ending needs is no part of a question.
            let _ = running.session.speaker().finish().await;
            while running.hear().await {}
            Ok(running)
        };
        let asked = timeout(deadline, asking).await;
        let late = || {
            let said = format!("no answer within {}", text::duration(deadline));
            HostError::OutOfReach(line.said(said))
        };
        let running = asked.map_err(|_| late())??;
        if let Some(failed) = running.not_begun(line) {
            return Err(failed);
        }
        match (running.ended, running.out) {
            (Some(End::Code(code)), Out::Bytes(bytes, _)) => return Ok((code, bytes)),
            _ if again => again = false,
            _ => {
                let said = "the connection was lost before the answer came";
                return Err(HostError::OutOfReach(line.said(said)));
            }
        }
    }
}

/// Has a shell there do something, with `data` as its standard input. It is done once: whether a
/// lost one had its effect is not known.
async fn act(line: &Line, script: &str, data: &[u8]) -> Result<(i32, Vec<u8>), HostError> {
    let (exec, mark) = posix::question(script);
    let mut running = Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 1 << 10)).await?;
    let acting = async {
        if running.session.speaker().send(data.to_vec()).await.is_ok() {
            let _ = running.session.speaker().finish().await;
        }
        while running.hear().await {}
    };
    let late = timeout(DEADLINE, acting).await.is_err();
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    match (running.ended, running.out) {
        (Some(End::Code(code)), Out::Bytes(bytes, _)) if !late => Ok((code, bytes)),
        _ => Err(HostError::Lost {
            said: line.said(match late {
                true => format!("no answer within {}", text::duration(DEADLINE)),
                false => "the connection was lost before the answer came".to_owned(),
            }),
            last_lines: Vec::new(),
        }),
    }
}

/// What is in a directory there.
pub(super) async fn list(line: &Line, directory: &Path) -> Result<Vec<(String, Kind)>, HostError> {
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
pub(super) async fn writable(line: &Line, directory: &Path) -> Result<(), HostError> {
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
pub(super) async fn replace(line: &Line, path: &Path, content: &[u8]) -> Result<(), HostError> {
    let (at, directory, length) = (word(path), word(directory_of(path)), content.len());
    // The name is made up there, and what is left of a transfer that broke off is removed there.
    let script = format!(
        "p={at}; d={directory}; test -d \"$p\" && {{ echo this is a directory; exit 1; }}; t=$(mktemp \"$d/.cutover-XXXXXX\") || exit 1; trap 'rm -f \"$t\"' EXIT; m=$(stat -L -c %a \"$p\" 2>/dev/null) || m=644; cat > \"$t\" || exit 1; test $(wc -c < \"$t\") -eq {length} || {{ echo it did not arrive as a whole; exit 1; }}; chmod $m \"$t\" && {{ sync \"$t\" 2>/dev/null || sync; }} && mv -f \"$t\" \"$p\" || exit 1; sync \"$d\" 2>/dev/null || sync || exit {NOT_DURABLE}"
    );
    done(line, act(line, &script, content).await?).map(drop)
}

/// Renames a file there.
pub(super) async fn rename(line: &Line, from: &Path, to: &Path) -> Result<bool, HostError> {
    let (from, to, directory) = (word(from), word(to), word(directory_of(to)));
    let script = format!(
        "test -d {to} && {{ echo there is a directory; exit 1; }}; test -e {from} || exit {NOT_THERE}; test {from} = {to} || mv -f {from} {to} || {{ test -e {from} || exit {NOT_THERE}; exit 1; }}; sync {directory} 2>/dev/null || sync || exit {NOT_DURABLE}"
    );
    done(line, act(line, &script, b"").await?)
}

/// What came of a change; `false` is that there was nothing to change.
fn done(line: &Line, (code, said): (i32, Vec<u8>)) -> Result<bool, HostError> {
    match code {
        0 => Ok(true),
        NOT_THERE => Ok(false),
        NOT_DURABLE => Err(HostError::Lost {
            said: odd(line, &said),
            last_lines: Vec::new(),
        }),
        _ => Err(HostError::Refused(odd(line, &said))),
    }
}

/// Takes a lock there. It is held by a process that waits for the end of its input.
pub(super) async fn lock(
    line: &Line,
    path: &Path,
    patience: Duration,
) -> Result<Option<Held>, HostError> {
    let (at, seconds) = (word(path), patience.as_secs().max(1));
    let script = format!(
        "if test -d {at}; then exec 9<{at}; else exec 9>>{at}; fi || exit 1; flock -w {seconds} 9 || {{ test $? -eq 1 && exit {NOT_THERE}; exit 1; }}; echo held; exec cat >/dev/null"
    );
    let (exec, mark) = posix::question(&script);
    let mut running = Running::begin(line, exec, mark, Out::Bytes(Vec::new(), 1 << 10)).await?;
    let held = |running: &Running<'_>| matches!(&running.out, Out::Bytes(said, _) if said.ends_with(b"held\n"));
    let taking = async { while !held(&running) && running.hear().await {} };
    let late = timeout(DEADLINE + patience, taking).await.is_err();
    if let Some(failed) = running.not_begun(line) {
        return Err(failed);
    }
    if held(&running) {
        return Ok(Some(Box::new(running.session)));
    }
    match (running.ended, running.out) {
        (Some(End::Code(NOT_THERE)), _) => Ok(None),
        (Some(_), Out::Bytes(said, _)) => Err(HostError::Refused(odd(line, &said))),
        _ if late => Ok(None),
        _ => Err(HostError::OutOfReach(line.said("the connection was lost"))),
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
pub(super) async fn kind(line: &Line, path: &Path) -> Result<Option<Kind>, HostError> {
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
pub(super) async fn read(line: &Line, path: &Path, cap: u64) -> Result<Seen, HostError> {
    let at = word(path);
    let script = format!(
        "test -e {at} || exit {NOT_THERE}; test -f {at} || exit {NOT_A_FILE}; w=$(stat -L -c %Y {at}) || exit 1; echo $w $(date +%s); exec head -c {cap} {at}"
    );
    let room = usize::try_from(cap)
        .unwrap_or(usize::MAX)
        .saturating_add(64);
    let (code, said) = ask(line, &script, room).await?;
    let refused = |said: &str| Err(HostError::Refused(line.said(said)));
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
pub(super) fn odd(line: &Line, said: &[u8]) -> String {
    line.said(text::excerpt(&String::from_utf8_lossy(said), 200))
}
