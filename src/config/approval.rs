//! The `approval` block: an issue in which a person says yes or no before a rollout changes anything.
//!
//! It is for plans without required reviewers. Whoever may write to the repository may change
//! this block, too: it keeps colleagues from a mistake, not an attacker out.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;

/// The most people or teams that can be asked, and the most labels, assignees and boxes.
const MOST: usize = 20;

/// The most assignees that GitHub takes.
const ASSIGNEES: usize = 10;

/// The shortest time that people get: it is still long for a test, and short for a person.
const SHORTEST: Span = Span::secs(1);

/// The longest time, in which the token of a job is valid on a runner of one's own.
const LONGEST: Span = Span::secs(24 * 3600);

/// An issue in which a person approves a rollout, or rejects it, before it changes anything.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Approval {
    /// Whether to ask. Default true.
    #[serde(default = "yes")]
    pub issue: bool,
    /// Who may approve: persons (`ana`) and teams (`org/team`). Whoever caused the run does not
    /// count.
    #[schemars(length(min = 1))]
    pub approvers: Vec<String>,
    /// How many of them must approve. One who rejects is enough. Default 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 6))]
    pub minimum: u32,
    /// How long to wait for it. Default 4h.
    #[serde(default = "four_hours")]
    pub time_limit: Span,
    /// Labels for the issue.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whom to assign it to.
    #[serde(default)]
    pub assignees: Vec<String>,
    /// What to think of before approving: boxes for people, which the program does not read.
    #[serde(default = "checklist")]
    pub checklist: Vec<String>,
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

const fn four_hours() -> Span {
    Span::secs(4 * 3600)
}

fn checklist() -> Vec<String> {
    [
        "The changes are understood, and so is what they do to data",
        "Whoever has to know of it knows",
        "Somebody watches while it goes out",
    ]
    .map(ToOwned::to_owned)
    .to_vec()
}

impl Approval {
    /// The persons among the approvers, as they are written.
    pub fn persons(&self) -> impl Iterator<Item = &str> {
        self.approvers
            .iter()
            .filter(|name| !name.contains('/'))
            .map(String::as_str)
    }

    /// The teams among the approvers: organization and name.
    pub fn teams(&self) -> impl Iterator<Item = (&str, &str)> {
        self.approvers
            .iter()
            .filter_map(|name| name.split_once('/'))
    }
}

/// Whether a text can be somebody's login. Nothing else may come to stand behind an `@`.
pub fn is_login(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 100 && name.chars().all(plain) && !name.starts_with('-')
}

/// What a schema cannot say of an approval: the path below it, and what is wrong.
pub(super) fn meaning(approval: &Approval) -> Vec<(String, String)> {
    let mut wrong = Vec::new();
    let is_team = |(org, team): (&str, &str)| is_login(org) && is_login(&team.replace('.', "-"));
    for (i, name) in approval.approvers.iter().enumerate() {
        if !name.split_once('/').map_or_else(|| is_login(name), is_team) {
            let said = format!("\"{name}\" is neither a person's login nor a team as org/team");
            wrong.push((format!("approvers[{i}]"), said));
        }
    }
    for (i, name) in approval.assignees.iter().enumerate() {
        if !is_login(name) {
            let said = format!("\"{name}\" is nobody's login; a team cannot be assigned");
            wrong.push((format!("assignees[{i}]"), said));
        }
    }
    for (key, many, most) in [
        ("approvers", approval.approvers.len(), MOST),
        ("labels", approval.labels.len(), MOST),
        ("assignees", approval.assignees.len(), ASSIGNEES),
        ("checklist", approval.checklist.len(), MOST),
    ] {
        if many > most {
            wrong.push((key.to_owned(), format!("there are {many}; {most} at most")));
        }
    }
    let persons = approval.persons().count();
    if approval.approvers.is_empty() {
        wrong.push(("approvers".to_owned(), "names nobody".to_owned()));
    } else if approval.teams().next().is_none() && (approval.minimum as usize) > persons {
        let said = format!(
            "{} must approve, and {persons} may: nobody could",
            approval.minimum
        );
        wrong.push(("minimum".to_owned(), said));
    }
    if approval.time_limit < SHORTEST || approval.time_limit > LONGEST {
        let said =
            format!("is {SHORTEST} at least and 24 h at most, as long as a job's token lasts");
        wrong.push(("time-limit".to_owned(), said));
    }
    wrong
}
