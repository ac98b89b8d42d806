//! What was measured, as names with values: the receipt of the last shift, and what users felt.

use std::time::Duration;

use crate::model::figures;
use crate::model::receipt::Receipt;
use crate::platform::text;

use super::heard::Heard;

/// The rows of a receipt; empty where nothing was measured. `safe` makes somebody's text fit for
/// where it goes.
pub(super) fn rows(heard: &Heard, safe: impl Fn(&str) -> String) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(receipt) = heard.receipts.last() {
        shift_rows(receipt, &safe, &mut rows);
    }
    if let Some(figures) = &heard.figures {
        figure_rows(figures, &mut rows);
    }
    rows
}

/// `green 0 % → 100 %`.
pub(super) fn shift(receipt: &Receipt, safe: impl Fn(&str) -> String) -> String {
    let slot = safe(&receipt.slot);
    let (before, after) = (receipt.weight_before, receipt.weight_after);
    format!("{slot} {before} % → {after} %")
}

/// `3 of 3,012 (0.1 %)`.
pub(super) fn failed_of(figures: &figures::Summary) -> String {
    let failed = text::thousands(figures.requests_failed);
    let sent = text::thousands(figures.requests_sent);
    let rate = figures.error_rate.map(text::percent);
    rate.map_or_else(
        || "nothing was sent".to_owned(),
        |rate| format!("{failed} of {sent} ({rate})"),
    )
}

/// Milliseconds with a unit that suits them; empty where nothing was measured.
pub(super) fn ms(ms: Option<f64>) -> String {
    ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok())
        .map_or_else(String::new, text::duration)
}

fn shift_rows(
    receipt: &Receipt,
    safe: &impl Fn(&str) -> String,
    rows: &mut Vec<(&'static str, String)>,
) {
    rows.push(("traffic", shift(receipt, safe)));
    let release = |release: &Option<String>| {
        let release = release.as_deref().map(text::short_sha);
        safe(release.unwrap_or("unknown"))
    };
    let (old, new) = (
        release(&receipt.release_before),
        release(&receipt.release_after),
    );
    rows.push(("release", format!("{old} → {new}")));
    rows.push(("router's write", ms(Some(receipt.switch_ms))));
    let after = |at: Option<f64>, never: &str| match at {
        Some(_) => format!("{} after the write", ms(at)),
        None => never.to_owned(),
    };
    rows.push(("proved", after(receipt.proved_ms, "no")));
    rows.push((
        "last answer of the old release",
        after(receipt.last_old_ms, "none after the write"),
    ));
    if let Some(loss) = &receipt.known_loss {
        rows.push(("known loss of this router", safe(loss)));
    }
}

fn figure_rows(figures: &figures::Summary, rows: &mut Vec<(&'static str, String)>) {
    rows.push(("requests failed", failed_of(figures)));
    let latencies = [
        ("p50", figures.p50_ms),
        ("p95", figures.p95_ms),
        ("p99", figures.p99_ms),
        ("slowest", figures.slowest_ms),
    ];
    rows.extend(
        latencies
            .into_iter()
            .filter(|(_, measured)| measured.is_some())
            .map(|(name, measured)| (name, ms(measured))),
    );
}
