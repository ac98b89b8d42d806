//! Series as Prometheus has them, which go on from what was kept of earlier runs.

use std::collections::BTreeMap;

use crate::model::measure::{INSTRUMENTS, Instrument, Labels, Measure, Shape};

/// The labels of a series. Sorted, so that the same ones are the same series.
pub(super) type Key = BTreeMap<String, String>;

/// What a series has come to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram: how many were at most each of its bounds, how many there were, their sum.
    Counts {
        at_most: Vec<u64>,
        count: u64,
        sum: f64,
    },
}

impl Value {
    pub(super) fn nothing(shape: Shape) -> Self {
        match shape {
            Shape::Counter | Shape::Gauge => Self::Number(0.0),
            Shape::Histogram(bounds) => Self::Counts {
                at_most: vec![0; bounds.len()],
                count: 0,
                sum: 0.0,
            },
        }
    }

    fn take(&mut self, shape: Shape, value: f64) {
        match (self, shape) {
            (
                Self::Counts {
                    at_most,
                    count,
                    sum,
                },
                Shape::Histogram(bounds),
            ) => {
                for (at_most, bound) in at_most.iter_mut().zip(bounds) {
                    *at_most += u64::from(value <= *bound);
                }
                *count += 1;
                *sum += value;
            }
            (Self::Number(number), Shape::Counter) => *number += value,
            (Self::Number(number), _) => *number = value,
            (Self::Counts { .. }, _) => {}
        }
    }
}

/// Series by instrument, in the order of [`INSTRUMENTS`].
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series(BTreeMap<usize, BTreeMap<Key, Value>>);

impl Series {
    /// What one series of an instrument has come to; it begins at nothing.
    pub(super) fn of(&mut self, instrument: &Instrument, key: Key) -> Option<&mut Value> {
        let nth = INSTRUMENTS
            .iter()
            .position(|it| it.name == instrument.name)?;
        let values = self.0.entry(nth).or_default();
        Some(
            values
                .entry(key)
                .or_insert_with(|| Value::nothing(instrument.shape)),
        )
    }

    /// Adds what a run measured.
    pub(super) fn add(&mut self, measures: &[Measure], labels: &Labels) {
        for measure in measures {
            let mut key: Key = labels.iter().cloned().collect();
            if let Some(own) = measure.instrument.label {
                key.insert(own.to_owned(), measure.label.clone());
            }
            let shape = measure.instrument.shape;
            if let Some(value) = self.of(measure.instrument, key) {
                value.take(shape, measure.value);
            }
        }
    }

    /// All of them, instrument by instrument.
    pub(super) fn iter(
        &self,
    ) -> impl Iterator<Item = (&'static Instrument, &BTreeMap<Key, Value>)> {
        self.0
            .iter()
            .filter_map(|(nth, values)| Some((*INSTRUMENTS.get(*nth)?, values)))
    }
}
