//! A chain of lines: each carries its own number and the hash of the line before it, and the
//! last one says that it is the last.
//!
//! A line is a JSON object, its hash the SHA-256 of its bytes without the end of the line.
//! Nothing follows the last line that could vouch for it, so it vouches for itself: its `seal`
//! is the hash of all that stands in front of the seal. Who may rewrite the whole file can
//! forge the whole chain; the hash of its end, kept elsewhere, is what tells.

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The hash that the first line carries.
pub const ORIGIN: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The event of the line that says that it is the last.
pub const CLOSED: &str = "closed";

/// The event of a line that goes on after a run which had left no end.
pub const RESUMED: &str = "resumed";

/// What stands between the sealed part of a line and its seal.
const SEAL: &str = ",\"seal\":\"";

/// Makes lines that hang together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    lines: u64,
    head: String,
}

/// What a line says about its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Its number, from 1.
    pub seq: u64,
    /// The hash of the line before.
    pub previous: String,
    /// What happened.
    pub event: String,
    /// How many lines there are, itself included; the last line has it.
    pub count: Option<u64>,
}

impl Chain {
    /// Before the first line.
    pub fn begin() -> Self {
        Self {
            lines: 0,
            head: ORIGIN.to_owned(),
        }
    }

    /// After a line that is there already; `None` where it is none.
    pub fn after(line: &[u8]) -> Option<Self> {
        Some(Self {
            lines: Link::read(line).ok()?.seq,
            head: hash(line),
        })
    }

    /// How many lines there are.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The hash of the last line.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The next line, which says `event` and then `fields`.
    pub fn link(&mut self, event: &str, fields: Map<String, Value>) -> String {
        self.next(event, fields)
    }

    /// The last line. The chain may go on after it, when another run does.
    pub fn close(&mut self, mut fields: Map<String, Value>) -> String {
        fields.insert("count".to_owned(), (self.lines + 1).into());
        self.next(CLOSED, fields)
    }

    fn next(&mut self, event: &str, fields: Map<String, Value>) -> String {
        self.lines += 1;
        let mut line = Map::new();
        line.insert("seq".to_owned(), self.lines.into());
        line.insert("previous".to_owned(), self.head.as_str().into());
        line.insert("event".to_owned(), event.into());
        line.extend(fields);
        let mut line = Value::Object(line).to_string();
        if event == CLOSED {
            line.pop();
            let seal = hash(line.as_bytes());
            line = format!("{line}{SEAL}{seal}\"}}");
        }
        self.head = hash(line.as_bytes());
        line
    }
}

impl Link {
    /// Reads a line.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|failed| failed.to_string())
    }

    /// Whether it says that it is the last.
    pub fn is_last(&self) -> bool {
        self.event == CLOSED
    }
}

/// Whether a line carries the seal that fits it.
pub fn is_sealed(line: &[u8]) -> bool {
    let Some((sealed, seal)) = line
        .len()
        .checked_sub(SEAL.len() + ORIGIN.len() + 2)
        .map(|at| line.split_at(at))
    else {
        return false;
    };
    seal == format!("{SEAL}{}\"}}", hash(sealed)).as_bytes()
}

/// The SHA-256 of a line's bytes, in hex.
pub fn hash(line: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(ORIGIN.len());
    for byte in Sha256::digest(line) {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from(DIGITS[usize::from(half)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_number_and_the_hash_of_the_one_before() {
        let mut chain = Chain::begin();
        let first = chain.link("began", Map::new());
        let last = chain.close(Map::new());
        let link = Link::read(first.as_bytes()).unwrap();
        assert_eq!((link.seq, link.previous.as_str()), (1, ORIGIN));
        let link = Link::read(last.as_bytes()).unwrap();
        assert_eq!((link.seq, link.count), (2, Some(2)));
        assert_eq!(link.previous, hash(first.as_bytes()));
        assert_eq!(Chain::after(last.as_bytes()), Some(chain));
        assert!(is_sealed(last.as_bytes()) && !is_sealed(first.as_bytes()));
        assert!(!is_sealed(
            last.replace("\"count\":2", "\"count\":3").as_bytes()
        ));
    }

    #[test]
    fn the_hash_is_the_one_that_everybody_has() {
        assert_eq!(
            hash(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
