//! Whether a chain of lines is whole: the first line that was changed, removed, swapped or
//! added is found, and so is an end that is missing.

use crate::model::chain::{CLOSED, Link, ORIGIN, RESUMED, hash, is_sealed};
use crate::platform::text::excerpt;

/// A chain that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How many lines there are.
    pub lines: u64,
    /// How many runs have said that they were over.
    pub runs: u64,
    /// The lines that go on after a run which had left no end.
    pub resumed: Vec<u64>,
    /// The hash of the last line.
    pub head: String,
}

/// A chain that is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

/// Looks at every line of a file.
///
/// # Errors
/// The first line that is not as it was written. What follows it proves nothing.
pub fn verify(text: &[u8]) -> Result<Whole, Broken> {
    let broken = |line: usize, why: String| Err(Broken { line, why });
    let (body, is_cut) = match text.strip_suffix(b"\n") {
        Some(body) => (body, false),
        None if text.is_empty() => {
            return broken(1, "it is missing: the file is empty".to_owned());
        }
        None => (text, true),
    };
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let mut head = ORIGIN.to_owned();
    let mut whole = Whole {
        lines: lines.len() as u64,
        runs: 0,
        resumed: Vec::new(),
        head: String::new(),
    };
    let mut last = String::new();
    for (i, line) in lines.iter().enumerate() {
        let number = i + 1;
        if is_cut && number == lines.len() {
            return broken(
                number,
                "it is cut off: the end of the line is missing".to_owned(),
            );
        }
        let link = match Link::read(line) {
            Ok(link) => link,
            Err(said) => {
                return broken(
                    number,
                    format!("it was changed: this is no line of an audit ({said})"),
                );
            }
        };
        if link.previous != head {
            let (line, why) = misplaced(&lines, i, &link);
            return broken(line, why);
        }
        if link.seq != number as u64 {
            let why = format!("it was changed: it says that it is number {}", link.seq);
            return broken(number, why);
        }
        if link.is_last() {
            if !is_sealed(line) {
                return broken(number, "it was changed: its seal does not fit".to_owned());
            }
            if link.count != Some(link.seq) {
                let why = format!("it counts {} lines", link.count.unwrap_or_default());
                return broken(number, why);
            }
            whole.runs += 1;
        }
        if link.event == RESUMED {
            whole.resumed.push(link.seq);
        }
        last = link.event;
        head = hash(line);
    }
    if last != CLOSED {
        let why = format!(
            "it is not the last: it says `{}`, and `closed` is wanted; lines are missing after it, or the run was killed",
            excerpt(&last, 20)
        );
        return broken(lines.len(), why);
    }
    Ok(Whole { head, ..whole })
}

/// Why a line does not carry the hash of the one before it, and which of the two is to blame.
fn misplaced(lines: &[&[u8]], i: usize, link: &Link) -> (usize, String) {
    let number = i + 1;
    let wanted = number as u64;
    if link.seq != wanted {
        let is_later = lines[number..]
            .iter()
            .any(|line| Link::read(line).is_ok_and(|later| later.seq == wanted));
        let why = match link.seq {
            seq if seq < wanted => {
                format!("it does not belong here: number {seq} was there before")
            }
            seq if is_later => {
                format!("lines were swapped: here is number {seq}, and number {wanted} comes later")
            }
            seq if seq == wanted + 1 => format!("number {wanted} is missing before it"),
            seq => format!("numbers {wanted} to {} are missing before it", seq - 1),
        };
        return (number, why);
    }
    let before = i.checked_sub(1).map(|at| lines[at]);
    match before {
        None => (
            number,
            format!("it was changed: the first line carries {ORIGIN}"),
        ),
        // A line that something vouches for is as it was written, so it is the other one.
        Some(_) if vouched_for(lines, i) => (
            i,
            "it was changed: its hash is not the one that the next line carries".to_owned(),
        ),
        Some(before) if is_sealed(before) || number < lines.len() => (
            number,
            "it was changed or added: it does not carry the hash of the line before".to_owned(),
        ),
        Some(_) => (
            number,
            "it or the line before was changed: the hashes differ".to_owned(),
        ),
    }
}

/// Whether the next line or its own seal says that a line is as it was written.
fn vouched_for(lines: &[&[u8]], i: usize) -> bool {
    let next = lines.get(i + 1).and_then(|next| Link::read(next).ok());
    is_sealed(lines[i]) || next.is_some_and(|next| next.previous == hash(lines[i]))
}
