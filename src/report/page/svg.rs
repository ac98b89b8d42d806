//! Charts as SVG within the page: numbers in, elements out. Colours are the style's, by class.
//!
//! A chart is 400 units wide, so that its words can still be read where a phone shows it at 340.

use std::fmt::Write as _;

use crate::model::canary::Glance;

use super::super::charts::{Bar, Chart, Ink, POWERS, Point, Scale, told};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 388.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 164.0;

/// Distances of ticks on the axis of time, in seconds.
const TIMES: [f64; 16] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 43_200.0,
];

/// What all charts of a canary share: the axis of time, and what is marked on it.
pub(super) struct Frame {
    from: f64,
    to: f64,
    times: Vec<f64>,
    /// When a step ended, and the weight of each step with its beginning.
    steps: Vec<(f64, u8)>,
    /// The class of the last look, where that decides.
    end: Option<&'static str>,
}

impl Frame {
    pub(super) fn of(points: &[Option<Point>], first: f64, last: f64) -> Self {
        // The time before the first look is shown where it is not most of it.
        let from = if first * 4.0 <= last { 0.0 } else { first };
        let times: Vec<f64> = points.iter().flatten().map(|point| point.at).collect();
        let mut steps: Vec<(f64, u8)> = Vec::new();
        let mut before = from;
        for point in points.iter().flatten() {
            if point.step > 0
                && steps
                    .last()
                    .is_none_or(|(_, weight)| *weight != point.weight)
            {
                steps.push((before, point.weight));
            }
            before = point.at;
        }
        let end = points.last().and_then(Option::as_ref);
        let end = end.and_then(|point| match point.verdict.as_str() {
            "safe" => Some("good"),
            "rollback" => Some("bad"),
            _ => None,
        });
        Self {
            from,
            to: last,
            times,
            steps,
            end,
        }
    }

