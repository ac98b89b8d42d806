//! Lines on stdout that mean something to the runner, and lines that must not.
//!
//! Everything here is pure: text in, text out, and whoever owns stdout prints it. Secrets are
//! taken out before, by the vault, because an escaped secret is no longer recognised. Every
//! command ends with its newline, without which act ignores it.

use std::fmt::Write as _;

use crate::platform::secret::SHORTEST;

/// The longest message of an annotation, in UTF-16 units; the runner cuts the rest without a word.
const LONGEST_MESSAGE: usize = 4096;

/// The longest title of an annotation.
const LONGEST_TITLE: usize = 255;

/// The longest line of somebody else's text, in bytes.
const LONGEST_LINE: usize = 4096;

/// What an annotation says, and what it points at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Annotation<'a> {
    /// One line above the message.
    pub title: Option<&'a str>,
    /// The file that it is about, relative to the repository.
    pub file: Option<&'a str>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The message; may have several lines.
    pub message: &'a str,
}

/// Hides `value` in all that the runner prints from now on. Too short a value is not masked
/// (see [`SHORTEST`]), and then there is no command: the runner would blank out every `a`.
pub fn mask(value: &str) -> String {
    let value = value.trim();
    let lines: Vec<&str> = value
        .split(['\n', '\r'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let long_enough = |line: &&str| line.len() >= SHORTEST;
    let mut out = String::new();
    // The runner also masks each line of a value, however short: a key file's lone `{` would
    // ruin the log. So a value with such a line is only masked line by line.
    if lines.len() != 1 && !lines.is_empty() && lines.iter().all(long_enough) {
        let _ = writeln!(out, "::add-mask::{}", data(value));
    }
    for line in lines.into_iter().filter(long_enough) {
        let _ = writeln!(out, "::add-mask::{}", data(line));
    }
    out
}

/// An annotation that says what failed. It does not fail the step; the exit code does.
pub fn error(annotation: &Annotation<'_>) -> String {
    annotate("error", annotation)
}

/// An annotation for what is wrong and does not change the verdict.
pub fn warning(annotation: &Annotation<'_>) -> String {
    annotate("warning", annotation)
}

/// An annotation for what is worth knowing.
pub fn notice(annotation: &Annotation<'_>) -> String {
    annotate("notice", annotation)
}

/// Opens a group, which people see folded. Groups do not nest.
pub fn group(title: &str) -> String {
    format!("::group::{}\n", data(&calm(&one_line(title))))
}

/// Closes the group.
pub fn endgroup() -> String {
    "::endgroup::\n".to_owned()
}

/// A line that is shown when step debugging is on.
pub fn debug(message: &str) -> String {
    format!("::debug::{}\n", data(&calm(&lines_of(message))))
}

/// A line of somebody else's text, safe to print: never at the start of a line, the old command
/// form broken up, no control characters. Of a line that overwrites itself with `\r` the last
/// state stays, as on a terminal. The runner would take what follows a `\r` for a new line.
pub fn untrusted(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let last = line.rsplit('\r').find(|part| !part.trim().is_empty());
    let mut safe = String::from("| ");
    for (i, part) in last.unwrap_or_default().split('\n').enumerate() {
        if i > 0 {
            safe.push(' ');
        }
        safe.push_str(&broken(&without_controls(part)));
    }
    let mut safe = cut(&safe, LONGEST_LINE);
    safe.push('\n');
    safe
}

/// `text` on one line and without control characters, for a row of our own that quotes it.
/// The caller puts something in front of it.
pub fn one_line(text: &str) -> String {
    let text: String = text
        .trim()
        .chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => ' ',
            c => c,
        })
        .collect();
    cut(&broken(&without_controls(&text)), LONGEST_LINE)
}

fn annotate(level: &str, annotation: &Annotation<'_>) -> String {
    let mut properties = Vec::new();
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            properties.push(format!("{name}={}", property(value)));
        }
    };
    if let Some(title) = annotation.title {
        add("title", &cut(&one_line(title), LONGEST_TITLE));
    }
    if let Some(file) = annotation.file {
        add("file", &one_line(file));
        if let Some(line) = annotation.line {
            add("line", &line.to_string());
        }
    }
    let space = if properties.is_empty() { "" } else { " " };
    let message = calm(&lines_of(annotation.message));
    let message = cut_utf16(&message, LONGEST_MESSAGE);
    format!(
        "::{level}{space}{}::{}\n",
        properties.join(","),
        data(&message)
    )
}

/// The runner's escape for what follows the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The runner's escape for a property's value.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Puts a space into every `::`, because act takes the last one of a line for the end of the
/// command, and then knows no command `error::std`.
fn calm(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ':';
    for c in text.chars() {
        if before == ':' && c == ':' {
            out.push(' ');
        }
        out.push(c);
        before = c;
    }
    out
}

/// `text` line by line without control characters.
fn lines_of(text: &str) -> String {
    let lines: Vec<_> = text
        .trim()
        .lines()
        .map(|line| broken(&without_controls(&line.replace('\r', " "))))
        .collect();
    lines.join("\n")
}

/// The old command form `##[error]` is looked for anywhere in a line.
fn broken(text: &str) -> String {
    text.replace("##[", "##\\[")
}

