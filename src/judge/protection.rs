//! Is an environment at GitHub protected as the config says? What differs, and from what.

use crate::config::protection::{AtLeast, Protection, origins};
use crate::config::units::Span;
use crate::model::protection::{Difference, Origins, Pattern, Reviewer, Standing, listed, waiting};

use super::branches;

/// What differs from the block, in its keys only. An environment that is not there has no
/// protection at all.
pub fn differences(wanted: &Protection, found: Option<&Standing>) -> Vec<Difference> {
    let mut all: Vec<Difference> = missing(found).into_iter().collect();
    let none = unprotected();
    let found = found.unwrap_or(&none);
    let mut differ = |key, equal: bool, is: String, should: String| {
        if !equal {
            all.push(difference(key, is, should));
        }
    };
    if let Some(names) = &wanted.reviewers {
        let known = |name: &&crate::config::protection::Name| {
            found
                .reviewers
                .iter()
                .any(|one| name.is(one.who, &one.name))
        };
        let same = names.len() == found.reviewers.len() && names.iter().all(|name| known(&name));
        differ("reviewers", same, listed(&found.reviewers), listed(names));
    }
    if let Some(prevent) = wanted.prevent_self_review {
        let is = found.prevent_self_review;
        differ(
            "prevent-self-review",
            is == prevent,
            is.to_string(),
            prevent.to_string(),
        );
    }
    if let Some(wait) = wanted.wait_timer.map(minutes) {
        let is = found.wait_timer;
        differ("wait-timer", is == wait, waiting(is), waiting(wait));
    }
    if let Some(origins) = origins(wanted.branches.as_ref(), wanted.tags.as_ref()) {
        let is = &found.origins;
        differ(
            "branches",
            *is == origins,
            is.to_string(),
            origins.to_string(),
        );
    }
    if let Some(bypass) = wanted.can_admins_bypass {
        all.extend(bypassed(bypass, found));
    }
    all
}

/// What is less than the guardrail wants. More than it wants is no matter of it.
pub fn shortfalls(wanted: &AtLeast, found: Option<&Standing>) -> Vec<Difference> {
    let mut all: Vec<Difference> = missing(found).into_iter().collect();
    let none = unprotected();
    let found = found.unwrap_or(&none);
    if let Some(least) = wanted.reviewers
        && (found.reviewers.len() as u64) < least
    {
        let is = match found.reviewers.len() {
            0 => "none".to_owned(),
            count => format!("{count} ({})", listed(&found.reviewers)),
        };
        all.push(difference("reviewers", is, format!("at least {least}")));
    }
    if wanted.prevent_self_review == Some(true) && !found.prevent_self_review {
        all.push(difference(
            "prevent-self-review",
            "false".into(),
            "true".into(),
        ));
    }
    if let Some(least) = wanted.wait_timer.map(minutes)
        && found.wait_timer < least
    {
        let should = format!("at least {}", waiting(least));
        all.push(difference("wait-timer", waiting(found.wait_timer), should));
    }
    if let Some(most) = origins(wanted.branches.as_ref(), wanted.tags.as_ref())
        && !is_within(&found.origins, &most)
    {
        let should = match &most {
            Origins::Named(_) => format!("nothing but {most}"),
            _ => most.to_string(),
        };
        all.push(difference("branches", found.origins.to_string(), should));
    }
    if wanted.can_admins_bypass == Some(false) {
        all.extend(bypassed(false, found));
    }
    all
}

/// What the block says, as if an environment had it. Reviewers have no numbers here.
pub fn standing_of(block: &Protection) -> Standing {
    let reviewers = block.reviewers.iter().flatten().map(|name| Reviewer {
        who: name.who,
        id: 0,
        name: name.name.clone(),
    });
    Standing {
        reviewers: reviewers.collect(),
        prevent_self_review: block.prevent_self_review.unwrap_or_default(),
        wait_timer: block.wait_timer.map(minutes).unwrap_or_default(),
        origins: origins(block.branches.as_ref(), block.tags.as_ref()).unwrap_or_default(),
        can_admins_bypass: block.can_admins_bypass,
    }
}

