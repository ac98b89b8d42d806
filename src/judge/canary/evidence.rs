//! Evidence that may be looked at as often as one likes: an e-process on counts.
//!
//! Of all events in an interval, how many fall to the canary is binomial where rates are equal
//! up to a ratio (Lindon and Malek, NeurIPS 2022). Each alternative ratio is a bet against the
//! claim "at most `null` times as bad"; the stake of one grows beyond a bar of b with probability
//! at most 1/b where the claim is true, however often one looks (Ville 1939). Means of such bets
//! are one, too (Vovk and Wang, 2021), so half the stake is bet from the beginning, and the rest
//! begins anew every few minutes: a fault that comes late is not hidden by a good past.

use std::iter;

use serde::{Deserialize, Serialize};

/// How many times the bet begins anew.
pub const RESTARTS: usize = 5;

/// What of the stake is bet from the beginning, and what on each new beginning.
const WHOLE: f64 = 0.5;
const EACH: f64 = 0.1;

/// Counts of one interval, or of several; sources that extrapolate give fractions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests to the canary.
    pub canary: f64,
    /// Of them, those that count against it.
    pub canary_bad: f64,
    /// Requests to the stable release in the same time.
    pub stable: f64,
    /// Of them, those that count against it.
    pub stable_bad: f64,
}

impl Counts {
    /// All of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            canary: self.canary + other.canary,
            canary_bad: self.canary_bad + other.canary_bad,
            stable: self.stable + other.stable,
            stable_bad: self.stable_bad + other.stable_bad,
        }
    }

    /// What came after an earlier total.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            canary: self.canary - earlier.canary,
            canary_bad: self.canary_bad - earlier.canary_bad,
            stable: self.stable - earlier.stable,
            stable_bad: self.stable_bad - earlier.stable_bad,
        }
    }

    /// The canary's share of bad requests; `None` without requests.
    pub fn canary_rate(self) -> Option<f64> {
        (self.canary > 0.0).then(|| self.canary_bad / self.canary)
    }

    /// The stable release's share, with half an event added: a release without a single error
    /// is not infinitely good.
    pub fn stable_rate(self) -> f64 {
        (self.stable_bad + 0.5) / (self.stable + 1.0)
    }

    /// How many times as bad the canary looks; `None` without requests.
    pub fn ratio(self) -> Option<f64> {
        Some(self.canary_rate()? / self.stable_rate())
    }
}

/// A bet on a ratio, in multiples of what is claimed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bet {
    ratio: f64,
    /// Its natural logarithm, at hand because it is needed at every look.
    ln: f64,
}

impl Bet {
    /// On a ratio, whose natural logarithm must be given with it.
    pub const fn on(ratio: f64, ln: f64) -> Self {
        Self { ratio, ln }
    }
}

/// What is claimed of the canary, and what is bet against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// "At most so many times as bad" for alternatives above, "at least" for those below.
    pub null: f64,
    /// Ratios that are bet on.
    pub alternatives: &'static [Bet],
    /// Whether the bet begins anew.
    pub restarts: bool,
}

/// What the bets have come to, as natural logarithms.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    sums: Vec<f64>,
    /// The sums when the bet began anew.
    starts: Vec<Vec<f64>>,
}

/// The natural logarithm of the evidence that fewer than `limit` of all are bad, on one release
/// alone, by bets on parts of the limit; none where there is no limit.
pub fn ln_few(bets: &[Bet], all: f64, bad: f64, limit: f64) -> f64 {
    if limit <= 0.0 {
        return f64::NEG_INFINITY;
    }
    let worth = |bet: &Bet| bad * bet.ln + all * limit * (1.0 - bet.ratio);
    let top = bets.iter().map(worth).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = bets.iter().map(|bet| (worth(bet) - top).exp()).sum();
    top + (sum / bets.len() as f64).ln()
}

/// Evidence at a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// The natural logarithm of what a stake of one has come to.
    pub ln: f64,
    /// Which beginning carries most of it: 0 is the first one.
    pub start: usize,
}

