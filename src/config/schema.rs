//! The JSON Schema of the config: our types, with the tables of kinds filled in.
//!
//! `cutover schema` prints it for editors, and `config::check` holds the file against it.

use serde_json::{Map, Value, json};

use super::file::File;
use super::kinds::{Outline, plain_schema, properties_of};

/// A seam's table as the schema needs it.
pub struct Seam {
    /// The name of its block in `$defs`, such as `router`.
    pub name: &'static str,
    /// Its kinds.
    pub kinds: Vec<Outline>,
    /// The schema of the keys that all its kinds share, if there are any.
    pub shared: Option<Value>,
}

/// The whole schema: `File` with a `oneOf` of kinds for each seam.
pub fn assemble(seams: &[Seam]) -> Value {
    let mut root = plain_schema::<File>();
    let mut defs = Map::new();
    for seam in seams {
        let variants: Vec<Value> = seam
            .kinds
            .iter()
            .map(|kind| variant(kind, seam.shared.as_ref()))
            .collect();
        defs.insert(seam.name.to_owned(), json!({ "oneOf": variants }));
    }
    if let Value::Object(map) = &mut root {
        map.shift_insert(
            0,
            "$schema".to_owned(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        map.shift_insert(1, "title".to_owned(), "cutover.yml".into());
        map.insert("$defs".to_owned(), Value::Object(defs));
    }
    root
}

fn variant(kind: &Outline, shared: Option<&Value>) -> Value {
    let mut properties = Map::new();
    properties.insert("kind".to_owned(), json!({ "const": kind.name }));
    properties.extend(properties_of(&kind.schema));
    properties.extend(shared.map(properties_of).unwrap_or_default());
    let mut required = vec![json!("kind")];
    let more = kind.schema.get("required").and_then(Value::as_array);
    required.extend(more.into_iter().flatten().cloned());
    json!({
        "type": "object",
        "description": kind.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
