//! Kayenta's judge: Mann-Whitney on points a minute apart, over a window that grows. A metric is
//! high where the interval of the shift lies above a quarter of the shift's estimate.

use super::Outcome;
use super::seen::{Seen, Window};

/// 98 % on both sides.
const Z: f64 = 2.326_347_874_040_841;

/// What part of the estimate the interval must be above.
const TOLERANCE: f64 = 0.25;

/// Judged every five minutes.
pub(crate) fn each_five_minutes(seen: &Seen) -> Outcome {
    judged(seen, (5..=30).step_by(5))
}

/// Judged every minute from the fifth on.
pub(crate) fn each_minute(seen: &Seen) -> Outcome {
    judged(seen, 5..=30)
}

fn judged(seen: &Seen, minutes: impl Iterator<Item = usize>) -> Outcome {
    let figures: [fn(&Window) -> f64; 2] = [|it| it.errors, |it| it.p95];
    for minute in minutes {
        let is_high = figures.iter().any(|figure| {
            let [canary, stable] = seen.minutes.each_ref().map(|arm| {
                let points = arm.iter().take(minute).map(figure);
                points.filter(|it| !it.is_nan()).collect::<Vec<f64>>()
            });
            is_high(canary, stable)
        });
        if is_high {
            return Outcome::back(minute * 60);
        }
    }
    Outcome::default()
}

fn is_high(mut canary: Vec<f64>, mut stable: Vec<f64>) -> bool {
    if canary.is_empty() || stable.is_empty() {
        return false;
    }
    canary.sort_by(f64::total_cmp);
    stable.sort_by(f64::total_cmp);
    if canary == stable {
        return false;
    }
    let mut shifts: Vec<f64> = canary
        .iter()
        .flat_map(|one| stable.iter().map(move |other| one - other))
        .collect();
    let (n, m) = (canary.len() as f64, stable.len() as f64);
    let pairs = n * m;
    // Points of one release that are equal stay so however they are shifted.
    let ties = (ties(&canary) + ties(&stable)) / ((n + m) * (n + m - 1.0));
    let deviation = (pairs / 12.0 * (n + m + 1.0 - ties)).max(0.0).sqrt();
    // The interval begins where so many pairs lie above it.
    let above = (pairs / 2.0 + 0.5 + Z * deviation).ceil();
    if above > pairs {
        return false;
    }
    let below = shifts.len() - above as usize;
    let (_, lower, _) = shifts.select_nth_unstable_by(below, f64::total_cmp);
    let lower = *lower;
    let middle = shifts.len() / 2;
    let (_, estimate, _) = shifts.select_nth_unstable_by(middle, f64::total_cmp);
    lower > TOLERANCE * estimate.abs()
}

/// The sum of t³ - t over groups of t equal points.
fn ties(sorted: &[f64]) -> f64 {
    let groups = sorted.chunk_by(|one, other| one == other);
    let sizes = groups.map(|group| group.len() as f64);
    sizes.map(|t| t.powi(3) - t).sum()
}
