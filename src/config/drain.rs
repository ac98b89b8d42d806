//! `drain:` of an environment: when the old slot is let go after a switch, and what becomes of it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::kinds::HookBlock;
use super::units::Span;

/// The longest `delay`: the run holds its runner and the lock for so long.
pub const LONGEST_DELAY: Span = Span::secs(15 * 60);

/// When the old slot is let go after a switch, and what becomes of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Drain {
    /// How long its requests in flight are waited for at most. Default 30s.
    pub deadline: Span,
    /// A path on the slot's own address that answers with how many requests are in flight there.
    /// Default: the router is asked.
    pub path: Option<String>,
    /// The same as a whole URL, in which `{{slot}}` is filled in.
    pub url: Option<String>,
    /// The field of a JSON answer that is the number, by its dotted path. Default: the answer is
    /// the number.
    pub field: Option<String>,
    /// What becomes of the slot then. Default keep.
    pub after: After,
    /// How long after the drain; at most 15m, for the run waits and keeps the lock. Default 0s.
    pub delay: Span,
    /// What stops the slot or scales it down: a command or a request, as a hook is. Default for
    /// `after: stop`: the target, where its kind can.
    pub retire: Option<HookBlock>,
}

/// What becomes of the old slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// It stays up, so that the way back is instant.
    #[default]
    Keep,
    /// `retire` stops it, or the target that put it there.
    Stop,
    /// `retire` makes it smaller.
    ScaleDown,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            deadline: Span::secs(30),
            path: None,
            url: None,
            field: None,
            after: After::Keep,
            delay: Span::secs(0),
            retire: None,
        }
    }
}

impl Drain {
    /// What a schema cannot say of it: the key, and what is wrong.
    pub fn meaning(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        let mut add = |key, said: &str| wrong.push((key, said.to_owned()));
        if self.path.is_some() && self.url.is_some() {
            add("url", "there are both `path` and `url`; keep one");
        }
        if self.field.is_some() && self.path.is_none() && self.url.is_none() {
            add("field", "is for the answer of a `path` or a `url`");
        }
        if self.path.as_ref().is_some_and(|it| !it.starts_with('/')) {
            add("path", "a path begins with /");
        }
        if self.after == After::Keep && self.retire.is_some() {
            add(
                "retire",
                "is for `after: stop` or `after: scale-down`; the slot is kept",
            );
        }
        if self.after == After::ScaleDown && self.retire.is_none() {
            add(
                "after",
                "needs `retire`: the command or request that does it",
            );
        }
        if self.after == After::Keep && self.delay > Span::secs(0) {
            add("delay", "there is nothing to come: the slot is kept");
        }
        if self.delay > LONGEST_DELAY {
            let said = format!(
                "{LONGEST_DELAY} at most: the run waits for so long and keeps the lock; for a later time, stop the slot in a scheduled job that takes the lock"
            );
            wrong.push(("delay", said));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_makes_no_sense_is_named() {
        let keys = |json| {
            let drain: Drain = serde_json::from_value(json).unwrap();
            let keys = drain.meaning().into_iter().map(|(key, _)| key);
            keys.collect::<Vec<_>>()
        };
        let retire = json!({ "kind": "command", "run": "./stop.sh" });
        assert!(keys(json!({})).is_empty());
        let stop = json!({ "after": "stop", "delay": "15m", "retire": retire });
        assert!(keys(stop).is_empty());
        assert_eq!(keys(json!({ "after": "scale-down" })), ["after"]);
        assert_eq!(keys(json!({ "retire": retire })), ["retire"]);
        assert_eq!(keys(json!({ "delay": "1m" })), ["delay"]);
        let late = json!({ "after": "stop", "delay": "16m", "retire": retire });
        assert_eq!(keys(late), ["delay"]);
        assert_eq!(keys(json!({ "field": ".n" })), ["field"]);
        let both = json!({ "path": "drain", "url": "http://x.dev" });
        assert_eq!(keys(both), ["url", "path"]);
    }
}
