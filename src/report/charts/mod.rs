//! The looks at a canary as charts: what is drawn, of how many points, in which unit.
//!
//! A chart here is numbers with names; `mermaid` writes it for the summary and `page::svg` for
//! the page, and the tables show the same numbers. Nothing of it is somebody's text.

mod mermaid;
mod points;
mod tables;
pub(super) mod told;

use crate::model::canary::Glance;

use super::heard::Heard;

pub(super) use points::{Point, points};
pub(super) use tables::{all_rows, heads, steps};

/// How many points a chart of the summary has at most; a table row each.
const POINTS: usize = 40;

/// Evidence is drawn from 1 : 1,000 on, and up to a million to one; the tables have all of it.
pub(super) const POWERS: [f64; 2] = [-3.0, 6.0];

/// What a chart's values are, and how they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// A share of 1.
    Share,
    /// Seconds.
    Seconds,
    /// A power of ten, of odds.
    Power,
}

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Canary,
    Stable,
    Latency,
}

/// One line of a chart, a value for each point, where there is one.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) ink: Ink,
    pub(super) values: Vec<Option<f64>>,
}

/// A chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) scale: Scale,
    /// Values hold until the next.
    pub(super) is_stepped: bool,
    pub(super) lines: Vec<Line>,
    /// What a line must reach to count.
    pub(super) bar: Option<Bar>,
}

/// A bar that evidence is held against.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    pub(super) at: f64,
    /// What is proved beyond it.
    pub(super) says: &'static str,
    pub(super) is_good: bool,
}

/// The charts that there is something for; `points` may have holes.
pub(super) fn charts(glances: &[Glance], points: &[Option<Point>]) -> Vec<Chart> {
    let bar = |of: fn(&Glance) -> f64, says: &'static str, is_good: bool| {
        let ln = glances.last().map(of).filter(|ln| *ln > 0.0);
        ln.map(|ln| Bar {
            at: told::power(ln),
            says,
            is_good,
        })
    };
    let arms = [("canary", Ink::Canary), ("stable", Ink::Stable)];
    let kinds = [("errors", Ink::Canary), ("slow requests", Ink::Latency)];
    // A recording that is judged again has no steps.
    let weight = |point: &Point| {
        [
            (point.step > 0).then(|| f64::from(point.weight) / 100.0),
            None,
        ]
    };
    let chart = |title,
                 scale,
                 names: [(&'static str, Ink); 2],
                 of: &dyn Fn(&Point) -> [Option<f64>; 2]| Chart {
        title,
        scale,
        is_stepped: false,
        lines: lines(points, names, of),
        bar: None,
    };
    let all = [
        Chart {
            is_stepped: true,
            ..chart("Weight of the canary", Scale::Share, arms, &weight)
        },
        chart("Error rate", Scale::Share, arms, &|point| point.errors),
        chart("p95 latency", Scale::Seconds, arms, &|point| point.p95),
        Chart {
            bar: bar(|glance| glance.ln_bar, "it is worse", false),
            ..chart("Evidence that it is worse", Scale::Power, kinds, &|point| {
                point.worse
            })
        },
        Chart {
            bar: bar(|glance| glance.ln_safe_bar, "it is within", true),
            ..chart(
                "Evidence that it is within the limits",
                Scale::Power,
                kinds,
                &|point| point.within,
            )
        },
    ];
    all.into_iter()
        .filter(|chart| !chart.lines.is_empty())
        .collect()
}

fn lines(
    points: &[Option<Point>],
    names: [(&'static str, Ink); 2],
    of: &dyn Fn(&Point) -> [Option<f64>; 2],
) -> Vec<Line> {
    let mut lines: Vec<Line> = names
        .into_iter()
        .map(|(name, ink)| Line {
            name,
            ink,
            values: Vec::with_capacity(points.len()),
        })
        .collect();
    for point in points {
        let pair = point.as_ref().map_or([None, None], of);
        for (line, value) in lines.iter_mut().zip(pair) {
            line.values.push(value);
        }
    }
    lines.retain(|line| line.values.iter().any(Option::is_some));
    lines
}

/// What the last look said, and when; in full where the ending does not say it, too.
pub(super) fn last_word(heard: &Heard, last: &Glance, safe: &impl Fn(&str) -> String) -> String {
    let (verdict, at) = (told::verdict(&last.verdict), told::time(last.at));
    let measured = heard.ending().and_then(|it| it.account.measured.as_deref());
    if last.said.is_empty() || measured.is_some_and(|measured| measured.contains(&last.said)) {
        return format!("{verdict} at {at}");
    }
    format!("{verdict} at {at}: {}", safe(&last.said))
}

/// The canary's part of the summary; empty where nothing was looked at. `safe` makes somebody's
/// text fit for Markdown.
pub(super) fn markdown(heard: &Heard, safe: impl Fn(&str) -> String) -> String {
    let glances = heard.glances.as_slice();
    let (Some(first), Some(last)) = (glances.first(), glances.last()) else {
        return String::new();
    };
    let points = points(glances, POINTS);
    let mut out = format!("#### Canary\n\n{}", tables::by_step(glances));
    out.push_str(&format!("\n{}\n", last_word(heard, last, &safe)));
    let looks = told::looks(glances.len());
    if points.len() > 1 {
        let drawn = mermaid::all(&charts(glances, &points), [first.at, last.at]);
        let span = told::time(last.at - first.at);
        out.push_str(&format!(
            "\n<details open><summary>Charts of {looks} in {span}</summary>\n\n{drawn}\n</details>\n"
        ));
    }
    let rows = tables::every_point(glances, &points);
    out.push_str(&format!(
        "\n<details><summary>The same in numbers</summary>\n\n{rows}\n</details>\n"
    ));
    out
}
