//! The canary's part of the page: what each look said, the charts, and the numbers behind them.

use crate::model::canary::Glance;
use crate::model::ending::Decision;

use super::super::charts::{self, Chart, Line, Point, told};
use super::super::heard::Heard;
use super::element::{folded, section, table};
use super::svg::{self, Frame};

/// How many points a chart has at most.
const POINTS: usize = 240;

/// How many rows the table of looks has at most.
const ROWS: usize = 120;

pub(super) fn looks(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    section("Canary", &content(heard, safe))
}

fn content(heard: &Heard, safe: &impl Fn(&str) -> String) -> String {
    let (Some(first), Some(last)) = (heard.glances.first(), heard.glances.last()) else {
        return String::new();
    };
    let mut out = format!("<p>{}</p>\n", charts::last_word(heard, last, safe));
    let points: Vec<Option<Point>> = charts::points(&heard.glances, POINTS);
    let points: Vec<Option<Point>> = points.into_iter().filter(Option::is_some).collect();
    if points.len() > 1 {
        let frame = Frame::of(&points, first.at, last.at);
        out.push_str(&svg::strip(&frame, &heard.glances));
        let charts = charts::charts(&heard.glances, &points);
        out.push_str(&format!("<div class=\"charts of-{}\">\n", charts.len()));
        for (nth, chart) in charts.iter().enumerate() {
            out.push_str(&figure(nth, chart, &frame, heard));
        }
        out.push_str("</div>\n");
    }
    out + &by_step(&heard.glances)
}

fn figure(nth: usize, chart: &Chart, frame: &Frame, heard: &Heard) -> String {
    // The last look is the last that is known of the weight, but not where it went.
    let goes_to = heard
        .ending()
        .filter(|_| chart.is_stepped)
        .and_then(|ending| match ending.decision {
            Decision::Promoted => Some(1.0),
            Decision::RolledBack => Some(0.0),
            _ => None,
        });
    let legend: Vec<String> = chart
        .lines
        .iter()
        .map(|line| key(chart, line, goes_to))
        .collect();
    let mut legend = legend.concat();
    if let Some(bar) = chart.bar {
        legend.push_str(&format!(
            "<span><i class=\"{}\"></i>{} from <b>{}</b></span>",
            svg::class_of_bar(bar),
            bar.says,
            told::odds(bar.at)
        ));
    }
    format!(
        "<figure>\n<figcaption><h3>{}</h3><p class=\"legend\">{legend}</p></figcaption>\n{}</figure>\n",
        chart.title,
        svg::chart(nth, chart, frame, goes_to)
    )
}

/// A line's name with its last value, and where that went.
fn key(chart: &Chart, line: &Line, goes_to: Option<f64>) -> String {
    let last = line.values.iter().rev().copied().flatten().next();
    let last = last.map_or_else(|| "–".to_owned(), |last| chart.scale.told(last));
    let last = match goes_to {
        Some(goes_to) => format!("{last} → {}", chart.scale.told(goes_to)),
        None => last,
    };
    let (class, name) = (svg::class(line.ink), line.name);
    format!("<span><i class=\"{class}\"></i>{name} <b>{last}</b></span>")
}

fn by_step(glances: &[Glance]) -> String {
    let rows: Vec<Vec<String>> = charts::steps(glances)
        .into_iter()
        .map(|step| {
            let [canary, stable] = step.errors;
            let [canary_p95, stable_p95] = step.p95;
            let looks = format!("{} in {}", step.looks, told::time(step.length));
            vec![
                step.weight,
                looks,
                canary,
                stable,
                canary_p95,
                stable_p95,
                told::verdict(&step.verdict).to_owned(),
            ]
        })
        .collect();
    let heads = [
        "#weight",
        "#looks",
        "#errors of the canary",
        "#of the stable release",
        "#highest p95 of the canary",
        "#of the stable release",
        "verdict",
    ];
    table(true, "Steps of the canary", &heads, &rows)
}

/// The numbers behind the charts, for whoever cannot see them.
pub(super) fn numbers(heard: &Heard) -> String {
    if heard.glances.is_empty() {
        return String::new();
    }
    let points = charts::points(&heard.glances, ROWS);
    let heads = charts::heads(&heard.glances);
    let mut heads: Vec<String> = heads.into_iter().map(|head| format!("#{head}")).collect();
    if let Some(verdict) = heads.last_mut() {
        verdict.remove(0);
    }
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let rows = charts::all_rows(&points);
    let mut out = String::new();
    if rows.len() < heard.glances.len() {
        out.push_str("<p class=\"dim\">A row with several looks in it has the highest figure of each kind.</p>\n");
    }
    out.push_str(&table(true, "Looks", &heads, &rows));
    folded(
        &format!("{} in numbers", told::looks(heard.glances.len())),
        &out,
    )
}
