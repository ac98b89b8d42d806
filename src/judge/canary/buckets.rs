//! Latency as counts between edges, which is how everybody delivers it.

use serde::{Deserialize, Serialize};

/// Requests between edges: as many counts as edges, and one more for what lies beyond the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets(Vec<f64>);

/// From which latency on a request counts as slow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edges {
    /// For the stable release: the edge nearest to its 95th percentile before.
    pub stable: usize,
    /// For the canary, when it is to be proved bad: a little above.
    pub tolerated: usize,
    /// For the canary, when it is to be proved good: the largest edge within the limit.
    pub limit: usize,
    /// How many times as many slow requests are tolerated beside that.
    pub null: f64,
    /// How many times as many are within the limit.
    pub within: f64,
}

/// The canary's edge is so much above the stable release's.
const TOLERANCE: f64 = 1.05;

/// Where edges are too far apart for that, the same edge is taken, and so many times as many.
const COARSE: f64 = 1.25;

/// And where the limit falls onto the same edge, too, so many times as many are within it: with
/// none more, a release that is just as fast could never be proved good.
const COARSE_LIMIT: f64 = 1.5;

impl Buckets {
    /// From counts, edge by edge.
    pub const fn new(counts: Vec<f64>) -> Self {
        Self(counts)
    }

    /// The counts, edge by edge.
    pub fn counts(&self) -> &[f64] {
        &self.0
    }

    /// Adds others between the same edges.
    pub fn add(&mut self, others: &Self) {
        self.0.resize(self.0.len().max(others.0.len()), 0.0);
        for (count, other) in self.0.iter_mut().zip(&others.0) {
            *count += other;
        }
    }

    /// How many took longer than an edge.
    pub fn beyond(&self, edge: usize) -> f64 {
        self.0.iter().skip(edge + 1).sum()
    }

    /// The latency that a share of requests did not exceed, straight between two edges, as
    /// Prometheus does it. `None` without requests.
    pub fn quantile(&self, edges: &[f64], share: f64) -> Option<f64> {
        self.quantile_since(None, edges, share)
    }

    /// The same of what came after an earlier total.
    pub fn quantile_since(&self, earlier: Option<&Self>, edges: &[f64], share: f64) -> Option<f64> {
        let earlier = earlier.map_or_else(Default::default, |it| it.0.as_slice());
        let then = |i: usize| earlier.get(i).copied().unwrap_or(0.0);
        let all = sum(&self.0) - sum(earlier);
        if all <= 0.0 {
            return None;
        }
        let rank = share * all;
        let mut below = 0.0;
        for (i, (now, upper)) in self.0.iter().zip(edges).enumerate() {
            let count = now - then(i);
            if below + count >= rank && count > 0.0 {
                let lower = if i == 0 {
                    0.0
                } else {
                    edges.get(i - 1).copied()?
                };
                return Some(lower + (upper - lower) * (rank - below) / count);
            }
            below += count;
        }
        edges.last().copied()
    }
}

/// The sum, in four strands that need not wait for each other.
fn sum(counts: &[f64]) -> f64 {
    let (fours, rest) = counts.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (sum, count) in sums.iter_mut().zip(four) {
            *sum += count;
        }
    }
    sums.iter().chain(rest).sum()
}

impl Edges {
    /// From what the stable release did before. `limit` is how many times the 95th percentile
    /// may be as high. `None` where nothing was measured.
    pub fn choose(edges: &[f64], before: &Buckets, limit: f64) -> Option<Self> {
        let p95 = before.quantile(edges, 0.95)?;
        let distance = |i: &usize| {
            edges
                .get(*i)
                .map_or(f64::INFINITY, |edge| (edge / p95).ln().abs())
        };
        let stable =
            (0..edges.len()).min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        let at = edges.get(stable)?;
        let within = |edge: &f64| *edge <= limit * at;
        let tolerated = edges
            .iter()
            .position(|edge| *edge >= TOLERANCE * at)
            .filter(|i| edges.get(*i).is_some_and(within));
        let limit = edges.iter().rposition(within).unwrap_or(stable);
        Some(Self {
            stable,
            tolerated: tolerated.unwrap_or(stable),
            limit,
            within: if limit > stable { 1.0 } else { COARSE_LIMIT },
            null: if tolerated.is_some() { 1.0 } else { COARSE },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_edges() {
        let edges = [1.0, 2.0, 4.0];
        let buckets = Buckets::new(vec![50.0, 40.0, 10.0, 0.0]);
        assert_eq!(buckets.quantile(&edges, 0.5), Some(1.0));
        assert_eq!(buckets.quantile(&edges, 0.95), Some(3.0));
        assert_eq!(buckets.beyond(1), 10.0);
        assert_eq!(
            Buckets::new(vec![0.0, 0.0, 0.0, 9.0]).quantile(&edges, 0.5),
            Some(4.0)
        );
        assert_eq!(Buckets::default().quantile(&edges, 0.5), None);
    }

    #[test]
    fn coarse_edges_tolerate_more_instead() {
        let fine: Vec<f64> = (0..=64)
            .map(|k| 10.0 * 2f64.powf(f64::from(k) / 8.0))
            .collect();
        let mut counts = vec![0.0; 66];
        counts[37] = 95.0;
        counts[38] = 5.0;
        let edges = Edges::choose(&fine, &Buckets::new(counts), 1.3).unwrap();
        assert_eq!(
            edges,
            Edges {
                stable: 37,
                tolerated: 38,
                limit: 40,
                null: 1.0,
                within: 1.0
            }
        );
        let coarse = [0.1, 0.5, 1.0];
        let edges = Edges::choose(&coarse, &Buckets::new(vec![0.0, 95.0, 5.0, 0.0]), 1.3).unwrap();
        assert_eq!(
            edges,
            Edges {
                stable: 1,
                tolerated: 1,
                limit: 1,
                null: 1.25,
                within: 1.5
            }
        );
    }
}