    /// Where a time is, from 0 to 1.
    fn share(&self, at: f64) -> f64 {
        ((at - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + self.share(at) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> Vec<f64> {
        let length = self.to - self.from;
        let step = TIMES.into_iter().find(|step| length / step <= 5.0);
        every(step.unwrap_or(length / 4.0), self.from, self.to)
    }
}

/// A line's class.
pub(super) const fn class(ink: Ink) -> &'static str {
    match ink {
        Ink::Canary => "canary",
        Ink::Stable => "stable",
        Ink::Latency => "latency",
    }
}

/// A bar's class: what it is to go beyond it.
pub(super) const fn class_of_bar(bar: Bar) -> &'static str {
    match bar.is_good {
        true => "bar good",
        false => "bar bad",
    }
}

/// A chart; `goes_to` is where its value went after the last look.
pub(super) fn chart(nth: usize, chart: &Chart, frame: &Frame, goes_to: Option<f64>) -> String {
    let axis = Axis::of(chart, goes_to);
    let mut out = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"t{nth} d{nth}\">\n\
         <title id=\"t{nth}\">{}</title>\n<desc id=\"d{nth}\">{}</desc>\n",
        chart.title,
        described(chart)
    );
    for tick in &axis.ticks {
        let y = axis.y(*tick);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            axis.told(*tick)
        );
    }
    for tick in frame.ticks() {
        let x = frame.x(tick);
        let anchor = if x > RIGHT - 16.0 { "end" } else { "middle" };
        let x = if anchor == "end" { RIGHT } else { x };
        let _ = writeln!(
            out,
            "<text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>",
            BOTTOM + 18.0,
            told::time(tick)
        );
    }
    out.push_str(&marks(chart, frame, &axis));
    for line in &chart.lines {
        let class = class(line.ink);
        if chart.is_stepped {
            out.push_str(&stepped(&line.values, frame, &axis, goes_to));
            continue;
        }
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"{}\"/>",
            path(&line.values, frame, &axis)
        );
        // A value without a neighbour is no line, and the last one is what counts.
        for (i, value) in line.values.iter().enumerate() {
            let near = |at: Option<usize>| {
                at.and_then(|at| line.values.get(at))
                    .is_some_and(Option::is_some)
            };
            let is_alone = !near(i.checked_sub(1)) && !near(Some(i + 1));
            let is_last = i + 1 == line.values.len();
            if let (Some(value), Some(at)) = (value, frame.times.get(i))
                && (is_alone || is_last)
            {
                let (x, y) = (frame.x(*at), axis.y(*value));
                let _ = writeln!(
                    out,
                    "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>"
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Where the steps end, the bar, and the look that decided.
fn marks(chart: &Chart, frame: &Frame, axis: &Axis) -> String {
    let mut out = String::new();
    let upright = |class: &str, x: f64| {
        format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\n"
        )
    };
    for (nth, (at, weight)) in frame.steps.iter().enumerate() {
        if nth > 0 {
            out.push_str(&upright("step", frame.x(*at)));
        }
        let until = frame.steps.get(nth + 1).map_or(frame.to, |(at, _)| *at);
        let (left, right) = (frame.x(*at), frame.x(until));
        if right - left > 34.0 {
            let class = if chart.is_stepped { "weight" } else { "" };
            let _ = writeln!(
                out,
                "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{weight} %</text>",
                (left + right) / 2.0,
                TOP - 7.0
            );
        }
    }
    if let Some(end) = frame.end {
        out.push_str(&upright(&format!("end {end}"), frame.x(frame.to)));
    }
    if let Some(bar) = chart.bar {
        let (y, class) = (axis.y(bar.at), class_of_bar(bar));
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"{class}\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
            LEFT + 4.0,
            y - 4.0,
            told::odds(bar.at)
        );
    }
    out
}

/// The axis of values.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn of(chart: &Chart, goes_to: Option<f64>) -> Self {
        let values = chart.lines.iter().flat_map(|line| &line.values);
        let values = values.copied().flatten().chain(chart.bar.map(|bar| bar.at));
        let (low, high) = values
            .chain(goes_to)
            .fold((0.0_f64, 0.0_f64), |(low, high), it| {
                (low.min(it), high.max(it))
            });
        let [least, most] = POWERS;
        let (low, high, step) = match chart.scale {
            Scale::Power => {
                let (low, high) = (low.max(least).floor(), (high.min(most) + 0.2).ceil());
                (low, high, ((high - low) / 5.0).ceil().max(1.0))
            }
            Scale::Share if chart.is_stepped => (0.0, 1.0, 0.25),
            Scale::Share | Scale::Seconds => {
                // Nothing at all is still a line at the bottom of something.
                let high = if high > 0.0 { high } else { 0.01 };
                let step = nice(high / 3.0);
                (0.0, (high / step - 1e-9).ceil() * step, step)
            }
        };
        Self {
            scale: chart.scale,
            low,
            high,
            ticks: every(step, low, high),
        }
    }

    fn y(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        BOTTOM - (value - self.low) / (self.high - self.low) * (BOTTOM - TOP)
    }

    fn told(&self, tick: f64) -> String {
        match self.scale {
            Scale::Power if tick >= 4.0 => format!(
                "10<tspan dy=\"-4\" font-size=\"9\">{tick}</tspan><tspan dy=\"4\"> : 1</tspan>"
            ),
            scale => scale.told(tick),
        }
    }
}

/// The next of 1, 2, 2.5 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let unit = 10_f64.powf(step.log10().floor());
    let found = [1.0, 2.0, 2.5, 5.0]
        .into_iter()
        .find(|it| it * unit >= step);
    found.unwrap_or(10.0) * unit
}

/// Every multiple of `step` in a range; not more than a chart can hold, whatever the range.
fn every(step: f64, from: f64, to: f64) -> Vec<f64> {
    let first = (from / step - 1e-9).ceil();
    (0..12)
        .map(|nth| (first + f64::from(nth)) * step)
        .take_while(|tick| *tick <= to + step * 1e-6)
        .collect()
}

