//! What is said of a metric: what was measured, what was expected, and how rare that is.

use std::time::Duration;

use jiff::Timestamp;

use crate::model::anomaly::Deviation;
use crate::model::metric::Unit;
use crate::platform::text;

use super::{Baseline, Basis, IN_A_ROW, Part, Rules, Window};

/// `2.1 %, 1 % is expected at this time of day (unusual above 1.4 %) since 10:02Z; …`.
pub(super) fn unusual(baseline: &Baseline, deviation: &Deviation) -> String {
    let told = |value| deviation.unit.told(value);
    let mut said = format!(
        "{}, {} is expected {} ({}) since {}; p {}, severity {:.0} ({})",
        told(deviation.measured),
        told(deviation.expected),
        when(baseline),
        limit(baseline, deviation.unit, deviation.limit),
        clock(deviation.since),
        deviation.p_told(),
        deviation.severity,
        deviation.grade(),
    );
    if baseline.part() == Part::Rps {
        said.push_str("; fewer than half of the requests: is what is upstream well?");
    }
    if deviation.before {
        said.push_str("; it began before the deployment");
    }
    said
}

/// `1 %, 1.1 % is expected at this time of day (unusual above 1.4 %)`.
pub(super) fn usual(baseline: &Baseline, unit: Unit, newest: &Window, row: usize) -> String {
    let mut said = format!(
        "{}, {} is expected {} ({})",
        unit.told(newest.measured),
        unit.told(newest.expected),
        when(baseline),
        limit(baseline, unit, newest.limit),
    );
    if row > 0 {
        said.push_str(&format!("; past that in {row} of {IN_A_ROW} windows"));
    }
    said
}

/// `2 figures in the last 5 m, and 4 are needed`.
pub(super) fn unknown(figures: usize, rules: &Rules) -> String {
    let window = Duration::from_millis(rules.window.unsigned_abs());
    format!(
        "{} in the last {}, and {} are needed",
        text::count(figures as u64, "figure"),
        text::duration(window),
        rules.enough(),
    )
}

/// `2.1 times what is expected`.
pub(super) fn times(deviation: &Deviation) -> String {
    match deviation.measured / deviation.expected {
        times if times.is_finite() && times < 1e4 => {
            format!("{times:.1} times what is expected")
        }
        _ => "where none is expected".to_owned(),
    }
}

/// `it grows to 100 % within 9 m`.
pub(super) fn leak(minutes: f64, limit: f64) -> String {
    format!(
        "at this pace it is at {} in {:.0} m",
        text::percent(limit),
        minutes.ceil()
    )
}

/// What the expected value is from.
fn when(baseline: &Baseline) -> String {
    match baseline.basis() {
        Basis::Season(_) => "at this time of day".to_owned(),
        Basis::Short(ms) => format!(
            "by the {} before, for too little is known of the time of day",
            text::long(Duration::from_millis(ms.unsigned_abs()))
        ),
    }
}

fn limit(baseline: &Baseline, unit: Unit, limit: f64) -> String {
    let word = match baseline.part() {
        Part::Rps => "below",
        _ => "above",
    };
    format!("unusual {word} {}", unit.told(limit.max(0.0)))
}

/// `10:02Z`.
fn clock(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map(|at| at.strftime("%H:%MZ").to_string())
        .unwrap_or_default()
}