/// What the environment shall be: as the block says, and as it was where the block says nothing.
/// `reviewers` are the block's, with their numbers.
pub fn intended(block: &Protection, found: &Standing, reviewers: Vec<Reviewer>) -> Standing {
    let said = standing_of(block);
    let origins = origins(block.branches.as_ref(), block.tags.as_ref());
    let is_named = block.reviewers.is_some();
    Standing {
        reviewers: if is_named {
            reviewers
        } else {
            found.reviewers.clone()
        },
        prevent_self_review: match block.prevent_self_review {
            Some(_) => said.prevent_self_review,
            // It goes with the last reviewer.
            None => found.prevent_self_review && !(is_named && said.reviewers.is_empty()),
        },
        wait_timer: match block.wait_timer {
            Some(_) => said.wait_timer,
            None => found.wait_timer,
        },
        origins: origins.unwrap_or_else(|| found.origins.clone()),
        can_admins_bypass: found.can_admins_bypass,
    }
}

fn difference(key: &'static str, is: String, should: String) -> Difference {
    Difference {
        key,
        is,
        should,
        by_hand: false,
    }
}

/// What GitHub gives an environment that was only named.
pub fn unprotected() -> Standing {
    Standing {
        can_admins_bypass: Some(true),
        ..Standing::default()
    }
}

fn missing(found: Option<&Standing>) -> Option<Difference> {
    let is_missing = found.is_none();
    is_missing.then(|| difference("environment", "not at GitHub".into(), "there".into()))
}

fn bypassed(wanted: bool, found: &Standing) -> Option<Difference> {
    let is = match found.can_admins_bypass {
        Some(is) if is == wanted => return None,
        Some(is) => is.to_string(),
        None => "not told by GitHub".to_owned(),
    };
    Some(Difference {
        by_hand: true,
        ..difference("can-admins-bypass", is, wanted.to_string())
    })
}

const fn minutes(length: Span) -> u64 {
    length.get().as_secs() / 60
}

/// Whether nothing is let through that the wider one would not let through.
fn is_within(found: &Origins, wider: &Origins) -> bool {
    match (found, wider) {
        (_, Origins::All) | (Origins::Protected, Origins::Protected) => true,
        (Origins::Named(found), Origins::Named(wider)) => found
            .iter()
            .all(|one| wider.iter().any(|pattern| covers(pattern, one))),
        _ => false,
    }
}

