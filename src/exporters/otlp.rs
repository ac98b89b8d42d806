//! OpenTelemetry: a run's figures as deltas, over HTTP in JSON (OTLP 1.x, `/v1/metrics`).
//!
//! A run lives once, so it reports what it adds; whoever wants totals has a collector that makes
//! them (`deltatocumulative`).

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use url::Url;

use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::Headers;
use crate::config::units::HttpUrl;
use crate::model::measure::{Labels, Measure, Shape};
use crate::platform::http::{Answer, Http, Look, Manner, below};
use crate::platform::secret::Vault;
use crate::platform::text;

use super::series::{Key, Series, Value};
use super::{ExportError, Exporter, Tools};

/// Its line in the table.
pub(super) const KIND: Kind<dyn Exporter, Tools> = Kind {
    name: "otlp",
    about: "An OpenTelemetry collector, over HTTP; counters and histograms are deltas.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let base = options.url.get();
        let url = if base.path().ends_with(METRICS) {
            base.clone()
        } else {
            below(base, METRICS)
        };
        let mut headers = options
            .headers
            .map(|it| it.get().clone())
            .unwrap_or_default();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Box::new(Otlp {
            url,
            headers,
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            began: SystemTime::now(),
        }))
    },
};

/// Where metrics go.
const METRICS: &str = "/v1/metrics";

/// For one request, to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the protocol calls figures since the last report.
const DELTA: u8 = 1;

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The collector's address, such as `http://collector.internal:4318`, with or without `/v1/metrics`.
    url: HttpUrl,
    /// Headers, such as a key.
    headers: Option<Headers>,
}

struct Otlp {
    url: Url,
    headers: HeaderMap,
    http: Http,
    vault: Vault,
    began: SystemTime,
}

#[async_trait]
impl Exporter for Otlp {
    fn told(&self) -> String {
        let mut url = self.url.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        format!("the collector at {url}")
    }

    async fn export(&self, measures: &[Measure], labels: &Labels) -> Result<(), ExportError> {
        let body = body(measures, labels, self.began, SystemTime::now());
        let mut answer = self.post(&body).await?;
        // What the protocol says may be sent again; nothing was taken.
        if matches!(answer.status, 429 | 502 | 503 | 504) {
            let asked = answer
                .header("retry-after")
                .and_then(|it| it.trim().parse().ok());
            tokio::time::sleep(Duration::from_secs(asked.unwrap_or(1)).min(TIMEOUT)).await;
            answer = self.post(&body).await?;
        }
        if answer.status != 200 {
            return Err(self.error(&format!("{} {}", answer.status, answer.text())));
        }
        let said: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
        let partial = said.get("partialSuccess").unwrap_or(&Json::Null);
        // 64-bit numbers are texts in this form of JSON, and some write them as numbers.
        let rejected = partial.get("rejectedDataPoints").map(ToString::to_string);
        match rejected.as_deref().map(|it| it.trim_matches('"')) {
            None | Some("0" | "null") => Ok(()),
            Some(rejected) => {
                let why = partial
                    .get("errorMessage")
                    .and_then(Json::as_str)
                    .unwrap_or("");
                Err(self.error(&format!("{rejected} of the figures were rejected: {why}")))
            }
        }
    }
}

impl Otlp {
    async fn post(&self, body: &Json) -> Result<Answer, ExportError> {
        let look = Look {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: Some(body.to_string().into_bytes()),
            timeout: TIMEOUT,
            manner: Manner::API,
        };
        let answer = self.http.look(&look).await;
        answer.map_err(|none| self.error(&none.to_string()))
    }

    fn error(&self, said: &str) -> ExportError {
        ExportError(text::excerpt(&self.vault.redact(said), 200))
    }
}

/// `ExportMetricsServiceRequest` in the JSON form of protocol buffers.
fn body(measures: &[Measure], labels: &Labels, from: SystemTime, to: SystemTime) -> Json {
    let mut series = Series::default();
    series.add(measures, labels);
    let metrics: Vec<Json> = series
        .iter()
        .map(|(instrument, values)| {
            let points: Vec<Json> = values
                .iter()
                .map(|(key, value)| point(instrument.shape, key, value, from, to))
                .collect();
            let (kind, data) = match instrument.shape {
                Shape::Counter => (
                    "sum",
                    json!({ "dataPoints": points, "aggregationTemporality": DELTA, "isMonotonic": true }),
                ),
                Shape::Gauge => ("gauge", json!({ "dataPoints": points })),
                Shape::Histogram(_) => (
                    "histogram",
                    json!({ "dataPoints": points, "aggregationTemporality": DELTA }),
                ),
            };
            let unit = if instrument.name.ends_with("_seconds") { "s" } else { "" };
            json!({ "name": instrument.name, "description": instrument.about, "unit": unit, kind: data })
        })
        .collect();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": attributes([("service.name", "cutover")]) },
        "scopeMetrics": [{
            "scope": { "name": "cutover", "version": env!("CARGO_PKG_VERSION") },
            "metrics": metrics,
        }],
    }] })
}

fn point(shape: Shape, key: &Key, value: &Value, from: SystemTime, to: SystemTime) -> Json {
    let labels = key
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut point = json!({
        "attributes": attributes(labels),
        "startTimeUnixNano": nanoseconds(from),
        "timeUnixNano": nanoseconds(to),
    });
    let own = match (value, shape) {
        (Value::Number(number), _) => json!({ "asDouble": number }),
        (
            Value::Counts {
                at_most,
                count,
                sum,
            },
            Shape::Histogram(bounds),
        ) => {
            let mut before = 0;
            let buckets: Vec<String> = at_most
                .iter()
                .chain([count])
                .map(|until| {
                    let inside = until.saturating_sub(before);
                    before = *until;
                    inside.to_string()
                })
                .collect();
            json!({
                "count": count.to_string(), "sum": sum,
                "bucketCounts": buckets, "explicitBounds": bounds,
            })
        }
        (Value::Counts { .. }, _) => Json::Null,
    };
    if let (Json::Object(point), Json::Object(own)) = (&mut point, own) {
        point.extend(own);
    }
    point
}

fn attributes<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Json> {
    labels
        .into_iter()
        .map(|(key, value)| json!({ "key": key, "value": { "stringValue": value } }))
        .collect()
}

fn nanoseconds(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_nanos().to_string()
}
