//! The runner's commands, read back with the runner's own two parsers and with act's.

use cutover::actions::commands::{self, Annotation};
use proptest::prelude::*;

use super::{any_text, config};

/// A command as a runner understood it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: String,
    pub(super) properties: Vec<(String, String)>,
    pub(super) data: String,
}

/// The commands that a runner knows; anything else is plain text to it.
const KNOWN: &[&str] = &[
    "error",
    "warning",
    "notice",
    "group",
    "endgroup",
    "debug",
    "add-mask",
    "set-output",
    "save-state",
    "set-env",
    "add-path",
    "echo",
    "stop-commands",
    "add-matcher",
];

/// How GitHub's runner reads a line: `::name key=value::data` at its beginning, white space
/// aside, or `##[name key=value]data` anywhere.
pub(super) fn as_the_runner_reads(line: &str) -> Option<Command> {
    let trimmed = line.trim_start();
    if let Some(rest) = trimmed.strip_prefix("::")
        && let Some((head, data)) = rest.split_once("::")
        && let Some(command) = command(head, data, ',')
    {
        return Some(command);
    }
    let (_, rest) = line.split_once("##[")?;
    let (head, data) = rest.split_once(']')?;
    command(head, data, ';')
}

/// How act reads a line: its expression is greedy, so the last `::` ends the head.
fn as_act_reads(line: &str) -> Option<Command> {
    let rest = line.strip_prefix("::")?;
    let (head, data) = rest.rsplit_once("::")?;
    command(head, data, ',')
}

fn command(head: &str, data: &str, comma: char) -> Option<Command> {
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    let name = name.to_lowercase();
    KNOWN.contains(&name.as_str()).then(|| Command {
        name,
        properties: properties
            .split(comma)
            .filter_map(|one| one.split_once('='))
            .map(|(key, value)| (key.to_owned(), plain(value)))
            .collect(),
        data: plain(data),
    })
}

/// The escapes taken back, `%25` last.
fn plain(text: &str) -> String {
    [
        ("%0D", "\r"),
        ("%0A", "\n"),
        ("%3A", ":"),
        ("%2C", ","),
        ("%25", "%"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escape, c)| text.replace(escape, c))
}

/// The lines of an output as the runner cuts it: `\n`, `\r` and both together end a line.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', '\r'])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_annotation_is_one_command_for_both_runners(
        title in any_text(),
        file in any_text(),
        message in any_text(),
        line in 1_usize..9999,
    ) {
        let written = commands::error(&Annotation {
            title: Some(&title),
            file: Some(&file),
            line: Some(line),
            message: &message,
        });
        prop_assert_eq!(lines(written.trim_end_matches('\n')).count(), 1);
        prop_assert!(written.ends_with('\n'));
        let line_of_it = written.trim_end_matches('\n');
        let read = as_the_runner_reads(line_of_it).unwrap();
        let by_act = as_act_reads(line_of_it).unwrap();
        prop_assert_eq!(&read, &by_act);
        prop_assert_eq!(&read.name, "error");
        let expected = ["title", "file", "line"];
        prop_assert!(read.properties.iter().all(|(key, _)| expected.contains(&key.as_str())));
        prop_assert_eq!(read.properties.last().map(|(_, value)| value.clone()), Some(line.to_string()));
    }

    #[test]
    fn a_plain_message_comes_back(message in "[a-zA-Z0-9 %,;=.]{1,60}(\n[a-zA-Z0-9%]{1,20}){0,3}") {
        let written = commands::notice(&Annotation { message: &message, ..Annotation::default() });
        let read = as_the_runner_reads(written.trim_end_matches('\n')).unwrap();
        prop_assert_eq!(read.data, message.trim());
    }

    #[test]
    fn a_mask_hides_the_value_as_it_is(secret in "[!-~]{4,40}") {
        let written = commands::mask(&secret);
        let read = as_the_runner_reads(written.trim_end_matches('\n')).unwrap();
        prop_assert_eq!(read.name, "add-mask");
        prop_assert_eq!(read.data, secret);
    }

    #[test]
    fn no_line_of_a_stranger_is_a_command(line in any_text()) {
        let written = commands::untrusted(&line);
        prop_assert_eq!(lines(written.trim_end_matches('\n')).count(), 1);
        prop_assert!(written.starts_with("| ") && written.ends_with('\n'));
        prop_assert_eq!(as_the_runner_reads(&written), None);
        prop_assert_eq!(as_act_reads(&written), None);
        prop_assert!(!written.trim_end_matches('\n').contains(|c: char| c.is_control() && c != '\t'));
    }
}