fn covers(pattern: &Pattern, name: &Pattern) -> bool {
    match (pattern, name) {
        (Pattern::Branch(pattern), Pattern::Branch(name))
        | (Pattern::Tag(pattern), Pattern::Tag(name)) => branches::covers(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::protection::Who;

    fn block(json: Value) -> Protection {
        serde_json::from_value(json).unwrap()
    }

    fn least(json: Value) -> AtLeast {
        serde_json::from_value(json).unwrap()
    }

    fn reviewer(who: Who, id: u64, name: &str) -> Reviewer {
        let name = name.to_owned();
        Reviewer { who, id, name }
    }

    fn there() -> Standing {
        Standing {
            reviewers: vec![
                reviewer(Who::User, 1, "Octocat"),
                reviewer(Who::Team, 2, "ops"),
            ],
            prevent_self_review: true,
            wait_timer: 10,
            origins: Origins::Named(
                [
                    Pattern::Branch("main".into()),
                    Pattern::Branch("release/*".into()),
                ]
                .into(),
            ),
            can_admins_bypass: Some(true),
        }
    }

    fn told(all: Vec<Difference>) -> Vec<String> {
        all.iter().map(Difference::told).collect()
    }

    #[test]
    fn what_is_equal_is_equal_in_any_order_and_case() {
        let same = block(json!({
            "reviewers": ["team:acme/OPS", "octocat"], "prevent-self-review": true,
            "wait-timer": "10m", "branches": ["release/*", "main"], "can-admins-bypass": true,
        }));
        assert_eq!(differences(&same, Some(&there())), []);
        assert_eq!(differences(&block(json!({})), Some(&there())), []);
    }

    #[test]
    fn each_key_differs_by_itself() {
        for (key, value, said) in [
            (
                "reviewers",
                json!(["octocat"]),
                "reviewers is Octocat, team:ops, should be octocat",
            ),
            (
                "reviewers",
                json!([]),
                "reviewers is Octocat, team:ops, should be none",
            ),
            (
                "reviewers",
                json!(["octocat", "ops"]),
                "reviewers is Octocat, team:ops, should be octocat, ops",
            ),
            (
                "prevent-self-review",
                json!(false),
                "prevent-self-review is true, should be false",
            ),
            (
                "wait-timer",
                json!("0m"),
                "wait-timer is 10m, should be none",
            ),
            (
                "branches",
                json!("all"),
                "branches is main, release/*, should be all",
            ),
            (
                "branches",
                json!("protected"),
                "branches is main, release/*, should be protected",
            ),
            (
                "branches",
                json!(["main"]),
                "branches is main, release/*, should be main",
            ),
            (
                "tags",
                json!(["v*"]),
                "branches is main, release/*, should be tag v*",
            ),
            (
                "can-admins-bypass",
                json!(false),
                "can-admins-bypass is true, should be false",
            ),
        ] {
            let differ = differences(&block(json!({ key: value })), Some(&there()));
            assert_eq!(told(differ), [said]);
        }
        let nothing = told(differences(&block(json!({ "wait-timer": "1h" })), None));
        assert_eq!(
            nothing,
            [
                "environment is not at GitHub, should be there",
                "wait-timer is none, should be 1h"
            ]
        );
    }

    #[test]
    fn more_than_the_least_is_welcome_and_less_is_told() {
        let short = |json, found: &Standing| told(shortfalls(&least(json), Some(found)));
        let all = json!({
            "reviewers": 2, "prevent-self-review": true, "wait-timer": "5m",
            "branches": ["main", "release/*", "hotfix/*"],
        });
        assert!(short(all.clone(), &there()).is_empty());
        assert_eq!(
            short(all, &unprotected()),
            [
                "reviewers is none, should be at least 2",
                "prevent-self-review is false, should be true",
                "wait-timer is none, should be at least 5m",
                "branches is all, should be nothing but hotfix/*, main, release/*",
            ]
        );
        assert_eq!(
            short(json!({ "reviewers": 3 }), &there()),
            ["reviewers is 2 (Octocat, team:ops), should be at least 3"]
        );
        let unsaid = Standing {
            can_admins_bypass: None,
            ..there()
        };
        assert_eq!(
            short(json!({ "can-admins-bypass": false }), &unsaid),
            ["can-admins-bypass is not told by GitHub, should be false"]
        );
    }

    #[test]
    fn a_plain_branch_may_stand_for_a_pattern_and_a_pattern_only_for_itself() {
        let named = |all: &[&str]| Standing {
            origins: Origins::Named(
                all.iter()
                    .map(|one| Pattern::Branch((*one).into()))
                    .collect(),
            ),
            ..Standing::default()
        };
        let wanted = least(json!({ "branches": ["main", "release/*"] }));
        for (found, fits) in [
            (named(&["main"]), true),
            (named(&["main", "release/1.4"]), true),
            (named(&["release/*"]), true),
            (named(&[]), true),
            (named(&["*"]), false),
            (named(&["release/**"]), false),
            (named(&["release/?"]), false),
            (named(&["develop"]), false),
            (Standing::default(), false),
        ] {
            let short = shortfalls(&wanted, Some(&found));
            assert_eq!(short.is_empty(), fits, "{found}");
        }
        let tag = Standing {
            origins: Origins::Named([Pattern::Tag("main".into())].into()),
            ..Standing::default()
        };
        assert!(!shortfalls(&wanted, Some(&tag)).is_empty());
    }

    #[test]
    fn what_the_block_does_not_name_stays() {
        let shall = intended(&block(json!({ "wait-timer": "1h" })), &there(), Vec::new());
        assert_eq!(
            shall,
            Standing {
                wait_timer: 60,
                ..there()
            }
        );
        let nobody = intended(&block(json!({ "reviewers": [] })), &there(), Vec::new());
        assert!(nobody.reviewers.is_empty() && !nobody.prevent_self_review);
    }
}
