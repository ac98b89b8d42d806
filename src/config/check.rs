//! Holds a config against the schema and finds everything that is wrong, at once.
//!
//! The schema is the one that editors use (`cutover schema`), so the two cannot differ. The
//! walk also turns text into what the schema wants (`version: 1.20` stays a text where a text
//! is wanted), so that serde gets values that fit. It knows the part of JSON Schema that our
//! types produce and nothing more.

use std::collections::BTreeMap;
use std::str::FromStr as _;

use serde_json::{Map, Value};

use super::anomaly::Moment;
use super::calendar::{ClockTime, Day, Days, Zone};
use super::cron::Cron;
use super::problem::{Place, Problem};
use super::thresholds::Limit;
use super::units::{HttpUrl, Percent, Size, Span};
use super::yaml::{Key, Node, What, join};
use crate::platform::text::nearest;

/// What a walk found: the values, where each path of the file stands, and what does not fit.
pub struct Checked {
    /// The values, typed as the schema wants them; null where they do not fit.
    pub value: Value,
    /// The place of every path.
    pub places: BTreeMap<String, Place>,
    /// Everything that does not fit, in the order of the file.
    pub problems: Vec<Problem>,
}

/// Holds `node` against `schema`, whose `$ref`s point into its own `$defs`.
pub fn check(schema: &Value, node: &Node) -> Checked {
    let mut walk = Walk {
        root: schema,
        problems: Vec::new(),
        places: BTreeMap::new(),
    };
    let value = walk.value(schema, node, "");
    walk.problems.sort_by_key(|problem| problem.place);
    Checked {
        value,
        places: walk.places,
        problems: walk.problems,
    }
}

struct Walk<'s> {
    root: &'s Value,
    problems: Vec<Problem>,
    places: BTreeMap<String, Place>,
}

impl<'s> Walk<'s> {
    fn complain(&mut self, path: &str, place: Place, said: impl Into<String>) {
        self.problems.push(Problem::at(path, place, said));
    }

