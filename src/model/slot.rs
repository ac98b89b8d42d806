//! The two slots of an environment, and which of them is meant.
//!
//! **The first slot is where traffic is at weight 0, the second where it is at 100.** Every
//! router, whatever its own words, is read and written in these terms.

use serde::{Deserialize, Serialize};
use url::Url;

/// Which of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The slot named first in the config: traffic is here at weight 0.
    First,
    /// The slot named second in the config: traffic is here at weight 100.
    Second,
}

impl Side {
    /// The other slot.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A slot: its name, and where it answers by itself, past the router.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The name, such as `blue`.
    pub name: String,
    /// The slot's own address.
    pub url: Url,
}

/// The two slots of an environment, in the order of the config.
#[derive(Clone, Debug)]
pub struct Slots {
    /// Where traffic is at weight 0.
    pub first: Slot,
    /// Where traffic is at weight 100.
    pub second: Slot,
}

impl Slots {
    /// The slot on that side.
    pub const fn on(&self, side: Side) -> &Slot {
        match side {
            Side::First => &self.first,
            Side::Second => &self.second,
        }
    }

    /// The name of the slot on that side.
    pub fn name(&self, side: Side) -> &str {
        &self.on(side).name
    }

    /// The side of the slot with that name.
    pub fn side_of(&self, name: &str) -> Option<Side> {
        [Side::First, Side::Second]
            .into_iter()
            .find(|side| self.name(*side) == name)
    }
}
