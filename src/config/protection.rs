//! How an environment at GitHub shall be protected, in the words of the config: the block
//! `protection` says all of it, the guardrail `protected` says the least of it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::judge::protection::{shortfalls, standing_of};
use crate::model::protection::{LONGEST_WAIT, MOST_REVIEWERS, Origins, Pattern, Who};

use super::units::Span;

/// How an environment shall be protected at GitHub. What is not named stays as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Protection {
    /// Who may approve: logins, and teams of the owner as `team:ops` or `team:acme/ops`; at most 6.
    /// One approval is enough for GitHub.
    pub reviewers: Option<Vec<Name>>,
    /// Whether who started a deployment may not approve it. It needs `reviewers`.
    pub prevent_self_review: Option<bool>,
    /// How long a job waits before it begins: whole minutes, at most 30d.
    pub wait_timer: Option<Span>,
    /// What may be deployed: `all`, `protected`, or branches and patterns of them.
    pub branches: Option<Branches>,
    /// Tags and patterns of them that may be deployed, beside the `branches` that are listed.
    pub tags: Option<Vec<String>>,
    /// Whether administrators may pass over it. Only a person can change it at GitHub.
    pub can_admins_bypass: Option<bool>,
}

/// The least that protection at GitHub must be, as a guardrail; more is welcome.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Protected {
    /// `true`: exactly as in the block `protection`.
    AsConfigured(bool),
    /// At least this.
    AtLeast(AtLeast),
}

/// The least that protection at GitHub must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AtLeast {
    /// So many people or teams who may approve, or more.
    #[schemars(range(min = 1, max = 6))]
    pub reviewers: Option<u64>,
    /// Whether who started a deployment may not approve it.
    pub prevent_self_review: Option<bool>,
    /// So long a wait, or longer.
    pub wait_timer: Option<Span>,
    /// Nothing but this may be deployed: `protected`, or branches and patterns of them.
    pub branches: Option<Branches>,
    /// Nor any tags but these.
    pub tags: Option<Vec<String>>,
    /// Whether administrators may pass over it.
    pub can_admins_bypass: Option<bool>,
}

/// Which branches.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Branches {
    /// A word for many.
    Word(Word),
    /// Names and patterns.
    Named(Vec<String>),
}

/// A word for many branches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// Every branch and every tag.
    All,
    /// Branches with protection rules.
    Protected,
}

/// A login, or a team.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Name {
    /// A person or a team.
    pub who: Who,
    /// The owner of a team, where it is named.
    pub owner: Option<String>,
    /// The login or the slug.
    pub name: String,
}

impl Name {
    /// Whether that is the name of this one at GitHub, where the case of letters is the same.
    pub fn is(&self, who: Who, name: &str) -> bool {
        self.who == who && self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::User => f.write_str(&self.name),
            Who::Team => write!(f, "team:{}", self.name),
        }
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |name: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            !name.is_empty() && name.bytes().all(fits) && name.bytes().any(|b| b != b'.')
        };
        let (who, owner, name) = match text.strip_prefix("team:") {
            None => (Who::User, None, text.as_str()),
            Some(team) => match team.split_once('/') {
                Some((owner, slug)) => (Who::Team, Some(owner), slug),
                None => (Who::Team, None, team),
            },
        };
        if !plain(name) || !owner.is_none_or(plain) {
            return Err(format!(
                "\"{text}\" is not a reviewer; write a login as octocat, or a team as team:ops or team:acme/ops"
            ));
        }
        Ok(Self {
            who,
            owner: owner.map(ToOwned::to_owned),
            name: name.to_owned(),
        })
    }
}

impl JsonSchema for Name {
    fn schema_name() -> Cow<'static, str> {
        "Reviewer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["octocat", "team:ops", "team:acme/ops"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Branches {
    fn schema_name() -> Cow<'static, str> {
        "Branches".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "array"],
            "items": { "type": "string", "minLength": 1 },
            "examples": ["protected", ["main", "release/*"]],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for Protected {
    fn schema_name() -> Cow<'static, str> {
        "Protected".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = AtLeast::json_schema(generator);
        schema.insert("type".to_owned(), serde_json::json!(["object", "boolean"]));
        schema
    }

    fn inline_schema() -> bool {
        true
    }
}

/// What the keys `branches` and `tags` mean together; `None` where neither is there.
pub fn origins(branches: Option<&Branches>, tags: Option<&Vec<String>>) -> Option<Origins> {
    let named: BTreeSet<Pattern> = match (branches, tags) {
        (None, None) => return None,
        (Some(Branches::Word(Word::All)), _) => return Some(Origins::All),
        (Some(Branches::Word(Word::Protected)), _) => return Some(Origins::Protected),
        (Some(Branches::Named(names)), _) => names.iter().cloned().map(Pattern::Branch).collect(),
        (None, Some(_)) => BTreeSet::new(),
    };
    let tags = tags.into_iter().flatten().cloned().map(Pattern::Tag);
    Some(Origins::Named(named.into_iter().chain(tags).collect()))
}

