//! Figures from a JSON document: a URL, and a path in it for each figure.
//!
//! A document knows the present alone, so a threshold with a duration is looked at again and
//! again, for as long as that is.

mod by_slot;

use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::figure::{In, Measure, Share};
use super::{Ask, BySlot, NoData, Reading, Source, Tools, ms, now};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::Headers;
use crate::config::units::{HttpUrl, Span};
use crate::model::metric::Unit;
use crate::model::release::field_of;
use crate::model::series::{Point, Sample, Series};
use crate::model::slot::{Side, Slots};
use crate::platform::http::{Http, Look, Manner};
use crate::platform::secret::Vault;
use crate::platform::text;
use by_slot::{Paths, Slotwise};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Source, Tools> = Kind {
    name: "json",
    about: "Reads figures from a JSON document.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Json::new(block.options()?, tools)?)),
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// Where the document is.
    url: HttpUrl,
    /// Headers of the request.
    #[serde(default)]
    headers: Headers,
    /// The metrics, each with the dotted path of its number: `{ queue: .jobs.waiting }`.
    #[serde(default)]
    figures: IndexMap<String, Figure>,
    /// What each slot did, to compare them.
    by_slot: Option<by_slot::BySlot>,
    /// How long an answer may take. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
    /// How often it is asked while a threshold has a duration. Default 10s.
    #[serde(default = "ten_seconds")]
    interval: Span,
    /// Check the server's certificate. Default true.
    #[serde(default = "yes")]
    verify_tls: bool,
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

const fn yes() -> bool {
    true
}

/// A number of the document, perhaps as a part of another.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Written")]
struct Figure {
    path: String,
    of: Option<Whole>,
    unit: Option<In>,
}

/// What a number is a part of.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Whole {
    Number(f64),
    Path(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Path(String),
    Parts {
        path: String,
        of: Option<Whole>,
        #[serde(rename = "in")]
        unit: Option<In>,
    },
}

impl From<Written> for Figure {
    fn from(written: Written) -> Self {
        let (path, of, unit) = match written {
            Written::Path(path) => (path, None, None),
            Written::Parts { path, of, unit } => (path, of, unit),
        };
        Self { path, of, unit }
    }
}

impl JsonSchema for Figure {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Figure".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "object"],
            "properties": {
                "path": { "type": "string", "description": "The dotted path of the number." },
                "of": { "type": ["number", "string"], "description": "What it is a part of: a number, or its path." },
                "in": generator.subschema_for::<In>(),
            },
            "required": ["path"],
            "additionalProperties": false,
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

struct Json {
    options: Options,
    measures: IndexMap<String, Measure>,
    by_slot: Option<Paths>,
    http: Http,
    vault: Vault,
    slots: Slots,
}

impl Json {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        if options.figures.is_empty() && options.by_slot.is_none() {
            return Err("figures: there is none, and no `by-slot`".to_owned());
        }
        if options.interval < Span::secs(1) {
            return Err("interval: at least 1s".to_owned());
        }
        let mut measures = IndexMap::new();
        for (name, figure) in &options.figures {
            let measure = Measure::of_part(name, figure.unit, figure.of.is_some());
            let measure = measure.map_err(|said| format!("figures.{name}: {said}"))?;
            if matches!(figure.of, Some(Whole::Number(of)) if of <= 0.0) {
                return Err(format!("figures.{name}.of: this is not above 0"));
            }
            measures.insert(name.clone(), measure);
        }
        Ok(Self {
            by_slot: options.by_slot.as_ref().map(Paths::new).transpose()?,
            options,
            measures,
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            slots: tools.slots.clone(),
        })
    }

    async fn document(&self) -> Result<Value, NoData> {
        let options = &self.options;
        let look = Look {
            headers: options.headers.get().clone(),
            manner: Manner {
                verify: options.verify_tls,
                ..Manner::API
            },
            ..Look::at(options.url.get().clone(), options.timeout.get())
        };
        let answer = self.http.look(&look).await;
        let told = self.told();
        let answer = answer.map_err(|failed| NoData::out_of_reach(format!("{told}: {failed}")))?;
        let body = text::excerpt(&self.vault.redact(&answer.text()), 80);
        if !(200..300).contains(&answer.status) {
            return Err(NoData::out_of_reach(format!(
                "{told} answered {}: {body}",
                answer.status
            )));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| NoData::because(format!("{told} answered with no JSON: {body}")))
    }

    fn sample(&self, name: &str, document: &Value) -> Result<Sample, NoData> {
        let unknown = || NoData::because(format!("{} has no {name}", self.told()));
        let figure = self.options.figures.get(name).ok_or_else(unknown)?;
        let measure = self.measures.get(name).ok_or_else(unknown)?;
        let number = |path: &str| number_in(self, path, field_of(document, path), document);
        let part = number(&figure.path)?;
        let of = match &figure.of {
            None => return Ok(Sample::of(measure.value(part))),
            Some(Whole::Number(of)) => *of,
            Some(Whole::Path(path)) => number(path)?,
        };
        if of <= 0.0 {
            return Err(NoData::because(format!(
                "{} is {part} of {of}, which is no share",
                figure.path
            )));
        }
        Ok(Sample {
            value: measure.value(part / of),
            requests: measure.share.map(|_| of),
            failed: None,
        })
    }
}

/// The number that was found at a path, or what is there instead.
fn number_in(
    json: &Json,
    path: &str,
    found: Option<&Value>,
    document: &Value,
) -> Result<f64, NoData> {
    let shown = |value: &Value, most| text::excerpt(&json.vault.redact(&value.to_string()), most);
    match found {
        Some(Value::Number(number)) => number
            .as_f64()
            .filter(|number| number.is_finite())
            .ok_or_else(|| NoData::because(format!("{path} is too large a number"))),
        None => Err(NoData::because(format!(
            "{path} is missing in {}",
            shown(document, 80)
        ))),
        Some(other) => Err(NoData::because(format!(
            "{path} is {}, and no number",
            shown(other, 40)
        ))),
    }
}

#[async_trait]
impl Source for Json {
    fn told(&self) -> String {
        let url = self.options.url.get();
        let told = format!("{}{}", url.origin().ascii_serialization(), url.path());
        format!("JSON of {}", self.vault.redact(&told))
    }

    fn metrics(&self) -> Vec<(String, Unit)> {
        let all = self.measures.iter();
        all.map(|(name, measure)| (name.clone(), measure.unit))
            .collect()
    }

    fn longest(&self) -> Option<Duration> {
        None
    }

    fn follows_the_address(&self) -> bool {
        false
    }

    fn by_slot(&self, canary: Side) -> BySlot<'_> {
        let Some(paths) = &self.by_slot else {
            return BySlot::Whole("give it `by-slot:` with the paths `requests` and `errors`");
        };
        let slotwise = Slotwise {
            json: self,
            paths,
            canary,
        };
        if paths.is_counted() {
            BySlot::Counted(Box::new(slotwise))
        } else {
            BySlot::Rated(Box::new(slotwise))
        }
    }

    async fn read(&self, asks: &[Ask], _: &Url) -> Vec<Result<Reading, NoData>> {
        let interval = self.options.interval.get();
        let longest = asks
            .iter()
            .map(|ask| ask.duration)
            .max()
            .unwrap_or_default();
        // Each look stands for the time until the next one.
        let looks = longest.div_duration_f64(interval).ceil().max(1.0) as u32;
        let mut points: Vec<Vec<Point>> = vec![Vec::new(); asks.len()];
        let mut last: Vec<Option<NoData>> = vec![None; asks.len()];
        let mut clock = tokio::time::interval(interval);
        for _ in 0..looks {
            clock.tick().await;
            let document = self.document().await;
            let at = now();
            for (i, ask) in asks.iter().enumerate() {
                let sample = match &document {
                    Ok(document) => self.sample(&ask.metric, document),
                    Err(none) => Err(none.clone()),
                };
                let sample = sample.map_err(|none| last[i] = Some(none)).ok();
                points[i].push(Point { at, sample });
            }
        }
        let reading = |((ask, points), last): ((&Ask, Vec<Point>), Option<NoData>)| {
            if let (Some(none), true) = (last, points.iter().all(|it| it.sample.is_none())) {
                return Err(none);
            }
            let share = self.measures.get(&ask.metric).and_then(|it| it.share);
            Ok(Reading {
                series: Series {
                    step: ms(interval),
                    window: ms(interval),
                    end: points.last().map_or(0, |point| point.at),
                    is_of_good: share == Some(Share::Good),
                    points,
                },
                ..Reading::default()
            })
        };
        asks.iter().zip(points).zip(last).map(reading).collect()
    }
}