/// A line through the values, broken where there are none.
fn path(values: &[Option<f64>], frame: &Frame, axis: &Axis) -> String {
    let mut out = String::new();
    let mut pen = 'M';
    for (value, at) in values.iter().zip(&frame.times) {
        match value {
            Some(value) => {
                let _ = write!(out, "{pen}{:.1} {:.1}", frame.x(*at), axis.y(*value));
                pen = 'L';
            }
            None => pen = 'M',
        }
    }
    out
}

/// Values that held from one look to the next, and where they went at the end.
fn stepped(values: &[Option<f64>], frame: &Frame, axis: &Axis, goes_to: Option<f64>) -> String {
    let mut line = String::new();
    for (value, at) in values.iter().zip(&frame.times) {
        let Some(value) = value else { continue };
        let (x, y) = (frame.x(*at), axis.y(*value));
        if line.is_empty() {
            let _ = write!(line, "M{LEFT:.1} {y:.1}H{x:.1}");
        } else {
            let _ = write!(line, "V{y:.1}H{x:.1}");
        }
    }
    let mut out = format!(
        "<path class=\"area\" d=\"{line}V{BOTTOM}H{LEFT}Z\"/>\n<path class=\"canary\" d=\"{line}\"/>\n"
    );
    if let (Some(goes_to), Some(Some(last))) = (goes_to, values.last()) {
        let (x, from, to) = (frame.x(frame.to), axis.y(*last), axis.y(goes_to));
        let _ = writeln!(
            out,
            "<path class=\"canary\" d=\"M{x:.1} {from:.1}V{to:.1}\"/><circle class=\"canary\" cx=\"{x:.1}\" cy=\"{to:.1}\" r=\"3.5\"/>"
        );
    }
    out
}

/// A chart in a sentence, for whoever does not see it.
fn described(chart: &Chart) -> String {
    let mut parts = Vec::new();
    for line in &chart.lines {
        let values = || line.values.iter().copied().flatten();
        if let (Some(last), Some(highest)) = (values().last(), values().reduce(f64::max)) {
            let (last, highest) = (chart.scale.told(last), chart.scale.told(highest));
            parts.push(format!(
                "{}: at the end {last}, at most {highest}",
                line.name
            ));
        }
    }
    if let Some(bar) = chart.bar {
        parts.push(format!("{} from {}", bar.says, told::odds(bar.at)));
    }
    parts.join("; ")
}

/// What each look said, from left to right.
pub(super) fn strip(frame: &Frame, glances: &[Glance]) -> String {
    let mut out = String::from(
        "<svg class=\"strip\" role=\"img\" aria-label=\"What each look said; the table of looks has the same\">\n",
    );
    let mut from = frame.from;
    for same in glances.chunk_by(|one, next| one.verdict == next.verdict) {
        let Some(last) = same.last() else { continue };
        let (left, right) = (frame.share(from) * 100.0, frame.share(last.at) * 100.0);
        from = last.at;
        let (class, on) = match last.verdict.as_str() {
            "safe" => ("good", "on"),
            "warn" => ("warn", "on"),
            "rollback" => ("bad", "on"),
            "inconclusive" => ("quiet", "over"),
            _ => ("none", "over"),
        };
        let word = told::word(&last.verdict);
        let width = (right - left).max(0.6);
        let left = left.min(100.0 - width);
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{left:.2}%\" width=\"{width:.2}%\" y=\"0\" height=\"26\"><title>{word} until {}</title></rect>",
            told::time(last.at)
        );
        if width > 26.0 {
            let _ = writeln!(
                out,
                "<text class=\"{on}\" x=\"{:.2}%\" y=\"17\" text-anchor=\"middle\">{word}</text>",
                left + width / 2.0
            );
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"0\" y=\"42\">{}</text><text x=\"100%\" y=\"42\" text-anchor=\"end\">{}</text>",
        told::time(frame.from),
        told::time(frame.to)
    );
    out.push_str("</svg>\n");
    out
}
