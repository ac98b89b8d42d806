//! Figures as windows: the median of the last five minutes, again at each figure.

use super::robust::median;
use super::{Baseline, Rules, Spot};

/// A window: how unusual the median of its figures is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// When it ends, in milliseconds since 1970.
    pub at: i64,
    /// How unusual it is, in spreads; positive is worse.
    pub z: f64,
    /// The median of the figures.
    pub measured: f64,
    /// What was expected.
    pub expected: f64,
    /// The value at which it would be unusual.
    pub limit: f64,
}

/// Figures in their order, to be looked at in windows.
pub struct Course<'a> {
    baseline: &'a Baseline,
    figures: &'a [Spot],
    rules: &'a Rules,
}

impl<'a> Course<'a> {
    /// The course of a metric against its baseline.
    pub const fn new(baseline: &'a Baseline, figures: &'a [Spot], rules: &'a Rules) -> Self {
        Self {
            baseline,
            figures,
            rules,
        }
    }

    /// All windows with enough figures.
    pub fn all(&self) -> Vec<Window> {
        let ends = 0..self.figures.len();
        ends.filter_map(|end| self.ending_at(end)).collect()
    }

    /// The windows that end at the last figures, the newest last; at most so many.
    pub fn last(&self, most: usize) -> Vec<Window> {
        let from = self.figures.len().saturating_sub(most);
        let ends = from..self.figures.len();
        ends.filter_map(|end| self.ending_at(end)).collect()
    }

    fn ending_at(&self, end: usize) -> Option<Window> {
        let newest = self.figures.get(end)?.at;
        let after = newest - self.rules.window;
        let (mut z, mut measured, mut expected, mut scale) = (vec![], vec![], vec![], vec![]);
        for spot in self.figures[..=end].iter().rev() {
            if spot.at <= after {
                break;
            }
            let Some(level) = self.baseline.level(spot.at) else {
                continue;
            };
            z.push(self.baseline.part().sign() * (spot.value - level.expected) / level.scale);
            measured.push(spot.value);
            expected.push(level.expected);
            scale.push(level.scale);
        }
        if z.len() < self.rules.enough() {
            return None;
        }
        let expected = median(&mut expected)?;
        let reach = self.baseline.threshold() * median(&mut scale)?;
        Some(Window {
            at: newest,
            z: median(&mut z)?,
            measured: median(&mut measured)?,
            expected,
            limit: expected + self.baseline.part().sign() * reach,
        })
    }
}
