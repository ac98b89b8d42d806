//! From many looks to so few points that a chart can be read, at even distances in time.
//!
//! Where several looks fall together, the point has the highest figure of each kind, so that
//! nothing bad is averaged away; the last look stands alone.

use crate::model::canary::{Glance, Proved, Seen};

use super::told;

/// One look, or several: a value for each arm (canary, stable) or metric (errors, latency).
#[derive(Clone, Debug, PartialEq)]
pub(in crate::report) struct Point {
    /// Seconds, of the last look in it.
    pub(in crate::report) at: f64,
    pub(in crate::report) step: u32,
    /// Percent.
    pub(in crate::report) weight: u8,
    pub(in crate::report) verdict: String,
    pub(in crate::report) looks: usize,
    /// Shares of 1.
    pub(in crate::report) errors: [Option<f64>; 2],
    /// Seconds.
    pub(in crate::report) p95: [Option<f64>; 2],
    /// Powers of ten.
    pub(in crate::report) worse: [Option<f64>; 2],
    /// Likewise.
    pub(in crate::report) within: [Option<f64>; 2],
}

/// At most `most` points; `None` where nobody looked for as long as a point stands for.
pub(in crate::report) fn points(glances: &[Glance], most: usize) -> Vec<Option<Point>> {
    let (Some(first), Some((last, before))) = (glances.first(), glances.split_last()) else {
        return Vec::new();
    };
    let knows_latency = glances.iter().any(|glance| {
        let latency = &glance.latency;
        latency.ln_worse != 0.0 || latency.ln_within != 0.0
    });
    let length = last.at - first.at;
    let places = glances.len().min(most);
    if places < 2 || length <= 0.0 || !length.is_finite() {
        return vec![Some(Point::of(last, knows_latency))];
    }
    let mut points: Vec<Option<Point>> = vec![None; places];
    let apart = length / (places - 1) as f64;
    for glance in before {
        let place = ((glance.at - first.at) / apart).round().max(0.0) as usize;
        let point = Point::of(glance, knows_latency);
        if let Some(held) = points.get_mut(place.min(places - 2)) {
            match held {
                Some(held) => held.take(point),
                None => *held = Some(point),
            }
        }
    }
    if let Some(held) = points.last_mut() {
        *held = Some(Point::of(last, knows_latency));
    }
    points
}

impl Point {
    fn of(glance: &Glance, knows_latency: bool) -> Self {
        let counted = |seen: &Seen| (seen.requests > 0.0).then(|| seen.errors / seen.requests);
        let rate = |seen: &Seen| seen.error_rate.or_else(|| counted(seen));
        let p95 = |seen: &Seen| seen.p95.filter(|p95| p95.is_finite());
        let power = |ln: f64| ln.is_finite().then(|| told::power(ln));
        let proved = |of: fn(&Proved) -> f64| {
            let latency = knows_latency.then(|| of(&glance.latency));
            [power(of(&glance.errors)), latency.and_then(power)]
        };
        Self {
            at: glance.at,
            step: glance.step,
            weight: glance.weight,
            verdict: glance.verdict.clone(),
            looks: 1,
            errors: [rate(&glance.canary), rate(&glance.stable)],
            p95: [p95(&glance.canary), p95(&glance.stable)],
            worse: proved(|proved| proved.ln_worse),
            within: proved(|proved| proved.ln_within),
        }
    }

    /// Takes a later look in.
    fn take(&mut self, later: Self) {
        let higher = |mine: [Option<f64>; 2], others: [Option<f64>; 2]| {
            let [one, two] = mine;
            let [other_one, other_two] = others;
            let highest = |one: Option<f64>, other: Option<f64>| match (one, other) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => one.or(other),
            };
            [highest(one, other_one), highest(two, other_two)]
        };
        let verdict = if told::gravity(&self.verdict) > told::gravity(&later.verdict) {
            std::mem::take(&mut self.verdict)
        } else {
            later.verdict
        };
        *self = Self {
            at: later.at,
            step: later.step,
            weight: later.weight,
            verdict,
            looks: self.looks + 1,
            errors: higher(self.errors, later.errors),
            p95: higher(self.p95, later.p95),
            worse: higher(self.worse, later.worse),
            within: higher(self.within, later.within),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: f64, errors: f64) -> Glance {
        Glance {
            at,
            verdict: "inconclusive".to_owned(),
            canary: Seen {
                requests: 100.0,
                errors,
                ..Seen::default()
            },
            ..Glance::default()
        }
    }

    #[test]
    fn few_looks_are_left_as_they_are() {
        let looks: Vec<Glance> = (1..=12).map(|i| look(f64::from(i) * 10.0, 0.0)).collect();
        let points = points(&looks, 40);
        assert_eq!(points.len(), 12);
        assert!(points.iter().flatten().all(|point| point.looks == 1));
        assert_eq!(points.iter().flatten().count(), 12);
    }

    #[test]
    fn of_many_looks_the_extremes_and_the_last_are_kept() {
        let errors = |i: u32| match i {
            77 => 9.0,
            500 => 1.0,
            _ => 0.0,
        };
        let looks: Vec<Glance> = (1..=500)
            .map(|i| look(f64::from(i) * 10.0, errors(i)))
            .collect();
        let points = points(&looks, 40);
        assert_eq!(points.len(), 40);
        let rates: Vec<f64> = points
            .iter()
            .flatten()
            .filter_map(|p| p.errors[0])
            .collect();
        assert_eq!(rates.iter().copied().fold(0.0, f64::max), 0.09);
        let last = points.last().unwrap().as_ref().unwrap();
        assert_eq!(
            (last.at, last.looks, last.errors[0]),
            (5000.0, 1, Some(0.01))
        );
        let looks_in = points
            .iter()
            .flatten()
            .map(|point| point.looks)
            .sum::<usize>();
        assert_eq!(looks_in, 500);
    }

    #[test]
    fn a_gap_stays_a_gap_and_no_requests_are_no_errors() {
        let mut looks: Vec<Glance> = [10.0, 20.0, 30.0, 100.0].map(|at| look(at, 0.0)).into();
        looks[1].canary.requests = 0.0;
        let points = points(&looks, 40);
        assert_eq!(points.len(), 4);
        assert!(points[2].is_none(), "{points:?}");
        looks.truncate(2);
        let two = super::points(&looks, 40);
        assert_eq!(two[1].as_ref().unwrap().errors, [None, None]);
        assert_eq!(super::points(&looks[..1], 40).len(), 1);
        assert!(super::points(&[], 40).is_empty());
    }
}
