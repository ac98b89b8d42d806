//! A place on the network that is not a URL: `host:port`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let whole = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() && whole => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(format!(
                "\"{text}\" is not an address; write it as host:port"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["db.internal:5432", "[::1]:6379"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_or_nothing() {
        let read = |text: &str| Address::try_from(text.to_owned());
        let six = read("[::1]:6379").unwrap();
        assert_eq!(
            (six.host(), six.port(), &*six.to_string()),
            ("::1", 6379, "[::1]:6379")
        );
        assert_eq!(read("db:5432").unwrap().host(), "db");
        for wrong in [
            "db", "db:", ":1", "db:0", "db:99999", "::1:80", "http://x", "",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
