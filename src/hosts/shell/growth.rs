//! A file on another machine that grows, such as a log: what was added to it since it was last read,
//! by one question, which brings no more than that.
//!
//! It is opened first and looked at then, so that its inode, its size and its content are of one
//! file, whatever is renamed meanwhile. `dd` leaps over what was read, where `tail` may read it again.

use std::path::Path;

use super::Shell;
use super::files::{NOT_A_FILE, odd, word};
use super::questions::ask;
use crate::platform::atomic_file::directory_of;
use crate::platform::host::{Added, Grown, HostError, ReadTo};

/// What `dd` leaps by.
const BLOCK: u64 = 4096;

/// The line before the content is shorter than this.
const HEAD: usize = 128;

/// Opens what has the name: `n` is its inode, or `-`, and `z` its size.
const NAMED: &str = "n=- z=0; look() { set -- $(stat -L -c '%i %s' /proc/self/fd/3); test $# -eq 2 || { echo \"$*\"; exit 1; }; i=$1 z=$2; }; if test -e \"$p\"; then test -f \"$p\" || exit NOT_A_FILE; exec 3<\"$p\" || exit 1; look; n=$i; fi;";

/// Opens what had it, if that is another, and prints the rest. What is not there has no rest.
const REST: &str = "if test $n != INODE; then command -v find >/dev/null || { echo it has no find; exit 1; }; f=$(find \"$d/\" -maxdepth 1 -type f -inum INODE 2>/dev/null | head -n 1); test -f \"$f\" || { echo $n; exit 0; }; exec 3<\"$f\" || exit 1; look; test $i = INODE || { echo $n; exit 0; }; fi; a=AT; test $z -ge $a || a=0; echo $n $a $z; test $a -lt $z || exit 0; command -v dd >/dev/null || { echo it has no dd; exit 1; }; dd bs=BLOCK skip=$((a/BLOCK)) count=COUNT <&3 2>/dev/null | tail -c +$((a%BLOCK+1)) | head -c CAP";

/// Reads on in a file there.
pub(super) async fn read_on(
    line: &dyn Shell,
    path: &Path,
    since: Option<ReadTo>,
    cap: u64,
) -> Result<Grown, HostError> {
    let (at, directory) = (word(path), word(directory_of(path)));
    let rest = match since {
        None => "echo $n $z $z".to_owned(),
        Some(ReadTo { inode, at }) => REST
            .replace("INODE", &inode.to_string())
            .replace("AT", &at.to_string())
            .replace("BLOCK", &BLOCK.to_string())
            .replace("COUNT", &cap.div_ceil(BLOCK).saturating_add(1).to_string())
            .replace("CAP", &cap.to_string()),
    };
    let named = NAMED.replace("NOT_A_FILE", &NOT_A_FILE.to_string());
    let script = format!("p={at} d={directory}; {named} {rest}");
    let room = usize::try_from(cap)
        .unwrap_or(usize::MAX)
        .saturating_add(HEAD);
    let (code, said) = ask(line, &script, room).await?;
    match code {
        0 => {}
        NOT_A_FILE => {
            let said = line.said(&"this is not a regular file");
            return Err(HostError::Refused(said));
        }
        _ => return Err(HostError::Refused(odd(line, &said))),
    }
    grown(&said, since.is_some()).ok_or_else(|| HostError::Refused(odd(line, &said)))
}

/// Reads the answer: who has the name, from where on, the size, and in further lines the content.
fn grown(said: &[u8], known: bool) -> Option<Grown> {
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let (head, content) = (std::str::from_utf8(&said[..end]).ok()?, &said[end + 1..]);
    let mut words = head.split(' ');
    let named = match words.next()? {
        "-" => None,
        inode => Some(inode.parse().ok()?),
    };
    let added = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some(from), Some(size), None) => Some(Added {
            from: from.parse().ok()?,
            size: size.parse().ok()?,
            content: content.to_vec(),
        }),
        _ => return None,
    };
    // What was not read before is what has the name.
    let added = added.filter(|_| known || named.is_some());
    Some(Grown { named, added })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_line_and_the_content() {
        let added = |from, size, content: &[u8]| {
            Some(Added {
                from,
                size,
                content: content.to_vec(),
            })
        };
        let of = |named, added| Some(Grown { named, added });
        assert_eq!(
            grown(b"7 0 5\na\nb\0\n", true),
            of(Some(7), added(0, 5, b"a\nb\0\n"))
        );
        assert_eq!(grown(b"- 3 3\n", true), of(None, added(3, 3, b"")));
        assert_eq!(grown(b"8\n", true), of(Some(8), None));
        assert_eq!(grown(b"- 0 0\n", false), of(None, None));
        for odd in ["", "7 0 5", "x 0 5\n", "7 0\n", "7 0 5 9\n", "7 -1 5\n"] {
            assert_eq!(grown(odd.as_bytes(), true), None, "{odd}");
        }
    }
}
