//! Charts as Mermaid, which GitHub draws in a step summary.
//!
//! `xychart-beta` is the spelling that old and new versions know. It has no legend, so the colours
//! are set and named above each chart; it knows no gaps, so a line goes on where nothing was
//! measured; and it has no logarithmic axis, so evidence is drawn as a power of ten.

use std::fmt::Write as _;

use super::{Chart, Ink, Line, POWERS, Scale, told};

/// The bar's colour; it must be seen on white and on black, as all of them.
const BAR: (&str, &str) = ("#8b949e", "⬜");

/// All charts, each with its legend.
pub(super) fn all(charts: &[Chart], span: [f64; 2]) -> String {
    let charts: Vec<String> = charts.iter().map(|chart| one(chart, span)).collect();
    charts.join("\n")
}

fn one(chart: &Chart, [from, to]: [f64; 2]) -> String {
    let (per, unit) = match to - from {
        length if length > 7200.0 => (3600.0, "hours"),
        length if length > 120.0 => (60.0, "minutes"),
        _ => (1.0, "seconds"),
    };
    let palette: Vec<&str> = chart.lines.iter().map(|line| color(line.ink).0).collect();
    let palette = match chart.bar {
        Some(_) => [palette.as_slice(), &[BAR.0]].concat(),
        None => palette,
    };
    let filled: Vec<Vec<f64>> = chart.lines.iter().map(|line| filled(chart, line)).collect();
    let bar = chart.bar.map(|bar| bar.at);
    let values = filled.iter().flatten().copied().chain(bar);
    let (low, high) = match chart.is_stepped {
        true => (0.0, 100.0),
        false => range(chart.scale, values),
    };
    let axis = match chart.scale {
        Scale::Share => "percent",
        Scale::Seconds => "milliseconds",
        Scale::Power => "power of ten",
    };
    let mut out = format!("{}\n\n```mermaid\n", legend(chart));
    let _ = writeln!(
        out,
        "%%{{init: {{\"xyChart\": {{\"width\": 760, \"height\": 280}}, \"themeVariables\": {{\"xyChart\": {{\"plotColorPalette\": \"{}\"}}}}}}}}%%",
        palette.join(", ")
    );
    let _ = writeln!(out, "xychart-beta\n  title \"{}\"", chart.title);
    let _ = writeln!(
        out,
        "  x-axis \"{unit} since its first traffic\" {} --> {}",
        number(from / per),
        number(to / per)
    );
    let _ = writeln!(
        out,
        "  y-axis \"{axis}\" {} --> {}",
        number(low),
        number(high)
    );
    let kind = if chart.is_stepped { "bar" } else { "line" };
    for values in &filled {
        let _ = writeln!(out, "  {kind} {}", list(values));
    }
    if let (Some(bar), Some(first)) = (bar, filled.first()) {
        let _ = writeln!(out, "  line {}", list(&vec![bar; first.len()]));
    }
    out.push_str("```\n");
    out
}

/// What the colours stand for, with where the lines end.
fn legend(chart: &Chart) -> String {
    let mut parts = Vec::new();
    for line in &chart.lines {
        let sign = color(line.ink).1;
        let last = line.values.iter().rev().copied().flatten().next();
        let last = last.map(|last| chart.scale.told(last)).unwrap_or_default();
        parts.push(format!("{sign} {} {last}", line.name));
    }
    if let Some(bar) = chart.bar {
        let (odds, power) = (told::odds(bar.at), number(bar.at));
        parts.push(format!("{} {odds} (at {power}): {}", BAR.1, bar.says));
    }
    parts.join(" · ")
}

const fn color(ink: Ink) -> (&'static str, &'static str) {
    match ink {
        Ink::Canary => ("#db6d28", "🟧"),
        Ink::Stable => ("#2f81f7", "🟦"),
        Ink::Latency => ("#a371f7", "🟪"),
    }
}

/// A line's values in the unit of its axis. Where there is none, the one before holds; before the
/// first, the first does.
fn filled(chart: &Chart, line: &Line) -> Vec<f64> {
    let mut held = line.values.iter().copied().flatten().next().unwrap_or(0.0);
    let values = line.values.iter().map(|value| {
        held = value.unwrap_or(held);
        drawn(chart.scale, held)
    });
    values.collect()
}

fn drawn(scale: Scale, value: f64) -> f64 {
    let [least, most] = POWERS;
    match scale {
        Scale::Share => value * 100.0,
        Scale::Seconds => value * 1000.0,
        Scale::Power => value.clamp(least, most),
    }
}

/// From where to where an axis goes.
fn range(scale: Scale, values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    match scale {
        Scale::Power => (low.floor(), (high + 0.25).ceil()),
        Scale::Share | Scale::Seconds => (0.0, round_above(high)),
    }
}

/// The next of 1, 2, 4, 5, 8, 10 and so on.
fn round_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let unit = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0];
    let found = steps.into_iter().find(|step| step * unit >= value);
    found.unwrap_or(10.0) * unit
}

fn list(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
    format!("[{}]", values.join(", "))
}

/// With three decimals at most.
fn number(value: f64) -> String {
    let told = format!("{value:.3}");
    let told = told.trim_end_matches('0').trim_end_matches('.');
    match told {
        "-0" => "0".to_owned(),
        told => told.to_owned(),
    }
}
