//! What is said of a figure: the value, its limit beside it, since when, and by how many.

use std::time::Duration;

use jiff::Timestamp;

use crate::judge::thresholds::{Judgement, Why};
use crate::model::assessment::{Assessment, Bound};
use crate::model::metric::SUCCESS_RATE;
use crate::platform::text;

use super::rule::Held;

/// `7.3 % (above 5 % for 5 m since 10:02Z; 183 of 2,507 requests)`.
pub(super) fn judged(held: &Held, bound: &Bound, judgement: &Judgement, note: &str) -> String {
    let value = judgement.value.map(|value| held.unit.told(value));
    let value = value.unwrap_or_else(|| "no value".to_owned());
    let since = judgement.since.map(clock).unwrap_or_default();
    let lasted = span(judgement.held);
    let requests = counted(&held.metric, judgement.failed, judgement.requests);
    let wanted = held.threshold.duration;
    let parts = |first: String| {
        let parts = [first, requests.clone(), note.to_owned()];
        let parts: Vec<String> = parts.into_iter().filter(|it| !it.is_empty()).collect();
        format!("{value} ({})", parts.join("; "))
    };
    match judgement.why {
        Why::Within => parts(format!("limit: {}", bound.whole())),
        Why::Held if bound.duration.is_empty() => parts(bound.told.clone()),
        Why::Held => parts(format!("{} for {lasted} since {since}", bound.told)),
        Why::Gross => parts(format!("{} beyond doubt since {since}", bound.told)),
        Why::Pending => parts(format!(
            "{} for {lasted} of {wanted} since {since}",
            bound.told
        )),
        Why::TooFew => format!(
            "too few requests: {}, and {} in {} are needed (limit: {})",
            match requests.as_str() {
                "" => "none",
                some => some,
            },
            held.threshold.min_requests,
            held.threshold.window,
            bound.whole()
        ),
        Why::NoData => format!(
            "no data for {} (limit: {})",
            held.threshold.no_data_after,
            bound.whole()
        ),
    }
}

/// `5 m since 10:02Z`; empty for what is not past its limit.
pub(super) fn lasted(judgement: &Judgement) -> String {
    let since = |since| format!("{} since {}", span(judgement.held), clock(since));
    judgement.since.map(since).unwrap_or_default()
}

/// `184 ms (2,507 requests)`, of a figure without a threshold.
pub(super) fn plain(assessment: &Assessment, note: &str) -> String {
    let Some(value) = assessment.value else {
        return "no requests".to_owned();
    };
    let number = |n: Option<u64>| n.map(|n| n as f64);
    let failed = number(assessment.failed);
    let counts = counted(&assessment.metric, failed, number(assessment.requests));
    let parts: Vec<&str> = [counts.as_str(), note]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect();
    match parts.join("; ") {
        none if none.is_empty() => assessment.unit.told(value),
        some => format!("{} ({some})", assessment.unit.told(value)),
    }
}

/// `183 of 2,507 requests`, `2,507 requests`, or nothing.
fn counted(metric: &str, failed: Option<f64>, requests: Option<f64>) -> String {
    let Some(requests) = requests.map(|n| n.round() as u64) else {
        return String::new();
    };
    let all = text::count(requests, "request");
    match failed {
        Some(failed) => {
            let failed = text::thousands(failed.round() as u64);
            // Beside a share of good ones it is not clear which ones are counted.
            let word = if metric == SUCCESS_RATE {
                " failed"
            } else {
                ""
            };
            format!("{failed} of {all}{word}")
        }
        None => all,
    }
}

/// `10:02Z`.
fn clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map(|at| at.strftime("%H:%MZ").to_string())
        .unwrap_or_default()
}

fn span(ms: i64) -> String {
    text::duration(Duration::from_millis(ms.unsigned_abs()))
}
