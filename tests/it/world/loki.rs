//! A stand-in for Loki's push API: as strict as the real one about what it takes, with the real
//! one's words where it does not.

use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::stand_in::{Asked, Reply, StandIn};

pub(crate) const TOKEN: &str = "t0ken-of-the-loki";
pub(crate) const TENANT: &str = "shop";

/// A line as Loki has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) labels: Map<String, Value>,
    pub(crate) nanoseconds: i128,
    pub(crate) line: String,
    pub(crate) metadata: Map<String, Value>,
}

/// What a Loki does instead of taking lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Failing,
    Silent,
}

pub(crate) struct Loki {
    pub(crate) url: String,
    kept: Arc<Mutex<Vec<Kept>>>,
    _server: StandIn,
}

impl Loki {
    pub(crate) async fn start(mood: Mood) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeping = Arc::clone(&kept);
        let server = StandIn::start(move |asked| match mood {
            Mood::Fine => match take(&asked) {
                Ok(lines) => {
                    keeping.lock().unwrap().extend(lines);
                    Reply::of(204, "")
                }
                Err((status, said)) => Reply::of(status, said),
            },
            Mood::Failing => Reply::of(500, format!("ingester is shutting down, {TOKEN}")),
            Mood::Silent => Reply::Silence,
        })
        .await;
        let url = format!("http://{}", server.address);
        Self {
            url,
            kept,
            _server: server,
        }
    }

    /// The lines, in the order in which they came.
    pub(crate) fn kept(&self) -> Vec<Kept> {
        self.kept.lock().unwrap().clone()
    }
}

type Refused = (u16, String);

fn take(asked: &Asked) -> Result<Vec<Kept>, Refused> {
    let refused = |status, said: &str| Err((status, said.to_owned()));
    if asked.path != "/loki/api/v1/push" || !asked.query.is_empty() {
        return refused(404, "404 page not found");
    }
    if asked.method != "POST" {
        return refused(405, "method not allowed");
    }
    if asked.only("authorization") != Some(&format!("Bearer {TOKEN}")) {
        return refused(401, "invalid credentials");
    }
    if asked.only("x-scope-orgid") != Some(TENANT) {
        return refused(401, "no org id");
    }
    if asked.only("content-type") != Some("application/json") {
        return refused(400, "unsupported content type");
    }
    if asked.body.len() > 4 << 20 {
        return refused(413, "request entity too large");
    }
    let bad = |what: &str| (400, format!("loghttp.PushRequest: {what}"));
    let body: Value = serde_json::from_slice(&asked.body).map_err(|_| bad("no JSON"))?;
    let only = |value: &Value, keys: &[&str]| {
        value.as_object().is_some_and(|map| {
            map.len() == keys.len() && keys.iter().all(|key| map.contains_key(*key))
        })
    };
    if !only(&body, &["streams"]) {
        return Err(bad("streams"));
    }
    let mut kept = Vec::new();
    for stream in body["streams"].as_array().ok_or_else(|| bad("streams"))? {
        if !only(stream, &["stream", "values"]) {
            return Err(bad("stream"));
        }
        let labels = texts(&stream["stream"])
            .ok_or_else(|| bad("at least one label pair is required per stream"))?;
        let values = stream["values"].as_array().ok_or_else(|| bad("values"))?;
        for value in values {
            let Some([at, line, metadata]) = value.as_array().map(Vec::as_slice) else {
                return Err(bad("a value has a time, a line and metadata"));
            };
            let at = at
                .as_str()
                .filter(|at| at.len() == 19)
                .ok_or_else(|| bad("nanoseconds as a text"))?;
            let line = line.as_str().ok_or_else(|| bad("a line is a text"))?;
            if line.len() > 256 << 10 {
                return Err(bad("max entry size exceeded"));
            }
            kept.push(Kept {
                labels: labels.clone(),
                nanoseconds: at.parse().map_err(|_| bad("nanoseconds"))?,
                line: line.to_owned(),
                metadata: texts(metadata).ok_or_else(|| bad("structured metadata are texts"))?,
            });
        }
    }
    Ok(kept)
}

/// Names that Loki takes, each with a text that says something.
fn texts(value: &Value) -> Option<Map<String, Value>> {
    let map = value.as_object().filter(|map| !map.is_empty())?;
    let fits = |(name, value): (&String, &Value)| {
        name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && value.as_str().is_some_and(|text| !text.is_empty())
    };
    map.iter().all(fits).then(|| map.clone())
}
