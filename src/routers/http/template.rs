//! The `http` router's other form: a foreign API, with a request that is written in the config.
//!
//! Placeholders are filled in, escaped for where they stand; the state is one value at a JSON
//! pointer. This is not a language: what needs more than that deserves a kind of its own.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::config::units::HttpUrl;
use crate::model::slot::{Side, Slots};
use crate::model::split::{Split, Weight};

/// A request for a foreign API. In `url`, `headers` and `body`, `{{slot}}` is the slot with the
/// larger share, `{{weight}}` that share, `{{weight_first}}` and `{{weight_second}}` the shares
/// of the two slots in the order of the config.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Template {
    /// The method. Default PUT.
    #[serde(default = "put")]
    pub method: String,
    /// Where the change goes. Default: the router's `url`.
    pub url: Option<String>,
    /// Headers beside the usual ones.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// How the state is read.
    pub read: Read,
}

/// How the state of a foreign API is read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct Read {
    /// Where it is read. Default: the router's `url`.
    pub url: Option<HttpUrl>,
    /// The JSON pointer to the second slot's weight in percent, or to the active slot's name.
    pub pointer: String,
    /// The JSON pointer to something that changes with every change.
    pub version_pointer: Option<String>,
}

fn put() -> String {
    "PUT".to_owned()
}

const PLACEHOLDERS: [&str; 4] = ["slot", "weight", "weight_first", "weight_second"];

/// A template that was checked.
pub(super) struct Filling {
    template: Template,
    method: Method,
    url: String,
    read_url: Url,
}

/// What a filled template is.
pub(super) struct Filled {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Filling {
    /// Checks a template as far as it can be checked without a change at hand.
    pub(super) fn new(template: Template, url: &Url, slots: &Slots) -> Result<Self, String> {
        let method = Method::from_bytes(template.method.as_bytes())
            .map_err(|_| format!("template.method: \"{}\" is not a method", template.method))?;
        if matches!(method, Method::GET | Method::HEAD) {
            return Err(format!("template.method: {method} changes nothing"));
        }
        let pointers = [
            Some(&template.read.pointer),
            template.read.version_pointer.as_ref(),
        ];
        if let Some(wrong) = pointers
            .into_iter()
            .flatten()
            .find(|one| !one.starts_with('/'))
        {
            return Err(format!(
                "template.read: \"{wrong}\" is not a JSON pointer; it begins with /"
            ));
        }
        let read_url = template.read.url.as_ref().map_or(url, HttpUrl::get).clone();
        let made = Self {
            url: template.url.clone().unwrap_or_else(|| url.to_string()),
            method,
            read_url,
            template,
        };
        made.fill(Split::all_to(Side::Second), slots)?;
        if !made
            .texts()
            .any(|text| PLACEHOLDERS.iter().any(|name| text.contains(&hole(name))))
        {
            return Err("template: there is no {{slot}} and no {{weight}} in it, so every change would be the same".to_owned());
        }
        Ok(made)
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let headers = self.template.headers.values().map(String::as_str);
        [self.url.as_str(), &self.template.body]
            .into_iter()
            .chain(headers)
    }

    /// Where the state is read.
    pub(super) const fn read_url(&self) -> &Url {
        &self.read_url
    }

    /// Whether a split other than all or nothing can be asked for.
    pub(super) fn has_weights(&self) -> bool {
        self.texts().any(|text| {
            PLACEHOLDERS[1..]
                .iter()
                .any(|name| text.contains(&hole(name)))
        })
    }

    /// The headers for reading: those of the config that do not depend on the change.
    pub(super) fn read_headers(&self) -> Result<HeaderMap, String> {
        let fixed = self
            .template
            .headers
            .iter()
            .filter(|(_, value)| !value.contains("{{"));
        fixed.map(|(name, value)| header(name, value)).collect()
    }

    /// The request for a split.
    pub(super) fn fill(&self, split: Split, slots: &Slots) -> Result<Filled, String> {
        let url = substitute("template.url", &self.url, split, slots, |word| {
            url::form_urlencoded::byte_serialize(word.as_bytes()).collect()
        })?;
        let body = substitute("template.body", &self.template.body, split, slots, |word| {
            let quoted = Value::from(word).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        })?;
        let headers = self.template.headers.iter().map(|(name, value)| {
            let at = format!("template.headers.{name}");
            header(name, &substitute(&at, value, split, slots, str::to_owned)?)
        });
        // What is not a URL is not quoted: it may carry a password.
        let url: HttpUrl = url
            .parse()
            .map_err(|said| format!("template.url: {said}"))?;
        Ok(Filled {
            method: self.method.clone(),
            url: url.get().clone(),
            headers: headers.collect::<Result<_, String>>()?,
            body: body.into_bytes(),
        })
    }

