//! Figures over time: samples on a grid, with gaps where there is no data.
//!
//! Times are milliseconds since 1970. A gap is a gap: nothing here makes a zero of it.

/// A figure at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The value: a share of 1, seconds, or a number.
    pub value: f64,
    /// The requests that it was measured on, where that is known.
    pub requests: Option<f64>,
    /// How many of them failed, where the figure is a share of failed or of good requests that
    /// were counted.
    pub failed: Option<f64>,
}

impl Sample {
    /// A value of which nothing else is known.
    pub const fn of(value: f64) -> Self {
        Self {
            value,
            requests: None,
            failed: None,
        }
    }
}

/// A point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What there was; `None` where there is no data.
    pub sample: Option<Sample>,
}

/// Points on a grid, the oldest first. Each stands for the time since the one before it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// From point to point, in milliseconds.
    pub step: i64,
    /// The time that a single sample looks back on, in milliseconds.
    pub window: i64,
    /// The present of the series, in milliseconds since 1970.
    pub end: i64,
    /// Whether the values are shares of good requests, not of failed ones.
    pub is_of_good: bool,
    /// The points.
    pub points: Vec<Point>,
}

impl Series {
    /// The newest sample.
    pub fn last(&self) -> Option<Sample> {
        self.points.iter().rev().find_map(|point| point.sample)
    }

    /// The samples after `from` and up to `until` that share no time with each other, the newest
    /// first.
    pub fn apart(&self, from: i64, until: i64) -> impl Iterator<Item = Sample> {
        let mut next = until;
        let within = move |point: &&Point| point.at > from && point.at <= until;
        let points = self.points.iter().rev().filter(within);
        points.filter_map(move |point| {
            let sample = point.sample?;
            (point.at <= next).then(|| {
                next = point.at - self.window.max(1);
                sample
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_overlap_are_not_counted_twice() {
        let point = |i: i64| Point {
            at: i * 15,
            sample: (i != 4).then(|| Sample::of(i as f64)),
        };
        let series = Series {
            step: 15,
            window: 60,
            end: 180,
            is_of_good: false,
            points: (1..=12).map(point).collect(),
        };
        let of = |from, until| -> Vec<f64> { series.apart(from, until).map(|s| s.value).collect() };
        assert_eq!(of(0, 180), [12.0, 8.0, 3.0], "a gap moves on to the next");
        assert_eq!(of(60, 120), [8.0]);
        assert_eq!(series.last(), Some(Sample::of(12.0)));
    }
}
