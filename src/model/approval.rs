//! An approval by people: who may give it, what they wrote, and what came of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platform::text;

/// Who may approve, and how many must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circle {
    /// The logins of those who may.
    pub approvers: Vec<String>,
    /// Those who may not, whoever they are, and why: `started the run`.
    pub barred: Vec<(String, String)>,
    /// How many must.
    pub minimum: usize,
}

impl Circle {
    /// Whether two logins are one: their case does not matter.
    pub fn same(one: &str, other: &str) -> bool {
        one.eq_ignore_ascii_case(other)
    }

    /// Why somebody's word does not count, if it does not.
    pub fn objection(&self, login: &str) -> Option<String> {
        let barred = self.barred.iter().find(|(who, _)| Self::same(who, login));
        match barred {
            Some((_, why)) => Some(why.clone()),
            None if self.approvers.iter().any(|who| Self::same(who, login)) => None,
            None => Some("is none of those who may approve".to_owned()),
        }
    }

    /// Those whose word counts.
    pub fn eligible(&self) -> Vec<&str> {
        let mut eligible: Vec<&str> = Vec::new();
        for who in &self.approvers {
            if self.objection(who).is_none() && !eligible.iter().any(|it| Self::same(it, who)) {
                eligible.push(who);
            }
        }
        eligible
    }
}

/// A comment on the issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Its id.
    pub id: u64,
    /// The login of who wrote it.
    pub author: String,
    /// Whether that is a person and no program.
    pub by_person: bool,
    /// What it says.
    pub body: String,
    /// When it was written, in seconds by GitHub's clock.
    pub at: i64,
    /// Whether it says now what it said at first.
    pub as_written: bool,
}

/// What came of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Enough have approved.
    Approved(Vec<String>),
    /// Somebody said no, and why.
    Rejected(String, Option<String>),
    /// Somebody closed the issue without a word.
    Closed(Option<String>),
    /// Nobody, or not enough, said anything in time.
    TimedOut(Duration, Vec<String>),
    /// The run was cancelled, or killed.
    Cancelled,
    /// It could not be waited for any longer: why.
    Broken(String),
}

impl Outcome {
    /// In one stable word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Rejected(..) => "rejected",
            Self::Closed(_) => "closed",
            Self::TimedOut(..) => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Broken(_) => "broken",
        }
    }

    /// In one line: `rejected by bo: not on a Friday`.
    pub fn told(&self) -> String {
        let by = |who: &[String]| who.join(", ");
        match self {
            Self::Approved(who) => format!("approved by {}", by(who)),
            Self::Rejected(who, None) => format!("rejected by {who}, without a reason"),
            Self::Rejected(who, Some(why)) => format!("rejected by {who}: {why}"),
            Self::Closed(Some(who)) => format!("the issue was closed by {who} without a word"),
            Self::Closed(None) => "the issue was closed without a word".to_owned(),
            Self::TimedOut(limit, who) if who.is_empty() => {
                format!(
                    "timed out: nobody approved within {}",
                    text::duration(*limit)
                )
            }
            Self::TimedOut(limit, who) => format!(
                "timed out: only {} approved within {}",
                by(who),
                text::duration(*limit)
            ),
            Self::Cancelled => "cancelled: the run ended before an answer".to_owned(),
            Self::Broken(why) => format!("given up: {why}"),
        }
    }
}

/// An issue that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub number: u64,
    /// Its page.
    pub url: String,
    /// The login of who opened it: the token's owner.
    pub by: String,
    /// When, in seconds by GitHub's clock.
    pub at: i64,
}

/// What is written down about an issue before it is opened, for whoever has to close it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What its text has that no other issue's has.
    pub mark: String,
    /// Its number, once it is known.
    pub number: Option<u64>,
}

/// The approval, for the `result`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// The issue's number.
    pub issue: u64,
    /// Its page.
    pub url: String,
    /// `asked`, or the word of the outcome.
    pub outcome: &'static str,
    /// Who has approved or rejected.
    pub by: Vec<String>,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// How long it was waited for, in milliseconds.
    pub waited_ms: u64,
}
