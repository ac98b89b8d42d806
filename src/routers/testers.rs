//! The route for testers: whoever names a slot in a header or a cookie gets that slot, whatever
//! its weight. It is made of lines in the proxy's own configuration, so a router tells it and
//! never switches it; how traffic of everybody else is divided does not depend on it.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::slot::{Side, Slots};

/// Who is sent to the slot that they name, whatever its weight: testers, before and while users
/// are. `cutover router-config` prints the lines for it. It is no secret and no protection.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Testers {
    /// The header whose value is a slot's name, such as `X-Slot`.
    header: Option<String>,
    /// The cookie whose value is a slot's name. Where both are sent, the header counts.
    cookie: Option<String>,
}

/// How a tester names a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent<'a> {
    /// In the header of this name.
    Header(&'a str),
    /// In the cookie of this name.
    Cookie(&'a str),
}

/// A rule of the route: what is sent, and the slot that it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'a> {
    /// What is sent.
    pub(super) by: Sent<'a>,
    /// Which slot it leads to.
    pub(super) side: Side,
    /// The slot's name, which is the value.
    pub(super) slot: &'a str,
}

impl Testers {
    /// The route as every proxy can have it.
    ///
    /// # Errors
    /// What no proxy can be told.
    pub(super) fn fitting(self, slots: &Slots) -> Result<Self, String> {
        let plain = |name: &str, more: char| {
            let known = |c: char| c.is_ascii_alphanumeric() || c == more;
            name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(known)
        };
        if self.header.is_none() && self.cookie.is_none() {
            return Err("testers: give `header` or `cookie`, or both".to_owned());
        }
        if let Some(header) = &self.header {
            if !plain(header, '-') {
                return Err(format!(
                    "testers.header: \"{header}\" is no name of letters, digits and `-`"
                ));
            }
            if ["host", "cookie", "connection"].contains(&header.to_ascii_lowercase().as_str()) {
                return Err(format!(
                    "testers.header: every client sends {header} for another purpose; choose a name of your own, such as X-Slot"
                ));
            }
        }
        if let Some(cookie) = self.cookie.as_ref().filter(|it| !plain(it, '_')) {
            return Err(format!(
                "testers.cookie: \"{cookie}\" is no name of letters, digits and `_`, which is what all proxies can look for"
            ));
        }
        let known = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let names = [Side::First, Side::Second].map(|side| slots.name(side));
        if let Some(name) = names.iter().find(|name| !name.chars().all(known)) {
            return Err(format!(
                "testers: the slot \"{name}\" is to be sent in a header, so its name may have letters, digits, `-` and `_` alone"
            ));
        }
        Ok(self)
    }

    /// The ways to name a slot, the one that counts first.
    pub fn ways(&self) -> Vec<Sent<'_>> {
        let header = self.header.as_deref().map(Sent::Header);
        let cookie = self.cookie.as_deref().map(Sent::Cookie);
        header.into_iter().chain(cookie).collect()
    }

    /// All rules, those that count first.
    pub(super) fn rules<'a>(&'a self, slots: &'a Slots) -> Vec<Rule<'a>> {
        let both = |by| {
            [Side::First, Side::Second].map(|side| Rule {
                by,
                side,
                slot: slots.name(side),
            })
        };
        self.ways().into_iter().flat_map(both).collect()
    }
}

impl Sent<'_> {
    /// The header of a request that names a slot so, and its value.
    pub fn header(self, slot: &str) -> (String, String) {
        match self {
            Self::Header(name) => (name.to_ascii_lowercase(), slot.to_owned()),
            Self::Cookie(name) => ("cookie".to_owned(), format!("{name}={slot}")),
        }
    }
}

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "the header {name}"),
            Self::Cookie(name) => write!(f, "the cookie {name}"),
        }
    }
}

/// The route where there is one, and what no proxy can be told of it.
///
/// # Errors
/// See [`Testers::fitting`].
pub(super) fn fitting(testers: Option<Testers>, slots: &Slots) -> Result<Option<Testers>, String> {
    testers.map(|testers| testers.fitting(slots)).transpose()
}

/// The lines that a proxy has for the route, each rule by itself; nothing where there is none.
pub(super) fn lines<'a, T>(
    testers: Option<&'a Testers>,
    slots: &'a Slots,
    line: impl FnMut(Rule<'a>) -> T,
) -> Vec<T> {
    let rules = testers.map(|testers| testers.rules(slots));
    rules.into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::slot::Slot;
    use serde_json::{Value, json};

    fn made(testers: Value, first: &str) -> Result<Testers, String> {
        let slot = |name: &str| Slot {
            name: name.to_owned(),
            url: "http://h.test".parse().unwrap(),
        };
        let slots = Slots {
            first: slot(first),
            second: slot("green"),
        };
        serde_json::from_value::<Testers>(testers)
            .map_err(|failed| failed.to_string())?
            .fitting(&slots)
    }

    #[test]
    fn names_that_a_proxy_cannot_look_for_are_refused() {
        let both = made(json!({ "header": "X-Slot", "cookie": "slot" }), "blue").unwrap();
        assert_eq!(
            both.ways(),
            [Sent::Header("X-Slot"), Sent::Cookie("slot")],
            "the header counts first"
        );
        for (testers, first, word) in [
            (json!({}), "blue", "`header` or `cookie`"),
            (json!({ "header": "X Slot" }), "blue", "testers.header"),
            (json!({ "header": "Cookie" }), "blue", "another purpose"),
            (json!({ "header": "-" }), "blue", "testers.header"),
            (json!({ "cookie": "my-slot" }), "blue", "testers.cookie"),
            (json!({ "cookie": "slot" }), "bl\"ue", "the slot \"bl\"ue\""),
            (json!({ "query": "slot" }), "blue", "query"),
        ] {
            let said = made(testers, first).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