impl Evidence {
    /// Adds an interval. One without requests on either side says nothing.
    pub fn add(&mut self, claim: &Claim, counts: Counts) {
        self.sums.resize(claim.alternatives.len(), 0.0);
        if counts.canary <= 0.0 || counts.stable <= 0.0 {
            return;
        }
        // Of k bad ones, each has its chance multiplied by what the bet makes of its arm's share:
        // the stable release's by (m c + s) / (r m c + s), and the canary's by r times that.
        let bad = counts.canary_bad + counts.stable_bad;
        let claimed = claim.null * counts.canary;
        let null = claimed + counts.stable;
        for (sum, bet) in self.sums.iter_mut().zip(claim.alternatives) {
            let shrinks = null / (bet.ratio * claimed + counts.stable);
            *sum += counts.canary_bad * bet.ln + bad * shrinks.ln();
        }
    }

    /// Begins anew.
    pub fn begin(&mut self) {
        self.starts.push(self.sums.clone());
    }

    /// What it has come to where errors come `burst` at a time.
    pub fn strength(&self, claim: &Claim, burst: f64) -> Strength {
        if self.sums.is_empty() {
            return Strength { ln: 0.0, start: 0 };
        }
        let (whole, starts) = if claim.restarts {
            (WHOLE, self.starts.get(..RESTARTS).unwrap_or(&self.starts))
        } else {
            (1.0, [].as_slice())
        };
        // Stakes that wait for their beginning are worth what they were.
        let waiting = if claim.restarts {
            RESTARTS.saturating_sub(starts.len()) as f64 * EACH
        } else {
            0.0
        };
        let beginnings = || {
            let anew = starts.iter().map(|start| (EACH, Some(start)));
            iter::once((whole, None)).chain(anew)
        };
        let top = beginnings()
            .flat_map(|(_, start)| self.since(start, burst))
            .fold(0.0, f64::max);
        let bets = self.sums.len() as f64;
        let mut all = waiting * exp(-top);
        let mut best = (0.0, 0);
        for (nth, (stake, start)) in beginnings().enumerate() {
            let sum: f64 = self.since(start, burst).map(|ln| exp(ln - top)).sum();
            let worth = stake * sum / bets;
            all += worth;
            if worth > best.0 {
                best = (worth, nth);
            }
        }
        Strength {
            ln: top + all.ln(),
            start: best.1,
        }
    }

    /// What each bet has come to since a beginning, as logarithms.
    fn since(&self, start: Option<&Vec<f64>>, burst: f64) -> impl Iterator<Item = f64> {
        let begun = start.map_or_else(Default::default, Vec::as_slice);
        let begun = begun.iter().copied().chain(iter::repeat(0.0));
        let of_one = burst.recip();
        let sums = self.sums.iter().zip(begun);
        sums.map(move |(sum, begun)| (sum - begun) * of_one)
    }
}

/// A power of e, and none of what does not show beside 1.
fn exp(ln: f64) -> f64 {
    if ln < -45.0 { 0.0 } else { ln.exp() }
}

/// Whether errors come in groups: how much more successive rates differ than chance alone makes
/// them. A level that shifts once is not seen by it, so a bad release does not excuse itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    before: f64,
    sum: f64,
    pairs: f64,
    last: Option<(f64, f64)>,
}

/// How many pairs the time before counts for.
const PAIRS_BEFORE: f64 = 10.0;

impl Burst {
    /// From what was measured on the stable release before; 1 is chance alone.
    pub const fn after(before: f64) -> Self {
        Self {
            before,
            sum: 0.0,
            pairs: 0.0,
            last: None,
        }
    }

