//! Figures with their limits as a table of the step summary.

use crate::model::anomaly::Deviation;
use crate::model::assessment::{Assessment, Health};
use crate::platform::text;

use super::markdown::row;

/// A row for each figure; `safe` makes somebody's text fit for a cell.
pub(super) fn table(figures: &[Assessment], safe: impl Fn(&str) -> String) -> String {
    if figures.is_empty() {
        return String::new();
    }
    let mut out = "#### Figures\n\n| metric | value | limit | past it for | state |\n\
                   |---|---|---|---|---|\n"
        .to_owned();
    out.extend(rows(figures, safe).iter().map(|cells| row(cells)));
    out
}

/// The cells of the rows.
pub(super) fn rows(figures: &[Assessment], safe: impl Fn(&str) -> String) -> Vec<[String; 5]> {
    let cells = figures.iter().map(|figure| {
        let bound = figure.bound.as_ref();
        let state = match (figure.health, bound) {
            (Health::Unhealthy, Some(bound)) => format!("❌ unhealthy, {}", bound.severity),
            (Health::Healthy, Some(_)) => "✅ healthy".to_owned(),
            (Health::Healthy, None) => String::new(),
            (other, _) => format!("❔ {}", other.name()),
        };
        [
            safe(&figure.metric),
            safe(&value(figure)),
            safe(&bound.map(|bound| bound.whole()).unwrap_or_default()),
            safe(&figure.lasted),
            state,
        ]
    });
    cells.collect()
}

/// A row for each metric that is not as it always is.
pub(super) fn anomalies(all: &[Deviation], safe: impl Fn(&str) -> String) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut out =
        "#### Anomalies\n\n| metric | measured | expected | unusual from | p | severity | |\n\
                   |---|--:|--:|--:|--:|--:|---|\n"
            .to_owned();
    for one in all {
        let told = |value: f64| one.unit.told(value);
        let before = if one.before {
            "began before the deployment"
        } else {
            ""
        };
        out.push_str(&row(&[
            safe(&one.metric),
            told(one.measured),
            told(one.expected),
            told(one.limit.max(0.0)),
            one.p_told(),
            format!("{:.0}, {}", one.severity, one.grade()),
            before.to_owned(),
        ]));
    }
    out
}

/// `7.3 % (183 of 2,507)`; where there is no value, why.
fn value(figure: &Assessment) -> String {
    let Some(value) = figure.value else {
        return figure.said.clone();
    };
    let told = figure.unit.told(value);
    match (figure.failed, figure.requests) {
        (Some(failed), Some(all)) => {
            let (failed, all) = (text::thousands(failed), text::thousands(all));
            format!("{told} ({failed} of {all})")
        }
        (None, Some(all)) => format!("{told} ({})", text::count(all, "request")),
        _ => told,
    }
}
