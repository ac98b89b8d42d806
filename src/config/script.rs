//! The variables of a shell command in the config. Shared by every kind of a seam that runs one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::platform::secret::{Secret, Vault};

/// Names and values.
pub type Pairs = Vec<(String, String)>;

/// Variables for a command. Their values may be secrets and are never shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, Secret>")]
pub struct Variables(BTreeMap<String, Secret>);

impl Variables {
    /// Names and values, followed by `more`, which win where a name is in both.
    pub fn and<'a>(&self, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Pairs {
        let own = self.0.iter();
        let own = own.map(|(name, value)| (name.clone(), value.expose().to_owned()));
        and(own.collect(), more)
    }

    /// Names and values: those with a secret in them, then the others.
    pub fn split(&self, vault: &Vault) -> (Pairs, Pairs) {
        let all = self.0.iter();
        let all = all.map(|(name, value)| (name.clone(), value.expose().to_owned()));
        all.partition(|(_, value)| vault.redact(value) != *value)
    }
}

/// Variables followed by `more`, which win where a name is in both.
pub fn and<'a>(mut variables: Pairs, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> Pairs {
    let more = more.into_iter();
    variables.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    variables
}

impl TryFrom<BTreeMap<String, Secret>> for Variables {
    type Error = String;

    fn try_from(written: BTreeMap<String, Secret>) -> Result<Self, String> {
        for (name, value) in &written {
            let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if !name.bytes().all(letters) || !name.starts_with(|c: char| !c.is_ascii_digit()) {
                return Err(format!(
                    "\"{name}\" is not the name of a variable: letters, digits and _ are"
                ));
            }
            if value.expose().contains('\0') {
                return Err(format!(
                    "the value of {name} has a NUL, which no variable can carry"
                ));
            }
        }
        Ok(Self(written))
    }
}

impl JsonSchema for Variables {
    fn schema_name() -> Cow<'static, str> {
        "Variables".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "additionalProperties": { "type": "string" },
            "examples": [{ "REGION": "eu-1" }],
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
    fn names_are_names_and_later_ones_win() {
        let read = |json| serde_json::from_value::<Variables>(json);
        let env = read(json!({ "SLOT": "x", "A_1": "s3cr3t" })).unwrap();
        assert!(!format!("{env:?}").contains("s3cr3t"));
        let vault = Vault::default();
        vault.keep("s3cr3t");
        let (hidden, open) = env.split(&vault);
        assert_eq!(hidden[0].0, "A_1");
        let all = and(open, [("SLOT", "blue")]);
        assert_eq!(all.last().unwrap().1, "blue");
        for odd in ["", "A=B", "1A", "a-b"] {
            assert!(read(json!({ odd: "s3cr3t" })).is_err(), "{odd}");
        }
    }
}
