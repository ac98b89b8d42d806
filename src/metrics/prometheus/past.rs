//! Days of a metric, piece by piece: a server answers a range query with 11,000 points at most,
//! and an answer is held in memory as a whole.

use std::time::Duration;

use super::{Prometheus, Times};
use crate::metrics::{Ask, NoData, Stretch, ms};

/// So many points are asked for at once: well below what a server allows, and an answer of some
/// 200 KB.
const PIECE: i64 = 4000;

impl Prometheus {
    /// The figures of a stretch. A piece without data is a gap; one that could not be asked for
    /// is none.
    pub(super) async fn pieces(&self, stretch: &Stretch) -> Result<Vec<(i64, f64)>, NoData> {
        let step = ms(stretch.step).max(1);
        let ask = Ask {
            metric: stretch.metric.clone(),
            window: stretch.step,
            duration: Duration::ZERO,
            back: Duration::ZERO,
            min_requests: 1,
        };
        let mut from = (stretch.from.div_euclid(step) + 1) * step;
        let last = stretch.to.div_euclid(step) * step;
        let mut figures = Vec::new();
        let mut why = None;
        while from <= last {
            let to = last.min(from + (PIECE - 1) * step);
            match self
                .reading_of(&ask, Times::Range(from, to, step), to)
                .await
            {
                Ok(reading) => figures.extend(reading.series.points.iter().filter_map(|point| {
                    let sample = point.sample.filter(|it| it.requests != Some(0.0))?;
                    Some((point.at, sample.value))
                })),
                Err(none) if none.out_of_reach => return Err(none),
                Err(none) => why = Some(none),
            }
            from = to + step;
        }
        match why {
            Some(none) if figures.is_empty() => Err(none),
            _ => Ok(figures),
        }
    }
}
