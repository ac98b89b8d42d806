//! The rolling strategy as it is configured: how many members at a time, how long each batch is
//! waited for and watched, and what follows where one fails.
//!
//! Which members there are, and which of them get traffic, is not known here.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::judge::limits::Limits;

use super::units::{Percent, Span};

/// The strategy's name.
pub const NAME: &str = "rolling";

/// As many members as that a pool may have.
pub const MOST_MEMBERS: usize = 100;

/// The rolling strategy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct Rolling {
    /// How many members are out at a time: a number, or a share of all of them, at most half.
    /// Default 1.
    pub batch: Batch,
    /// How long the members that came back are watched before the next batch. Default 10s.
    pub pause: Span,
    /// How long the requests that a member still has may take to end once it gets no new ones.
    /// Default 30s.
    pub drain: Span,
    /// How long a member may take until it serves the release after a deployment, and until the
    /// router gives it traffic again. Default 60s.
    pub wait: Span,
    /// How long the release is watched once all members serve it. `0s` is not at all. Default 30s.
    pub watch: Span,
    /// Above this share of failed requests the rollout stops. Default 5%.
    pub max_error_rate: Percent,
    /// Above this 95th percentile of latency the rollout stops. Default: no limit.
    pub max_p95: Option<Span>,
    /// With fewer requests of the prober than this, figures are no reason to stop; unless most of
    /// them failed. Default 20.
    pub min_requests: u32,
    /// What follows where it stops. Default rollback.
    pub on_failure: OnFailure,
}

impl Default for Rolling {
    fn default() -> Self {
        Self {
            batch: Batch::Members(1),
            pause: Span::secs(10),
            drain: Span::secs(30),
            wait: Span::secs(60),
            watch: Span::secs(30),
            max_error_rate: Percent::of(5.0),
            max_p95: None,
            min_requests: 20,
            on_failure: OnFailure::Rollback,
        }
    }
}

impl Rolling {
    /// What is too much under traffic.
    pub fn limits(&self) -> Limits {
        Limits {
            error_rate: self.max_error_rate.share(),
            p95: self.max_p95.map(Span::get),
            min_requests: u64::from(self.min_requests),
        }
    }
}

/// What follows where a batch fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// All members that were changed get the old release again, batch by batch.
    #[default]
    Rollback,
    /// Those that are well stay as they are, and those that are not stay out.
    Stop,
}

/// How many members are out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub enum Batch {
    /// So many.
    Members(usize),
    /// Such a share of all of them, rounded down; one at least.
    Share(Percent),
}

impl Batch {
    /// How many that are of so many members: at least one, and never more than half.
    pub fn of(self, members: usize) -> usize {
        let most = (members / 2).max(1);
        match self {
            Self::Members(number) => number.clamp(1, most),
            Self::Share(share) => {
                let part = share.share() * members as f64 + 1e-9;
                (part as usize).clamp(1, most)
            }
        }
    }

    /// Whether it asks for more than half of so many members.
    fn is_too_large(self, members: usize) -> bool {
        match self {
            Self::Members(number) => number * 2 > members,
            Self::Share(share) => share.share() > 0.5,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Share(Percent),
}

impl TryFrom<Written> for Batch {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(0) => Err("a batch has one member at least".to_owned()),
            Written::Number(number) => Ok(Self::Members(number)),
            Written::Share(share) if share.share() <= 0.0 => {
                Err("a batch of 0% would never end".to_owned())
            }
            Written::Share(share) => Ok(Self::Share(share)),
        }
    }
}

