//! What a document says of each slot: counts that only grow, or shares without a count.
//!
//! A document may name the slots, or call them canary and stable; which one is which is known
//! to whoever asks. Both are read from one answer.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Figure, Json, number_in};
use crate::metrics::figure::Measure;
use crate::metrics::{Counter, NoData, Rater, Source as _, now};
use crate::model::arms::{Counters, Rate, Rated, Stand};
use crate::model::metric::{ERROR_RATE, P95};
use crate::model::slot::Side;
use crate::platform::text;

/// In a path: the slot's name.
const SLOT: &str = "{{slot}}";

/// In a path: `canary` or `stable`.
const ROLE: &str = "{{role}}";

/// Where a slot's numbers are: `requests` and `errors`, or `error-rate`. In a path, `{{slot}}` is
/// the slot's name and `{{role}}` is `canary` or `stable`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) struct BySlot {
    /// Requests since counting began: `.{{slot}}.requests`.
    pub(super) requests: Option<String>,
    /// Those of them that failed.
    pub(super) errors: Option<String>,
    /// Those of them that were no slower than each edge in seconds: an object such as
    /// `{"0.1": 52, "0.25": 90, "+Inf": 97}`.
    pub(super) latency: Option<String>,
    /// The share of failed requests, where nothing is counted: `.{{role}}.error_rate`.
    pub(super) error_rate: Option<Figure>,
    /// The 95th percentile of latency.
    pub(super) p95: Option<Figure>,
}

/// The paths of `by-slot`, checked.
pub(super) struct Paths {
    latency: Option<String>,
    p95: Option<(Figure, Measure)>,
    form: Form,
}

enum Form {
    Counted { requests: String, errors: String },
    Rated(Figure, Measure),
}

impl Paths {
    /// What of it makes no sense.
    pub(super) fn new(written: &BySlot) -> Result<Self, String> {
        let path = |key: &str, path: &str| {
            if !path.contains(SLOT) && !path.contains(ROLE) {
                return Err(format!(
                    "by-slot.{key}: there is no {SLOT} and no {ROLE} in it, so both slots would be the same"
                ));
            }
            let filled = path.replace(SLOT, "").replace(ROLE, "");
            match filled.contains("{{") {
                true => Err(format!(
                    "by-slot.{key}: {SLOT} and {ROLE} are what can be filled in"
                )),
                false => Ok(path.to_owned()),
            }
        };
        let figure = |key: &str, figure: &Figure| {
            path(key, &figure.path)?;
            if figure.of.is_some() {
                return Err(format!(
                    "by-slot.{key}: `of` is not known here; give `requests` and `errors`"
                ));
            }
            let measure = Measure::of(key, figure.unit);
            let measure = measure.map_err(|said| format!("by-slot.{key}: {said}"))?;
            Ok((figure.clone(), measure))
        };
        let form = match (&written.requests, &written.errors, &written.error_rate) {
            (Some(requests), Some(errors), None) => Form::Counted {
                requests: path("requests", requests)?,
                errors: path("errors", errors)?,
            },
            (None, None, Some(rate)) => {
                if written.latency.is_some() {
                    return Err(
                        "by-slot: `latency` counts, and `error-rate` does not; take `p95`"
                            .to_owned(),
                    );
                }
                let (rate, measure) = figure(ERROR_RATE, rate)?;
                Form::Rated(rate, measure)
            }
            _ => {
                return Err(
                    "by-slot: `requests` and `errors` are wanted, or `error-rate` alone".to_owned(),
                );
            }
        };
        let latency = written.latency.as_deref();
        let p95 = written.p95.as_ref();
        Ok(Self {
            latency: latency.map(|it| path("latency", it)).transpose()?,
            p95: p95.map(|it| figure(P95, it)).transpose()?,
            form,
        })
    }

    /// Whether counts are to be had.
    pub(super) const fn is_counted(&self) -> bool {
        matches!(self.form, Form::Counted { .. })
    }
}

/// A document of both slots.
pub(super) struct Slotwise<'a> {
    pub(super) json: &'a Json,
    pub(super) paths: &'a Paths,
    pub(super) canary: Side,
}

/// One slot in a document.
struct Of<'a> {
    by: &'a Slotwise<'a>,
    document: &'a Value,
    side: Side,
}

