//! What a schema cannot say: two slots and no more, addresses that differ, patterns that work.
//!
//! Works on the values as the walk over the schema left them, so that these problems are told
//! together with those that the schema finds.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::platform::secret::Vault;

use super::anomaly::{self, Anomaly};
use super::approval::{self, Approval};
use super::canary::{self, Canary};
use super::clock::{self, Clock};
use super::file::Strategy;
use super::gates;
use super::ladder::Rung;
use super::lock::SHORTEST_LEASE;
use super::preflight::{self, Guardrails, Preflight};
use super::problem::{Place, Problem};
use super::protection::{self, Name, Protection};
use super::rolling;
use super::units::Span;

/// Everything in a config that fits the schema and still makes no sense.
pub fn problems(config: &Value, places: &BTreeMap<String, Place>) -> Vec<Problem> {
    let mut found = Found {
        places,
        problems: Vec::new(),
    };
    let Some(environments) = config.get("environments").and_then(Value::as_object) else {
        return found.problems;
    };
    if environments.is_empty() {
        found.add("environments", "there is no environment");
    }
    let known: Vec<&String> = environments.keys().collect();
    for (name, environment) in environments {
        let at = format!("environments.{name}");
        found.slots(&format!("{at}.slots"), environment);
        found.members(&at, environment);
        found.release(&format!("{at}.release"), environment);
        found.lease(&format!("{at}.lock.lease"), environment);
        found.approval(&format!("{at}.approval"), environment);
        found.canary(&format!("{at}.strategy"), environment);
        found.anomaly(&format!("{at}.anomaly"), environment);
        found.protection(&format!("{at}.protection"), environment);
        found.clock(&format!("{at}.health.clock"), environment);
        found.hosts(&format!("{at}.preflight"), environment);
        found.guardrails(&format!("{at}.guardrails"), environment, name, &known);
    }
    found.problems
}

