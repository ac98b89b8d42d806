//! A stand-in for an OpenTelemetry collector: it takes what the protocol's own types can hold,
//! and refuses what has one word more.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use serde_json::{Value, json};

use super::stand_in::{Asked, Reply, StandIn};

pub(crate) struct Collector {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<Value>>>,
    _server: StandIn,
}

impl Collector {
    /// One whose first answers are ordered; afterwards it takes everything.
    pub(crate) async fn start(first: Vec<Reply>) -> Self {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let taking = Arc::clone(&taken);
        let ordered = Mutex::new(first.into_iter());
        let server = StandIn::start(move |asked| match take(&asked) {
            Err((status, said)) => Reply::of(status, said),
            Ok(request) => ordered.lock().unwrap().next().unwrap_or_else(|| {
                taking.lock().unwrap().push(request);
                Reply::of(200, "{}")
            }),
        })
        .await;
        Self {
            url: format!("http://{}", server.address),
            taken,
            _server: server,
        }
    }

    /// The metrics of all requests, as they came.
    pub(crate) fn metrics(&self) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        let metrics = taken.iter().flat_map(|request| {
            let all = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
            all.as_array().unwrap().clone()
        });
        metrics.collect()
    }
}

fn take(asked: &Asked) -> Result<Value, (u16, String)> {
    if asked.path != "/v1/metrics" {
        return Err((404, "404 page not found".to_owned()));
    }
    if asked.method != "POST" {
        return Err((405, "405 method not allowed, supported: [POST]".to_owned()));
    }
    if asked.only("content-type") != Some("application/json") {
        return Err((415, "415 unsupported media type".to_owned()));
    }
    let ours: Value =
        serde_json::from_slice(&asked.body).map_err(|failed| (400, failed.to_string()))?;
    let request: ExportMetricsServiceRequest =
        serde_json::from_value(ours.clone()).map_err(|failed| (400, failed.to_string()))?;
    let theirs = json!(request);
    match beyond(&ours, &theirs) {
        None => Ok(ours),
        Some(word) => Err((400, format!("unknown or misread: {word}"))),
    }
}

/// The first value of `ours` that is not in `theirs`.
fn beyond(ours: &Value, theirs: &Value) -> Option<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => ours.iter().find_map(|(key, value)| {
            let other = theirs.get(key).unwrap_or(&Value::Null);
            beyond(value, other).map(|word| format!("{key}.{word}"))
        }),
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => ours
            .iter()
            .zip(theirs)
            .find_map(|(ours, theirs)| beyond(ours, theirs)),
        // 64-bit numbers are texts in this form, and texts or numbers in the types'.
        (ours, theirs) => {
            let plain = |value: &Value| value.to_string().trim_matches('"').to_owned();
            let same = plain(ours) == plain(theirs)
                || ours
                    .as_f64()
                    .is_some_and(|ours| Some(ours) == theirs.as_f64());
            (!same).then(|| format!("{ours} (read as {theirs})"))
        }
    }
}
