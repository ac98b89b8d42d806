//! The looks at a canary as charts: what is drawn, of how many points, in which unit.
//!
//! A chart here is numbers with names; `mermaid` writes it for the summary and `page::svg` for
//! the page, and the tables show the same numbers. Nothing of it is somebody's text.

mod mermaid;
mod points;
mod tables;
pub(super) mod told;

use crate::model::canary::Glance;

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
    /// What a line must reach to count, and what it then says.
    pub(super) bar: Option<(f64, &'static str)>,
}

/// The charts that there is something for; `points` may have holes.
pub(super) fn charts(glances: &[Glance], points: &[Option<Point>]) -> Vec<Chart> {
    let bar = |of: fn(&Glance) -> f64, says: &'static str| {
        let ln = glances.last().map(of).filter(|ln| *ln > 0.0);
        ln.map(|ln| (told::power(ln), says))
    };
    let arms = [("canary", Ink::Canary), ("stable", Ink::Stable)];
    let kinds = [("errors", Ink::Canary), ("slow requests", Ink::Latency)];
    // A recording that is judged again has no steps.
    let weight = |point: &Point| [(point.step > 0).then(|| f64::from(point.weight) / 100.0), None];
    let chart = |title, scale, names: [(&'static str, Ink); 2], of: &dyn Fn(&Point) -> [Option<f64>; 2]| Chart {
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
            bar: bar(|glance| glance.ln_bar, "it is worse"),
            ..chart("Evidence that it is worse", Scale::Power, kinds, &|point| {
                point.worse
            })
        },
        Chart {
            bar: bar(|glance| glance.ln_safe_bar, "it is within"),
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

/// The canary's part of the summary; empty where nothing was looked at. `safe` makes somebody's
/// text fit for Markdown.
pub(super) fn markdown(glances: &[Glance], safe: impl Fn(&str) -> String) -> String {
    let (Some(first), Some(last)) = (glances.first(), glances.last()) else {
        return String::new();
    };
    let points = points(glances, POINTS);
    let mut out = format!("#### Canary\n\n{}", tables::by_step(glances));
    out.push_str(&format!(
        "\n{} at {}: {}\n",
        told::verdict(&last.verdict),
        told::time(last.at),
        safe(&last.said)
    ));
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
