//! What Prometheus has counted for each slot: counters as they stand, both slots at one time.
//!
//! Prometheus works on what its last look at each target was, so a counter of one slot may be
//! older than the other's by as much as it looks apart; over an interval both are as long. No
//! series for errors is no error where requests are counted; no series for requests is no data.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use super::answer::{Answered, histogram, read};
use super::options::{BySlot, SLOT};
use super::{Prometheus, Times};
use crate::metrics::figure::In;
use crate::metrics::{Counter, NoData, Source as _, ms, now};
use crate::model::arms::{Counters, Stand};
use crate::model::slot::Side;

/// Prometheus's own limit is 11,000 points to a series.
const MOST_POINTS: usize = 11_000;

/// So many numbers to an answer: half of the 1 MiB that is read of one.
const MOST_NUMBERS: usize = 15_000;

/// The instant that is asked for is so long ago, in milliseconds: a look of Prometheus at a target is there
/// a moment after its own time, and half of the queries would be answered without it.
const AGO: i64 = 1000;

/// How far the two counts of requests may be apart, as a share: those that are under way are in
/// one of them only.
const APART: f64 = 0.05;

/// And how many requests may be.
const APART_AT_LEAST: f64 = 50.0;

/// The queries for one slot, and whom they are asked.
pub(super) struct Slotwise<'a> {
    prometheus: &'a Prometheus,
    queries: &'a BySlot,
}

/// What was answered for one slot.
struct Told {
    requests: Option<Answered>,
    errors: Answered,
    latency: Vec<(f64, Answered)>,
}

impl<'a> Slotwise<'a> {
    pub(super) const fn new(prometheus: &'a Prometheus, queries: &'a BySlot) -> Self {
        Self {
            prometheus,
            queries,
        }
    }

    /// Asks all queries for a slot.
    async fn ask(&self, side: Side, times: Times) -> Result<Told, NoData> {
        let name = self.prometheus.slots.name(side);
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        let queries = [
            &self.queries.requests,
            &Some(self.queries.errors.clone()),
            &self.queries.latency,
        ]
        .map(|query| query.as_ref().map(|it| it.replace(SLOT, &name)));
        let answers = queries.each_ref().map(async |query| match query {
            Some(query) => self.prometheus.answer(query, times).await.map(Some),
            None => Ok(None),
        });
        let answers = join_all(answers).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        let told = self.prometheus.told();
        let mut all = answers.iter().zip(&queries).map(|(answer, query)| {
            let asked = self
                .prometheus
                .asked(&told, query.as_deref().unwrap_or_default());
            answer.as_ref().map(|answer| (answer, asked))
        });
        let mut next = || all.next().flatten();
        Ok(Told {
            requests: next()
                .map(|(answer, asked)| read(answer, &asked))
                .transpose()?,
            errors: next()
                .map(|(answer, asked)| read(answer, &asked))
                .transpose()?
                .unwrap_or_default(),
            latency: next()
                .map(|(answer, asked)| histogram(answer, &asked))
                .transpose()?
                .unwrap_or_default(),
        })
    }

    async fn ask_both(&self, times: Times) -> Result<[Told; 2], NoData> {
        let (first, second) =
            join(self.ask(Side::First, times), self.ask(Side::Second, times)).await;
        Ok([first?, second?])
    }

    fn seconds(&self, edge: f64) -> f64 {
        match self.queries.latency_in {
            Some(In::Milliseconds) => edge / 1000.0,
            _ => edge,
        }
    }

    /// The counters of a slot as they stood at a time.
    fn counters(&self, told: &Told, side: Side, at: i64) -> Result<Counters, NoData> {
        let slot = self.prometheus.slots.name(side);
        let none = |why: &str| NoData::because(format!("{slot}: {why}"));
        let mut buckets = Vec::new();
        let mut timed = None;
        for (edge, answered) in &told.latency {
            let count = answered
                .at(at, 1)
                .ok_or_else(|| none(&answered.why_empty))?;
            if edge.is_finite() {
                buckets.push((self.seconds(*edge), count));
            } else {
                timed = Some(count);
            }
        }
        let requests = match &told.requests {
            Some(answered) => answered
                .at(at, 1)
                .ok_or_else(|| none(&answered.why_empty))?,
            None => timed.ok_or_else(|| none("no series for `latency`"))?,
        };
        if self.queries.latency.is_some() {
            let timed = timed.ok_or_else(|| {
                none(&format!("{requests} requests, and no series for `latency`"))
            })?;
            if (requests - timed).abs() > (requests.max(timed) * APART).max(APART_AT_LEAST) {
                return Err(none(&format!(
                    "`requests` counts {requests} and `latency` {timed}, so they are not of the same requests; leave `requests` out, and `latency` counts for both"
                )));
            }
        }
        let errors = match told.errors.at(at, 1) {
            Some(errors) => errors,
            None if told.errors.is_missing || !told.errors.points.is_empty() => 0.0,
            None => return Err(none(&told.errors.why_empty)),
        };
        if errors > requests {
            return Err(none(&format!(
                "{errors} errors of {requests} requests; `errors` must be some of those that `requests` counts"
            )));
        }
        Ok(Counters {
            requests,
            errors,
            buckets,
            p95: None,
        })
    }

