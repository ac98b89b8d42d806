//! A chain of lines, and everything that somebody could do to it without rewriting it all.

use std::sync::LazyLock;
use std::time::Instant;

use cutover::judge::chain::{Broken, verify};
use cutover::platform::text;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::{noticed, write};

/// Three runs in one file.
static THREE_RUNS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    for run in 0..3 {
        write(&path, (0..4).map(|n| noticed(format!("{run}.{n} \"ä\" ☂"))));
    }
    std::fs::read(path).unwrap()
});

fn lines() -> Vec<Vec<u8>> {
    let lines = THREE_RUNS.split_inclusive(|byte| *byte == b'\n');
    lines.map(<[u8]>::to_vec).collect()
}

fn broken(lines: &[Vec<u8>]) -> Broken {
    verify(&lines.concat()).unwrap_err()
}

/// The line that is named is the one that was touched.
fn told(lines: &[Vec<u8>]) -> String {
    let Broken { line, why } = broken(lines);
    format!("{line}: {why}")
}

#[test]
fn what_nobody_touched_is_whole() {
    let whole = verify(&THREE_RUNS).unwrap();
    assert_eq!((whole.lines, whole.runs, whole.resumed), (15, 3, vec![]));
}

proptest! {
    #![proptest_config(Config { cases: 4000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_flipped_byte_anywhere_is_found_in_its_line(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut text = THREE_RUNS.clone();
        let at = at.index(text.len());
        let line = 1 + text[..at].iter().filter(|byte| **byte == b'\n').count();
        text[at] ^= flip;
        let Err(Broken { line: found, why }) = verify(&text) else {
            panic!("byte {at} of line {line} was flipped by {flip}, and nobody saw it");
        };
        prop_assert_eq!(found, line, "{}", why);
    }

    #[test]
    fn a_text_that_ends_early_is_found(at in any::<prop::sample::Index>()) {
        let at = at.index(THREE_RUNS.len());
        let text = &THREE_RUNS[..at];
        // The end of a run is an end.
        let ends: Vec<usize> = [5, 10].iter().map(|n| lines()[..*n].concat().len()).collect();
        prop_assert_eq!(verify(text).is_ok(), ends.contains(&at));
    }

    #[test]
    fn a_removed_line_is_found(at in 0_usize..14) {
        let mut lines = lines();
        lines.remove(at);
        let told = told(&lines);
        prop_assert_eq!(told, format!("{0}: number {0} is missing before it", at + 1));
    }

    #[test]
    fn swapped_lines_are_found(one in 0_usize..14, further in any::<prop::sample::Index>()) {
        let other = one + 1 + further.index(14 - one);
        let mut lines = lines();
        lines.swap(one, other);
        let expected = format!(
            "{}: lines were swapped: here is number {}, and number {} comes later",
            one + 1, other + 1, one + 1
        );
        prop_assert_eq!(told(&lines), expected);
    }

    #[test]
    fn a_line_that_is_there_twice_is_found(one in 0_usize..15, after in 0_usize..15) {
        let mut lines = lines();
        let copy = lines[one].clone();
        lines.insert(after + 1, copy);
        let broken = broken(&lines);
        // A copy right before its original is taken for it.
        let expected = if after + 1 == one { after + 3 } else { after + 2 };
        prop_assert_eq!(broken.line, expected, "{}", broken.why);
    }
}

#[test]
fn the_first_and_the_last_line_are_missed_too() {
    let all = lines();
    assert_eq!(told(&all[2..]), "1: numbers 1 to 2 are missing before it");
    assert_eq!(
        told(&all[..14]),
        "14: it is not the last: it says `noticed`, and `closed` is wanted; lines are missing after it, or the run was killed"
    );
    let told = told(&[]);
    assert_eq!(told, "1: it is missing: the file is empty");
    let text = &THREE_RUNS[..THREE_RUNS.len() - 1];
    let cut = verify(text).unwrap_err();
    assert_eq!(
        (cut.line, cut.why.as_str()),
        (15, "it is cut off: the end of the line is missing")
    );
}

#[test]
fn what_was_added_is_found() {
    let mut all = lines();
    all.push(b"{\"seq\":16,\"previous\":\"x\",\"event\":\"noticed\"}\n".to_vec());
    assert_eq!(
        told(&all),
        "16: it was changed or added: it does not carry the hash of the line before"
    );
    let mut all = lines();
    all.push(b"\n".to_vec());
    assert!(told(&all).starts_with("16: it was changed: this is no line of an audit"));
    // Somebody who knows how to chain still lacks an end, and an end that counts.
    let mut all = lines();
    let mut chain = cutover::model::chain::Chain::after(all[14].trim_ascii_end()).unwrap();
    let forged = chain.link("noticed", serde_json::Map::new());
    all.push(format!("{forged}\n").into_bytes());
    assert!(told(&all).starts_with("16: it is not the last"));
}

/// Measured, not asserted: machines differ.
#[test]
fn a_hundred_thousand_lines() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("audit.jsonl");
    let began = Instant::now();
    let closed = write(&path, (1..100_000).map(noticed));
    let written = began.elapsed();
    let text = std::fs::read(&path).unwrap();
    let began = Instant::now();
    let whole = verify(&text).unwrap();
    let verified = began.elapsed();
    assert_eq!((closed.lines, whole.lines), (100_000, 100_000));
    assert_eq!(closed.head, whole.head);
    println!(
        "{} lines, {:.1} MB: written in {}, verified in {}",
        text::thousands(whole.lines),
        text.len() as f64 / 1e6,
        text::duration(written),
        text::duration(verified)
    );
}