/// What a schema cannot say of the block: the key, and what is wrong.
pub(super) fn meaning(block: &Protection) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    if *block == Protection::default() {
        wrong.push(("", "this says nothing; name at least one key".to_owned()));
    }
    let reviewers = block.reviewers.as_deref().unwrap_or_default();
    if reviewers.len() > MOST_REVIEWERS {
        let said = format!(
            "there are {} reviewers; GitHub takes at most {MOST_REVIEWERS}, and a team counts as one",
            reviewers.len()
        );
        wrong.push(("reviewers", said));
    }
    for (i, name) in reviewers.iter().enumerate() {
        if reviewers[..i]
            .iter()
            .any(|one| one.is(name.who, &name.name))
        {
            wrong.push(("reviewers", format!("{name} is there twice")));
        }
    }
    if block.prevent_self_review == Some(true) && reviewers.is_empty() {
        let said = "this needs `reviewers` beside it: GitHub keeps it with them";
        wrong.push(("prevent-self-review", said.to_owned()));
    }
    wrong.extend(wait_timer(block.wait_timer));
    wrong.extend(patterns(block.branches.as_ref(), block.tags.as_ref()));
    wrong
}

/// The same of the guardrail. `block` is the environment's block, which must not say less.
pub(super) fn meaning_of_guardrail(
    protected: &Protected,
    block: Option<&Protection>,
) -> Vec<(&'static str, String)> {
    let wanted = match (protected, block) {
        (Protected::AsConfigured(true), None) => {
            let said = "`true` is: as in the environment's block `protection`, and there is none";
            return vec![("", said.to_owned())];
        }
        (Protected::AsConfigured(_), _) => return Vec::new(),
        (Protected::AtLeast(wanted), _) => wanted,
    };
    let mut wrong = Vec::new();
    if *wanted == AtLeast::default() {
        wrong.push(("", "this says nothing; name at least one key".to_owned()));
    }
    wrong.extend(wait_timer(wanted.wait_timer));
    wrong.extend(patterns(wanted.branches.as_ref(), wanted.tags.as_ref()));
    if wanted.branches == Some(Branches::Word(Word::All)) {
        wrong.push(("branches", "`all` guards nothing; leave it out".to_owned()));
    }
    let Some(block) = block else {
        return wrong;
    };
    let named = [
        ("reviewers", block.reviewers.is_some()),
        ("prevent-self-review", block.prevent_self_review.is_some()),
        ("wait-timer", block.wait_timer.is_some()),
        ("branches", block.branches.is_some() || block.tags.is_some()),
        ("can-admins-bypass", block.can_admins_bypass.is_some()),
    ];
    let short = shortfalls(wanted, Some(&standing_of(block)));
    let both = short
        .into_iter()
        .filter(|one| named.contains(&(one.key, true)));
    wrong.extend(both.map(|one| {
        let said = format!(
            "this contradicts `protection.{}`, which says {}; wanted here: {}",
            one.key, one.is, one.should
        );
        (one.key, said)
    }));
    wrong
}

fn wait_timer(timer: Option<Span>) -> Option<(&'static str, String)> {
    let length = timer?.get();
    let whole = length.subsec_nanos() == 0 && length.as_secs().is_multiple_of(60);
    let said = if !whole {
        "GitHub counts whole minutes; write it as 10m or 2h"
    } else if length.as_secs() / 60 > LONGEST_WAIT {
        "GitHub waits at most 30d"
    } else {
        return None;
    };
    Some(("wait-timer", said.to_owned()))
}

fn patterns(
    branches: Option<&Branches>,
    tags: Option<&Vec<String>>,
) -> Option<(&'static str, String)> {
    let tags_are_there = tags.is_some_and(|tags| !tags.is_empty());
    match branches {
        Some(Branches::Word(_)) if tags_are_there => Some((
            "tags",
            "tags can stand only beside a list of branches, as branches: [main]".to_owned(),
        )),
        Some(Branches::Named(names)) if names.is_empty() && !tags_are_there => Some((
            "branches",
            "the list is empty, so nothing could be deployed; `all` is every branch".to_owned(),
        )),
        None if tags.is_some() && !tags_are_there => Some((
            "tags",
            "the list is empty, so nothing could be deployed; leave it out".to_owned(),
        )),
        _ => None,
    }
}
