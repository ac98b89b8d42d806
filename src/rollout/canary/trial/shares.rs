//! A trial by shares that nobody counted: as a plain rule takes them, and alone once all traffic
//! is on the canary. Nothing is added up, for how many requests they are of is unknown.

use crate::judge::canary::Interval;
use crate::model::arms::{Rate, Rated};
use crate::model::canary::Seen;

use super::{Found, Limits, Trial, glance};

/// What is said of a canary that stands alone counts from so many looks on.
const FEWEST_LOOKS: u32 = 3;

impl Trial {
    /// All traffic is on the canary, so what is said of the other release is over.
    pub(in crate::rollout::canary) const fn stands_alone(&mut self) {
        self.alone = true;
    }

    /// The same of what is said without a count. Each answer is a sign of life.
    pub(super) fn look_at_shares(&mut self, from: f64, rated: &Rated, limits: &Limits) -> Found {
        let shares = [*rated.of(self.canary), *rated.of(self.canary.other())];
        self.heard = Some(self.at);
        self.looks += 1;
        let judge = std::mem::take(&mut self.begins).then(|| self.judge.clone());
        let judged = Interval {
            from,
            to: self.at,
            shares: (!self.alone).then_some(shares),
            ..Interval::default()
        };
        let mut look = self.judge.look(&judged);
        let over = match self.alone {
            false => self.judge.shares(),
            // The step's own mean, of more than a moment.
            true => Some(self.mean_with(shares)),
        };
        self.shares = Some(over.unwrap_or(shares));
        let over = over.filter(|_| !self.alone || self.looks >= FEWEST_LOOKS);
        let [canary, stable] = shares.map(|rate| Seen {
            error_rate: Some(rate.error_rate),
            p95: rate.p95,
            ..Seen::default()
        });
        let seen = match self.alone {
            false => [canary, stable],
            true => {
                look.said = format!("nobody is left to compare it with; {}", self.alone());
                [canary, Seen::default()]
            }
        };
        let glance = glance(&judged, &look, seen, judge);
        let mut against = over.and_then(|over| limits.against(&over));
        if let Some(against) = against.as_mut().filter(|_| self.alone) {
            against.stable_too = false;
        }
        self.found(glance, &look, 0.0, against)
    }

    /// The mean of the step's looks so far, with the last one.
    fn mean_with(&self, shares: [Rate; 2]) -> [Rate; 2] {
        let Some(before) = self.shares.filter(|_| self.looks > 1) else {
            return shares;
        };
        let mean = |old: f64, new: f64| old + (new - old) / f64::from(self.looks);
        [0, 1].map(|nth: usize| Rate {
            error_rate: mean(before[nth].error_rate, shares[nth].error_rate),
            p95: match (before[nth].p95, shares[nth].p95) {
                (Some(old), Some(new)) => Some(mean(old, new)),
                (old, new) => new.or(old),
            },
        })
    }
}
