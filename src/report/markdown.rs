//! Markdown out of text that nobody vouches for: release names, bodies, a script's output.
//!
//! The step summary is rendered where people trust it. So a stranger's text is shown as it is
//! and forms nothing: no table cell, no tag, no link, no image, no mention.

use crate::actions::commands;

/// The longest run of text in a cell or a line, in characters.
const LONGEST: usize = 1000;

/// Text within a line or a table cell.
pub fn inline(text: &str) -> String {
    let text = commands::one_line(text);
    let mut out = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    let mut rest = text.chars().enumerate().peekable();
    while let Some((i, c)) = rest.next() {
        if i == LONGEST {
            out.push('…');
            break;
        }
        let after = rest.peek().map_or(' ', |(_, next)| *next);
        let within_a_word = before.is_alphanumeric() && after.is_alphanumeric();
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // An escaped pipe is still a pipe to some readers of tables.
            '|' => out.push_str("&#124;"),
            // Harmless there, and an escape would show up in a linked address.
            '_' if within_a_word => out.push('_'),
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' | '$' | '#' => out.extend(['\\', c]),
            // An unseen space: nobody is called up by a release's name.
            '@' if !before.is_alphanumeric() && after.is_alphanumeric() => {
                out.push_str("@&#8203;");
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// A row of a table; the cells are Markdown already.
pub fn row<C: AsRef<str>>(cells: &[C]) -> String {
    let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Lines in a block that shows them as they are; its fence is longer than any run of backticks
/// in it.
pub fn fenced<L: AsRef<str>>(lines: &[L]) -> String {
    let mut longest = 2;
    for line in lines {
        let runs = line.as_ref().split(|c| c != '`').map(str::len);
        longest = runs.fold(longest, usize::max);
    }
    let fence = "`".repeat(longest + 1);
    let mut out = format!("{fence}text\n");
    for line in lines {
        out.push_str(line.as_ref());
        out.push('\n');
    }
    out.push_str(&fence);
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_nothing() {
        for (text, safe) in [
            ("a|b\n<img src=x>&", "a&#124;b &lt;img src=x&gt;&amp;"),
            ("![x](http://y)", "!\\[x\\](http://y)"),
            ("`*_~$x", "\\`\\*\\_\\~\\$x"),
            ("\\| x", "\\\\&#124; x"),
            ("my_app by @ana, me@b.c", "my_app by @&#8203;ana, me@b.c"),
            ("\u{1b}[1mbold", "bold"),
        ] {
            assert_eq!(inline(text), safe);
        }
        assert_eq!(inline(&"ab".repeat(600)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced(&["a"]), "```text\na\n```\n");
        assert_eq!(fenced(&["x ````", "`"]), "`````text\nx ````\n`\n`````\n");
    }
}
