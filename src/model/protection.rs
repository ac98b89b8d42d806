//! How an environment is protected at GitHub: who approves, how long a job waits, and which
//! branches and tags may be deployed.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

/// The longest wait timer that GitHub takes, in minutes: 30 days.
pub const LONGEST_WAIT: u64 = 43_200;

/// The most reviewers that GitHub takes.
pub const MOST_REVIEWERS: usize = 6;

/// A person or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A person, by login.
    User,
    /// A team of the repository's owner, by slug.
    Team,
}

/// Somebody who may approve a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewer {
    /// A person or a team.
    pub who: Who,
    /// GitHub's number.
    pub id: u64,
    /// The login or the slug.
    pub name: String,
}

impl fmt::Display for Reviewer {
    /// `octocat`, `team:ops`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::User => f.write_str(&self.name),
            Who::Team => write!(f, "team:{}", self.name),
        }
    }
}

/// A name or a pattern of branches or of tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Of branches.
    Branch(String),
    /// Of tags.
    Tag(String),
}

impl fmt::Display for Pattern {
    /// `release/*`, `tag v*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(name) => f.write_str(name),
            Self::Tag(name) => write!(f, "tag {name}"),
        }
    }
}

/// What may be deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// Every branch and every tag.
    #[default]
    All,
    /// Branches that have protection rules of their own.
    Protected,
    /// What fits one of these.
    Named(BTreeSet<Pattern>),
}

impl fmt::Display for Origins {
    /// `all`, `protected`, `main, release/*, tag v*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Protected => f.write_str("protected"),
            Self::Named(patterns) => f.write_str(&listed(patterns)),
        }
    }
}

/// The protection that an environment has, or shall have. The default is none at all, which is
/// what GitHub gives an environment that a workflow only names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who may approve; one approval is enough for GitHub.
    pub reviewers: Vec<Reviewer>,
    /// Whether who started a deployment may not approve it.
    pub prevent_self_review: bool,
    /// How long a job waits, in minutes.
    pub wait_timer: u64,
    /// What may be deployed.
    pub origins: Origins,
    /// Whether administrators may pass over all of this; `None` where GitHub does not say.
    pub can_admins_bypass: Option<bool>,
}

impl fmt::Display for Standing {
    /// `reviewers octocat, team:ops; wait-timer 10m; branches main`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = if self.prevent_self_review {
            ", not their own"
        } else {
            ""
        };
        write!(
            f,
            "reviewers {}{own}; wait-timer {}; branches {}",
            listed(&self.reviewers),
            waiting(self.wait_timer),
            self.origins
        )
    }
}

/// One key of the protection that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The key, as in the config.
    pub key: &'static str,
    /// What GitHub has.
    pub is: String,
    /// What the config wants.
    pub should: String,
    /// Whether only a person can change it, because GitHub's API cannot.
    #[serde(rename = "by-hand")]
    pub by_hand: bool,
}

impl Difference {
    /// `wait-timer is none, should be 10m`.
    pub fn told(&self) -> String {
        format!("{} is {}, should be {}", self.key, self.is, self.should)
    }
}

/// An environment of GitHub, held against the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The environment.
    pub environment: String,
    /// What is not as it should be; empty where all is.
    pub differences: Vec<Difference>,
    /// Whether this is what was read back after a change.
    #[serde(rename = "read-back")]
    pub read_back: bool,
}

/// Several in one line; `none` where there is nothing.
pub fn listed<T: fmt::Display>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

/// A wait timer as the config writes it: `none`, `10m`, `1h30m`, `30d`.
pub fn waiting(minutes: u64) -> String {
    let parts = [
        (minutes / 1440, "d"),
        (minutes % 1440 / 60, "h"),
        (minutes % 60, "m"),
    ];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let told: String = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if told.is_empty() {
        "none".to_owned()
    } else {
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_config() {
        for (minutes, told) in [(0, "none"), (10, "10m"), (90, "1h30m"), (43_200, "30d")] {
            assert_eq!(waiting(minutes), told);
        }
        let named = [Pattern::Tag("v*".into()), Pattern::Branch("main".into())];
        assert_eq!(Origins::Named(named.into()).to_string(), "main, tag v*");
        assert_eq!(Origins::Named(BTreeSet::new()).to_string(), "none");
    }
}
