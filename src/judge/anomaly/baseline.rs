//! What a metric is like at this time of day, and how far it strays from that when all is well.
//!
//! The days of the baseline lie on each other: what is expected is the median of the same time
//! of day, give or take a quarter of an hour. The threshold is what nearly all windows
//! of the baseline kept, and 3 at least. A window of the baseline is held against the
//! other days, as a new one will be: held against its own as well it would seem too usual.

use std::fmt;

use crate::platform::text;

use super::course::Course;
use super::robust::{middle_and_spread, quantile};
use super::{DAY, MINUTE, Part, Rules, Spot};

/// With less baseline than this, time of day says nothing yet.
const SEASON_FROM: i64 = 3 * DAY;

/// What is looked at instead: so long before the deployment.
const SHORT: i64 = 120 * MINUTE;

/// Without so many figures nothing is known.
const FEWEST: usize = 30;

/// A day in pieces of five minutes; as many to each side of one's own make a time of day.
const PIECE: i64 = 5 * MINUTE;
const PIECES: usize = 288;
const AROUND: usize = 3;

/// The threshold is not below this, however calm the baseline is.
const LEAST: f64 = 3.0;

/// The same without a season: two hours know little of what is usual.
const LEAST_OF_SHORT: f64 = 5.0;

/// So many of the baseline's windows keep the threshold: all but one in a thousand, which is
/// shared by the four metrics that count.
const KEPT: f64 = 1.0 - 0.001 / 4.0;

/// What it was learnt from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// So much data of the days before, in milliseconds; time of day is known.
    Season(i64),
    /// Too little for that: so much data right before the deployment, in milliseconds.
    Short(i64),
}

/// Too few figures to learn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// So many there were.
    pub figures: usize,
    /// So many are needed.
    pub needed: usize,
}

impl fmt::Display for TooLittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = text::count(self.figures as u64, "figure");
        write!(f, "{figures} of baseline, and {} are needed", self.needed)
    }
}

/// What is expected at a time, and how much it usually strays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The median.
    pub expected: f64,
    /// The spread: like a standard deviation.
    pub scale: f64,
}

/// What a metric was like before.
#[derive(Clone, Debug)]
pub struct Baseline {
    part: Part,
    basis: Basis,
    /// By the piece of the day; one for all where that is not known.
    levels: Vec<Option<Level>>,
    /// How unusual each of its own windows was, sorted.
    history: Vec<f64>,
    threshold: f64,
}

impl Baseline {
    /// Learns from the figures before a time, in their order, without those in the excluded
    /// intervals (from, to; in milliseconds since 1970).
    ///
    /// # Errors
    /// When there is too little to learn from.
    pub fn learn(
        part: Part,
        figures: &[Spot],
        before: i64,
        excluded: &[(i64, i64)],
        rules: &Rules,
    ) -> Result<Self, TooLittle> {
        let mut figures = counted(figures, before, excluded, rules);
        let has = |figures: &[Spot]| figures.len() as i64 * rules.step;
        let basis = if has(&figures) >= SEASON_FROM {
            Basis::Season(has(&figures))
        } else {
            figures.retain(|it| it.at > before - SHORT);
            Basis::Short(has(&figures))
        };
        if figures.len() < FEWEST {
            return Err(TooLittle {
                figures: figures.len(),
                needed: FEWEST,
            });
        }
        let mut learnt = Self {
            part,
            basis,
            levels: Vec::new(),
            history: Vec::new(),
            threshold: LEAST,
        };
        let (windows, least) = match basis {
            Basis::Season(_) => {
                let end = figures.last().map_or(before, |it| it.at);
                let days = Days::of(&figures, end);
                let mut windows = Vec::new();
                for day in 0..days.0.len() {
                    let own = figures.iter().filter(|it| day_of(it.at, end) == day);
                    let own: Vec<Spot> = own.copied().collect();
                    if !own.is_empty() {
                        learnt.levels = days.levels(part, Some(day));
                        windows.extend(Course::new(&learnt, &own, rules).all());
                    }
                }
                learnt.levels = days.levels(part, None);
                (windows, LEAST)
            }
            Basis::Short(_) => {
                let values = figures.iter().map(|it| it.value);
                learnt.levels = vec![level(part, &mut values.collect::<Vec<_>>())];
                (Course::new(&learnt, &figures, rules).all(), LEAST_OF_SHORT)
            }
        };
        let mut history: Vec<f64> = windows.iter().map(|window| window.z).collect();
        history.sort_unstable_by(f64::total_cmp);
        learnt.threshold = quantile(&history, KEPT).unwrap_or(least).max(least);
        learnt.history = history;
        Ok(learnt)
    }

