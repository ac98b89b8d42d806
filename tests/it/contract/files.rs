//! The runner's files, read back with the runner's own grammar and with act's.

use std::fs;

use cutover::actions::files::{
    FileError, SUMMARY_CAP, append_summary, entry, save_state, write_output, write_outputs,
};
use proptest::prelude::*;

use super::{any_text, config};

/// The grammar of GitHub's runner. Lines end with `\n` only.
pub(crate) fn as_the_runner_reads(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        rest = after;
        if line.is_empty() {
            continue;
        }
        let heredoc = match (line.find('='), line.find("<<")) {
            (Some(equals), heredoc) if heredoc.is_none_or(|it| equals < it) => {
                found.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
                continue;
            }
            (_, Some(heredoc)) => heredoc,
            _ => return Err(format!("Invalid format '{line}'")),
        };
        let (name, delimiter) = (&line[..heredoc], &line[heredoc + 2..]);
        if name.is_empty() || delimiter.is_empty() {
            return Err(format!("Invalid format '{line}'"));
        }
        let mut value: Option<String> = None;
        loop {
            let Some((line, after)) = rest.split_once('\n') else {
                return Err(format!("Matching delimiter not found '{delimiter}'"));
            };
            rest = after;
            if line == delimiter {
                break;
            }
            value = Some(value.map_or_else(|| line.to_owned(), |it| format!("{it}\n{line}")));
        }
        found.push((name.to_owned(), value.unwrap_or_default()));
    }
    Ok(found)
}

/// act's grammar: blank lines are refused, `\r` at a line's end and leading blank lines of a
/// value are lost.
pub(super) fn as_act_reads(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match (line.find('='), line.find("<<")) {
            (Some(equals), heredoc) if heredoc.is_none_or(|it| equals < it) => {
                found.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
            }
            (_, Some(heredoc)) => {
                let mut value = String::new();
                loop {
                    let content = lines.next().ok_or("invalid format delimiter")?;
                    if content == &line[heredoc + 2..] {
                        break;
                    }
                    if !value.is_empty() {
                        value.push('\n');
                    }
                    value.push_str(content);
                }
                found.push((line[..heredoc].to_owned(), value));
            }
            _ => return Err(format!("invalid format '{line}'")),
        }
    }
    Ok(found)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_value_comes_back_and_nothing_else_with_it(
        values in prop::collection::vec(("[a-zA-Z_][a-zA-Z0-9_-]{0,12}", any_text()), 1..4),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        write_outputs(&path, &values).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        prop_assert_eq!(as_the_runner_reads(&written).unwrap(), values.clone());
        let by_act = as_act_reads(&written).unwrap();
        let names = |of: &[(String, String)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        prop_assert_eq!(names(&by_act), names(&values));
    }

    #[test]
    fn no_name_breaks_the_file(name in any_text()) {
        if let Ok(written) = entry(&name, "v", "D") {
            prop_assert_eq!(as_the_runner_reads(&written).unwrap(), [(name, "v".to_owned())]);
        }
    }
}

#[test]
fn entries_are_appended_on_lines_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    fs::write(&path, "theirs=1").unwrap();
    write_output(&path, "ours", "2").unwrap();
    save_state(&path, "isPost", "").unwrap();
    let written = fs::read_to_string(&path).unwrap();
    let expected = [("theirs", "1"), ("ours", "2"), ("isPost", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(as_the_runner_reads(&written).unwrap(), expected);
    assert_eq!(as_act_reads(&written).unwrap(), expected);
}

#[test]
fn a_refused_entry_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("output");
    assert!(write_outputs(&path, &[("good", "1"), ("not good", "2")]).is_err());
    assert!(!path.exists());
}

#[test]
fn a_directory_that_is_missing_is_said_with_its_path() {
    let failed = write_output("/nonexistent/output".as_ref(), "a", "b").unwrap_err();
    assert!(matches!(failed, FileError::Unwritable { .. }));
    let said = failed.to_string();
    assert!(
        said.starts_with("/nonexistent/output cannot be appended to: "),
        "{said}"
    );
}

#[test]
fn a_summary_stays_below_the_limit_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("summary");
    let huge = "| a row of the table |\n".repeat(60_000);
    append_summary(&path, &huge).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.len() <= SUMMARY_CAP && written.len() > SUMMARY_CAP - 200);
    let (kept, notice) = written.split_once("\n\n").unwrap();
    assert!(kept.ends_with("| a row of the table |"), "cut at a line");
    assert!(notice.contains("was cut here"), "{notice}");

    append_summary(&path, &huge).unwrap();
    assert!(fs::metadata(&path).unwrap().len() <= 1 << 20);
    assert!(matches!(
        append_summary(&path, &huge),
        Err(FileError::Full(_))
    ));
    append_summary(&path, "").unwrap();
}

#[test]
fn two_summaries_are_two_blocks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("summary");
    fs::write(&path, "theirs").unwrap();
    append_summary(&path, "### ours\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs\n\n### ours\n");
}
