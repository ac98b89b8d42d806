//! The words of an HTTP request in the config: its method, its headers, the statuses that are
//! welcome. Shared by every kind of a seam that makes requests; none of them is made here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::platform::secret::Secret;

/// The methods that can be written.
const VERBS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The method of a request, in capitals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Verb(Method);

impl Verb {
    /// GET.
    pub const GET: Self = Self(Method::GET);
    /// POST.
    pub const POST: Self = Self(Method::POST);

    /// The method.
    pub const fn get(&self) -> &Method {
        &self.0
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl TryFrom<String> for Verb {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if VERBS.contains(&text.as_str()) => Ok(Self(method)),
            _ => Err(super::check::unknown("method", &text, VERBS)),
        }
    }
}

impl JsonSchema for Verb {
    fn schema_name() -> Cow<'static, str> {
        "Method".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": VERBS })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Request headers. Their values may be secrets and are never shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Secret>")]
pub struct Headers(HeaderMap);

impl Headers {
    /// The headers.
    pub const fn get(&self) -> &HeaderMap {
        &self.0
    }
}

impl TryFrom<BTreeMap<String, Secret>> for Headers {
    type Error = String;

    fn try_from(written: BTreeMap<String, Secret>) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in written {
            let key: HeaderName = name
                .parse()
                .map_err(|_| format!("\"{name}\" is not the name of a header"))?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
                format!("the value of {name} has characters that no header can carry")
            })?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(Self(headers))
    }
}

impl JsonSchema for Headers {
    fn schema_name() -> Cow<'static, str> {
        "Headers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "examples": [{ "Authorization": "Bearer ${TOKEN}" }],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The statuses that are welcome: one, a list, or (by default) any from 200 to 299.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrMany")]
pub struct Statuses(Vec<u16>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u16),
    Many(Vec<u16>),
}

impl Statuses {
    /// Whether a status is welcome.
    pub fn welcome(&self, status: u16) -> bool {
        if self.0.is_empty() {
            (200..300).contains(&status)
        } else {
            self.0.contains(&status)
        }
    }
}

impl TryFrom<OneOrMany> for Statuses {
    type Error = String;

    fn try_from(written: OneOrMany) -> Result<Self, String> {
        let statuses = match written {
            OneOrMany::One(one) => vec![one],
            OneOrMany::Many(many) => many,
        };
        if statuses.is_empty() {
            return Err("the list of statuses is empty, so none would be welcome".to_owned());
        }
        match statuses.iter().find(|one| !(100..600).contains(*one)) {
            Some(odd) => Err(format!("{odd} is not a status: 100 to 599 are")),
            None => Ok(Self(statuses)),
        }
    }
}

impl fmt::Display for Statuses {
    /// `200`, `200 or 204`, `2xx`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("2xx");
        }
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(" or "))
    }
}

impl JsonSchema for Statuses {
    fn schema_name() -> Cow<'static, str> {
        "Statuses".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "array"],
            "minimum": 100,
            "maximum": 599,
            "minItems": 1,
            "items": { "type": "integer", "minimum": 100, "maximum": 599 },
            "examples": [200, [200, 204]],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_status_a_list_or_any_success() {
        let read = |json| serde_json::from_value::<Statuses>(json);
        assert_eq!(read(json!(401)).unwrap().to_string(), "401");
        let some = read(json!([200, 204])).unwrap();
        assert!(some.welcome(204) && !some.welcome(201));
        assert_eq!(some.to_string(), "200 or 204");
        let any = Statuses::default();
        assert!(any.welcome(299) && !any.welcome(302) && !any.welcome(500));
        for odd in [json!([]), json!(20), json!([200, 2000])] {
            assert!(read(odd).is_err());
        }
    }

    #[test]
    fn a_header_is_never_shown() {
        let read = |json| serde_json::from_value::<Headers>(json);
        let headers = read(json!({ "Authorization": "Bearer s3cr3t" })).unwrap();
        assert!(!format!("{headers:?}").contains("s3cr3t"));
        let said = read(json!({ "X-Token": "s3cr3t\n" })).unwrap_err();
        assert!(said.to_string().contains("X-Token") && !said.to_string().contains("s3cr3t"));
        assert!(read(json!({ "not a name": "x" })).is_err());
    }

    #[test]
    fn a_method_is_one_of_seven() {
        let said = serde_json::from_value::<Verb>(json!("PSOT")).unwrap_err();
        assert!(said.to_string().contains("did you mean"), "{said}");
        assert_eq!(
            serde_json::from_value::<Verb>(json!("PUT")).unwrap().get(),
            Method::PUT
        );
    }
}
