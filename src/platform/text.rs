//! Words and numbers as a person reads them: plurals, durations, shares, safe excerpts.
//!
//! Everything here is pure. Escapes for the runner's commands live in `actions::commands`,
//! because they are the runner's grammar and nobody else's.

use std::time::Duration;

/// Names in a sentence: `a, b and c`.
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// `1 check`, `3 checks`: a count with its noun, thousands separated.
pub fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

/// `12,034`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration with two or three digits and a unit: `0.4 ms`, `41 ms`, `2.3 s`, `5 m 10 s`, `4 h`.
pub fn duration(d: Duration) -> String {
    let ms = d.as_secs_f64() * 1000.0;
    if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 119_950.0 {
        let s = format!("{:.1}", ms / 1000.0);
        format!("{} s", s.strip_suffix(".0").unwrap_or(&s))
    } else {
        let s = d.as_secs();
        match (s / 60, s % 60) {
            (m, 0) if m >= 120 && m % 60 == 0 => format!("{} h", m / 60),
            (m, 0) => format!("{m} m"),
            (m, s) => format!("{m} m {s} s"),
        }
    }
}

/// A length of time as people speak of it where seconds are no matter: `41 s`, `35 m`, `4 h 12 m`,
/// `90 days`.
pub fn long(d: Duration) -> String {
    let minutes = d.as_secs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    match (hours, minutes) {
        (0, 0) => format!("{} s", d.as_secs()),
        (0, minutes) => format!("{minutes} m"),
        (48.., _) => count(hours / 24, "day"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} m"),
    }
}

/// An amount of data with its unit, in powers of 1000: `512 B`, `9.8 GB`, `31 GB`.
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    let mut units = ["B", "KB", "MB", "GB"].iter();
    let mut unit = units.next();
    while size >= 999.5 {
        let Some(next) = units.next() else { break };
        size /= 1000.0;
        unit = Some(next);
    }
    let unit = unit.copied().unwrap_or_default();
    if size < 9.95 && unit != "B" {
        let text = format!("{size:.1}");
        return format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text));
    }
    format!("{} {unit}", thousands(size.round() as u64))
}

/// A share of 0 to 1 as percent: `0 %`, `0.02 %`, `5 %`, `12.5 %`.
pub fn percent(share: f64) -> String {
    let p = share * 100.0;
    let text = if p < 1.0 {
        format!("{p:.2}")
    } else {
        format!("{p:.1}")
    };
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text} %")
}

/// The first `max` characters of the first lines of `text` on one line, with control characters
/// taken out, for quoting what a stranger sent. Says `…` where it was cut.
pub fn excerpt(text: &str, max: usize) -> String {
    let mut out = String::new();
    let mut taken = 0;
    let mut space = false;
    for c in text.trim().chars() {
        if c.is_whitespace() || c.is_control() {
            space = true;
            continue;
        }
        let gap = usize::from(space && !out.is_empty());
        // The gap counts, too: a text of single letters has as many of them.
        if taken + gap >= max {
            out.push('…');
            break;
        }
        if gap > 0 {
            out.push(' ');
        }
        space = false;
        out.push(c);
        taken += gap + 1;
    }
    out
}

/// The last of somebody's lines that fit into `max` characters, on one line and harmless as an [`excerpt`] is:
/// why it ended is said at the end. Says `…` at its beginning where something is left out.
pub fn ending<Line: AsRef<str>>(lines: &[Line], max: usize) -> String {
    let mut kept = Vec::new();
    let mut room = max;
    for line in lines.iter().rev() {
        let line = excerpt(line.as_ref(), usize::MAX);
        if line.is_empty() {
            continue;
        }
        let between = if kept.is_empty() { 0 } else { BETWEEN.len() };
        let length = line.chars().count() + between;
        if length > room {
            // A line is left out as a whole, unless little would be left then.
            let part = room.saturating_sub(between + 1);
            let mut cut = "…".to_owned();
            if part * 2 > max {
                let before = line.chars().count().saturating_sub(part);
                cut.extend(line.chars().skip(before));
            }
            kept.push(cut);
            break;
        }
        room -= length;
        kept.push(line);
    }
    kept.reverse();
    kept.join(BETWEEN)
}

