//! What a judge gets to see of a trace: the window of the last minute, points a minute apart, and
//! the sums from the beginning. All judges of a run look at the same.

use cutover::judge::canary::buckets::{Buckets, Edges};

use super::generator::{BUCKETS, Counted, DURING, INTERVAL, Trace, edges};

/// A minute, in intervals.
pub(crate) const MINUTE: usize = 60 / INTERVAL;

/// A trace, and what is worked out of it once for all judges.
pub(crate) struct Seen<'a> {
    /// What was counted.
    pub(crate) trace: &'a Trace,
    /// The edges of its buckets.
    pub(crate) edges: Vec<f64>,
    /// From which edge on a request is slow, by the hour before.
    pub(crate) chosen: Edges,
    /// The last minute of the canary, at each look from the first whole one.
    windows: Vec<Window>,
    /// Points of the canary and of the stable release, a minute each.
    pub(crate) minutes: [Vec<Window>; 2],
}

/// What tools know of a release in a minute. Nothing is `NaN` in them, and so here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// The share of failed requests.
    pub(crate) errors: f64,
    /// The 95th percentile, in milliseconds.
    pub(crate) p95: f64,
    /// The 99th.
    pub(crate) p99: f64,
}

impl Window {
    fn of(sum: &Counted, edges: &[f64]) -> Self {
        let spread = buckets(sum);
        let quantile = |share| spread.quantile(edges, share).unwrap_or(f64::NAN);
        Self {
            errors: sum.errors as f64 / sum.requests as f64,
            p95: quantile(0.95),
            p99: quantile(0.99),
        }
    }
}

impl<'a> Seen<'a> {
    pub(crate) fn of(trace: &'a Trace) -> Self {
        let edges = edges();
        let hour = buckets(&sum(&trace.before));
        // An hour without a single request has no percentile; then any edge will do.
        let chosen = Edges::choose(&edges, &hour, 1.3).unwrap_or(Edges {
            stable: 38,
            tolerated: 39,
            limit: 41,
            null: 1.0,
            within: 1.0,
        });
        let all = |it: &Counted| Window::of(it, &edges);
        let windows = trace.canary.windows(MINUTE).map(|it| all(&sum(it)));
        let windows = windows.collect();
        let minutes = [&trace.canary, &trace.stable]
            .map(|arm| arm.chunks(MINUTE).map(|it| all(&sum(it))).collect());
        Self {
            trace,
            windows,
            minutes,
            chosen,
            edges,
        }
    }

    /// The looks at windows: seconds since the beginning, and the minute before.
    pub(crate) fn looks(&self) -> impl Iterator<Item = (usize, &Window)> {
        let at = |nth: usize| (nth + MINUTE) * INTERVAL;
        self.windows
            .iter()
            .enumerate()
            .map(move |(nth, it)| (at(nth), it))
    }

    /// The canary's requests until so many seconds.
    pub(crate) fn exposed(&self, until: Option<usize>) -> f64 {
        let looked = until.map_or(DURING, |at| at / INTERVAL);
        let all = self.trace.canary.iter().take(looked);
        all.map(|it| it.requests as f64).sum()
    }
}

/// All of some intervals.
pub(crate) fn sum(intervals: &[Counted]) -> Counted {
    let none = Counted {
        requests: 0,
        errors: 0,
        buckets: [0; BUCKETS],
    };
    intervals.iter().fold(none, |mut sum, it| {
        sum.requests += it.requests;
        sum.errors += it.errors;
        for (sum, one) in sum.buckets.iter_mut().zip(it.buckets) {
            *sum += one;
        }
        sum
    })
}

/// The buckets as the product has them.
pub(crate) fn buckets(counted: &Counted) -> Buckets {
    Buckets::new(counted.buckets.iter().map(|count| *count as f64).collect())
}

/// How many took longer than an edge.
pub(crate) fn slow(counted: &Counted, edge: usize) -> u64 {
    counted.buckets.iter().skip(edge + 1).sum()
}
