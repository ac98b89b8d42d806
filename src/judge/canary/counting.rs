//! From counters to what a judge takes: counts between edges, and from which edge on a request
//! is slow. A rollout and a recording go the same way.

use serde::{Deserialize, Serialize};

use crate::model::arms::Counters;

use super::buckets::{Buckets, Edges};
use super::evidence::Burst;
use super::{Arm, Before};

/// Where latency is counted, and what is slow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scale {
    /// The edges that all counters have, in seconds, from the lowest up.
    edges: Vec<f64>,
    /// Which of them count; `None` until enough was measured.
    chosen: Option<Edges>,
}

impl Scale {
    /// By the edges that all counters will have.
    pub const fn new(edges: Vec<f64>) -> Self {
        Self {
            edges,
            chosen: None,
        }
    }

    /// By the edges that both have. Two releases may count by different ones.
    pub fn common(one: &Counters, other: &Counters) -> Self {
        let has = |edge: &f64| other.buckets.iter().any(|(there, _)| there == edge);
        let edges = one.buckets.iter().map(|(edge, _)| *edge);
        Self::new(edges.filter(has).collect())
    }

    /// The edges.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Whether it is known what is slow.
    pub const fn is_calibrated(&self) -> bool {
        self.chosen.is_some()
    }

    /// Learns what is slow from what the stable release did. `limit` is how many times its 95th
    /// percentile the canary's may be. What is known already stays.
    pub fn calibrate<'c>(&mut self, stable: impl IntoIterator<Item = &'c Counters>, limit: f64) {
        let mut all = Buckets::default();
        for buckets in stable.into_iter().filter_map(|it| self.spread(it)) {
            all.add(&buckets);
        }
        self.chosen = self
            .chosen
            .or_else(|| Edges::choose(&self.edges, &all, limit));
    }

    /// What is known of slow requests, beside how they come.
    pub fn tolerance(&self) -> Before {
        let known = |chosen: Edges| Before {
            slow_null: chosen.null,
            slow_within: chosen.within,
            // It is faster than can be told.
            fast: chosen.stable == 0,
            ..Before::default()
        };
        self.chosen.map_or_else(Before::default, known)
    }

    /// What was known of the stable release, from one interval after the other.
    pub fn before(&self, stable: &[Counters]) -> Before {
        let pairs = |bad: &dyn Fn(&Counters) -> Option<f64>| {
            let pair = |it: &Counters| Some((it.requests, bad(it)?));
            let all: Vec<_> = stable.iter().filter_map(pair).collect();
            Burst::before(&all)
        };
        Before {
            error_burst: pairs(&|it| Some(it.errors)),
            slow_burst: pairs(&|it| self.beyond(it, self.chosen?.stable)),
            ..self.tolerance()
        }
    }

    /// What the canary did in an interval.
    pub fn canary(&self, counted: &Counters) -> Arm {
        self.arm(counted, |chosen| [chosen.tolerated, chosen.limit])
    }

    /// What the stable release did in an interval.
    pub fn stable(&self, counted: &Counters) -> Arm {
        self.arm(counted, |chosen| [chosen.stable, chosen.stable])
    }

    /// Requests between the edges; what counters have adds up. `None` where latency is not counted.
    pub fn spread(&self, counted: &Counters) -> Option<Buckets> {
        if self.edges.is_empty() {
            return None;
        }
        let mut below = 0.0;
        let mut counts = Vec::with_capacity(self.edges.len() + 1);
        for edge in &self.edges {
            let (_, count) = counted.buckets.iter().find(|(there, _)| there == edge)?;
            counts.push((count - below).max(0.0));
            below = *count;
        }
        counts.push((counted.requests - below).max(0.0));
        Some(Buckets::new(counts))
    }

    /// The 95th percentile: of the counts, or as the source says.
    pub fn p95(&self, counted: &Counters) -> Option<f64> {
        let counted_so = self.spread(counted)?.quantile(&self.edges, 0.95);
        counted_so.or(counted.p95)
    }

    /// How many took longer than so many seconds, by the first edge that is not below that.
    pub fn slower_than(&self, counted: &Counters, seconds: f64) -> Option<f64> {
        let edge = self.edges.iter().position(|edge| *edge >= seconds)?;
        self.beyond(counted, edge)
    }

    fn beyond(&self, counted: &Counters, edge: usize) -> Option<f64> {
        Some(self.spread(counted)?.beyond(edge))
    }

    fn arm(&self, counted: &Counters, by: impl Fn(Edges) -> [usize; 2]) -> Arm {
        let buckets = self.spread(counted);
        let beyond = |nth: usize| {
            let edge = by(self.chosen?).get(nth).copied()?;
            Some(buckets.as_ref()?.beyond(edge))
        };
        Arm {
            requests: counted.requests,
            errors: counted.errors,
            slow: beyond(0),
            beyond_limit: beyond(1),
            buckets: buckets.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(requests: f64, errors: f64, buckets: &[(f64, f64)]) -> Counters {
        Counters {
            requests,
            errors,
            buckets: buckets.to_vec(),
            p95: None,
        }
    }

    #[test]
    fn what_adds_up_is_taken_apart() {
        let all = counted(100.0, 3.0, &[(0.1, 60.0), (0.2, 90.0), (0.4, 97.0)]);
        let fewer = counted(9.0, 0.0, &[(0.1, 6.0), (0.4, 9.0)]);
        let scale = Scale::common(&all, &fewer);
        assert_eq!(scale.edges(), [0.1, 0.4]);
        assert_eq!(
            scale.spread(&all),
            Some(Buckets::new(vec![60.0, 37.0, 3.0]))
        );
        assert_eq!(scale.slower_than(&all, 0.2), Some(3.0));
        assert_eq!(scale.slower_than(&all, 5.0), None);
        assert_eq!(Scale::default().spread(&all), None);
    }

    #[test]
    fn nothing_is_slow_before_it_is_known_what_that_is() {
        let hour = counted(100.0, 1.0, &[(0.1, 50.0), (0.2, 95.0), (0.3, 100.0)]);
        let mut scale = Scale::common(&hour, &hour);
        assert_eq!(scale.canary(&hour).slow, None);
        scale.calibrate([&hour], 1.5);
        assert!(scale.is_calibrated());
        assert_eq!(scale.stable(&hour).slow, Some(5.0));
        assert_eq!(scale.canary(&hour).slow, Some(0.0));
        // What is slow does not change while a canary is looked at.
        let slower = counted(100.0, 1.0, &[(0.1, 0.0), (0.2, 0.0), (0.3, 95.0)]);
        scale.calibrate([&slower], 1.5);
        assert_eq!(scale.stable(&hour).slow, Some(5.0));
    }
}
