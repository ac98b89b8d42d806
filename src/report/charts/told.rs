//! Numbers of a canary in words: odds, times, verdicts.

use std::f64::consts::LN_10;
use std::time::Duration;

use crate::platform::text;

use super::Scale;

/// Odds are not told beyond this many to one.
const MOST: f64 = 1e6;

/// Known verdicts: the name, what people read, and how much it matters beside others.
const VERDICTS: &[(&str, &str, u8)] = &[
    ("safe", "✅ safe", 0),
    ("inconclusive", "➖ inconclusive", 0),
    ("no-data", "❔ no data", 1),
    ("warn", "⚠️ warn", 2),
    ("rollback", "❌ rollback", 3),
];

/// A verdict with its sign; one that is not known is told as that.
pub(in crate::report) fn verdict(name: &str) -> &'static str {
    let known = VERDICTS.iter().find(|(known, ..)| *known == name);
    known.map_or("❔ unknown", |(_, told, _)| told)
}

/// A verdict without its sign.
pub(in crate::report) fn word(name: &str) -> &'static str {
    let told = verdict(name);
    told.split_once(' ').map_or(told, |(_, word)| word)
}

/// How much a verdict matters beside another.
pub(in crate::report) fn gravity(name: &str) -> u8 {
    let known = VERDICTS.iter().find(|(known, ..)| *known == name);
    known.map_or(0, |(_, _, gravity)| *gravity)
}

/// From a natural logarithm to a power of ten.
pub(in crate::report) fn power(ln: f64) -> f64 {
    ln / LN_10
}

/// A power of ten as odds: `40 : 1`, `1 : 8`.
pub(in crate::report) fn odds(power: f64) -> String {
    let odds = 10_f64.powf(power.abs());
    let told = if odds >= MOST {
        format!("over {}", text::thousands(MOST as u64))
    } else if odds < 9.95 {
        let told = format!("{odds:.1}");
        told.strip_suffix(".0").unwrap_or(&told).to_owned()
    } else {
        text::thousands(odds.round() as u64)
    };
    match told.as_str() {
        told if power < 0.0 && told != "1" => format!("1 : {told}"),
        told => format!("{told} : 1"),
    }
}

/// Seconds since the canary began, or of a latency.
pub(in crate::report) fn time(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(
        |_| "0 s".to_owned(),
        |it| match it {
            it if it.is_zero() => "0 s".to_owned(),
            it => text::duration(it),
        },
    )
}

/// `24 looks`.
pub(in crate::report) fn looks(looks: usize) -> String {
    text::count(looks as u64, "look")
}

impl Scale {
    /// A value with its unit.
    pub(in crate::report) fn told(self, value: f64) -> String {
        match self {
            Self::Share => text::percent(value),
            Self::Seconds => time(value),
            Self::Power => odds(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_read_like_odds() {
        for (ln, told) in [
            (0.0, "1 : 1"),
            (-0.0, "1 : 1"),
            (-0.01, "1 : 1"),
            (40_f64.ln(), "40 : 1"),
            (-(8_f64.ln()), "1 : 8"),
            (2.5_f64.ln(), "2.5 : 1"),
            (1234_f64.ln(), "1,234 : 1"),
            (900.0, "over 1,000,000 : 1"),
            (-900.0, "1 : over 1,000,000"),
        ] {
            assert_eq!(odds(power(ln)), told, "{ln}");
        }
        assert_eq!(time(-1.0), "0 s");
        assert_eq!(time(730.0), "12 m 10 s");
    }
}