    fn value(&mut self, schema: &'s Value, node: &Node, path: &str) -> Value {
        self.places.insert(path.to_owned(), node.place);
        let schema = self.resolve(schema, node);
        if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
            return self.one_of(variants, node, path);
        }
        match &node.what {
            What::Map(entries) if allows(schema, "object") => {
                self.object(schema, node, entries, path)
            }
            What::List(items) if allows(schema, "array") => {
                let of = schema.get("items").unwrap_or(&Value::Bool(true));
                let values = items.iter().enumerate();
                Value::Array(
                    values
                        .map(|(i, item)| self.value(of, item, &format!("{path}[{i}]")))
                        .collect(),
                )
            }
            What::Scalar { text, plain } => self.scalar(schema, node.place, text, *plain, path),
            _ => {
                let said = format!("this must be {}, not {}", wanted(schema), node.noun());
                self.complain(path, node.place, said);
                Value::Null
            }
        }
    }

    /// Follows `$ref`, and of `anyOf [x, null]` takes the one that fits the node.
    fn resolve(&self, schema: &'s Value, node: &Node) -> &'s Value {
        let mut schema = schema;
        loop {
            if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
                let found = name
                    .strip_prefix('#')
                    .and_then(|pointer| self.root.pointer(pointer));
                let Some(found) = found else { return schema };
                schema = found;
            } else if let Some(several) = schema.get("anyOf").and_then(Value::as_array) {
                let is_null = matches!(&node.what, What::Scalar { text, plain: true } if text.is_empty() || text == "~" || text == "null");
                let Some(fitting) = several.iter().find(|one| {
                    (one.get("type").and_then(Value::as_str) == Some("null")) == is_null
                }) else {
                    return schema;
                };
                schema = fitting;
            } else {
                return schema;
            }
        }
    }

    fn object(
        &mut self,
        schema: &'s Value,
        node: &Node,
        entries: &[(Key, Node)],
        path: &str,
    ) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut made = Map::new();
        for (key, value) in entries {
            let below = join(path, &key.name);
            let of = properties.and_then(|all| all.get(&key.name));
            match (of, others) {
                (Some(of), _) => {
                    made.insert(key.name.clone(), self.value(of, value, &below));
                }
                (None, Some(Value::Bool(false))) => {
                    let known = properties
                        .into_iter()
                        .flat_map(|all| all.keys())
                        .map(String::as_str);
                    let said = unknown("key", &key.name, known);
                    self.complain(&below, key.place, said);
                }
                (None, others) => {
                    let of = others.unwrap_or(&Value::Bool(true));
                    made.insert(key.name.clone(), self.value(of, value, &below));
                }
            }
        }
        for name in required(schema) {
            if !entries.iter().any(|(key, _)| key.name == name) {
                let about = properties
                    .and_then(|all| all.get(name)?.get("description")?.as_str())
                    .map(|about| format!(": {}", about.lines().next().unwrap_or_default()))
                    .unwrap_or_default();
                self.complain(path, node.place, format!("`{name}` is missing{about}"));
            }
        }
        Value::Object(made)
    }

    /// A choice: of words, or of kinds that the key `kind` names.
    fn one_of(&mut self, variants: &'s [Value], node: &Node, path: &str) -> Value {
        if let What::Scalar { text, .. } = &node.what {
            let words = variants.iter().filter_map(|one| one.get("const")?.as_str());
            if !words.clone().any(|word| word == text) {
                let words: Vec<_> = words.collect();
                let said = if words.is_empty() {
                    "this must be a mapping with a `kind`, not a single value".to_owned()
                } else {
                    unknown("word", text, words)
                };
                self.complain(path, node.place, said);
            }
            return Value::String(text.clone());
        }
        let What::Map(entries) = &node.what else {
            self.complain(
                path,
                node.place,
                "this must be a mapping with a `kind`, not a list",
            );
            return Value::Null;
        };
        let kinds = || {
            variants
                .iter()
                .filter_map(|one| one.pointer("/properties/kind/const")?.as_str())
        };
        let kind = entries.iter().find(|(key, _)| key.name == "kind");
        let Some((_, kind)) = kind else {
            let list = kinds().collect::<Vec<_>>().join(", ");
            self.complain(
                path,
                node.place,
                format!("`kind` is missing; the kinds are: {list}"),
            );
            return Value::Null;
        };
        let name = match &kind.what {
            What::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        let chosen = variants.iter().find(|one| {
            one.pointer("/properties/kind/const")
                .and_then(Value::as_str)
                == Some(name)
        });
        match chosen {
            Some(schema) => self.object(schema, node, entries, path),
            None => {
                let said = unknown("kind", name, kinds());
                self.complain(&join(path, "kind"), kind.place, said);
                Value::Null
            }
        }
    }

    fn scalar(
        &mut self,
        schema: &'s Value,
        place: Place,
        text: &str,
        plain: bool,
        path: &str,
    ) -> Value {
        let value = Node::scalar_value(text, plain);
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            if !words.contains(&text) {
                self.complain(path, place, unknown("word", text, words.iter().copied()));
            }
            return text.into();
        }
        if let Some(only) = schema.get("const") {
            if *only != value && only.as_str() != Some(text) {
                self.complain(
                    path,
                    place,
                    format!("\"{text}\" is not known here; it must be {only}"),
                );
            }
            return only.clone();
        }
        if value.is_null() && (allows(schema, "null") || schema.get("type").is_none()) {
            return Value::Null;
        }
        if schema.get("type").is_none() {
            return value;
        }
        if value.is_null() {
            self.complain(
                path,
                place,
                format!("this is empty; it must be {}", wanted(schema)),
            );
            return Value::Null;
        }
        let fits = (allows(schema, "integer") && (value.is_i64() || value.is_u64()))
            || (allows(schema, "number") && value.is_number())
            || (allows(schema, "boolean") && value.is_boolean());
        if fits {
            self.bounds(schema, place, &value, path);
            return value;
        }
        if !allows(schema, "string") {
            self.complain(path, place, format!("\"{text}\" is not {}", wanted(schema)));
            return Value::Null;
        }
        let said = match schema.get("format").and_then(Value::as_str) {
            Some("duration") => Span::from_str(text).err(),
            Some("percent") => Percent::from_str(text).err(),
            Some("limit") => Limit::from_str(text).err(),
            Some("size") => Size::from_str(text).err(),
            Some("uri") => HttpUrl::from_str(text).err(),
            Some("weekdays") => Days::from_str(text).err(),
            Some("time-of-day") => ClockTime::from_str(text).err(),
            Some("date-time") => Moment::from_str(text).err(),
            Some("date") => Day::from_str(text).err(),
            Some("time-zone") => Zone::from_str(text).err(),
            Some("cron") => Cron::from_str(text).err(),
            _ => None,
        };
        if let Some(said) = said {
            self.complain(path, place, said);
        }
        if text.is_empty() && schema.get("minLength").is_some() {
            self.complain(path, place, "this is empty".to_owned());
        }
        text.into()
    }

    fn bounds(&mut self, schema: &Value, place: Place, value: &Value, path: &str) {
        let (Some(number), least, most) = (
            value.as_f64(),
            schema.get("minimum").and_then(Value::as_f64),
            schema.get("maximum").and_then(Value::as_f64),
        ) else {
            return;
        };
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let said = match (least, most) {
                (Some(least), Some(most)) => {
                    format!("{value} is out of range: {least} to {most} can be had")
                }
                (Some(least), None) => format!("{value} is too small: {least} is the least"),
                (None, Some(most)) => format!("{value} is too large: {most} is the most"),
                (None, None) => return,
            };
            self.complain(path, place, said);
        }
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Whether the schema's `type` allows that one. A schema without a type allows all.
fn allows(schema: &Value, of: &str) -> bool {
    match schema.get("type") {
        None => true,
        Some(Value::String(one)) => one == of,
        Some(Value::Array(several)) => several.iter().any(|one| one == of),
        Some(_) => false,
    }
}

fn wanted(schema: &Value) -> String {
    let name = |of: &str| match of {
        "object" => "a mapping",
        "array" => "a list",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        _ => "a text",
    };
    match schema.get("type") {
        Some(Value::String(one)) => name(one).to_owned(),
        Some(Value::Array(several)) => {
            let names = several
                .iter()
                .filter_map(Value::as_str)
                .filter(|one| *one != "null");
            names.map(name).collect::<Vec<_>>().join(" or ")
        }
        _ => "something else".to_owned(),
    }
}

/// `unknown kind "ngins", did you mean "nginx"? The kinds are: haproxy, nginx`
pub fn unknown<'a>(noun: &str, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.into_iter().collect();
    known.sort_unstable();
    let guess = match nearest(word, known.iter().copied()) {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None => ";".to_owned(),
    };
    format!(
        "unknown {noun} \"{word}\"{guess} the {noun}s are: {}",
        known.join(", ")
    )
}