impl Of<'_> {
    fn none(&self, said: impl std::fmt::Display) -> NoData {
        NoData::because(format!("{}: {said}", self.by.json.slots.name(self.side)))
    }

    /// What is at a path. A slot's name is one step of it, whatever it has for letters.
    fn at(&self, path: &str) -> (String, Option<&Value>) {
        let role = if self.side == self.by.canary {
            "canary"
        } else {
            "stable"
        };
        let filled = |part: &str| {
            let named = part.replace(SLOT, self.by.json.slots.name(self.side));
            named.replace(ROLE, role)
        };
        let mut parts = path.split('.').filter(|part| !part.is_empty()).map(filled);
        let found = parts.try_fold(self.document, |at, part| match at {
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            other => other.get(part),
        });
        (filled(path), found)
    }

    fn number(&self, path: &str) -> Result<f64, NoData> {
        let (path, found) = self.at(path);
        let number = number_in(self.by.json, &path, found, self.document);
        number.map_err(|none| self.none(none))
    }

    fn p95(&self) -> Result<Option<f64>, NoData> {
        let Some((figure, measure)) = &self.by.paths.p95 else {
            return Ok(None);
        };
        match self.number(&figure.path)? {
            ms if ms < 0.0 => Err(self.none(format!("{} is {ms}, which is no time", figure.path))),
            number => Ok(Some(measure.value(number))),
        }
    }

    fn rate(&self, figure: &Figure, measure: Measure) -> Result<Rate, NoData> {
        let number = self.number(&figure.path)?;
        let error_rate = measure.value(number);
        if !(0.0..=1.0).contains(&error_rate) {
            return Err(self.none(format!(
                "{} is {number}, which is no share; `in: percent` takes those of 100",
                self.at(&figure.path).0
            )));
        }
        Ok(Rate {
            error_rate,
            p95: self.p95()?,
        })
    }

    fn counters(&self, requests: &str, errors: &str) -> Result<Counters, NoData> {
        let (requests, errors) = (self.number(requests)?, self.number(errors)?);
        if !(0.0..=requests).contains(&errors) {
            return Err(self.none(format!(
                "{errors} errors of {requests} requests; errors are some of the requests"
            )));
        }
        Ok(Counters {
            requests,
            errors,
            buckets: self.buckets(requests)?,
            p95: self.p95()?,
        })
    }

    fn buckets(&self, requests: f64) -> Result<Vec<(f64, f64)>, NoData> {
        let Some(path) = &self.by.paths.latency else {
            return Ok(Vec::new());
        };
        let (path, found) = self.at(path);
        let shown = |value: Option<&Value>| {
            let said = value.map_or_else(|| "missing".to_owned(), Value::to_string);
            text::excerpt(&self.by.json.vault.redact(&said), 80)
        };
        let counts = found.and_then(|it| BTreeMap::<String, f64>::deserialize(it).ok());
        let mut buckets = Vec::new();
        for (edge, count) in counts.iter().flatten() {
            let edge = edge.trim_start_matches('+').parse::<f64>();
            match edge {
                Ok(edge) if edge > 0.0 => buckets.push((edge, *count)),
                _ => {
                    buckets.clear();
                    break;
                }
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        let grows = buckets.is_sorted_by(|one, other| one.1 <= other.1);
        if buckets.is_empty() || !grows || buckets.last().is_some_and(|last| last.1 > requests) {
            return Err(self.none(format!(
                "{path} is {}; counts by their upper edges in seconds are wanted, each of all that are no slower, and none above the {requests} requests",
                shown(found)
            )));
        }
        buckets.retain(|(edge, _)| edge.is_finite());
        Ok(buckets)
    }
}

impl Slotwise<'_> {
    const fn of<'a>(&'a self, document: &'a Value, side: Side) -> Of<'a> {
        Of {
            by: self,
            document,
            side,
        }
    }
}

#[async_trait]
impl Counter for Slotwise<'_> {
    async fn now(&self) -> Result<Stand, NoData> {
        let document = self.json.document().await?;
        let Form::Counted { requests, errors } = &self.paths.form else {
            return Err(NoData::because(format!(
                "{} counts nothing",
                self.json.told()
            )));
        };
        let of = |side| self.of(&document, side).counters(requests, errors);
        let (first, second) = (of(Side::First)?, of(Side::Second)?);
        if first
            .buckets
            .iter()
            .map(|it| it.0)
            .ne(second.buckets.iter().map(|it| it.0))
        {
            return Err(NoData::because(
                "the slots' latencies have other edges, so they cannot be compared",
            ));
        }
        Ok(Stand {
            at: now(),
            first,
            second,
        })
    }

    async fn before(&self, _: Duration, _: Duration) -> Result<Vec<Stand>, NoData> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Rater for Slotwise<'_> {
    async fn now(&self) -> Result<Rated, NoData> {
        let document = self.json.document().await?;
        let Form::Rated(figure, measure) = &self.paths.form else {
            return Err(NoData::because(format!("{} counts", self.json.told())));
        };
        let of = |side| self.of(&document, side).rate(figure, *measure);
        Ok(Rated {
            at: now(),
            first: of(Side::First)?,
            second: of(Side::Second)?,
        })
    }
}