/// Takes out escape sequences of terminals, control characters other than tabs and ends of
/// lines, and the marks that turn the reading direction around.
pub fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\u{1b}' => after_escape(after),
            '\u{9b}' => after_sequence(after),
            _ => {
                let hidden = c.is_control() && !matches!(c, '\t' | '\n' | '\r')
                    || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
                if !hidden {
                    out.push(c);
                }
                after
            }
        };
    }
    out
}

/// What is left after an escape sequence, given what follows its ESC.
fn after_escape(text: &str) -> &str {
    let Some(kind) = text.chars().next() else {
        return text;
    };
    let body = &text[kind.len_utf8()..];
    match kind {
        '[' => after_sequence(body),
        // A title or a link: up to BEL or ESC \. Without an end, only its beginning goes.
        ']' | 'P' | 'X' | '^' | '_' => match (body.find('\u{7}'), body.find("\u{1b}\\")) {
            (Some(bell), st) if st.is_none_or(|st| bell < st) => &body[bell + 1..],
            (_, Some(st)) => &body[st + 2..],
            (_, None) => body,
        },
        // A character set: one more character belongs to it.
        '(' | ')' | '*' | '+' => body.get(1..).unwrap_or(body),
        c if c.is_ascii_graphic() => body,
        _ => text,
    }
}

/// What is left after the parameters and the final byte of a control sequence.
fn after_sequence(text: &str) -> &str {
    let end = text.find(|c: char| !matches!(c, ' '..='?'));
    match end.map(|end| &text[end..]) {
        Some(rest) if rest.starts_with(|c: char| matches!(c, '@'..='~')) => &rest[1..],
        Some(rest) => rest,
        None => "",
    }
}

/// The first `max` bytes at most, with `…` where something is missing.
fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let mut end = max.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

/// The same, measured as the runner measures.
fn cut_utf16(text: &str, max: usize) -> String {
    if text.encode_utf16().count() <= max {
        return text.to_owned();
    }
    let mut left = max - 1;
    let mut out: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(c.len_utf16());
            fits
        })
        .collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_say_where() {
        let annotation = Annotation {
            title: Some("100%: a, b\nc"),
            file: Some(".github/cutover.yml"),
            line: Some(7),
            message: "unknown kind\n50% of std::io\u{1b}[31m ##[error]",
        };
        assert_eq!(
            error(&annotation),
            "::error title=100%25%3A a%2C b c,file=.github/cutover.yml,line=7::\
             unknown kind%0A50%25 of std: :io ##\\[error]\n"
        );
        let bare = Annotation {
            line: Some(7),
            message: ":::x",
            ..Annotation::default()
        };
        assert_eq!(warning(&bare), "::warning:: : : :x\n");
        assert_eq!(notice(&Annotation::default()), "::notice::\n");
    }

    #[test]
    fn a_message_ends_where_the_runner_would_cut_it() {
        let long = "😀%".repeat(3000);
        let annotation = Annotation {
            message: &long,
            ..Annotation::default()
        };
        let said = error(&annotation).replace("%25", "%");
        let message = said.trim_end().strip_prefix("::error::").unwrap();
        assert_eq!(message.encode_utf16().count(), 4096);
        assert!(message.ends_with('…'));
    }

    #[test]
    fn groups_and_debug_lines_are_one_line() {
        assert_eq!(group("a\nb"), "::group::a b\n");
        assert_eq!(endgroup(), "::endgroup::\n");
        assert_eq!(debug("a\nb"), "::debug::a%0Ab\n");
    }

    #[test]
    fn masks_are_long_enough() {
        assert_eq!(mask("hunter22"), "::add-mask::hunter22\n");
        assert_eq!(mask(" 50%25off "), "::add-mask::50%2525off\n");
        assert_eq!(mask("abc"), "");
        assert_eq!(mask(" \n "), "");
        assert_eq!(
            mask("first\r\n  second"),
            "::add-mask::first%0D%0A  second\n::add-mask::first\n::add-mask::second\n"
        );
        assert_eq!(mask("{\n \"key\": 1\n}"), "::add-mask::\"key\": 1\n");
    }

    #[test]
    fn somebody_elses_line_is_no_command() {
        for (line, safe) in [
            ("::error::x", "| ::error::x\n"),
            ("a ##[set-env name=x]y", "| a ##\\[set-env name=x]y\n"),
            ("#\u{1b}[0m#\u{0}[error]", "| ##\\[error]\n"),
            ("10 %\r 50 %\r100 %\r\n", "| 100 %\n"),
            ("x\r::set-output name=a::b", "| ::set-output name=a::b\n"),
            ("a\n::error::b", "| a ::error::b\n"),
            ("\u{1b}[1;32mok\u{1b}[0m\tdone", "| ok\tdone\n"),
            (
                "\u{1b}]8;;https://x\u{7}link\u{1b}]8;;\u{1b}\\.",
                "| link.\n",
            ),
            ("\u{1b}]no end", "| no end\n"),
            ("\u{202e}txet \u{9b}31mred\u{1b}(B", "| txet red\n"),
            ("", "| \n"),
        ] {
            assert_eq!(untrusted(line), safe, "{line:?}");
        }
        let long = untrusted(&"ü".repeat(5000));
        assert!(long.len() <= LONGEST_LINE + 1 && long.ends_with("ü…\n"));
    }

    #[test]
    fn one_line_is_one_line() {
        assert_eq!(one_line(" a\r\nb\u{2028}c\u{1b}[1m "), "a  b c");
    }
}
