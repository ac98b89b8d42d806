//! An answer of the query API: one series of numbers, or in words why there is none; or several
//! that differ in one label.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::metrics::NoData;
use crate::platform::http::{Answer, BODY_CAP};
use crate::platform::secret::Vault;
use crate::platform::text;

/// How much of a query and of a stranger's words is shown.
const SHOWN: usize = 120;

/// What was asked, for messages.
pub(super) struct Asked<'a> {
    pub(super) told: &'a str,
    pub(super) query: &'a str,
    pub(super) allow_partial: bool,
    pub(super) vault: &'a Vault,
}

impl Asked<'_> {
    fn shown(&self, text: &str) -> String {
        text::excerpt(&self.vault.redact(text), SHOWN)
    }
}

/// The numbers of one series.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// Times in milliseconds and numbers, in their order; those that are finite.
    pub(super) points: Vec<(i64, f64)>,
    /// What to say where there are none.
    pub(super) why_empty: String,
    /// Whether there is no series at all, rather than one without numbers.
    pub(super) is_missing: bool,
    /// What the server warns of.
    pub(super) warnings: Vec<String>,
}

impl Answered {
    /// The number at a time, give or take.
    pub(super) fn at(&self, at: i64, near: i64) -> Option<f64> {
        // An instant query has its own time.
        let near = near.max(1);
        let from = self.points.partition_point(|(it, _)| *it < at - near);
        let (time, number) = self.points.get(from)?;
        (*time <= at + near).then_some(*number)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    is_partial: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct OneSeries {
    #[serde(default)]
    metric: Map<String, Value>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    value: Option<(f64, String)>,
}

/// Reads an answer that is one series.
///
/// # Errors
/// When the server refuses, or says something else than numbers of one series. No series is
/// no error here: the caller knows what else was asked.
pub(super) fn read(answer: &Answer, asked: &Asked<'_>) -> Result<Answered, NoData> {
    let (all, warnings) = series(answer, asked)?;
    let mut one = match all.as_slice() {
        [] => missing(asked),
        [one] => one.numbers(asked),
        several => return Err(too_many(several, asked)),
    };
    one.warnings = warnings;
    Ok(one)
}

/// What to say where there is no series.
fn missing(asked: &Asked<'_>) -> Answered {
    Answered {
        why_empty: format!("no series for {}", asked.shown(asked.query)),
        is_missing: true,
        ..Answered::default()
    }
}

/// Reads an answer that is a histogram: a series for each edge, `+Inf` among them, from the
/// lowest up; none where there is no series.
///
/// # Errors
/// As for [`read`], and when series differ in more than their edge.
pub(super) fn histogram(
    answer: &Answer,
    asked: &Asked<'_>,
) -> Result<Vec<(f64, Answered)>, NoData> {
    let (all, _) = series(answer, asked)?;
    let mut edges = Vec::new();
    for one in &all {
        let edge = one.metric.get("le").and_then(Value::as_str);
        let edge = edge.and_then(|edge| edge.parse::<f64>().ok());
        let Some(edge) = edge.filter(|edge| !edge.is_nan()) else {
            return Err(NoData::because(format!(
                "a series without the label `le` for {}; a histogram's buckets are wanted: sum by (le) (…_bucket{{…}})",
                asked.shown(asked.query)
            )));
        };
        edges.push((edge, one.numbers(asked)));
    }
    edges.sort_by(|one, other| one.0.total_cmp(&other.0));
    match edges.last() {
        Some((last, _)) if last.is_finite() => Err(NoData::because(format!(
            "the bucket +Inf is missing for {}",
            asked.shown(asked.query)
        ))),
        _ if edges.windows(2).any(|pair| pair[0].0 == pair[1].0) => Err(too_many(&all, asked)),
        _ => Ok(edges),
    }
}

impl OneSeries {
    fn numbers(&self, asked: &Asked<'_>) -> Answered {
        let numbers = self.values.iter().chain(&self.value);
        let numbers: Vec<(i64, f64)> = numbers
            .filter_map(|(at, number)| Some(((at * 1000.0).round() as i64, number.parse().ok()?)))
            .collect();
        let finite = |(_, number): &&(i64, f64)| number.is_finite();
        Answered {
            points: numbers.iter().filter(finite).copied().collect(),
            why_empty: not_a_number(&numbers, asked),
            ..Answered::default()
        }
    }
}

/// All series of an answer, and what the server warns of.
fn series(answer: &Answer, asked: &Asked<'_>) -> Result<(Vec<OneSeries>, Vec<String>), NoData> {
    let told = asked.told;
    let Ok(said) = serde_json::from_slice::<Said>(&answer.body) else {
        return Err(unreadable(answer, asked));
    };
    if said.status != "success" {
        let kind = said.error_type.unwrap_or_default();
        let said = asked.shown(&said.error.unwrap_or_default());
        let said = format!("{told} answered {} {kind}: {said}", answer.status);
        return Err(match answer.status {
            500.. => NoData::out_of_reach(said),
            _ => NoData::because(format!("{said}; asked was {}", asked.shown(asked.query))),
        });
    }
    let Some(data) = said.data else {
        return Err(unreadable(answer, asked));
    };
    if said.is_partial && !asked.allow_partial {
        return Err(NoData::because(format!(
            "{told} answered with a part of the data; `allow-partial: true` would take it"
        )));
    }
    let warnings = said.warnings.iter().map(|said| asked.shown(said));
    let warnings: Vec<String> = warnings
        .map(|said| format!("{told} warns: {said}"))
        .collect();
    let all: Vec<OneSeries> = match data.result_type.as_str() {
        "matrix" | "vector" => {
            serde_json::from_value(data.result).map_err(|_| unreadable(answer, asked))?
        }
        "scalar" => vec![OneSeries {
            metric: Map::new(),
            values: Vec::new(),
            value: serde_json::from_value(data.result).ok(),
        }],
        other => {
            return Err(NoData::because(format!(
                "the query yields a {}, not numbers: {}",
                asked.shown(other),
                asked.shown(asked.query)
            )));
        }
    };
    Ok((all, warnings))
}

fn too_many(several: &[OneSeries], asked: &Asked<'_>) -> NoData {
    let labels = |one: &OneSeries| {
        let labels: Vec<String> = one
            .metric
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        asked.shown(&format!("{{{}}}", labels.join(",")))
    };
    NoData::because(format!(
        "{} series where one is wanted, such as {} and {}; put sum(…), max(…) or the like around {}",
        text::thousands(several.len() as u64),
        labels(&several[0]),
        labels(&several[1]),
        asked.shown(asked.query)
    ))
}

/// Why a series has no finite number.
fn not_a_number(numbers: &[(i64, f64)], asked: &Asked<'_>) -> String {
    let query = asked.shown(asked.query);
    match numbers.last() {
        None => format!(
            "a series without numbers for {query}; a histogram? take histogram_quantile(…) of it"
        ),
        Some((_, number)) if number.is_nan() => {
            format!(
                "NaN, which is no number, for {query}: it divides zero by zero, as without any request"
            )
        }
        Some((_, number)) => format!(
            "{}Inf, which is no number, for {query}: it divides by zero",
            if *number > 0.0 { "+" } else { "-" }
        ),
    }
}

fn unreadable(answer: &Answer, asked: &Asked<'_>) -> NoData {
    let (told, status) = (asked.told, answer.status);
    if answer.body.len() >= BODY_CAP {
        return NoData::because(format!(
            "{told} answered with more than 1 MiB; put sum(…) or the like around {}",
            asked.shown(asked.query)
        ));
    }
    let body = asked.shown(&answer.text());
    match status {
        401 | 403 => NoData::out_of_reach(format!(
            "{told} answered {status}: {body}; check `token`, or `username` and `password`"
        )),
        200..300 => NoData::because(format!(
            "{told} answered {status} with something else than its query API: {body}"
        )),
        _ => NoData::out_of_reach(format!("{told} answered {status}: {body}")),
    }
}
