//! What all ways of keeping figures take beside their own keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::measure::INSTRUMENTS;

/// Labels that Prometheus, a gateway or a histogram gives.
const TAKEN: [&str; 3] = ["job", "instance", "le"];

/// Labels of the user's own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Labelled {
    /// Labels beside `app`, `environment`, `workflow`, `branch` and `runner_group`, or instead of them.
    pub labels: BTreeMap<String, String>,
}

impl Labelled {
    /// Whether the labels can be used.
    ///
    /// # Errors
    /// The name that cannot, and why.
    pub fn check(&self) -> Result<(), String> {
        for name in self.labels.keys() {
            let mut chars = name.chars();
            let begins = chars
                .next()
                .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
            if !begins
                || !chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
                || name.starts_with("__")
            {
                return Err(format!(
                    "labels.{name}: not a name for a label; letters, digits and _ are, not beginning with a digit or __"
                ));
            }
            let own = INSTRUMENTS.iter().any(|it| it.label == Some(name.as_str()));
            if own || TAKEN.contains(&name.as_str()) {
                return Err(format!(
                    "labels.{name}: this label has a meaning already; choose another name"
                ));
            }
        }
        Ok(())
    }
}
