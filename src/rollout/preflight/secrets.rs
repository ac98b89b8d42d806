//! Whether the named variables are there and not empty, and how long ago the secrets behind them
//! were set. Nothing of them is read.

use std::time::Duration;

use crate::config::gates::{IfUnknown, SecretRule};
use crate::config::units::Span;
use crate::judge::ages::{Age, age};
use crate::model::finding::{Finding, Group};
use crate::model::gates::Shelves;
use crate::platform::text;

use super::Circumstances;

pub(super) async fn look(environment: &str, with: &Circumstances) -> Vec<Finding> {
    let rules = &with.guardrails.secrets;
    let there = rules.iter().map(|rule| presence(rule, with));
    let mut all: Vec<Finding> = there.collect();
    if rules.iter().all(|rule| rule.max_age.is_none()) {
        return all;
    }
    let shelves = match &with.gates {
        Ok(gates) => Ok(gates.secrets(environment).await),
        Err(why) => Err(why.as_str()),
    };
    let aged = rules.iter().filter_map(|rule| Some((rule, rule.max_age?)));
    all.extend(aged.map(|(rule, most)| {
        let shelves = shelves.as_ref().map_err(|why| *why);
        one_age(rule, most, shelves, environment, with)
    }));
    all
}

fn presence(rule: &SecretRule, with: &Circumstances) -> Finding {
    let name = &rule.name;
    if with.present.contains(name) {
        return Finding::passed(Group::Secrets, name, "there, and not empty");
    }
    let stored = &rule.stored_as;
    Finding::failed(
        Group::Secrets,
        name,
        "missing or empty",
        "a value",
        format!(
            "give the step `env: {{ {name}: ${{{{ secrets.{stored} }}}} }}`, and see that the secret is set for this environment"
        ),
    )
}

fn one_age(
    rule: &SecretRule,
    most: Span,
    shelves: Result<&Shelves, &str>,
    environment: &str,
    with: &Circumstances,
) -> Finding {
    let stored = &rule.stored_as;
    let name = format!("age of {}", rule.name);
    let wanted = format!("at most {}", text::long(most.get()));
    let found = match shelves {
        Ok(shelves) => age(stored, shelves, with.now),
        Err(why) => Age::Unknown(why.to_owned()),
    };
    match found {
        Age::Known {
            seconds,
            place,
            day,
        } => {
            let old = Duration::from_secs(seconds.unsigned_abs());
            let said = format!("{}, set on {day} as {stored} of {place}", text::long(old));
            if old <= most.get() {
                return Finding::passed(Group::Secrets, name, said);
            }
            let to = match place {
                "the environment" => format!(" --env {}", text::shell_word(environment)),
                "the organization" => " --org ORGANIZATION".to_owned(),
                _ => String::new(),
            };
            let next = format!(
                "make a new one where it is used, then `gh secret set {stored}{to}`, then take the old one away"
            );
            Finding::failed(Group::Secrets, name, said, wanted, next)
        }
        Age::Unknown(why) => {
            let said = format!("nobody can tell: {why}");
            match rule.if_unknown {
                IfUnknown::Skip => Finding::skipped(Group::Secrets, name, said),
                IfUnknown::Fail => Finding::failed(
                    Group::Secrets,
                    name,
                    said,
                    wanted,
                    "let it be seen, or say `if-unknown: skip`",
                ),
            }
        }
    }
}
