//! A recording of a canary: JSON Lines, one interval a line.
//!
//! `{"at": 10, "canary": {"requests": 109, "errors": 1, "slow": 2}, "stable": {…}}`: `at` is when
//! the interval ended, in seconds. Lines without `canary` are the time before. Latency is counts
//! of slow requests, or buckets: `{"0.1": 52, "0.25": 90, "+Inf": 97}`, cumulative by their upper
//! edges, as Prometheus has them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::arms::Counters;

use super::counting::Scale;
use super::evidence::Burst;
use super::{Arm, Interval, Judge, Settings};

/// A line of a recording.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    /// When the interval ended, in seconds from whenever.
    at: f64,
    /// The canary, where there was one.
    canary: Option<Counted>,
    /// The stable release.
    stable: Counted,
    /// How the 95th percentiles compare, where the source says so.
    p95_ratio: Option<f64>,
}

/// An arm of a line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Counted {
    requests: f64,
    #[serde(default)]
    errors: f64,
    slow: Option<f64>,
    beyond_limit: Option<f64>,
    buckets: Option<BTreeMap<String, f64>>,
}

/// A recording, ready to be judged.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The judge, who knows the time before.
    pub judge: Judge,
    /// What came then.
    pub intervals: Vec<Interval>,
}

/// Reads a recording.
///
/// # Errors
/// The line and what is wrong with it.
pub fn read(text: &str, settings: Settings) -> Result<Recording, String> {
    let mut lines = Vec::new();
    for (i, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let line: Line =
            serde_json::from_str(line).map_err(|failed| format!("line {}: {failed}", i + 1))?;
        line.check()
            .map_err(|said| format!("line {}: {said}", i + 1))?;
        lines.push(line);
    }
    let edges = edges_of(&lines)?;
    if let Some(at) = lines.windows(2).position(|pair| pair[0].at >= pair[1].at) {
        return Err(format!(
            "interval {} ends no later than the one before it",
            at + 2
        ));
    }
    let first = lines.iter().position(|line| line.canary.is_some());
    let first = first.ok_or("no line has a `canary`")?;
    let (before, during) = lines.split_at(first);
    let length = match lines.as_slice() {
        [one, next, ..] => next.at - one.at,
        _ => 1.0,
    };
    let begin = before.last().map_or_else(
        || during.first().map_or(0.0, |line| line.at - length),
        |line| line.at,
    );
    let mut scale = Scale::new(edges.clone());
    let stable: Vec<Counters> = before.iter().map(|line| line.stable.counters()).collect();
    scale.calibrate(&stable, settings.max_p95_ratio);
    let mut known = scale.before(&stable);
    // Some recordings have counted already what was slow.
    let slow = |line: &Line| Some((line.stable.requests, line.stable.slow?));
    let slow: Vec<(f64, f64)> = before.iter().filter_map(slow).collect();
    if !slow.is_empty() {
        known.slow_burst = Burst::before(&slow);
    }
    let mut from = 0.0;
    let intervals = during.iter().map(|line| {
        let to = line.at - begin;
        let canary = line.canary.as_ref();
        let interval = Interval {
            from,
            to,
            canary: canary.map_or_else(Arm::default, |it| it.or(scale.canary(&it.counters()))),
            stable: line.stable.or(scale.stable(&line.stable.counters())),
            p95_ratio: line.p95_ratio,
            shares: None,
        };
        from = to;
        interval
    });
    let intervals = intervals.collect();
    Ok(Recording {
        judge: Judge::new(settings, known, edges),
        intervals,
    })
}

/// The edges of all buckets, which must be the same everywhere.
fn edges_of(lines: &[Line]) -> Result<Vec<f64>, String> {
    let mut found: Option<Vec<f64>> = None;
    for line in lines {
        for arm in line.canary.iter().chain([&line.stable]) {
            let Some(buckets) = &arm.buckets else {
                continue;
            };
            let mut edges = Vec::new();
            for edge in buckets.keys() {
                let number: f64 = edge.trim_start_matches('+').parse().map_err(|_| {
                    format!("\"{edge}\" is not the edge of a bucket; seconds are, and +Inf")
                })?;
                if number.is_finite() {
                    edges.push(number);
                }
            }
            edges.sort_by(f64::total_cmp);
            match &found {
                None => found = Some(edges),
                Some(known) if *known == edges => {}
                Some(_) => {
                    return Err(format!(
                        "the buckets at {} have other edges than those before",
                        line.at
                    ));
                }
            }
        }
    }
    Ok(found.unwrap_or_default())
}

impl Line {
    fn check(&self) -> Result<(), String> {
        for (name, arm) in self
            .canary
            .iter()
            .map(|it| ("canary", it))
            .chain([("stable", &self.stable)])
        {
            for (what, count) in [
                ("errors", Some(arm.errors)),
                ("slow", arm.slow),
                ("beyond-limit", arm.beyond_limit),
            ] {
                if count.is_some_and(|count| !(0.0..=arm.requests).contains(&count)) {
                    return Err(format!(
                        "{name}.{what} is not between 0 and its {} requests",
                        arm.requests
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Counted {
    /// As counters have it.
    fn counters(&self) -> Counters {
        let edge = |(edge, count): (&String, &f64)| {
            let edge: f64 = edge.trim_start_matches('+').parse().ok()?;
            edge.is_finite().then_some((edge, *count))
        };
        let buckets = self.buckets.iter().flatten().filter_map(edge);
        let mut buckets: Vec<(f64, f64)> = buckets.collect();
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Counters {
            requests: self.requests,
            errors: self.errors,
            buckets,
            p95: None,
        }
    }

    /// What was counted already comes before what buckets say.
    fn or(&self, arm: Arm) -> Arm {
        Arm {
            slow: self.slow.or(arm.slow),
            beyond_limit: self.beyond_limit.or(arm.beyond_limit),
            ..arm
        }
    }
}