    /// The split and the version in an answer.
    pub(super) fn state(
        &self,
        body: &Value,
        slots: &Slots,
    ) -> Result<(Split, Option<String>), String> {
        let read = &self.template.read;
        let at = |pointer: &str| {
            body.pointer(pointer)
                .ok_or_else(|| format!("there is nothing at {pointer} in its answer"))
        };
        let found = at(&read.pointer)?;
        let text = found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned);
        let weight = text.parse().ok().and_then(Weight::new);
        let split = match (slots.side_of(&text), weight) {
            (Some(side), _) => Split::all_to(side),
            (None, Some(second)) => Split { second },
            (None, None) => {
                return Err(format!(
                    "it says {found} at {}; a whole percentage, {} or {} is wanted",
                    read.pointer, slots.first.name, slots.second.name
                ));
            }
        };
        let version = read.version_pointer.as_deref().map(at).transpose()?;
        Ok((split, version.map(Value::to_string)))
    }
}

fn hole(name: &str) -> String {
    format!("{{{{{name}}}}}")
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let key = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("template.headers: \"{name}\" is not a header's name"))?;
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("template.headers.{name}: the value cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// Fills the placeholders of a text; an unknown one is an error, and what is filled in is not
/// looked at again.
fn substitute(
    at: &str,
    text: &str,
    split: Split,
    slots: &Slots,
    escape: impl Fn(&str) -> String,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after
            .split_once("}}")
            .ok_or_else(|| format!("{at}: `{{{{` without `}}}}`"))?;
        let active = split.active();
        let word = match name.trim() {
            "slot" => slots.name(active).to_owned(),
            "weight" => split.weight(active).percent().to_string(),
            "weight_first" => split.weight(Side::First).percent().to_string(),
            "weight_second" => split.weight(Side::Second).percent().to_string(),
            other => {
                return Err(format!(
                    "{at}: {}",
                    crate::config::check::unknown("placeholder", other, PLACEHOLDERS)
                ));
            }
        };
        out.push_str(before);
        out.push_str(&escape(&word));
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::slot::Slot;
    use serde_json::json;

    fn slots() -> Slots {
        let slot = |name: &str| Slot {
            name: name.to_owned(),
            url: "http://x.test".parse().unwrap(),
        };
        Slots {
            first: slot("blue"),
            second: slot("gr\"een"),
        }
    }

    fn filling(template: Value) -> Result<Filling, String> {
        let template = serde_json::from_value(template).unwrap();
        Filling::new(template, &"http://api.test/x".parse().unwrap(), &slots())
    }

    #[test]
    fn what_is_filled_in_is_escaped_for_its_place() {
        let made = filling(json!({
            "method": "POST",
            "url": "http://api.test/{{slot}}",
            "headers": {"X-W": "{{weight_first}}"},
            "body": "{\"s\":\"{{ slot }}\",\"w\":{{weight}},\"two\":{{weight_second}}}",
            "read": {"pointer": "/w"},
        }))
        .unwrap();
        let split = Split {
            second: Weight::new(75).unwrap(),
        };
        let filled = made.fill(split, &slots()).unwrap();
        assert_eq!(filled.url.path(), "/gr%22een");
        assert_eq!(filled.headers["x-w"], "25");
        let body: Value = serde_json::from_slice(&filled.body).unwrap();
        assert_eq!(body, json!({"s": "gr\"een", "w": 75, "two": 75}));
        assert!(made.has_weights());
        assert_eq!(made.read_headers().unwrap().len(), 0);
    }

    #[test]
    fn the_state_is_a_weight_or_a_name() {
        let made = filling(
            json!({"body": "{{slot}}", "read": {"pointer": "/a", "version-pointer": "/v"}}),
        )
        .unwrap();
        for (found, percent) in [
            (json!(25), 25),
            (json!("25"), 25),
            (json!("blue"), 0),
            (json!("gr\"een"), 100),
        ] {
            let (split, version) = made
                .state(&json!({"a": found, "v": "x"}), &slots())
                .unwrap();
            assert_eq!(
                (split.second.percent(), version.as_deref()),
                (percent, Some("\"x\""))
            );
        }
        for found in [json!(2.5), json!(101), json!("red"), json!(null)] {
            assert!(made.state(&json!({"a": found, "v": 1}), &slots()).is_err());
        }
        assert!(
            made.state(&json!({"a": 1}), &slots())
                .unwrap_err()
                .contains("/v")
        );
    }

    #[test]
    fn a_template_that_cannot_work_is_refused() {
        let read = json!({"pointer": "/a"});
        for (template, word) in [
            (
                json!({"body": "{{slott}}", "read": read}),
                "did you mean \"slot\"",
            ),
            (json!({"body": "{{slot", "read": read}), "without"),
            (json!({"body": "same", "read": read}), "every change"),
            (
                json!({"body": "{{slot}}", "method": "GET", "read": read}),
                "GET",
            ),
            (
                json!({"body": "{{slot}}", "url": "nope", "read": read}),
                "template.url",
            ),
            (
                json!({"body": "{{slot}}", "headers": {"a b": "c"}, "read": read}),
                "a b",
            ),
            (
                json!({"body": "{{slot}}", "read": {"pointer": "a"}}),
                "JSON pointer",
            ),
        ] {
            let said = filling(template).err().unwrap();
            assert!(said.contains(word), "{said}");
        }
    }
}
