//! Is the service as it always is at this time of day? Figures since a deployment, against what
//! the days before have shown of the same metric.
//!
//! Each metric has a direction: what is better than ever is no anomaly. How unusual a value is
//! comes from medians, where the threshold is from the baseline itself, and only what lasts
//! counts. The rule is for a regression that no fixed limit describes; it replaces none.

mod baseline;
mod course;
pub mod forest;
pub mod robust;
pub mod second;
mod sentence;
mod verdict;

pub use baseline::{Baseline, Basis, Level, TooLittle, counted};
pub use course::{Course, Window};
pub use verdict::{BACK, BEFORE, Finding, Verdict, Watched, judge};

use crate::model::metric::{self, ERROR_RATE, P95, RPS, Unit};

/// A minute, in milliseconds.
pub const MINUTE: i64 = 60_000;
/// A day, in milliseconds.
pub const DAY: i64 = 24 * 60 * MINUTE;

/// Which part a metric plays: its direction, its weight and what of it is too little to matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The share of failed requests.
    ErrorRate,
    /// The 95th percentile of latency, in seconds.
    P95,
    /// Processor use, a share of 1.
    Cpu,
    /// Memory use, a share of 1.
    Memory,
    /// Requests a second. They explain, and by themselves decide nothing.
    Rps,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ErrorRate,
        Self::P95,
        Self::Cpu,
        Self::Memory,
        Self::Rps,
    ];

    /// Its name, as of the metric that usually plays it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => ERROR_RATE,
            Self::P95 => P95,
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Rps => RPS,
        }
    }

    /// What its values are.
    pub fn unit(self) -> Unit {
        metric::unit_of(self.name()).unwrap_or(Unit::Number)
    }

    /// 1 where more is worse, -1 where less is.
    const fn sign(self) -> f64 {
        match self {
            Self::Rps => -1.0,
            _ => 1.0,
        }
    }

    /// How much it weighs in the severity.
    const fn weight(self) -> f64 {
        match self {
            Self::ErrorRate => 1.0,
            Self::P95 => 0.8,
            Self::Memory => 0.5,
            Self::Cpu => 0.4,
            Self::Rps => 0.0,
        }
    }

    /// The least spread around an expected value: a metric that never moves is not unusual when
    /// it moves by a hair.
    fn floor(self, expected: f64) -> f64 {
        match self {
            Self::ErrorRate => 0.001,
            Self::P95 => (0.02 * expected).max(0.000_1),
            Self::Cpu => 0.01,
            Self::Memory => 0.005,
            Self::Rps => (0.02 * expected).max(0.1),
        }
    }
}

/// A figure at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// When, in milliseconds since 1970. It stands for the step before.
    pub at: i64,
    /// The value, in the unit of its part.
    pub value: f64,
}

/// How the rule looks. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// From figure to figure.
    pub step: i64,
    /// Over so long the median is taken.
    pub window: i64,
    /// So long after a deployment nothing counts: caches are cold.
    pub warm_up: i64,
    /// Up to this share of memory a leak may grow.
    pub memory_limit: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            step: MINUTE,
            window: 5 * MINUTE,
            warm_up: MINUTE,
            memory_limit: 1.0,
        }
    }
}

/// So many windows in a row make an anomaly.
pub const IN_A_ROW: usize = 3;

impl Rules {
    /// How many figures a window has at least: four of five.
    fn enough(&self) -> usize {
        let all = (self.window / self.step.max(1)).max(1);
        usize::try_from((all * 4 + 4) / 5).unwrap_or(1)
    }

    /// After a deployment it takes so long until the rule can say anything, in milliseconds.
    pub fn shortest(&self) -> i64 {
        self.warm_up + (self.enough() + IN_A_ROW) as i64 * self.step
    }
}