    /// What it was before, from intervals of requests and bad ones.
    pub fn before(intervals: &[(f64, f64)]) -> f64 {
        let all: (f64, f64) = intervals
            .iter()
            .fold((0.0, 0.0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        let p = if all.0 > 0.0 { all.1 / all.0 } else { 0.0 };
        let (mut seen, mut chance) = (0.0, 0.0);
        let pairs = intervals.iter().zip(intervals.iter().skip(1));
        for ((n, k), (next_n, next_k)) in pairs.filter(|(one, next)| one.0 > 0.0 && next.0 > 0.0) {
            seen += (next_k / next_n - k / n).powi(2);
            chance += p * (1.0 - p) * (1.0 / n + 1.0 / next_n);
        }
        if chance > 0.0 {
            (seen / chance).max(1.0)
        } else {
            1.0
        }
    }

    /// Adds an interval of the canary.
    pub fn add(&mut self, requests: f64, bad: f64) {
        if requests <= 0.0 {
            return;
        }
        if let Some((n, k)) = self.last {
            let p = (bad + k + 0.5) / (requests + n + 1.0);
            let chance = p * (1.0 - p) * (1.0 / requests + 1.0 / n);
            if chance > 0.0 {
                self.sum += (bad / requests - k / n).powi(2) / chance;
                self.pairs += 1.0;
            }
        }
        self.last = Some((requests, bad));
    }

    /// How many errors come at a time, at least 1.
    pub fn size(&self) -> f64 {
        let measured = (PAIRS_BEFORE * self.before + self.sum) / (PAIRS_BEFORE + self.pairs);
        measured.max(self.before).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLAIM: Claim = Claim {
        null: 1.1,
        alternatives: super::super::ERRORS.alternatives,
        restarts: true,
    };

    #[test]
    fn logarithms_at_hand_are_right() {
        let within = super::super::within(1.5).alternatives;
        for bet in CLAIM.alternatives.iter().chain(within) {
            assert!((bet.ln - bet.ratio.ln()).abs() < 1e-15, "{bet:?}");
        }
    }

    fn after(counts: &[Counts]) -> f64 {
        let mut evidence = Evidence::default();
        for counts in counts {
            evidence.add(&CLAIM, *counts);
        }
        evidence.strength(&CLAIM, 1.0).ln
    }

    #[test]
    fn nothing_seen_is_no_evidence() {
        assert!(after(&[]).abs() < 1e-12);
        let one_sided = Counts {
            canary: 10.0,
            canary_bad: 10.0,
            ..Counts::default()
        };
        assert!(after(&[one_sided]).abs() < 1e-12, "no stable traffic");
    }

    #[test]
    fn where_the_claim_is_true_a_bet_is_worth_no_more_than_its_stake() {
        // All outcomes of one interval, each with its probability at the claim's edge.
        for (n, m, p) in [(6, 6, 0.3), (4, 12, 0.1), (10, 3, 0.5)] {
            let bad = (CLAIM.null * p).min(1.0);
            let mut expected = 0.0;
            for k in 0..=n {
                for l in 0..=m {
                    let counts = Counts {
                        canary: f64::from(n),
                        canary_bad: f64::from(k),
                        stable: f64::from(m),
                        stable_bad: f64::from(l),
                    };
                    let chance = binomial(n, k, bad) * binomial(m, l, p);
                    expected += chance * after(&[counts]).exp();
                }
            }
            assert!(expected <= 1.0 + 1e-9, "{n} {m} {p}: {expected}");
        }
    }

    fn binomial(n: u32, k: u32, p: f64) -> f64 {
        let ways = (0..k).fold(1.0, |ways, i| ways * f64::from(n - i) / f64::from(i + 1));
        ways * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
    }

    proptest! {
        #[test]
        fn intervals_of_one_share_can_be_merged(n in 1.0..500.0f64, k in 0.0..9.0f64, l in 0.0..9.0f64) {
            let one = |bad: f64, stable_bad: f64| Counts { canary: n, canary_bad: bad, stable: 9.0 * n, stable_bad };
            let merged = after(&[one(k, l).plus(one(l, k))]);
            prop_assert!((after(&[one(k, l), one(l, k)]) - merged).abs() < 1e-9);
        }

        #[test]
        fn more_errors_of_the_canary_are_never_less_evidence(n in 10.0..500.0f64, k in 0.0..9.0f64, l in 1.0..9.0f64) {
            let one = |bad: f64| Counts { canary: n, canary_bad: bad, stable: 9.0 * n, stable_bad: l };
            prop_assert!(after(&[one(k + 1.0)]) >= after(&[one(k)]));
        }
    }
}