    /// Which part the metric plays.
    pub const fn part(&self) -> Part {
        self.part
    }

    /// What it was learnt from.
    pub const fn basis(&self) -> Basis {
        self.basis
    }

    /// From here on a window is unusual.
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// How many windows of its own it has.
    pub const fn windows(&self) -> usize {
        self.history.len()
    }

    /// What is expected at a time; `None` where the baseline has a hole there.
    pub fn level(&self, at: i64) -> Option<Level> {
        match self.levels.as_slice() {
            [one] => *one,
            several => several.get(piece_of_day(at)).copied().flatten(),
        }
    }

    /// How unusual a figure is; positive is worse.
    pub fn z(&self, spot: Spot) -> Option<f64> {
        let level = self.level(spot.at)?;
        Some(self.part.sign() * (spot.value - level.expected) / level.scale)
    }

    /// The share of windows that are as unusual as this when nothing is wrong.
    pub fn p_value(&self, z: f64) -> f64 {
        let below = self.history.partition_point(|it| *it < z);
        let as_much = self.history.len() - below;
        (1 + as_much) as f64 / (self.history.len() + 1) as f64
    }
}

/// The figures of a baseline: those up to a time, without what is excluded.
pub fn counted(figures: &[Spot], before: i64, excluded: &[(i64, i64)], rules: &Rules) -> Vec<Spot> {
    let counts = |it: &Spot| {
        // A figure stands for the step before it.
        let inside = |(from, to): &(i64, i64)| it.at > *from && it.at - rules.step < *to;
        it.at <= before && it.value.is_finite() && !excluded.iter().any(inside)
    };
    figures.iter().copied().filter(counts).collect()
}

fn piece_of_day(at: i64) -> usize {
    usize::try_from(at.rem_euclid(DAY) / PIECE).unwrap_or(0)
}

/// So many whole days before the end.
fn day_of(at: i64, end: i64) -> usize {
    usize::try_from((end - at) / DAY).unwrap_or(0)
}

fn level(part: Part, values: &mut [f64]) -> Option<Level> {
    let (expected, spread) = middle_and_spread(values)?;
    Some(Level {
        expected,
        scale: spread.max(part.floor(expected)),
    })
}

/// Values by the day and the piece of it.
struct Days(Vec<Vec<Vec<f64>>>);

impl Days {
    fn of(figures: &[Spot], end: i64) -> Self {
        let first = figures.first().map_or(0, |it| day_of(it.at, end));
        let mut days = vec![vec![Vec::new(); PIECES]; first + 1];
        for spot in figures {
            let day = days.get_mut(day_of(spot.at, end));
            if let Some(piece) = day.and_then(|day| day.get_mut(piece_of_day(spot.at))) {
                piece.push(spot.value);
            }
        }
        Self(days)
    }

    /// The levels of all pieces of a day, from all days but one.
    fn levels(&self, part: Part, but: Option<usize>) -> Vec<Option<Level>> {
        let mut near = Vec::new();
        let of = |piece: usize| {
            near.clear();
            for (_, day) in self.0.iter().enumerate().filter(|(i, _)| Some(*i) != but) {
                for around in piece + PIECES - AROUND..=piece + PIECES + AROUND {
                    near.extend(day.get(around % PIECES).into_iter().flatten());
                }
            }
            level(part, &mut near)
        };
        (0..PIECES).map(of).collect()
    }
}
