//! A step of a canary's ladder, as it is written: a share of traffic, or a mapping with a watch of
//! its own. Whether the steps make a ladder is not known here.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::model::split::Weight;

use super::units::{Percent, Span};

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Rung {
    /// The share of traffic.
    pub weight: Weight,
    /// A watch of its own.
    pub watch: Option<Span>,
    /// A longest watch of its own.
    pub at_most: Option<Span>,
    /// Whether the run ends before this step, and another one goes on with it.
    pub manual: bool,
}

impl Rung {
    /// A step with nothing of its own.
    pub const fn at(percent: u8) -> Self {
        let weight = match Weight::new(percent) {
            Some(weight) => weight,
            None => Weight::ALL,
        };
        Self {
            weight,
            watch: None,
            at_most: None,
            manual: false,
        }
    }
}

/// As it is written: a share, or a mapping.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Share(String),
    Options(Options),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    weight: String,
    watch: Option<Span>,
    at_most: Option<Span>,
    #[serde(default)]
    manual: bool,
}

impl TryFrom<Written> for Rung {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let options = match written {
            Written::Options(options) => options,
            Written::Share(weight) => Options {
                weight,
                watch: None,
                at_most: None,
                manual: false,
            },
        };
        let percent = options.weight.parse::<Percent>()?.share() * 100.0;
        let whole = (1..=100).find(|whole| (f64::from(*whole) - percent).abs() < 1e-9);
        let weight = whole.and_then(Weight::new).ok_or_else(|| {
            format!(
                "{} is no step: a weight is a whole percentage from 1% to 100%",
                options.weight
            )
        })?;
        Ok(Self {
            weight,
            watch: options.watch,
            at_most: options.at_most,
            manual: options.manual,
        })
    }
}

impl JsonSchema for Rung {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "format": "percent",
            "properties": {
                "weight": {
                    "type": "string", "format": "percent",
                    "description": "The share of traffic, in whole percent.",
                },
                "watch": {
                    "type": "string", "format": "duration",
                    "description": "How long this step is watched at least.",
                },
                "at-most": {
                    "type": "string", "format": "duration",
                    "description": "How long this step is watched at most.",
                },
                "manual": {
                    "type": "boolean",
                    "description": "Whether the run ends before this step, and the next run goes on with it.",
                },
            },
            "required": ["weight"],
            "additionalProperties": false,
            "examples": ["10%", { "weight": "50%", "watch": "15m", "manual": true }],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}
