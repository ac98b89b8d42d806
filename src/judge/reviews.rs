//! Whether enough people approved a run, none of them who may not, and not too long ago.
//!
//! GitHub tells who approved and not when. What is known is when the job was let go on or began;
//! where not even that is known, the run's own beginning is taken, which is on the safe side.

use jiff::{SignedDuration, Timestamp};

use crate::config::gates::ApprovalRule;
use crate::model::gates::{Reviews, When};
use crate::platform::text;

/// What is wrong with an approval, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// What was seen.
    pub measured: String,
    /// What was wanted.
    pub wanted: String,
    /// What to do.
    pub next: String,
}

/// Judges the reviews of a run that `actors` started.
///
/// # Errors
/// When there are too few, or they are too old.
pub fn judge(
    rule: &ApprovalRule,
    reviews: &Reviews,
    actors: &[&str],
    environment: &str,
    now: Timestamp,
) -> Result<String, Lacking> {
    let same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    let started = |name: &str| actors.iter().any(|actor| same(actor, name));
    let named = |name: &str| rule.by.is_empty() || rule.by.iter().any(|one| same(one, name));
    let mut counting = Vec::new();
    let mut others = Vec::new();
    for name in &reviews.by {
        if !named(name) {
            others.push(format!("{name}, who is not among those that may"));
        } else if started(name) && !rule.self_review {
            others.push(format!("{name}, who started this run"));
        } else {
            counting.push(name.as_str());
        }
    }
    let wanted = wanted(rule, environment);
    if counting.len() < rule.minimum as usize {
        return Err(Lacking {
            measured: few(&counting, &others),
            wanted,
            next: format!(
                "let the job name `environment: {environment}`, set required reviewers for it at GitHub, and let one of them approve this run"
            ),
        });
    }
    let who = format!("by {}", counting.join(", "));
    age(rule, &reviews.when, &who, now)
}

fn few(counting: &[&str], others: &[String]) -> String {
    let mut said = match counting {
        [] => "nobody whose approval counts".to_owned(),
        some => format!("only {}", some.join(", ")),
    };
    if !others.is_empty() {
        said.push_str(&format!("; not counted: {}", others.join("; ")));
    }
    said
}

fn wanted(rule: &ApprovalRule, environment: &str) -> String {
    let number = text::count(u64::from(rule.minimum), "approval");
    let by = match (rule.by.as_slice(), rule.self_review) {
        ([], true) => String::new(),
        ([], false) => ", not by who started it".to_owned(),
        (some, _) => format!(" by {}", some.join(", ")),
    };
    format!("{number} of this run for {environment}{by}")
}

fn age(rule: &ApprovalRule, when: &When, who: &str, now: Timestamp) -> Result<String, Lacking> {
    let limit = rule.max_age;
    let most = SignedDuration::try_from(limit.get()).unwrap_or(SignedDuration::MAX);
    let since = |at: Timestamp| now.duration_since(at).max(SignedDuration::ZERO);
    let lacking = |measured: String, next: &str| {
        Err(Lacking {
            measured,
            wanted: format!("an approval of the last {}", text::long(limit.get())),
            next: next.to_owned(),
        })
    };
    let again =
        "start the run anew and have it approved again, or raise `guardrails.approval.max-age`";
    let (at, told, next) = match *when {
        When::At(at) => (at, "", again),
        When::NotAfter(at) => (
            at,
            ", or before (GitHub tells no time of an approval, so this job's beginning counts)",
            again,
        ),
        When::NotBefore(at) => (
            at,
            ", or after (GitHub tells no time of an approval, and this job was not seen to wait for it, so the run's beginning counts)",
            "let the very job that deploys name the environment, or start the run anew",
        ),
        When::Unknown => {
            return lacking(
                format!("{who}, and nobody can tell when"),
                "this needs a job of a workflow, and a token with `actions: read`",
            );
        }
    };
    let old = since(at);
    let said = format!("{who} {} ago{told}", text::long(old.unsigned_abs()));
    if old > most {
        return lacking(said, next);
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds_ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - seconds_ago).unwrap()
    }

    fn told(rule: &ApprovalRule, by: &[&str], when: When) -> String {
        let reviews = Reviews {
            by: by.iter().map(|&name| name.to_owned()).collect(),
            when,
        };
        match judge(rule, &reviews, &["Ana", "bo"], "production", at(0)) {
            Ok(said) => format!("yes: {said}"),
            Err(no) => format!("no: {}; {}", no.measured, no.wanted),
        }
    }

    #[test]
    fn only_those_count_that_may() {
        let rule = ApprovalRule::default();
        let now = When::At(at(60));
        assert_eq!(
            told(&rule, &[], now),
            "no: nobody whose approval counts; 1 approval of this run for production, not by who started it"
        );
        assert_eq!(
            told(&rule, &["ana"], now),
            "no: nobody whose approval counts; not counted: ana, who started this run; 1 approval of this run for production, not by who started it"
        );
        assert_eq!(told(&rule, &["ana", "cy"], now), "yes: by cy 1 m ago");
        let lenient = ApprovalRule {
            self_review: true,
            ..ApprovalRule::default()
        };
        assert_eq!(told(&lenient, &["ana"], now), "yes: by ana 1 m ago");
        let named = ApprovalRule {
            by: vec!["CY".into(), "di".into()],
            minimum: 2,
            ..ApprovalRule::default()
        };
        assert_eq!(
            told(&named, &["cy", "eve"], now),
            "no: only cy; not counted: eve, who is not among those that may; 2 approvals of this run for production by CY, di"
        );
    }

    #[test]
    fn four_hours_are_four_hours() {
        let rule = ApprovalRule::default();
        let told = |when| told(&rule, &["cy"], when);
        let limit = 4 * 3600;
        assert!(told(When::At(at(limit))).starts_with("yes: by cy "));
        assert!(told(When::At(at(limit + 1))).starts_with("no: by cy "));
        assert!(told(When::NotAfter(at(limit + 1))).contains("this job's beginning counts"));
        assert!(told(When::NotAfter(at(60))).starts_with("yes: "));
        assert!(told(When::NotBefore(at(limit + 1))).contains("the run's beginning counts"));
        assert!(told(When::NotBefore(at(60))).starts_with("yes: "));
        assert!(told(When::Unknown).starts_with("no: by cy, and nobody can tell when"));
        assert!(
            told(When::At(at(-30))).starts_with("yes: "),
            "clocks differ"
        );
    }
}
