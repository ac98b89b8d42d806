//! A recording of a canary: JSON Lines, one interval a line.
//!
//! `{"at": 10, "canary": {"requests": 109, "errors": 1, "slow": 2}, "stable": {…}}`: `at` is when
//! the interval ended, in seconds. Lines without `canary` are the time before. Latency is counts
//! of slow requests, or buckets: `{"0.1": 52, "0.25": 90, "+Inf": 97}`, cumulative by their upper
//! edges, as Prometheus has them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::buckets::{Buckets, Edges};
use super::evidence::Burst;
use super::{Arm, Before, Interval, Judge, Settings};

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
    let mut all = Buckets::default();
    for buckets in before.iter().filter_map(|line| line.stable.spread(&edges)) {
        all.add(&buckets);
    }
    let chosen = Edges::choose(&edges, &all, settings.max_p95_ratio);
    let known = Before {
        error_burst: Burst::before(&pairs(before, |arm| Some(arm.errors))),
        slow_burst: Burst::before(&pairs(before, |arm| arm.slow_of(&edges, chosen?.stable))),
        slow_null: chosen.map_or(1.0, |chosen| chosen.null),
    };
    let mut from = 0.0;
    let intervals = during.iter().map(|line| {
        let to = line.at - begin;
        let stable = line
            .stable
            .arm(&edges, chosen.map(|it| [it.stable, it.stable]));
        let canary = line.canary.as_ref();
        let canary = canary.map(|it| it.arm(&edges, chosen.map(|it| [it.tolerated, it.limit])));
        let interval = Interval {
            from,
            to,
            canary: canary.unwrap_or_default(),
            stable,
            p95_ratio: line.p95_ratio,
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

fn pairs(lines: &[Line], bad: impl Fn(&Counted) -> Option<f64>) -> Vec<(f64, f64)> {
    let counted = lines.iter().map(|line| &line.stable);
    counted
        .filter_map(|arm| Some((arm.requests, bad(arm)?)))
        .collect()
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
    /// The counts between edges; what Prometheus has adds up.
    fn spread(&self, edges: &[f64]) -> Option<Buckets> {
        let buckets = self.buckets.as_ref()?;
        let mut by_edge: Vec<(f64, f64)> = buckets
            .iter()
            .filter_map(|(edge, count)| Some((edge.trim_start_matches('+').parse().ok()?, *count)))
            .collect();
        by_edge.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut below = 0.0;
        let mut counts: Vec<f64> = by_edge
            .iter()
            .map(|(_, count)| {
                let inside = (count - below).max(0.0);
                below = *count;
                inside
            })
            .collect();
        if counts.len() == edges.len() {
            counts.push((self.requests - below).max(0.0));
        }
        Some(Buckets::new(counts))
    }

    fn slow_of(&self, edges: &[f64], edge: usize) -> Option<f64> {
        self.slow.or_else(|| Some(self.spread(edges)?.beyond(edge)))
    }

    fn arm(&self, edges: &[f64], by: Option<[usize; 2]>) -> Arm {
        let buckets = self.spread(edges);
        let beyond = |edge: usize| buckets.as_ref().map(|buckets| buckets.beyond(edge));
        Arm {
            requests: self.requests,
            errors: self.errors,
            slow: self.slow.or_else(|| beyond(by?[0])),
            beyond_limit: self.beyond_limit.or_else(|| beyond(by?[1])),
            buckets: buckets.clone(),
        }
    }
}
