//! YAML as a tree in which every node knows its line; the only file that knows a YAML crate.
//!
//! The parser's events are read by hand, so that duplicate keys, aliases, tags and deep nesting
//! are refused with their place, before anything of their size is built. What a plain scalar
//! means (`5`, `true`, `~`) is decided by `serde_yaml`. It is archived upstream: this file is
//! all that has to change when it is replaced.

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::problem::{Place, Problem};

/// The largest config that is read, in bytes.
pub const CAP: usize = 256 << 10;

/// How deep mappings and lists may be nested.
const DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub what: What,
}

/// The three shapes of YAML.
#[derive(Clone, Debug)]
pub enum What {
    /// Text; `plain` where it stands without quotes and may mean a number or a truth value.
    Scalar {
        /// The text, unescaped.
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

impl Node {
    /// The value of a scalar by YAML's own rules: a string, a number, a truth value or nothing.
    pub fn scalar_value(text: &str, plain: bool) -> serde_json::Value {
        if !plain {
            return text.into();
        }
        serde_yaml::from_str(text).unwrap_or_else(|_| text.into())
    }

    /// What it is, for a message.
    pub const fn noun(&self) -> &'static str {
        match self.what {
            What::Scalar { .. } => "a single value",
            What::List(_) => "a list",
            What::Map(_) => "a mapping",
        }
    }
}

/// Reads one YAML document.
///
/// # Errors
/// All duplicate keys at once; otherwise the first thing that keeps it from being read.
pub fn read(text: &str) -> Result<Node, Vec<Problem>> {
    if text.len() > CAP {
        return Err(vec![whole(format!(
            "the file has {} KiB; at most {} KiB are read",
            text.len() >> 10,
            CAP >> 10
        ))]);
    }
    let mut options = Options::default();
    options.emit_comments = false;
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        duplicates: Vec::new(),
    };
    let root = reader.document().map_err(|problem| vec![problem])?;
    if reader.duplicates.is_empty() {
        Ok(root)
    } else {
        Err(reader.duplicates)
    }
}

fn whole(said: String) -> Problem {
    Problem::at("", Place { line: 1, column: 1 }, said)
}

struct Reader<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    duplicates: Vec<Problem>,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Node, Problem> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => {
                    return root.ok_or_else(|| whole("the file is empty".to_owned()));
                }
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(at(
                        span,
                        "there is a second document; one file is one document",
                    ));
                }
                Event::DocumentStart(..) => {}
                other => root = Some(self.node(other, span, "", 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Problem> {
        match self.events.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(failed)) => {
                let marker = failed.marker();
                let place = Place {
                    line: marker.line(),
                    column: marker.col() + 1,
                };
                Err(Problem::at(
                    "",
                    place,
                    format!("this is not YAML: {}", failed.info()),
                ))
            }
            None => Err(whole("the file ends too early".to_owned())),
        }
    }

    fn node(
        &mut self,
        event: Event<'t>,
        span: Span,
        path: &str,
        depth: usize,
    ) -> Result<Node, Problem> {
        let place = place_of(span);
        let refuse = |said: &str| Err(Problem::at(path, place, said));
        if depth > DEPTH {
            return refuse("nested too deeply");
        }
        let what = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => {
                return refuse("YAML aliases and anchors are not allowed; write the value out");
            }
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(_, anchor, _)
            | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                return refuse("YAML aliases and anchors are not allowed; write the value out");
            }
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(.., Some(_))
            | Event::MappingStart(.., Some(_)) => {
                return refuse("YAML tags are not allowed; write the value without its `!` word");
            }
            Event::Scalar(text, style, ..) => What::Scalar {
                text: text.into_owned(),
                plain: style == ScalarStyle::Plain,
            },
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    if event == Event::SequenceEnd {
                        break What::List(items);
                    }
                    let path = format!("{path}[{}]", items.len());
                    items.push(self.node(event, span, &path, depth + 1)?);
                }
            }
            Event::MappingStart(..) => What::Map(self.entries(path, depth)?),
            _ => return refuse("this does not belong here"),
        };
        Ok(Node { place, what })
    }

    fn entries(&mut self, path: &str, depth: usize) -> Result<Vec<(Key, Node)>, Problem> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let key = match self.node(event, span, path, depth + 1)? {
                Node {
                    place,
                    what: What::Scalar { text, .. },
                } => Key { name: text, place },
                Node { place, .. } => {
                    return Err(Problem::at(path, place, "a key must be a single word"));
                }
            };
            let below = join(path, &key.name);
            if let Some((first, _)) = entries.iter().find(|(known, _)| known.name == key.name) {
                let said = format!(
                    "the key is there twice; the first one is on line {}",
                    first.place.line
                );
                self.duplicates.push(Problem::at(&below, key.place, said));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, &below, depth + 1)?;
            entries.push((key, value));
        }
    }
}

/// The path of a key below another path.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn place_of(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

fn at(span: Span, said: &str) -> Problem {
    Problem::at("", place_of(span), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_node_knows_its_line() {
        let root = read("a:\n  - b: 1\n").unwrap();
        let What::Map(entries) = root.what else {
            panic!()
        };
        let What::List(items) = &entries[0].1.what else {
            panic!()
        };
        assert_eq!(items[0].place, Place { line: 2, column: 5 });
    }

    #[test]
    fn all_duplicate_keys_are_found() {
        assert_eq!(
            problems("a: 1\nb: {c: 1, c: 2}\na: 2\n"),
            [
                "line 2, b.c: the key is there twice; the first one is on line 2",
                "line 3, a: the key is there twice; the first one is on line 1",
            ]
        );
    }

    #[test]
    fn what_blows_up_is_refused_before_it_does() {
        let mut laughs = String::from("a0: &a0 [x]\n");
        for i in 1..10_000 {
            laughs.push_str(&format!("a{i}: [*a{}]\n", i - 1));
        }
        assert!(problems(&laughs)[0].contains("aliases"));
        assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
        assert!(problems(&"a".repeat(10 << 20))[0].contains("at most 256 KiB"));
        assert!(problems("a: !!str b\n")[0].contains("tags"));
        assert!(problems("a: b\n---\na: c\n")[0].contains("second document"));
        assert!(problems("")[0].contains("empty"));
        assert!(problems("a: [b\n")[0].contains("not YAML"));
    }

    #[test]
    fn plain_scalars_mean_what_yaml_says() {
        assert_eq!(Node::scalar_value("5", true), 5);
        assert_eq!(Node::scalar_value("5", false), "5");
        assert_eq!(Node::scalar_value("true", true), true);
        assert_eq!(Node::scalar_value("no", true), "no");
        assert_eq!(Node::scalar_value("a: b: c", true), "a: b: c");
    }
}
