//! What Traefik has counted for each slot's service, from its metrics for Prometheus.
//!
//! All is taken from one histogram, of durations by status: its counts and its edges agree, and a
//! request is in it once it has ended, also one that Traefik answered itself because no server
//! could be reached (502). A service that had no request yet is not in it, and stands at zero.

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::model::arms::{Counters, Stand};
use crate::platform::http::{BODY_CAP, Http, Look, Manner};
use crate::platform::text::excerpt;
use crate::routers::{RouterError, Tally};

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The histogram.
const HISTOGRAM: &str = "traefik_service_request_duration_seconds_";

/// What every Traefik says of itself.
const ITS_OWN: &str = "traefik_config_reloads_total";

/// Where Traefik answers with its metrics.
pub(super) struct Metrics {
    pub(super) http: Http,
    pub(super) url: Url,
}

/// The counters of the two services.
pub(super) struct Counted<'a> {
    pub(super) metrics: &'a Metrics,
    /// The services of the first and the second slot.
    pub(super) children: &'a [String; 2],
}

impl Metrics {
    async fn text(&self) -> Result<String, RouterError> {
        let mut look = Look::at(self.url.clone(), TIMEOUT);
        look.manner = Manner {
            keep_alive: true,
            ..Manner::PROBE
        };
        let said = |what: String| format!("Traefik's metrics at {} {what}", self.told());
        let answer =
            self.http.look(&look).await.map_err(|failed| {
                RouterError::OutOfReach(said(format!("cannot be had: {failed}")))
            })?;
        if answer.status != 200 {
            let status = answer.status;
            return Err(RouterError::OutOfReach(said(format!(
                "answer with status {status}; `metrics: {{ prometheus: {{}} }}` turns them on"
            ))));
        }
        // What was cut off may be a slot's.
        if answer.body.len() >= BODY_CAP {
            return Err(RouterError::Refused(said(format!(
                "are {BODY_CAP} bytes or more, and so much is not read"
            ))));
        }
        let text = answer.text().into_owned();
        if text.lines().any(|line| line.starts_with(ITS_OWN)) {
            return Ok(text);
        }
        let begins = excerpt(&text, 60);
        Err(RouterError::Refused(said(format!(
            "have no {ITS_OWN}, so they are not those of a Traefik: \"{begins}\""
        ))))
    }

    /// The address without what may be secret in it.
    fn told(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map_or(String::new(), |p| format!(":{p}"));
        format!("{}://{host}{port}{}", self.url.scheme(), self.url.path())
    }
}

#[async_trait]
impl Tally for Counted<'_> {
    fn told(&self) -> String {
        format!("Traefik's metrics at {}", self.metrics.told())
    }

    async fn stand(&self) -> Result<Stand, RouterError> {
        let text = self.metrics.text().await?;
        // A service of another provider says whose it is.
        let of = |child: &String| match child.contains('@') {
            true => counters(&text, child),
            false => counters(&text, &format!("{child}@file")),
        };
        let [mut first, mut second] = self.children.each_ref().map(of);
        like(&mut first, &second);
        like(&mut second, &first);
        Ok(Stand {
            at: jiff::Timestamp::now().as_millisecond(),
            first,
            second,
        })
    }
}

/// One service's counters: those of all statuses, methods and protocols together.
fn counters(text: &str, service: &str) -> Counters {
    let mut all = Counters::default();
    let samples = text.lines().filter_map(|line| line.strip_prefix(HISTOGRAM));
    for sample in samples.filter_map(sample) {
        if sample.label("service") != Some(service) {
            continue;
        }
        match (sample.name, sample.label("le")) {
            ("count", _) => {
                all.requests += sample.value;
                if sample
                    .label("code")
                    .is_some_and(|code| code.starts_with('5'))
                {
                    all.errors += sample.value;
                }
            }
            ("bucket", Some(edge)) => {
                let edge = edge.trim_start_matches('+').parse::<f64>();
                let Some(edge) = edge.ok().filter(|edge| edge.is_finite()) else {
                    continue;
                };
                match all.buckets.iter_mut().find(|(there, _)| *there == edge) {
                    Some((_, count)) => *count += sample.value,
                    None => all.buckets.push((edge, sample.value)),
                }
            }
            _ => {}
        }
    }
    all.buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    all
}

/// A service without a request is counted by the edges of the other, and has nothing in them.
fn like(one: &mut Counters, other: &Counters) {
    if one.buckets.is_empty() {
        one.buckets = other.buckets.iter().map(|(edge, _)| (*edge, 0.0)).collect();
    }
}

/// A line: what it is, its labels, and its value.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, &'a str)>,
    value: f64,
}

impl Sample<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(label, _)| *label == name);
        found.map(|(_, value)| *value)
    }
}

/// Reads a line. What a label's value escapes stays escaped: no name that is asked for has any.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (name, mut rest) = line.split_once('{')?;
    let mut labels = Vec::new();
    while !rest.starts_with('}') {
        let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut is_escaped = false;
        let end = after.bytes().position(|byte| {
            let ends = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            ends
        })?;
        labels.push((label, after.get(..end)?));
        rest = after.get(end + 1..)?;
    }
    let value = rest.get(1..)?.split_ascii_whitespace().next()?;
    Some(Sample {
        name,
        labels,
        value: value.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_statuses_of_a_service_are_one() {
        let line = |what: &str, code: &str, service: &str, le: &str, n: u32| {
            format!(
                "{HISTOGRAM}{what}{{code=\"{code}\",method=\"G\\\"}}\",service=\"{service}\"{le}}} {n}\n"
            )
        };
        let bucket = |code: &str, service: &str, edge: &str, n| {
            line("bucket", code, service, &format!(",le=\"{edge}\""), n)
        };
        let text = [
            bucket("200", "a@file", "0.1", 5),
            bucket("200", "a@file", "1.2", 7),
            bucket("200", "a@file", "+Inf", 8),
            line("count", "200", "a@file", "", 8),
            bucket("502", "a@file", "0.1", 2),
            bucket("502", "a@file", "1.2", 2),
            line("count", "502", "a@file", "", 3),
            line("sum", "502", "a@file", "", 100),
            line("count", "200", "b@file", "", 40),
            "another{code=\"200\"} 1\n".to_owned(),
            format!("{HISTOGRAM}count{{service=\"a@file\n"),
        ];
        let all = counters(&text.concat(), "a@file");
        assert_eq!((all.requests, all.errors), (11.0, 3.0));
        assert_eq!(all.buckets, [(0.1, 7.0), (1.2, 9.0)]);
        assert_eq!(counters("", "a@file"), Counters::default());
    }
}
