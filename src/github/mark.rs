//! What we say about a deployment that GitHub made: its payload cannot be ours, so the
//! description of our status begins with the same words.
//!
//! `cutover: rollout green 4f2a9c1 100 %, rest blue; promoted` is mode, slot, release, the slot's
//! share of traffic, the slot that has the rest, and then whatever there is to say. In names,
//! blanks, `%`, `,` and `;` are written as in a URL.

use crate::platform::text;

use super::record::{Content, Run};

/// How it begins.
const BEGIN: &str = "cutover: ";

/// The longest name of a slot that has room in it.
const SLOT: usize = 30;

/// As much of a release as there is room for; a commit's SHA fits.
const VERSION: usize = 40;

impl Content {
    /// The words that a status' description begins with; `None` where a slot's name is too long.
    pub fn mark(&self) -> Option<String> {
        let version = word(&text::excerpt(&self.version, VERSION), VERSION)
            .or_else(|| word(&text::excerpt(&self.version, VERSION / 3), VERSION))?;
        let mut mark = format!("{BEGIN}{} {} {version}", self.mode, word(&self.slot, SLOT)?);
        if let Some(weight) = self.weight {
            mark.push_str(&format!(" {weight} %"));
        }
        if let Some(previous) = &self.previous {
            mark.push_str(&format!(", rest {}", word(previous, SLOT)?));
        }
        Some(mark)
    }

    /// Reads the words back. The run is not in them.
    pub(super) fn of_mark(description: &str) -> Option<Self> {
        let (mark, _) = description.strip_prefix(BEGIN)?.split_once(';')?;
        let (mark, previous) = match mark.split_once(", rest ") {
            Some((mark, previous)) => (mark, Some(unword(previous)?)),
            None => (mark, None),
        };
        let words: Vec<&str> = mark.split(' ').collect();
        let (words, weight) = match words.as_slice() {
            [words @ .., weight, "%"] => (words, Some(weight.parse().ok().filter(|w| *w <= 100)?)),
            words => (words, None),
        };
        let [mode, slot, version] = words else {
            return None;
        };
        Some(Self {
            mode: (*mode).to_owned(),
            slot: unword(slot)?,
            version: unword(version)?,
            weight,
            previous,
            canary: None,
            beside: None,
            run: Run::default(),
        })
    }
}

/// A name without what ends a word; `None` where that is longer than allowed, or nothing.
fn word(name: &str, longest: usize) -> Option<String> {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_whitespace() || c.is_control() || matches!(c, '%' | ',' | ';') {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                word.push_str(&format!("%{byte:02X}"));
            }
        } else {
            word.push(c);
        }
    }
    (1..=longest)
        .contains(&word.chars().count())
        .then_some(word)
}

fn unword(word: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(slot: &str, version: &str, weight: Option<u8>, previous: Option<&str>) -> Content {
        Content {
            mode: "switch-traffic".into(),
            slot: slot.into(),
            version: version.into(),
            weight,
            previous: previous.map(str::to_owned),
            canary: None,
            beside: None,
            run: Run::default(),
        }
    }

    #[test]
    fn it_reads_like_a_sentence() {
        let mark = content("green", "4f2a9c1", Some(25), Some("blue")).mark();
        assert_eq!(
            mark.as_deref(),
            Some("cutover: switch-traffic green 4f2a9c1 25 %, rest blue")
        );
    }

    #[test]
    fn nonsense_is_nobodys_word() {
        for said in [
            "",
            "cutover: ",
            "cutover: green; x",
            "cutover: rollout green v1 101 %; x",
            "cutover: rollout green v1 100 %",
            "cutover: rollout gr%zzeen v1; x",
            "Deployed by cutover: rollout green v1; x",
        ] {
            assert_eq!(Content::of_mark(said), None, "{said}");
        }
    }

    #[test]
    fn a_long_release_is_cut_and_a_long_slot_is_none() {
        let long = content("green", &"v ü".repeat(100), Some(100), None);
        let mark = long.mark().unwrap();
        let read = Content::of_mark(&format!("{mark}; x")).unwrap();
        assert!(read.version.starts_with("v ü"), "{mark}");
        assert!(mark.chars().count() <= 139, "{mark}");
        assert_eq!(content(&"x".repeat(99), "v1", None, None).mark(), None);
    }

    proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        #[test]
        fn what_is_written_is_read_back(
            slot in "\\PC{1,8}", version in "[!-~]{1,13}", weight in prop::option::of(0..=100u8),
            previous in prop::option::of("[ -~]{1,9}"), said in "\\PC{0,40}",
        ) {
            let content = content(&slot, &version, weight, previous.as_deref());
            if let Some(mark) = content.mark() {
                prop_assert_eq!(Content::of_mark(&format!("{mark}; {said}")), Some(content));
            }
        }
    }
}
