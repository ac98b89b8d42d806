//! The looks at a canary as tables: one row a step of the ladder, and one a point of the charts.

use crate::model::canary::{Glance, Seen};
use crate::platform::text;

use super::super::markdown::row;
use super::points::Point;
use super::told;

/// How many steps are shown.
const STEPS: usize = 50;

/// A step of the ladder with all looks at it.
pub(in crate::report) struct Step {
    /// `25 %`.
    pub(in crate::report) weight: String,
    pub(in crate::report) looks: usize,
    /// Seconds from its first look to its last.
    pub(in crate::report) length: f64,
    /// Canary, then stable: `12 of 3,012 (0.4 %)`.
    pub(in crate::report) errors: [String; 2],
    /// The highest: `182 ms`.
    pub(in crate::report) p95: [String; 2],
    /// Of its last look.
    pub(in crate::report) verdict: String,
}

/// The steps of the ladder, one after the other.
pub(in crate::report) fn steps(glances: &[Glance]) -> Vec<Step> {
    let of_one_step =
        |one: &Glance, next: &Glance| (one.step, one.weight) == (next.step, next.weight);
    glances
        .chunk_by(of_one_step)
        .take(STEPS)
        .filter_map(|looks| {
            let (first, last) = (looks.first()?, looks.last()?);
            let arms: [fn(&Glance) -> &Seen; 2] = [|look| &look.canary, |look| &look.stable];
            Some(Step {
                weight: weight(last.step, last.weight),
                looks: looks.len(),
                length: last.at - first.at,
                errors: arms.map(|of| {
                    let shares = looks.iter().filter_map(|look| of(look).error_rate);
                    if let Some(highest) = shares.reduce(f64::max) {
                        return format!("up to {}, not counted", text::percent(highest));
                    }
                    let requests = looks.iter().map(|look| of(look).requests).sum();
                    failed_of(looks.iter().map(|look| of(look).errors).sum(), requests)
                }),
                p95: arms.map(|of| {
                    let highest = looks
                        .iter()
                        .filter_map(|look| of(look).p95)
                        .reduce(f64::max);
                    highest.map_or_else(|| "–".to_owned(), told::time)
                }),
                verdict: last.verdict.clone(),
            })
        })
        .collect()
}

/// A row for each step.
pub(super) fn by_step(glances: &[Glance]) -> String {
    let mut out = "| weight | looks | errors of the canary | of the stable release | highest p95 of the canary | of the stable release | verdict |\n\
                   |--:|--:|--:|--:|--:|--:|---|\n"
        .to_owned();
    for step in steps(glances) {
        let [canary, stable] = step.errors;
        let [canary_p95, stable_p95] = step.p95;
        out.push_str(&row(&[
            step.weight,
            step.looks.to_string(),
            canary,
            stable,
            canary_p95,
            stable_p95,
            told::verdict(&step.verdict).to_owned(),
        ]));
    }
    out
}

/// The heads of [`all_rows`].
pub(in crate::report) fn heads(glances: &[Glance]) -> Vec<String> {
    let bar = |ln: Option<f64>| match ln {
        Some(ln) if ln > 0.0 => format!(" (bar {})", told::odds(told::power(ln))),
        _ => String::new(),
    };
    let last = glances.last();
    let worse = bar(last.map(|look| look.ln_bar));
    let within = bar(last.map(|look| look.ln_safe_bar));
    vec![
        "time".to_owned(),
        "weight".to_owned(),
        "errors, canary".to_owned(),
        "errors, stable".to_owned(),
        "p95, canary".to_owned(),
        "p95, stable".to_owned(),
        format!("worse by errors{worse}"),
        "worse by slow requests".to_owned(),
        format!("within by errors{within}"),
        "within by slow requests".to_owned(),
        "verdict".to_owned(),
    ]
}

/// A row for each point: what the charts draw, with units.
pub(in crate::report) fn all_rows(points: &[Option<Point>]) -> Vec<Vec<String>> {
    let told =
        |value: Option<f64>, how: fn(f64) -> String| value.map_or_else(|| "–".to_owned(), how);
    let rows = points.iter().flatten().map(|point| {
        let mut cells = vec![told::time(point.at), weight(point.step, point.weight)];
        cells.extend(point.errors.map(|it| told(it, text::percent)));
        cells.extend(point.p95.map(|it| told(it, told::time)));
        cells.extend(point.worse.map(|it| told(it, odds_and_power)));
        cells.extend(point.within.map(|it| told(it, odds_and_power)));
        cells.push(told::verdict(&point.verdict).to_owned());
        cells
    });
    rows.collect()
}

/// The table below the charts.
pub(super) fn every_point(glances: &[Glance], points: &[Option<Point>]) -> String {
    let rule = ["--:"; 10].join("|");
    let mut out = format!("{}|{rule}|---|\n", row(&heads(glances)));
    out.extend(all_rows(points).iter().map(|cells| row(cells)));
    out.push('\n');
    let looks: usize = points.iter().flatten().map(|point| point.looks).sum();
    if looks > points.len() {
        out.push_str("A row with several looks in it has the highest figure of each kind. ");
    }
    out.push_str("Evidence is odds, with the power of ten that the charts show.\n");
    out
}

/// Where there are no steps, there is no weight.
fn weight(step: u32, weight: u8) -> String {
    match step {
        0 => "–".to_owned(),
        _ => format!("{weight} %"),
    }
}

/// `31 : 1, 1.49`.
fn odds_and_power(power: f64) -> String {
    format!("{}, {power:.2}", told::odds(power))
}

/// `12 of 3,012 (0.4 %)`.
fn failed_of(errors: f64, requests: f64) -> String {
    if requests <= 0.0 {
        return "no requests".to_owned();
    }
    let count = |n: f64| text::thousands(n.round().max(0.0) as u64);
    let rate = text::percent(errors / requests);
    format!("{} of {} ({rate})", count(errors), count(requests))
}
