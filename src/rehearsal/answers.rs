//! What a healthy stand-in answers: whatever the config's checks and its release mark expect.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::config::kinds::Block;
use crate::model::release::Mark;

/// The pages of the application that is stood in for.
#[derive(Clone, Debug)]
pub struct Answers {
    mark: Mark,
    pages: BTreeMap<String, Page>,
}

/// A page as a check expects it.
#[derive(Clone, Debug)]
struct Page {
    status: u16,
    headers: Vec<(String, String)>,
    json: Map<String, Value>,
    text: String,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            json: Map::new(),
            text: String::new(),
        }
    }
}

/// An answer, ready to be sent.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answers {
    /// Pages that satisfy these `http` checks, each of which has a `path`.
    pub fn for_checks<'a>(mark: Mark, checks: impl IntoIterator<Item = &'a Block>) -> Self {
        let mut pages: BTreeMap<String, Page> = BTreeMap::new();
        for check in checks {
            let Some(path) = check.options.get("path").and_then(Value::as_str) else {
                continue;
            };
            let page = pages.entry(without_query(path).to_owned()).or_default();
            let Some(expect) = check.options.get("expect").and_then(Value::as_object) else {
                continue;
            };
            let status = expect.get("status");
            let status = status.and_then(|one| one.as_u64().or_else(|| one.get(0)?.as_u64()));
            if let Some(status) = status.and_then(|status| u16::try_from(status).ok()) {
                page.status = status;
            }
            for (path, value) in expect
                .get("json")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                set(&mut page.json, path, value.clone());
            }
            for (name, value) in expect
                .get("header")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                if let Some(value) = value.as_str() {
                    page.headers.push((name.clone(), value.to_owned()));
                }
            }
            if let Some(text) = expect.get("text").and_then(Value::as_str) {
                page.text = text.to_owned();
            }
        }
        Self { mark, pages }
    }

    /// Whether a check looks at that path, so that an unhealthy release fails there.
    pub fn is_checked(&self, path: &str) -> bool {
        self.pages.contains_key(without_query(path))
    }

    /// What a slot with that release answers.
    pub fn answer(&self, path: &str, release: &str) -> Answer {
        let path = without_query(path);
        let mut page = self.pages.get(path).cloned().unwrap_or_default();
        match &self.mark {
            Mark::Header { name, .. } => page.headers.push((name.clone(), release.to_owned())),
            Mark::Json { path: at, field } if without_query(at) == path => {
                set(&mut page.json, field, release.into());
            }
            Mark::Text { path: at, .. } if without_query(at) == path => {
                release.clone_into(&mut page.text);
            }
            Mark::Json { .. } | Mark::Text { .. } => {}
        }
        let body = match (page.json.is_empty(), page.text.is_empty()) {
            (true, _) => page.text,
            (false, true) => Value::Object(page.json).to_string(),
            (false, false) => {
                page.json.insert("text".to_owned(), page.text.into());
                Value::Object(page.json).to_string()
            }
        };
        Answer {
            status: page.status,
            headers: page.headers,
            body,
        }
    }
}

fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// Sets the field that a dotted path names, making objects on the way.
fn set(object: &mut Map<String, Value>, path: &str, value: Value) {
    let mut parts = path.split('.').filter(|part| !part.is_empty()).peekable();
    let mut at = object;
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            at.insert(part.to_owned(), value);
            return;
        }
        let below = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
        if !below.is_object() {
            *below = Value::Object(Map::new());
        }
        match below {
            Value::Object(map) => at = map,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn block(options: Value) -> Block {
        serde_json::from_value(options).unwrap()
    }

    #[test]
    fn it_answers_what_the_checks_expect() {
        let checks = [
            block(
                json!({"kind": "http", "path": "/health", "expect": {"json": {".checks.database": "healthy"}}}),
            ),
            block(
                json!({"kind": "http", "path": "/api/me?x=1", "expect": {"status": 401, "text": "sign in"}}),
            ),
        ];
        let mark = Mark::Json {
            path: "/health".into(),
            field: "version".into(),
        };
        let answers = Answers::for_checks(mark, &checks);
        let health = answers.answer("/health", "v2");
        assert_eq!(
            serde_json::from_str::<Value>(&health.body).unwrap(),
            json!({"checks": {"database": "healthy"}, "version": "v2"})
        );
        let me = answers.answer("/api/me", "v2");
        assert_eq!((me.status, me.body.as_str()), (401, "sign in"));
        assert!(answers.is_checked("/api/me") && !answers.is_checked("/"));
    }
}