struct Found<'p> {
    places: &'p BTreeMap<String, Place>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, path: &str, said: impl Into<String>) {
        self.problems.push(Problem {
            path: path.to_owned(),
            place: self.places.get(path).copied(),
            said: said.into(),
        });
    }

    fn slots(&mut self, path: &str, environment: &Value) {
        let Some(slots) = environment.get("slots").and_then(Value::as_object) else {
            return;
        };
        if slots.len() != 2 {
            let said = format!(
                "there are {} slots; an environment has exactly two",
                slots.len()
            );
            self.add(path, said);
        }
        let url = |slot: &Value| url::Url::parse(slot.get("url")?.as_str()?).ok();
        let addresses: Vec<_> = slots.iter().map(|(name, slot)| (name, url(slot))).collect();
        if let [(first, Some(a)), (second, Some(b))] = addresses.as_slice()
            && a == b
        {
            let said = format!(
                "{first} and {second} have the same URL, so one would be deployed over the other"
            );
            self.add(&format!("{path}.{second}.url"), said);
        }
    }

    /// Slots or members, and the strategy that goes with them.
    fn members(&mut self, path: &str, environment: &Value) {
        for (below, said) in rolling::meaning(environment) {
            match below.as_str() {
                "" => self.add(path, said),
                below => self.add(&format!("{path}.{below}"), said),
            }
        }
    }

    fn release(&mut self, path: &str, environment: &Value) {
        let Some(release) = environment.get("release") else {
            return;
        };
        let text = |key: &str| release.get(key).and_then(Value::as_str);
        if let Some(Err(failed)) = text("pattern").map(regex_lite::Regex::new) {
            self.add(&format!("{path}.pattern"), failed.to_string());
        }
        if text("path").is_some_and(|path| !path.starts_with('/')) {
            self.add(&format!("{path}.path"), "a path begins with /");
        }
    }

    /// Only of what the schema has nothing against; else it has said so.
    fn approval(&mut self, path: &str, environment: &Value) {
        let approval = environment.get("approval").map(Approval::deserialize);
        let Some(Ok(approval)) = approval else {
            return;
        };
        for (below, said) in approval::meaning(&approval) {
            self.add(&format!("{path}.{below}"), said);
        }
    }

    /// A ladder of steps. Of one that does not fit the schema it is said here why a step is none,
    /// for the schema knows no whole percent.
    fn canary(&mut self, path: &str, environment: &Value) {
        let Some(Value::Object(strategy)) = environment.get("strategy") else {
            return;
        };
        if strategy.get("kind").and_then(Value::as_str) != Some("canary") {
            return;
        }
        let steps = strategy.get("steps").and_then(Value::as_array);
        for (i, step) in steps.into_iter().flatten().enumerate() {
            if let Err(failed) = Rung::deserialize(step)
                && !step.is_null()
            {
                self.add(&format!("{path}.steps[{i}]"), failed.to_string());
            }
        }
        let mut options = strategy.clone();
        options.remove("kind");
        let Ok(block) = Canary::deserialize(Value::Object(options)) else {
            return;
        };
        let router = environment.pointer("/router/kind").and_then(Value::as_str);
        for (below, said) in canary::meaning(&block, router) {
            self.add(&format!("{path}.{below}"), said);
        }
    }

    /// Only of what the schema has nothing against; the strategy's watch is then right, too.
    fn anomaly(&mut self, path: &str, environment: &Value) {
        let anomaly = environment.get("anomaly").map(Anomaly::deserialize);
        let Some(Ok(anomaly)) = anomaly else {
            return;
        };
        let strategy = match environment.get("strategy") {
            Some(strategy) => Strategy::deserialize(strategy).ok(),
            None => Some(Strategy::default()),
        };
        let watch = strategy.map_or(Duration::MAX, |it| it.watch());
        for (below, said) in anomaly::meaning(&anomaly, watch) {
            self.add(&format!("{path}.{below}"), said);
        }
    }

    /// Only of guardrails that the schema has nothing against; else it has said so.
    fn guardrails(&mut self, path: &str, environment: &Value, own: &str, known: &[&String]) {
        let guardrails = environment.get("guardrails");
        let Some(Ok(guardrails)) = guardrails.map(Guardrails::deserialize) else {
            return;
        };
        let block = environment.get("protection").map(Protection::deserialize);
        let block = block.and_then(Result::ok);
        for (below, said) in preflight::meaning(&guardrails, own, known, block.as_ref()) {
            self.add(&format!("{path}.{below}"), said);
        }
    }

    /// How GitHub shall protect the environment.
    fn protection(&mut self, path: &str, environment: &Value) {
        let Some(block) = environment.get("protection") else {
            return;
        };
        let names = block.get("reviewers").and_then(Value::as_array);
        for (i, name) in names.into_iter().flatten().enumerate() {
            if let Some(Err(said)) = name.as_str().map(|name| Name::try_from(name.to_owned())) {
                self.add(&format!("{path}.reviewers[{i}]"), said);
            }
        }
        let Ok(block) = Protection::deserialize(block) else {
            return;
        };
        for (key, said) in protection::meaning(&block) {
            match key {
                "" => self.add(path, said),
                key => self.add(&format!("{path}.{key}"), said),
            }
        }
    }

    fn hosts(&mut self, path: &str, environment: &Value) {
        let preflight = environment.get("preflight");
        let Some(Ok(preflight)) = preflight.map(Preflight::deserialize) else {
            return;
        };
        for (below, said) in gates::hosts_meaning(&preflight.hosts) {
            self.add(&format!("{path}.{below}"), said);
        }
    }

    /// Only of a clock that the schema has nothing against; else it has said so.
    fn clock(&mut self, path: &str, environment: &Value) {
        let block = environment
            .pointer("/health/clock")
            .filter(|it| !it.is_null());
        let Some(Ok(block)) = block.map(Clock::deserialize) else {
            return;
        };
        let list = |pointer: &str| environment.pointer(pointer).and_then(Value::as_array);
        let channels = list("/notify").into_iter().flatten();
        let names = channels.flat_map(|one| [one.get("name"), one.get("kind")]);
        let some = |pointer: &str| list(pointer).is_some_and(|all| !all.is_empty());
        let beside = clock::Beside {
            channels: names.flatten().filter_map(Value::as_str).collect(),
            looks: some("/health/checks") || some("/health/thresholds"),
            records: environment.get("records").and_then(Value::as_str) != Some("none"),
            routes: environment.get("router").is_some_and(|it| !it.is_null()),
        };
        for (below, said) in clock::meaning(&block, &beside) {
            match below.as_str() {
                "" => self.add(path, said),
                below => self.add(&format!("{path}.{below}"), said),
            }
        }
    }

    fn lease(&mut self, path: &str, environment: &Value) {
        let lease = environment.pointer("/lock/lease").and_then(Value::as_str);
        let lease = lease.and_then(|text| text.parse::<Span>().ok());
        if lease.is_some_and(|lease| lease < SHORTEST_LEASE) {
            self.add(path, format!("a lease is at least {SHORTEST_LEASE}"));
        }
    }
}

/// Registers the secrets that a file itself names: the user-info of every URL, and the channels'
/// addresses as they are.
pub fn keep_secrets(config: &Value, vault: &Vault) {
    match config {
        Value::String(text) => vault.keep_user_info(text),
        Value::Array(items) => items.iter().for_each(|item| keep_secrets(item, vault)),
        Value::Object(map) => {
            for (key, value) in map {
                if key == "notify" {
                    keep_addresses(value, vault);
                }
                // One whose variable is missing stays as it is written: a name, which is no secret.
                let is_name = |text: &&str| text.starts_with("${") && text.ends_with('}');
                let text = value.as_str().filter(|text| !is_name(text));
                if let Some(text) = text.filter(|_| is_secret(key)) {
                    vault.keep(text);
                }
                match value {
                    // Names of metrics, as `token-usage`, and no names of keys.
                    Value::Object(named) if matches!(key.as_str(), "queries" | "figures") => {
                        named.values().for_each(|one| keep_secrets(one, vault));
                    }
                    value => keep_secrets(value, vault),
                }
            }
        }
        _ => {}
    }
}

/// Whether a key's name says that its value is a secret, as `token` and `Authorization` do.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    [
        "token",
        "password",
        "secret",
        "authorization",
        "api-key",
        "routing-key",
    ]
    .iter()
    .any(|word| key.contains(word))
}

fn keep_addresses(channels: &Value, vault: &Vault) {
    for channel in channels.as_array().into_iter().flatten() {
        let addresses = ["webhook", "url"].map(|key| channel.get(key));
        for address in addresses.into_iter().flatten().filter_map(Value::as_str) {
            vault.keep_address(address);
        }
    }
}
