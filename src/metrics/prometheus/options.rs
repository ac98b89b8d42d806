//! What the config says of a Prometheus, and what of it makes no sense.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::config::request::Headers;
use crate::config::units::{HttpUrl, Span};
use crate::metrics::figure::{In, Measure};
use crate::platform::secret::{Secret, Vault};

/// In a query: the time that a sample looks back on.
pub(super) const WINDOW: &str = "{{window}}";

/// In a query of `by-slot`: the slot's name.
pub(super) const SLOT: &str = "{{slot}}";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// Where it is; `/api/v1/query` is put behind it.
    pub(super) url: HttpUrl,
    /// A bearer token.
    pub(super) token: Option<Secret>,
    /// The name of a user, for basic authentication.
    pub(super) username: Option<String>,
    /// The user's password.
    pub(super) password: Option<Secret>,
    /// Headers of the requests, such as `X-Scope-OrgID`.
    #[serde(default)]
    pub(super) headers: Headers,
    /// The metrics, each with its query. In a query, `{{window}}` is the time that a sample
    /// looks back on.
    #[serde(default)]
    pub(super) queries: IndexMap<String, Query>,
    /// What each slot did, to compare them.
    pub(super) by_slot: Option<BySlot>,
    /// How long an answer may take. Default 10s.
    #[serde(default = "ten_seconds")]
    pub(super) timeout: Span,
    /// Take figures of which a part is missing. Default false.
    #[serde(default)]
    pub(super) allow_partial: bool,
    /// Check the server's certificate. Default true.
    #[serde(default = "yes")]
    pub(super) verify_tls: bool,
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

const fn yes() -> bool {
    true
}

/// A query, perhaps for a part of what another one counts.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
pub(super) struct Query {
    pub(super) query: String,
    pub(super) of: Option<String>,
    pub(super) requests: Option<String>,
    pub(super) unit: Option<In>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Query(String),
    Parts {
        query: String,
        of: Option<String>,
        requests: Option<String>,
        #[serde(rename = "in")]
        unit: Option<In>,
    },
}

impl From<Written> for Query {
    fn from(written: Written) -> Self {
        match written {
            Written::Query(query) => Self {
                query,
                of: None,
                requests: None,
                unit: None,
            },
            Written::Parts {
                query,
                of,
                requests,
                unit,
            } => Self {
                query,
                of,
                requests,
                unit,
            },
        }
    }
}

impl JsonSchema for Query {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Query".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "properties": {
                "query": { "type": "string", "description": "The query, in PromQL." },
                "of": { "type": "string", "description": "The query for what it is a part of." },
                "requests": { "type": "string", "description": "The query for how many requests it was measured on." },
                "in": generator.subschema_for::<In>(),
            },
            "required": ["query"],
            "additionalProperties": false,
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Queries for what a slot counts. They are of counters as they stand; differences are taken here.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) struct BySlot {
    /// The requests of a slot, which stands as `{{slot}}` in the query:
    /// `sum(http_requests_total{slot="{{slot}}"})`. Default: those that `latency` counts.
    pub(super) requests: Option<String>,
    /// Those of them that failed. No series is 0, where there are requests.
    pub(super) errors: String,
    /// The buckets of their latency: `sum by (le) (http_request_duration_seconds_bucket{slot="{{slot}}"})`.
    pub(super) latency: Option<String>,
    /// What the edges of the buckets are in: seconds or milliseconds. Default seconds.
    pub(super) latency_in: Option<In>,
}

impl BySlot {
    /// What of it makes no sense.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.requests.is_none() && self.latency.is_none() {
            return Err(
                "by-slot: `requests` is missing, or `latency`, which counts them too".to_owned(),
            );
        }
        if !matches!(self.latency_in, None | Some(In::Seconds | In::Milliseconds)) {
            return Err("by-slot.latency-in: seconds or milliseconds".to_owned());
        }
        let all = [
            ("requests", self.requests.as_ref()),
            ("errors", Some(&self.errors)),
            ("latency", self.latency.as_ref()),
        ];
        for (key, query) in all.into_iter().filter_map(|(key, it)| Some((key, it?))) {
            if !query.contains(SLOT) {
                return Err(format!(
                    "by-slot.{key}: {SLOT} is not in it, so both slots would be the same"
                ));
            }
            holes(query, &[SLOT]).map_err(|said| format!("by-slot.{key}: {said}"))?;
            let derived = ["rate(", "increase(", "delta("];
            if let Some(function) = derived.into_iter().find(|it| query.contains(it)) {
                return Err(format!(
                    "by-slot.{key}: {function}…) is a difference; the counter itself is wanted, and differences are taken here"
                ));
            }
        }
        Ok(())
    }
}

/// Whether nothing but these is to be filled in.
fn holes(query: &str, known: &[&str]) -> Result<(), String> {
    let filled = known
        .iter()
        .fold(query.to_owned(), |it, hole| it.replace(hole, ""));
    match filled.split_once("{{") {
        None => Ok(()),
        Some((_, rest)) => {
            let hole: String = rest.chars().take_while(|c| *c != '}').take(20).collect();
            Err(format!(
                "{{{{{hole}}}}} is not known here; {} is what can be filled in",
                known.join(" and ")
            ))
        }
    }
}

/// What a metric's numbers are, if its query fits its name.
pub(super) fn fitting(name: &str, query: &Query) -> Result<Measure, String> {
    let measure = Measure::of_part(name, query.unit, query.of.is_some())?;
    let all = [
        Some(&query.query),
        query.of.as_ref(),
        query.requests.as_ref(),
    ];
    for text in all.into_iter().flatten() {
        if text.trim().is_empty() {
            return Err("a query is empty".to_owned());
        }
        holes(text, &[WINDOW])?;
    }
    match &query.of {
        Some(of) if measure.share.is_some() => {
            if !query.query.contains(WINDOW) || !of.contains(WINDOW) {
                return Err(format!(
                    "`query` and `of` count requests, so both say over which time: `sum(increase(…[{WINDOW}]))`"
                ));
            }
            if query.requests.is_some() {
                return Err("there are both `of` and `requests`; `of` is enough here".to_owned());
            }
        }
        _ => {}
    }
    Ok(measure)
}

/// The headers of every request.
pub(super) fn headers(options: &Options, vault: &Vault) -> Result<HeaderMap, String> {
    let mut headers = options.headers.get().clone();
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(CONTENT_TYPE, form);
    let authorization = match (&options.token, &options.username, &options.password) {
        (None, None, None) => return Ok(headers),
        (Some(token), None, None) => format!("Bearer {}", token.expose()),
        (None, Some(name), Some(password)) => {
            let pair = STANDARD.encode(format!("{name}:{}", password.expose()));
            vault.keep(&pair);
            format!("Basic {pair}")
        }
        (Some(_), ..) => {
            return Err("there are both `token` and a user; keep one".to_owned());
        }
        _ => return Err("`username` and `password` go together".to_owned()),
    };
    let mut value = HeaderValue::from_str(&authorization)
        .map_err(|_| "`token` has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}
