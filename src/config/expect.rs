//! What an answer should be, held against what it is.
//!
//! Everything that is wrong is said at once: a wrong status often comes with a body that
//! explains it. Nothing is asked here. Shared by every kind of a seam that looks at answers.

use std::borrow::Cow;
use std::collections::BTreeMap;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

use crate::model::release::field_of;
use crate::platform::http::Answer;
use crate::platform::secret::Vault;
use crate::platform::text;

use super::request::Statuses;
use super::units::Span;

/// What an answer should be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// The status: one or a list. Default: any from 200 to 299.
    status: Statuses,
    /// Fields of a JSON body by their dotted path: `{ .status: healthy, .checks.0.ok: true }`. A
    /// text, a number and a truth value are three things.
    json: IndexMap<String, Scalar>,
    /// A text that must be in the body.
    text: Option<String>,
    /// Headers of the answer and their values.
    header: BTreeMap<String, String>,
    /// The whole answer must be there within that time.
    under: Option<Span>,
}

/// A text, a number, true, false or null.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Scalar(Value);

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean", "null"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Scalar {
    /// As a database writes it: true is `t`, null is `NULL`.
    pub fn as_text(&self) -> String {
        match &self.0 {
            Value::String(text) => text.clone(),
            Value::Bool(true) => "t".to_owned(),
            Value::Bool(false) => "f".to_owned(),
            Value::Null => "NULL".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether a field has this value. 1 and 1.0 are one number; 1 and "1" are not one thing.
    fn is(&self, found: &Value) -> bool {
        match (&self.0, found) {
            (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            (a, b) => a == b,
        }
    }
}

/// An answer that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Miss {
    /// What it is: status, time, each thing that is wrong, and how the body begins.
    pub measured: String,
    /// What these should be, in the same order.
    pub wanted: String,
}

impl Expect {
    /// Everything that is wrong with an answer, if anything is.
    pub fn miss(&self, answer: &Answer, vault: &Vault) -> Option<Miss> {
        let quote = |what: &str, max| text::excerpt(&vault.redact(what), max);
        let body = answer.text();
        let mut measured = vec![format!(
            "{} in {}",
            answer.status,
            text::duration(answer.took)
        )];
        let mut wanted = Vec::new();
        if !self.status.welcome(answer.status) {
            wanted.push(self.status.to_string());
        }
        if let Some(limit) = self.under
            && answer.took > limit.get()
        {
            wanted.push(format!("under {limit}"));
        }
        for (name, value) in &self.header {
            let found = answer.header(name);
            if found != Some(value) {
                measured.push(match found {
                    Some(found) => format!("{name}: {}", quote(found, 100)),
                    None => format!("no header {name}"),
                });
                wanted.push(format!("{name}: {value}"));
            }
        }
        if let Some(part) = &self.text
            && !body.contains(part.as_str())
        {
            wanted.push(format!("\"{part}\" in the body"));
        }
        if !self.json.is_empty() {
            match serde_json::from_slice::<Value>(&answer.body) {
                Ok(json) => {
                    for (path, value) in &self.json {
                        measured.push(match field_of(&json, path) {
                            Some(found) if value.is(found) => continue,
                            Some(found) => {
                                format!("{path} is {}", quote(&found.to_string(), 100))
                            }
                            None => format!("{path} is missing"),
                        });
                        wanted.push(format!("{path} to be {}", value.0));
                    }
                }
                Err(_) => {
                    measured.push("not JSON".to_owned());
                    wanted.push("a JSON body".to_owned());
                }
            }
        }
        if wanted.is_empty() {
            return None;
        }
        measured.push(match quote(&body, 200) {
            begin if begin.is_empty() => "no body".to_owned(),
            begin => format!("body \"{begin}\""),
        });
        Some(Miss {
            measured: measured.join(", "),
            wanted: wanted.join(", "),
        })
    }

    /// What an answer should be, in short, for one that never came.
    pub fn told(&self) -> String {
        match self.under {
            Some(limit) => format!("{} under {limit}", self.status),
            None => self.status.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn miss(expect: Value, status: u16, body: &str) -> Option<Miss> {
        let expect: Expect = serde_json::from_value(expect).unwrap();
        let mut answer = Answer {
            status,
            headers: Default::default(),
            body: body.into(),
            took: Duration::from_millis(12),
        };
        answer.headers.insert("X-Slot", "blue".parse().unwrap());
        let vault = Vault::default();
        vault.keep("s3cr3t-token");
        expect.miss(&answer, &vault)
    }

    #[test]
    fn types_of_json_are_kept_apart() {
        let body = r#"{"status":"healthy","n":1,"ok":true,"list":[{"v":"2"}],"none":null}"#;
        let right = json!({
            ".status": "healthy", ".n": 1.0, "ok": true, ".list.0.v": "2", ".none": null
        });
        assert_eq!(miss(json!({ "json": right }), 200, body), None);
        let wrong = json!({ ".n": "1", ".ok": "true", ".list.0.v": 2, ".gone": null });
        let said = miss(json!({ "json": wrong }), 200, body).unwrap();
        assert_eq!(
            said.measured.split(", body").next().unwrap(),
            "200 in 12 ms, .n is 1, .ok is true, .list.0.v is \"2\", .gone is missing"
        );
        assert_eq!(
            said.wanted,
            ".n to be \"1\", .ok to be \"true\", .list.0.v to be 2, .gone to be null"
        );
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let expect = json!({
            "status": [200, 204], "text": "ready", "under": "5ms", "json": { ".a": 1 },
            "header": { "x-slot": "green", "X-None": "1" },
        });
        let said = miss(expect, 503, "starting").unwrap();
        assert_eq!(
            said.measured,
            "503 in 12 ms, no header X-None, x-slot: blue, not JSON, body \"starting\""
        );
        assert_eq!(
            said.wanted,
            "200 or 204, under 5.0 ms, X-None: 1, x-slot: green, \"ready\" in the body, a JSON body"
        );
    }

    #[test]
    fn a_secret_in_the_body_is_not_cut_in_half() {
        let body = format!("{}s3cr3t-token", "x".repeat(195));
        let said = miss(json!({}), 500, &body).unwrap().measured;
        assert!(said.contains("xxx***") && !said.contains("s3cr"), "{said}");
    }
}