/// What is between two lines on one.
const BETWEEN: &str = " / ";

/// The first seven characters of a full commit SHA; anything else is left as it is.
pub fn short_sha(version: &str) -> &str {
    if version.len() == 40 && version.bytes().all(|b| b.is_ascii_hexdigit()) {
        &version[..7]
    } else {
        version
    }
}

/// `text` as one word of a shell's command line, for a command that a person may copy.
pub fn shell_word(text: &str) -> std::borrow::Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''")).into()
    }
}

/// The known word that `word` most likely meant, if one is near enough to say so.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|one| (distance(word, one), one))
        .filter(|(distance, one)| *distance <= 1.max(one.len() / 3))
        .min()
        .map(|(_, one)| one)
}

/// Two parts of a line, with a semicolon where both have something to say.
pub fn sentence(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (false, false) => format!("{first}; {second}"),
        _ => format!("{first}{second}"),
    }
}

/// How many letters differ, whatever their case.
fn distance(one: &str, other: &str) -> usize {
    strsim::damerau_levenshtein(&one.to_lowercase(), &other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_told_roughly() {
        for (seconds, told) in [
            (41, "41 s"),
            (2119, "35 m"),
            (4 * 3600, "4 h"),
            (15_179, "4 h 12 m"),
            (47 * 3600, "47 h"),
            (90 * 86_400, "90 days"),
        ] {
            assert_eq!(long(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn durations_keep_their_unit() {
        let cases = [
            (400, "0.4 ms"),
            (41_300, "41 ms"),
            (999_600, "1 s"),
            (2_340_000, "2.3 s"),
            (61_000_000, "61 s"),
            (300_000_000, "5 m"),
            (310_000_000, "5 m 10 s"),
            (14_400_000_000, "4 h"),
        ];
        for (micros, text) in cases {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn sizes_keep_their_unit() {
        for (bytes_, text) in [
            (512, "512 B"),
            (9_800_000_000, "9.8 GB"),
            (10_000_000_000, "10 GB"),
            (999_600_000, "1 GB"),
            (2_500_000_000_000, "2,500 GB"),
        ] {
            assert_eq!(bytes(bytes_), text);
        }
    }

    #[test]
    fn shares_are_percent() {
        for (share, text) in [
            (0.0, "0 %"),
            (0.0002, "0.02 %"),
            (0.05, "5 %"),
            (0.125, "12.5 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn an_excerpt_is_one_harmless_line() {
        assert_eq!(
            excerpt("  a\r\n::error::b\x1b[31m  c", 40),
            "a ::error::b [31m c"
        );
        assert_eq!(excerpt("abcdef", 3), "abc…");
        assert_eq!(excerpt(&"a ".repeat(9), 4), "a a…");
        assert_eq!(excerpt(&"a ".repeat(9), 3), "a a…");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "check"), "1 check");
    }

    #[test]
    fn an_ending_has_the_last_lines() {
        assert_eq!(ending(&["a", " ", "b\tc\n"], 40), "a / b c");
        assert_eq!(
            ending(&["first", "second", "third"], 16),
            "… / second / third"
        );
        // The end of a long line is more than nothing.
        assert_eq!(ending(&["first", "0123456789"], 8), "…3456789");
        assert_eq!(ending(&["0123456789", "x"], 12), "…3456789 / x");
        assert_eq!(ending(&["0123456789", "0123456"], 12), "… / 0123456");
        assert_eq!(ending::<&str>(&[], 8), "");
    }

    #[test]
    fn a_word_for_a_shell_is_quoted_where_it_must_be() {
        assert_eq!(shell_word("/run/traffic/w10"), "/run/traffic/w10");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word(""), "''");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("ngins", ["nginx", "haproxy"]), Some("nginx"));
        assert_eq!(nearest("Stratgy", ["strategy", "smoke"]), Some("strategy"));
        assert_eq!(nearest("psot", ["GET", "POST"]), Some("POST"));
        assert_eq!(nearest("kubernetes", ["nginx", "haproxy"]), None);
    }
}
