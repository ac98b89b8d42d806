//! What stands in an issue for this program and not for people: marks by which it is found, and
//! what is remembered, as a comment of Markdown that nobody sees.
//!
//! Anybody may have changed it who may write to the repository, so it is read as a stranger's word.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::vigil::{Incident, Memory, State};

/// The most that is read of something hidden, in bytes.
const MOST: usize = 32 << 10;

/// How what is remembered begins.
const MEMORY: &str = "<!-- cutover memory ";

/// How the state of an incident begins.
const INCIDENT: &str = "<!-- cutover incident ";

const END: &str = " -->";

/// An incident as its own issue has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    /// What it was when the issue was opened.
    pub state: State,
    /// The first look that saw it.
    pub began: i64,
    /// The look that opened the issue.
    pub at: i64,
    /// The run of that look.
    pub run: String,
}

impl Opened {
    /// What is remembered of it, with the number of its issue.
    pub fn incident(&self, issue: u64) -> Incident {
        Incident {
            issue: Some(issue),
            began: self.began,
            worst: self.state,
            // Nobody knows any more; what is done once is not done twice.
            escalated: true,
            went_back: true,
        }
    }
}

/// What tells the issue of something from all others: `what` is our own word.
pub fn mark(what: &str, app: &str, environment: &str) -> String {
    format!(
        "<!-- cutover {what} of app={} environment={}{END}",
        plain(app),
        plain(environment)
    )
}

/// The mark of a change, without who said it.
pub fn change(nth: u64, word: &str) -> String {
    format!("<!-- cutover change {nth} {word} by")
}

/// The same with who said it, and when.
pub fn said(change: &str, run: &str, at: i64) -> String {
    format!("{change} run={} at={at}{END}", plain(run))
}

/// Who said a change, and when, of the text that has it.
pub fn said_by(change: &str, body: &str) -> Option<(String, i64)> {
    let (_, rest) = body.split_once(change)?;
    let (rest, _) = rest.split_once(END)?;
    let (run, at) = rest.trim().strip_prefix("run=")?.split_once(" at=")?;
    Some((run.to_owned(), at.parse().ok()?))
}

/// A text in letters and digits that ends no comment.
pub fn plain(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("_{byte:02x}"),
    };
    text.bytes().map(byte).collect()
}

/// What is remembered, hidden.
pub fn hide(memory: &Memory) -> String {
    wrap(MEMORY, memory)
}

/// An incident, hidden.
pub fn hide_incident(opened: &Opened) -> String {
    wrap(INCIDENT, opened)
}

/// What is remembered, from an issue's text.
///
/// # Errors
/// What is wrong with it.
pub fn find(body: &str) -> Result<Memory, String> {
    unwrap(MEMORY, body)
}

/// An incident, from its issue's text.
///
/// # Errors
/// What is wrong with it.
pub fn find_incident(body: &str) -> Result<Opened, String> {
    unwrap(INCIDENT, body)
}

fn wrap(begin: &str, what: &impl Serialize) -> String {
    // Numbers and our own words: nothing in it ends the comment but a text that was made plain.
    let json = serde_json::to_string(what).unwrap_or_default();
    format!("{begin}{}{END}", json.replace("--", "-\\u002d"))
}

fn unwrap<T: DeserializeOwned>(begin: &str, body: &str) -> Result<T, String> {
    let mut parts = body
        .split(begin)
        .skip(1)
        .filter(|part| part.starts_with('{'));
    let part = parts.next().ok_or("it is not there any more")?;
    if parts.next().is_some() {
        return Err("it is there twice".to_owned());
    }
    let (json, _) = part.split_once(END).ok_or("its end is missing")?;
    if json.len() > MOST {
        return Err(format!("it has {} bytes", json.len()));
    }
    serde_json::from_str(json).map_err(|wrong| format!("it cannot be read: {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::vigil::{Past, Spread, Tally};

    /// As much as can be remembered at all.
    fn full() -> Memory {
        let mut spread = Spread::default();
        for n in 0..2_000 {
            spread.add(1.01_f64.powi(n));
        }
        let past = Past {
            issue: Some(u64::MAX),
            began: i64::MAX,
            until: i64::MAX,
            worst: State::Degraded,
        };
        let names = ["p50", "p95", "p99"];
        Memory {
            version: 1,
            at: i64::MAX,
            state: State::Degraded,
            incident: Some(Incident::default()),
            week: Tally {
                past: vec![past; 20],
                figures: names.map(|name| (name.to_owned(), spread.clone())).into(),
                ..Tally::default()
            },
            ..Memory::default()
        }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        for memory in [Memory::default(), full()] {
            let body = format!("Text.\r\n\r\n{}\r\n", hide(&memory));
            assert!(body.len() < MOST, "{} bytes", body.len());
            assert_eq!(find(&body), Ok(memory));
        }
    }

    #[test]
    fn what_somebody_changed_is_no_memory() {
        let body = hide(&full());
        for (spoiled, why) in [
            (String::new(), "not there"),
            (
                "<!-- cutover memory of app=x environment=y -->".to_owned(),
                "not there",
            ),
            (body.replace(" -->", ""), "end is missing"),
            (body.replace("\"at\"", "\"att\""), "cannot be read"),
            (body.replace("degraded", "fine"), "cannot be read"),
            (format!("{body}\n{body}"), "twice"),
            (
                body.replacen('{', &format!("{{{}", " ".repeat(MOST)), 1),
                "bytes",
            ),
            (body.replacen(":1,", ":-1,", 1), "cannot be read"),
        ] {
            let said = find(&spoiled).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn nobodys_name_ends_a_mark() {
        let mark = mark("memory", "a --> b", "prod\n");
        assert_eq!(mark.matches("-->").count(), 1, "{mark}");
        let change = change(7, "down");
        let body = format!("Text.\n\n{}", said(&change, "42-1 -->", 17));
        assert_eq!(
            said_by(&change, &body),
            Some(("42_2d1_20_2d_2d_3e".to_owned(), 17))
        );
        assert_eq!(said_by(&self::change(71, "down"), &body), None);
    }
}
