//! Kinds: what a block of the config may be, told by its `kind`.
//!
//! Each seam (targets, routers, probes, metrics, notifiers) keeps a table of [`Kind`]s. A kind has a
//! name, options with a JSON schema, and a way to be built. This file knows the shape of such
//! a table and no entry of one.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A block of the config: the name of its kind and that kind's own keys, already held against
/// the schema.
#[derive(Clone, Debug, Deserialize)]
pub struct Block {
    /// The kind's name.
    pub kind: String,
    /// The kind's keys.
    #[serde(flatten)]
    pub options: Map<String, Value>,
}

impl Block {
    /// The options as a kind's own type.
    ///
    /// # Errors
    /// What serde says; after the walk over the schema only what a schema cannot say is left.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_path_to_error::deserialize(Value::Object(self.options.clone())).map_err(|failed| {
            let path = failed.path().to_string();
            match path.as_str() {
                "." => failed.into_inner().to_string(),
                _ => format!("{path}: {}", failed.into_inner()),
            }
        })
    }

    /// Takes the keys that all kinds of a seam share out of the options, as their own type.
    ///
    /// # Errors
    /// As for [`Block::options`].
    pub fn take<T: DeserializeOwned + JsonSchema>(&mut self) -> Result<T, String> {
        let keys = properties_of(&plain_schema::<T>());
        let mut taken = Map::new();
        for key in keys.keys() {
            if let Some(value) = self.options.remove(key) {
                taken.insert(key.clone(), value);
            }
        }
        serde_json::from_value(Value::Object(taken)).map_err(|failed| failed.to_string())
    }
}

/// One kind of a seam: how it is called, what it takes, how it is made.
pub struct Kind<Made: ?Sized, With> {
    /// The word after `kind:`.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The schema of its options.
    pub schema: fn() -> Value,
    /// Makes it, or says what is wrong with the options.
    pub build: fn(&Block, &With) -> Result<Box<Made>, String>,
}

impl<Made: ?Sized, With> Kind<Made, With> {
    /// The name and the schema, for [`super::schema::assemble`].
    pub fn outline(&self) -> Outline {
        Outline {
            name: self.name,
            about: self.about,
            schema: (self.schema)(),
        }
    }
}

/// A kind as the schema sees it.
pub struct Outline {
    /// The word after `kind:`.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The schema of its options.
    pub schema: Value,
}

/// Makes the kind that a block names.
///
/// # Errors
/// When the table does not have the kind (with the list of those it has), or the kind refuses
/// the options.
pub fn build<Made: ?Sized, With>(
    table: &[Kind<Made, With>],
    block: &Block,
    with: &With,
) -> Result<Box<Made>, String> {
    match table.iter().find(|kind| kind.name == block.kind) {
        Some(kind) => (kind.build)(block, with),
        None => Err(super::check::unknown(
            "kind",
            &block.kind,
            table.iter().map(|kind| kind.name),
        )),
    }
}

/// The schema of a type with everything written out in place, without titles.
pub fn plain_schema<T: JsonSchema>() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Value::Object(map) = &mut schema {
        map.remove("title");
        map.remove("description");
    }
    schema
}

/// The `properties` of a schema.
pub fn properties_of(schema: &Value) -> Map<String, Value> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

/// Makes a block's type: the place in the schema where a seam's table is filled in.
macro_rules! seam {
    ($name:ident, $defs:literal, $about:literal) => {
        #[doc = $about]
        #[derive(Clone, Debug, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Block);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                $defs.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "$ref": concat!("#/$defs/", $defs) })
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}

seam!(HostBlock, "host", "Where commands run and files live.");
seam!(TargetBlock, "target", "How a release gets into a slot.");
seam!(
    RouterBlock,
    "router",
    "Who decides which slot gets traffic."
);
seam!(HookBlock, "hook", "What is run beside a rollout.");
seam!(CheckBlock, "check", "A look at something, with patience.");
seam!(MetricBlock, "metric", "Where figures come from.");
seam!(NotifierBlock, "notify", "Whom to tell.");
seam!(
    ExporterBlock,
    "telemetry",
    "Who keeps the figures of many runs."
);
