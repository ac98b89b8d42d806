//! Pieces of HTML, and text that cannot become one.

use crate::actions::commands;
use crate::platform::secret::Vault;

use super::super::words;

/// The longest piece of somebody's text, in characters.
const LONGEST: usize = 400;

/// Somebody's text, without secrets, on one line.
pub(super) fn text(text: &str, vault: &Vault) -> String {
    let text = commands::one_line(&words::clean(text, vault));
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => escaped(&text[..end]) + "…",
        None => escaped(&text),
    }
}

/// Text that forms nothing, in an element or within quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A section with a heading; empty where its content is.
pub(super) fn section(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{heading}</h2>\n{content}</section>\n")
}

/// A section that is folded away.
pub(super) fn folded(heading: &str, content: &str) -> String {
    if content.is_empty() {
        return String::new();
    }
    format!("<details>\n<summary>{heading}</summary>\n{content}</details>\n")
}

/// Names with values; empty where there are none.
pub(super) fn pairs(class: &str, rows: &[(&str, String)]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("<dl class=\"{class}\">\n");
    for (name, value) in rows {
        out.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>\n"));
    }
    out + "</dl>\n"
}

/// A table of HTML; a head that begins with `#` is that of numbers. `is_wide` lets it be scrolled
/// by itself.
pub(super) fn table(is_wide: bool, caption: &str, heads: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = |head: &str| match head.starts_with('#') {
        true => " class=\"n\"",
        false => "",
    };
    let mut out = String::from("<table>\n<thead><tr>");
    for head in heads {
        let name = head.trim_start_matches('#');
        out.push_str(&format!("<th scope=\"col\"{}>{name}</th>", class(head)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (head, cell) in heads.iter().zip(row) {
            out.push_str(&format!("<td{}>{cell}</td>", class(head)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    if is_wide {
        // Who has no pointer must be able to scroll it.
        out = format!(
            "<div class=\"wide\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n{out}</div>\n"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_nothing() {
        let vault = Vault::default();
        vault.keep("s3cr3t<word>");
        assert_eq!(
            text("<b onload='x'>\n\"&s3cr3t<word>\u{1b}[1m", &vault),
            "&lt;b onload=&#39;x&#39;&gt; &quot;&amp;***"
        );
        assert_eq!(text(&"é".repeat(500), &vault).chars().count(), LONGEST + 1);
    }
}
