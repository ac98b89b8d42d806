//! The files that the runner reads when the step is over: outputs, state, the step summary.
//!
//! They are appended to, never truncated. A value stands between two lines with a random word,
//! so that no value, whoever wrote it, can end its own entry and begin another. There are no
//! blank lines between entries, because act refuses them. What is written here was redacted
//! before; a file that cannot be written is the caller's warning, never the end of a run.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The runner drops a summary that is larger than this, all of it.
const SUMMARY_LIMIT: usize = 1 << 20;

/// How much of the summary is ours at most; other tools of the step may write theirs.
pub const SUMMARY_CAP: usize = 512 << 10;

/// Says that the summary goes on where nobody sees it.
const CUT_NOTICE: &str = "\n\n_The summary was cut here; the log has the rest._\n";

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A name that the runner does not know how to hand on.
    #[error("\"{0}\" is no name for an output: letters, digits, _ and -, no digit first")]
    BadName(String),
    /// The value holds the random word that was to end it.
    #[error("the value of {0} holds its own end mark")]
    Collision(String),
    /// The summary has no room left.
    #[error("the step summary {} is full at {SUMMARY_LIMIT} bytes", .0.display())]
    Full(PathBuf),
    /// The file cannot be written.
    #[error("{} cannot be appended to: {said}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        said: io::Error,
    },
}

/// Appends an output.
///
/// # Errors
/// When the name is none, or the file cannot be written.
pub fn write_output(path: &Path, name: &str, value: &str) -> Result<(), FileError> {
    write_outputs(path, &[(name, value)])
}

/// Appends several outputs in one write, so that a run that is killed meanwhile leaves no half
/// of an entry. When one of them is refused, none is written.
///
/// # Errors
/// When a name is none, or the file cannot be written.
pub fn write_outputs<N, V>(path: &Path, outputs: &[(N, V)]) -> Result<(), FileError>
where
    N: AsRef<str>,
    V: AsRef<str>,
{
    let mut text = String::new();
    for (name, value) in outputs {
        text.push_str(&entry(name.as_ref(), value.as_ref(), &delimiter())?);
    }
    append(path, &text)
}

/// Hands `value` on to the post step as `STATE_<name>`; the case of the name is kept.
///
/// # Errors
/// When the name is none, or the file cannot be written.
pub fn save_state(path: &Path, name: &str, value: &str) -> Result<(), FileError> {
    append(path, &entry(name, value, &delimiter())?)
}

/// Appends to the step summary, cut at a line with a notice where it is too long.
///
/// # Errors
/// When there is no room left, or the file cannot be written.
pub fn append_summary(path: &Path, markdown: &str) -> Result<(), FileError> {
    let there = path.metadata().map_or(0, |meta| meta.len());
    let there = usize::try_from(there).unwrap_or(SUMMARY_LIMIT);
    let room = SUMMARY_CAP.min(SUMMARY_LIMIT.saturating_sub(there + 2));
    let text = fitted(markdown, room).ok_or_else(|| FileError::Full(path.to_owned()))?;
    // A block of Markdown begins after a blank line.
    let gap = if there > 0 { "\n" } else { "" };
    append(path, &format!("{gap}{text}"))
}

/// One entry of an output or state file. `delimiter` must be new for every entry.
///
/// # Errors
/// When the name is none, or the delimiter turns up in the entry.
pub fn entry(name: &str, value: &str, delimiter: &str) -> Result<String, FileError> {
    let mut letters = name.bytes();
    let begins = letters
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let goes_on = letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !begins || !goes_on {
        return Err(FileError::BadName(name.escape_debug().to_string()));
    }
    if name.contains(delimiter) || value.contains(delimiter) {
        return Err(FileError::Collision(name.to_owned()));
    }
    Ok(format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"))
}

/// A word that nobody could have foreseen.
fn delimiter() -> String {
    format!("cutover_{}", Uuid::new_v4())
}

/// Appends whole lines, on a line of their own whatever another tool left at the end.
fn append(path: &Path, text: &str) -> Result<(), FileError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let newline = if ends_within_a_line(&mut file)? {
            "\n"
        } else {
            ""
        };
        file.write_all(format!("{newline}{text}").as_bytes())?;
        file.flush()
    };
    write().map_err(|said| FileError::Unwritable {
        path: path.to_owned(),
        said,
    })
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != [b'\n'])
}

/// As many lines of `markdown` as fit, with what they left open closed and a notice; `None`
/// where not even that fits.
fn fitted(markdown: &str, room: usize) -> Option<String> {
    if markdown.len() <= room {
        return Some(markdown.to_owned());
    }
    let mut kept = String::new();
    let mut fence: Option<&str> = None;
    let mut folds = 0_usize;
    let closing = |fence: Option<&str>, folds: usize| {
        let fence = fence.map_or_else(String::new, |ticks| format!("{ticks}\n"));
        format!("{fence}{}{CUT_NOTICE}", "\n</details>\n".repeat(folds))
    };
    for line in markdown.split_inclusive('\n') {
        let ticks = &line[..line.len() - line.trim_start_matches('`').len()];
        let (mut next_fence, mut next_folds) = (fence, folds);
        match fence {
            None if ticks.len() >= 3 => next_fence = Some(ticks),
            None => {
                next_folds += line.matches("<details").count();
                next_folds = next_folds.saturating_sub(line.matches("</details>").count());
            }
            Some(open) if ticks.len() >= open.len() && ticks == line.trim_end() => {
                next_fence = None;
            }
            Some(_) => {}
        }
        if kept.len() + line.len() + closing(next_fence, next_folds).len() > room {
            break;
        }
        kept.push_str(line);
        (fence, folds) = (next_fence, next_folds);
    }
    let end = closing(fence, folds);
    (kept.len() + end.len() <= room).then(|| kept + &end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        for name in ["", "a b", "1a", "a=b", "a<<b", "a\nb", "-a", "ü"] {
            let refused = entry(name, "", "D");
            assert!(matches!(refused, Err(FileError::BadName(_))), "{name:?}");
        }
        assert_eq!(entry("p95-ms", "41", "D").unwrap(), "p95-ms<<D\n41\nD\n");
    }

    #[test]
    fn a_value_cannot_hold_its_own_end() {
        let refused = entry("a", "x\nEND\nb=c", "END");
        assert!(matches!(refused, Err(FileError::Collision(_))));
        assert!(entry("END", "x", "END").is_err());
    }

    #[test]
    fn every_end_mark_is_new() {
        assert_ne!(delimiter(), delimiter());
        assert_eq!(delimiter().len(), "cutover_".len() + 36);
    }

    #[test]
    fn a_cut_summary_is_whole_markdown() {
        let long = format!(
            "# x\n<details>\n\n````\n{}````\n</details>\n",
            "line\n".repeat(100)
        );
        let cut = fitted(&long, 200).unwrap();
        assert!(cut.len() <= 200, "{}", cut.len());
        assert!(
            cut.ends_with(&format!("line\n````\n\n</details>\n{CUT_NOTICE}")),
            "{cut}"
        );
        assert_eq!(fitted(&long, 10), None);
        assert_eq!(fitted(&long, long.len()), Some(long));
    }
}