impl JsonSchema for Batch {
    fn schema_name() -> Cow<'static, str> {
        "Batch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "format": "percent",
            "minimum": 1,
            "maximum": MOST_MEMBERS / 2,
            "examples": [1, "25%"],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// An environment of members that names no strategy has this one.
pub fn fill_in(config: &mut Value) {
    let environments = config.get_mut("environments");
    let environments = environments.and_then(Value::as_object_mut);
    for environment in environments.into_iter().flat_map(|all| all.values_mut()) {
        if let Value::Object(environment) = environment
            && environment.contains_key("members")
            && !environment.contains_key("strategy")
        {
            environment.insert("strategy".to_owned(), json!({ "kind": NAME }));
        }
    }
}

/// What a schema cannot say of slots, members and the strategy that goes with each: paths below
/// the environment.
pub fn meaning(environment: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let count = |key: &str| Some(environment.get(key)?.as_object()?.len());
    let kind = environment.pointer("/strategy/kind");
    let kind = kind.and_then(Value::as_str);
    let mut add = |path: &str, said: String| found.push((path.to_owned(), said));
    match (count("slots"), count("members")) {
        (Some(_), Some(_)) => add(
            "members",
            "an environment has two slots or several members, not both".to_owned(),
        ),
        (None, None) => add(
            "",
            "`slots` is missing: exactly two slots, or `members` for a rolling rollout".to_owned(),
        ),
        (Some(_), None) if kind == Some(NAME) => add(
            "strategy.kind",
            "rolling goes over `members`, and this environment has two slots: name the members, or use blue-green or canary".to_owned(),
        ),
        (None, Some(members)) => {
            if !(2..=MOST_MEMBERS).contains(&members) {
                add(
                    "members",
                    format!("there are {members}; 2 to {MOST_MEMBERS} can be had: while one is out, another has to be in"),
                );
            }
            if let Some(kind) = kind.filter(|kind| *kind != NAME) {
                add(
                    "strategy.kind",
                    format!("{kind} needs two slots, and this environment has members: use `rolling`, or two `slots`"),
                );
            }
            if environment.pointer("/health/clock/rollback-on").is_some() {
                add(
                    "health.clock.rollback-on",
                    "a health check puts traffic on the previous slot, and this environment has members: leave it out".to_owned(),
                );
            }
            for (key, instead) in [
                ("hooks", "run such a command before or after the rollout, or in the `target`"),
                ("drain", "`strategy.drain` is how long a member's requests are waited for"),
            ] {
                if environment.get(key).is_some() {
                    add(key, format!("`{key}` is for two slots, and this environment has members: {instead}"));
                }
            }
            let batch = environment.pointer("/strategy/batch");
            match batch.map(Batch::deserialize) {
                Some(Ok(batch)) if members > 1 && batch.is_too_large(members) => add(
                    "strategy.batch",
                    format!(
                        "more than half of {members} members would be out at once; {} can be had",
                        members / 2
                    ),
                ),
                Some(Err(failed)) => add("strategy.batch", failed.to_string()),
                _ => {}
            }
        }
        _ => {}
    }
    found.extend(same_address(environment));
    found
}

/// Two members at one address would be one that is out and in at the same time.
fn same_address(environment: &Value) -> Vec<(String, String)> {
    let members = environment.get("members").and_then(Value::as_object);
    let mut seen: Vec<(&String, url::Url)> = Vec::new();
    let mut found = Vec::new();
    for (name, member) in members.into_iter().flatten() {
        let url = member.get("url").and_then(Value::as_str);
        let Some(Ok(url)) = url.map(url::Url::parse) else {
            continue;
        };
        match seen.iter().find(|(_, known)| *known == url) {
            Some((first, _)) => found.push((
                format!("members.{name}.url"),
                format!(
                    "{first} and {name} have the same URL, so one would be deployed over the other"
                ),
            )),
            None => seen.push((name, url)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(written: Value) -> Batch {
        Batch::deserialize(written).unwrap()
    }

    #[test]
    fn a_batch_is_one_at_least_and_half_at_most() {
        for (written, members, wanted) in [
            (json!(1), 2, 1),
            (json!(3), 4, 2),
            (json!(2), 4, 2),
            (json!("25%"), 3, 1),
            (json!("25%"), 8, 2),
            (json!("30%"), 10, 3),
            (json!("100%"), 7, 3),
            (json!("1%"), 100, 1),
        ] {
            assert_eq!(
                batch(written.clone()).of(members),
                wanted,
                "{written} of {members}"
            );
        }
        for wrong in [json!(0), json!("0%"), json!("x"), json!("101%")] {
            assert!(Batch::deserialize(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slots_and_members_have_their_strategies() {
        let member = |n: u16| json!({ "url": format!("http://web{n}.test") });
        let members = json!({ "web1": member(1), "web2": member(2), "web3": member(3) });
        let of = |environment: Value| -> Vec<String> {
            let found = meaning(&environment).into_iter();
            found
                .map(|(path, said)| format!("{path}: {said}"))
                .collect()
        };
        assert_eq!(of(json!({ "members": members })), [""; 0]);
        let hooked = of(json!({ "members": members, "hooks": { "always": [] }, "drain": {} }));
        assert!(
            hooked[0].starts_with("hooks: ") && hooked[1].starts_with("drain: "),
            "{hooked:?}"
        );
        for (environment, wanted) in [
            (json!({}), ": `slots` is missing"),
            (
                json!({ "members": members, "slots": {} }),
                "members: an environment has two slots or several members",
            ),
            (
                json!({ "slots": {}, "strategy": { "kind": "rolling" } }),
                "strategy.kind: rolling goes over `members`",
            ),
            (
                json!({ "members": members, "strategy": { "kind": "canary" } }),
                "strategy.kind: canary needs two slots",
            ),
            (
                json!({ "members": members, "strategy": { "kind": "rolling", "batch": 2 } }),
                "strategy.batch: more than half of 3 members would be out at once; 1 can be had",
            ),
            (
                json!({ "members": members, "strategy": { "kind": "rolling", "batch": "60%" } }),
                "strategy.batch: more than half",
            ),
            (
                json!({ "members": { "web1": member(1) } }),
                "members: there are 1;",
            ),
            (
                json!({ "members": { "a": member(1), "b": member(1) } }),
                "members.b.url: a and b have the same URL",
            ),
        ] {
            let found = of(environment);
            assert!(
                found.len() == 1 && found[0].starts_with(wanted),
                "{found:?}"
            );
        }
    }
}
