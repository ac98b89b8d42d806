//! How traffic is divided between the two slots.
//!
//! One number says it all: the weight of the second slot. That makes a split comparable,
//! and a half-written one impossible.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::slot::{Side, Slots};

/// A share of traffic in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Weight(u8);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(100);

    /// A weight, if it is one.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 {
            Some(Self(percent))
        } else {
            None
        }
    }

    /// In percent.
    pub const fn percent(self) -> u8 {
        self.0
    }

    /// What is left for the other slot.
    pub const fn rest(self) -> Self {
        Self(100 - self.0)
    }

    /// As a share of 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl TryFrom<u8> for Weight {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, String> {
        Self::new(percent).ok_or_else(|| format!("{percent} is not a weight: 0 to 100 are"))
    }
}

impl From<Weight> for u8 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// How traffic is divided: the weight of the second slot, and so of the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The weight of the second slot.
    pub second: Weight,
}

impl Split {
    /// All traffic on one slot.
    pub const fn all_to(side: Side) -> Self {
        Self::with(side, Weight::ALL)
    }

    /// That weight on that slot, the rest on the other.
    pub const fn with(side: Side, weight: Weight) -> Self {
        let second = match side {
            Side::First => weight.rest(),
            Side::Second => weight,
        };
        Self { second }
    }

    /// The weight of a slot.
    pub const fn weight(self, side: Side) -> Weight {
        match side {
            Side::First => self.second.rest(),
            Side::Second => self.second,
        }
    }

    /// The slot with the larger share; on a draw the first.
    pub const fn active(self) -> Side {
        if self.second.percent() > 50 {
            Side::Second
        } else {
            Side::First
        }
    }

    /// The slot with the smaller share, which gets the next release.
    pub const fn idle(self) -> Side {
        self.active().other()
    }

    /// Whether one slot has it all.
    pub const fn is_whole(self) -> bool {
        matches!(self.second.percent(), 0 | 100)
    }

    /// `100 % on blue`, `75 % on blue, 25 % on green`.
    pub fn told(self, slots: &Slots) -> String {
        if self.is_whole() {
            return format!("100 % on {}", slots.name(self.active()));
        }
        let [first, second] = [Side::First, Side::Second]
            .map(|side| format!("{} on {}", self.weight(side), slots.name(side)));
        format!("{first}, {second}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_slot_is_where_traffic_is_at_100() {
        assert_eq!(Split::all_to(Side::Second).second, Weight::ALL);
        assert_eq!(Split::all_to(Side::First).second, Weight::ZERO);
        let tenth = Split::with(Side::First, Weight(10));
        assert_eq!(tenth.second, Weight(90));
        assert_eq!(tenth.active(), Side::Second);
        assert_eq!(tenth.idle(), Side::First);
    }

    #[test]
    fn weights_end_at_100() {
        assert!(Weight::new(101).is_none());
        assert!(serde_json::from_str::<Weight>("120").is_err());
    }
}
