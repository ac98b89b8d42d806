//! A health check that runs on a clock: what one look saw, what is remembered from look to look,
//! and what follows from it.
//!
//! Times are seconds since 1970. What is remembered holds numbers and our own words only, nobody
//! else's text, so that it can stand in an issue.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::severity::Severity;

/// How an environment is, as far as enough looks agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Well.
    #[default]
    Up,
    /// Past a limit that is a warning, or bad and not yet sure to be down.
    Degraded,
    /// Bad, by enough looks or enough kinds of evidence.
    Down,
    /// Nothing could be seen. That is not down.
    Unknown,
}

impl State {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }

    /// How much it matters to people.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Up => Severity::Info,
            Self::Degraded | Self::Unknown => Severity::Warning,
            Self::Down => Severity::Critical,
        }
    }

    /// From bad to worse, for telling which was the worst of an incident.
    const fn rank(self) -> u8 {
        match self {
            Self::Up => 0,
            Self::Unknown => 1,
            Self::Degraded => 2,
            Self::Down => 3,
        }
    }

    /// The worse of two.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if other.rank() > self.rank() {
            other
        } else {
            self
        }
    }
}

/// What one look saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Everything passed.
    Well,
    /// A limit of severity `warning` was passed, and nothing worse.
    Degraded,
    /// A check failed, or a limit of severity `critical` was passed.
    Bad,
    /// What there was to see could not be seen.
    Nothing,
}

/// One look, and what speaks for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    /// What it saw.
    pub seen: Seen,
    /// The kinds of evidence that say that it is bad, such as `http` and `postgres`.
    pub kinds: Vec<String>,
    /// In a line: what was measured, or that all is well.
    pub said: String,
    /// Latencies in milliseconds by the name of their figure, for the week.
    pub figures: Vec<(&'static str, f64)>,
}

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// The version of this form.
    pub version: u32,
    /// When this memory begins.
    pub begun: i64,
    /// The last look.
    pub at: i64,
    /// The last slot of the schedule that a run came for.
    pub slot: Option<i64>,
    /// How it is.
    pub state: State,
    /// Since when that was told.
    pub since: i64,
    /// How often that changed.
    pub changes: u64,
    /// Bad looks in a row.
    pub bad: u32,
    /// Bad or degraded looks in a row.
    pub ill: u32,
    /// Looks in a row that were not bad.
    pub calm: u32,
    /// Good looks in a row.
    pub well: u32,
    /// Looks in a row that saw nothing.
    pub blind: u32,
    /// The first look of those that were not good, since the last time that it was up.
    pub first_ill: Option<i64>,
    /// The first of the good looks in a row.
    pub first_well: Option<i64>,
    /// What is going on, unless it is up.
    pub incident: Option<Incident>,
    /// When it was last said that all is well.
    pub all_good: Option<i64>,
    /// The moment for which the week was last summed up.
    pub weekly: Option<i64>,
    /// The looks since then.
    pub week: Tally,
}

/// Something that is going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// The number of its issue, where that could be opened.
    pub issue: Option<u64>,
    /// The first look that saw it.
    pub began: i64,
    /// The worst that it was.
    pub worst: State,
    /// Whether others were called.
    pub escalated: bool,
    /// Whether it was tried to put traffic back.
    pub went_back: bool,
}

/// An incident that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// The number of its issue.
    pub issue: Option<u64>,
    /// The first look that saw it.
    pub began: i64,
    /// The first look that did not.
    pub until: i64,
    /// The worst that it was.
    pub worst: State,
}

/// Looks of a while, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// From when on.
    pub from: i64,
    /// All looks.
    pub looks: u64,
    /// Those that were bad.
    pub bad: u64,
    /// Those that were degraded.
    pub degraded: u64,
    /// Those that saw nothing.
    pub blind: u64,
    /// Slots of the schedule that no run came for.
    pub missed: u64,
    /// The latest run, in seconds after its slot.
    pub latest: i64,
    /// The newest incidents that are over.
    pub past: Vec<Past>,
    /// How many incidents ended in all.
    pub incidents: u64,
    /// Figures by name.
    pub figures: BTreeMap<String, Spread>,
}

/// How a figure was spread over many looks: counts by size, a tenth apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// The largest.
    pub most: f64,
    /// How many were of each size; size n is up to 1.1 to the n.
    pub sizes: BTreeMap<i16, u32>,
}

impl Spread {
    /// Adds a value above zero.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() || value <= 0.0 {
            return;
        }
        let size = (value.ln() / 1.1_f64.ln()).ceil().clamp(-200.0, 400.0);
        *self.sizes.entry(size as i16).or_default() += 1;
        self.most = self.most.max(value);
    }

    /// What half of the values do not exceed, to a tenth of it.
    pub fn middle(&self) -> Option<f64> {
        let all: u64 = self.sizes.values().map(|many| u64::from(*many)).sum();
        let mut left = all.div_ceil(2);
        for (size, many) in &self.sizes {
            left = left.saturating_sub(u64::from(*many));
            if left == 0 {
                // The middle of the size's bounds, in its own scale.
                return Some(1.1_f64.powf(f64::from(*size) - 0.5).min(self.most));
            }
        }
        None
    }
}

/// Slots of the schedule that no run came for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// How many.
    pub many: u64,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
}

/// What a look came to beside those before it, for the outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// How it is.
    pub state: State,
    /// Since when that was told: `2026-03-02 10:15Z`.
    pub since: String,
    /// Whether this look changed it.
    pub changed: bool,
    /// Seconds after its time, where the run was started by a schedule.
    pub late_s: Option<i64>,
    /// Runs that did not come since the last one.
    pub missed: u64,
    /// The number of the incident's issue.
    pub issue: Option<u64>,
}

/// Something that follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// It is otherwise than before. Said once for each change.
    Changed {
        /// How it was.
        from: State,
        /// How it is.
        to: State,
        /// The incident, as it is now or was to its end.
        incident: Incident,
        /// When it ended, where it did.
        ended: Option<Past>,
    },
    /// It is down for so long that somebody else is called. Once in an incident.
    Escalated {
        /// Seconds since it was told to be down.
        after: i64,
    },
    /// So many runs did not come that people should know.
    Missed(Missed),
    /// All is well, and that is to be said.
    AllGood,
    /// The week is over.
    Week(Tally),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_knows_its_middle_and_its_most() {
        let mut spread = Spread::default();
        assert_eq!(spread.middle(), None, "nothing measured is not zero");
        for ms in 1..=999 {
            spread.add(f64::from(ms));
        }
        for no in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            spread.add(no);
        }
        let middle = spread.middle().unwrap();
        assert!((450.0..550.0).contains(&middle), "{middle}");
        assert_eq!(spread.most, 999.0);
        assert!(spread.sizes.len() < 80);
        let mut one = Spread::default();
        one.add(184.0);
        assert!(one.middle().unwrap() <= 184.0);
    }
}
