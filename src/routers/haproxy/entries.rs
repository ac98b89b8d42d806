//! A map as text: the lines of its file, and what `show map` says of it. Pure.

use crate::model::split::Weight;

/// One entry of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// How HAProxy refers to it; empty in a file.
    pub(super) reference: String,
    /// The key.
    pub(super) key: String,
    /// The value.
    pub(super) value: String,
}

/// The versions of a map, which HAProxy counts: the one in force and the last one prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    /// In force.
    pub(super) current: u32,
    /// Prepared last, by whomever.
    pub(super) prepared: u32,
}

/// The entries in an answer to `show map FILE`: `0x5603 key value` a line.
pub(super) fn shown(answer: &str) -> Result<Vec<Entry>, String> {
    let entry = |line: &str| {
        let (reference, rest) = line.split_once(' ')?;
        let (key, value) = rest.split_once(' ')?;
        reference.starts_with("0x").then(|| Entry {
            reference: reference.to_owned(),
            key: key.to_owned(),
            value: value.trim().to_owned(),
        })
    };
    let lines = answer.lines().filter(|line| !line.is_empty());
    lines
        .map(|line| entry(line).ok_or_else(|| line.to_owned()))
        .collect()
}

/// The versions of a map in an answer to `show map`.
pub(super) fn versions(answer: &str, map: &str) -> Result<Versions, String> {
    let name = format!(" ({map}) ");
    let Some(line) = answer.lines().find(|line| line.contains(&name)) else {
        let known: Vec<_> = answer
            .lines()
            .filter_map(|line| line.split_once(" (")?.1.split_once(") pattern"))
            .map(|(name, _)| name)
            .filter(|name| !name.is_empty())
            .collect();
        return Err(format!(
            "HAProxy has no map {map}; its maps are: {}",
            known.join(", ")
        ));
    };
    let number = |name: &str| {
        let value = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name));
        value.and_then(|value| value.parse().ok())
    };
    match (number("curr_ver="), number("next_ver=")) {
        (Some(current), Some(prepared)) => Ok(Versions { current, prepared }),
        _ => {
            Err("this HAProxy does not count the versions of its maps; 2.4 and later do".to_owned())
        }
    }
}

/// The entries in the text of a map file, by HAProxy's own rules: blank lines and lines that
/// begin with `#` are left out, the first word is the key.
pub(super) fn filed(text: &str) -> Vec<Entry> {
    lines_with_entries(text)
        .map(|line| {
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            Entry {
                reference: String::new(),
                key: key.to_owned(),
                value: value.trim().to_owned(),
            }
        })
        .collect()
}

fn lines_with_entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The text of a map file with its entry replaced, and its comments kept.
pub(super) fn with_entry(text: &str, key: &str, weight: Weight) -> String {
    let comments = text
        .lines()
        .filter(|line| line.trim_start().starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n");
    format!("{comments}{key} {}\n", weight.percent())
}

/// The weight in the one entry that a map has to have.
pub(super) fn only_weight(entries: &[Entry], key: &str) -> Result<Weight, String> {
    match entries {
        [] => Err(format!(
            "it is empty; one entry `{key} 0` to `{key} 100` is wanted"
        )),
        [entry] if entry.key == key => {
            let weight = entry.value.parse().ok().and_then(Weight::new);
            weight.ok_or_else(|| {
                format!(
                    "it says `{key} {}`; a whole number from 0 to 100 is wanted",
                    entry.value
                )
            })
        }
        [other] => Err(format!(
            "it says `{} {}`; the one entry `{key}` is wanted",
            other.key, other.value
        )),
        _ => {
            let all: Vec<_> = entries
                .iter()
                .take(4)
                .map(|entry| format!("`{} {}`", entry.key, entry.value))
                .collect();
            Err(format!(
                "it has {} entries: {}; the one entry `{key}` is wanted",
                entries.len(),
                all.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# id (file) description\n\
        0 (/w.map) pattern loaded from file '/w.map' used by map at file 'h.cfg' line 14. curr_ver=3 next_ver=4 entry_cnt=2\n\
        1 (/x.map) pattern loaded from file '/x.map' used by map at file 'h.cfg' line 15. curr_ver=0 next_ver=0 entry_cnt=1\n";

    #[test]
    fn the_list_of_maps_has_the_versions() {
        let found = versions(LIST, "/w.map").unwrap();
        assert_eq!((found.current, found.prepared), (3, 4));
        let said = versions(LIST, "/y.map").unwrap_err();
        assert!(said.ends_with("/w.map, /x.map"), "{said}");
        let old = "0 (/w.map) pattern loaded from file '/w.map' used by map\n";
        assert!(versions(old, "/w.map").unwrap_err().contains("2.4"));
    }

    #[test]
    fn the_file_is_read_as_haproxy_reads_it() {
        let text = "# live\n\n  w\t 25  \n";
        assert_eq!(only_weight(&filed(text), "w").unwrap().percent(), 25);
        let text = with_entry(text, "w", Weight::ALL);
        assert_eq!(text, "# live\nw 100\n");
    }

    #[test]
    fn a_map_that_is_not_one_weight_is_told() {
        for (text, word) in [
            ("", "empty"),
            ("w 101", "w 101"),
            ("w 2.5", "w 2.5"),
            ("w", "whole number"),
            ("v 25", "v 25"),
            ("w 0\nw 25", "2 entries"),
        ] {
            let said = only_weight(&filed(text), "w").unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        assert_eq!(shown("0x1 w 25\n").unwrap()[0].value, "25");
        assert_eq!(shown("").unwrap(), []);
        let said = "Unknown map identifier. Please use #<id> or <file>.";
        assert_eq!(shown(said).unwrap_err(), said);
    }
}