    fn stand(&self, told: &[Told; 2], at: i64) -> Result<Stand, NoData> {
        let [first, second] = told;
        let stand = Stand {
            at,
            first: self.counters(first, Side::First, at)?,
            second: self.counters(second, Side::Second, at)?,
        };
        let edges = |it: &Counters| it.buckets.iter().map(|(edge, _)| *edge).collect::<Vec<_>>();
        if edges(&stand.first) != edges(&stand.second) {
            let slots = &self.prometheus.slots;
            return Err(NoData::because(format!(
                "the histograms of {} and {} have other edges, so they cannot be compared",
                slots.first.name, slots.second.name
            )));
        }
        Ok(stand)
    }
}

#[async_trait]
impl Counter for Slotwise<'_> {
    async fn now(&self) -> Result<Stand, NoData> {
        let at = now() - AGO;
        let told = self.ask_both(Times::At(at)).await?;
        self.stand(&told, at)
    }

    async fn before(&self, back: Duration, every: Duration) -> Result<Vec<Stand>, NoData> {
        let (end, step) = (now() - AGO, ms(every.max(Duration::from_secs(1))));
        let points = usize::try_from(ms(back) / step).unwrap_or_default();
        // How many series a histogram is, is seen in the newest instant.
        let newest = self.ask_both(Times::At(end)).await?;
        let series = newest.iter().map(|told| told.latency.len()).max();
        let chunk = (MOST_NUMBERS / series.unwrap_or_default().max(1)).clamp(1, MOST_POINTS);
        let times: Vec<i64> = (0..points as i64).rev().map(|n| end - n * step).collect();
        let mut seen = Vec::new();
        for times in times.chunks(chunk) {
            let (Some(from), Some(to)) = (times.first(), times.last()) else {
                continue;
            };
            let [first, second] = self.ask_both(Times::Range(*from, *to, step)).await?;
            seen.extend(times.iter().map(|at| {
                let of = |told, side| self.counters(told, side, *at).ok();
                (*at, [of(&first, Side::First), of(&second, Side::Second)])
            }));
        }
        Ok(whole(seen))
    }
}

/// Stands of both slots from what was seen of each: where one was not seen, its counters stand
/// where they were seen last, or next. Times at which nothing was seen are left out.
fn whole(mut seen: Vec<(i64, [Option<Counters>; 2])>) -> Vec<Stand> {
    seen.retain(|(_, both)| both.iter().any(Option::is_some));
    for side in 0..2 {
        let mut last = seen.iter().find_map(|(_, both)| both[side].clone());
        for (_, both) in &mut seen {
            match &both[side] {
                Some(counters) => last = Some(counters.clone()),
                None => both[side].clone_from(&last),
            }
        }
    }
    let never_seen = |other: &Counters| Counters {
        buckets: other.buckets.iter().map(|(edge, _)| (*edge, 0.0)).collect(),
        ..Counters::default()
    };
    let stand = |(at, both): (i64, [Option<Counters>; 2])| {
        let (first, second) = match both {
            [Some(first), Some(second)] => (first, second),
            [Some(first), None] => (first.clone(), never_seen(&first)),
            [None, Some(second)] => (never_seen(&second), second),
            [None, None] => return None,
        };
        Some(Stand { at, first, second })
    };
    seen.into_iter().filter_map(stand).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: f64) -> Option<Counters> {
        Some(Counters {
            requests,
            buckets: vec![(0.1, requests)],
            ..Counters::default()
        })
    }

    #[test]
    fn who_was_not_seen_has_done_nothing_that_is_known() {
        let seen = vec![
            (1, [of(10.0), None]),
            (2, [None, None]),
            (3, [of(30.0), of(500.0)]),
            (4, [None, of(520.0)]),
        ];
        let all = whole(seen);
        let told: Vec<_> = all
            .iter()
            .map(|it| (it.at, it.first.requests, it.second.requests))
            .collect();
        assert_eq!(told, [(1, 10.0, 500.0), (3, 30.0, 500.0), (4, 30.0, 520.0)]);
        let alone = whole(vec![(1, [of(10.0), None]), (2, [of(11.0), None])]);
        let both = alone[1].since(&alone[0]).unwrap();
        assert_eq!((both.first.requests, both.second.requests), (1.0, 0.0));
    }
}
