//! What stands in a ledger.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::approval::Asked;
use crate::model::hook::About;
use crate::model::release::Release;
use crate::model::split::Split;
use crate::routers::Reading;

/// The version of the note's form.
pub const SCHEMA_VERSION: u32 = 1;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Traffic is as it was found.
    Begun,
    /// Traffic may have been moved, and is to be put back.
    Promised,
    /// Traffic stays where it is.
    Committed,
    /// The run has ended, and only its lock or its record is left.
    Over,
}

/// How to put traffic back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// What was read before the change.
    pub before: Reading,
    /// What the change was to make of it.
    pub ours: Split,
    /// What earlier changes of the same run had made of it: it may still stand there.
    #[serde(default)]
    pub passed: Vec<Split>,
    /// The release that was live before, where one was.
    pub old: Option<Release>,
}

/// The hooks at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// What they are told.
    pub about: About,
    /// Those that were begun: none is begun twice.
    pub begun: BTreeSet<String>,
    /// The contracts that are due when the release is final, and have not come to their end.
    #[serde(default)]
    pub contracts: BTreeSet<String>,
    /// How traffic is divided when it went back, once somebody was about to put it there.
    #[serde(default)]
    pub back: Option<Split>,
}

/// Which members of a pool a run has taken out, and what was in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// The release that is rolled out.
    pub release: Release,
    /// Those that may be out.
    pub members: Vec<Noted>,
}

/// What a member was before a run took it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// Its name.
    pub name: String,
    /// The release that it served, or would be given.
    pub before: Option<Release>,
    /// Whether it was to be in rotation.
    pub was_in: bool,
}

/// What a run writes down. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The version of this form.
    pub schema_version: u32,
    /// The mode.
    pub mode: String,
    /// The config file, as the run named it.
    pub config: String,
    /// The environment.
    pub environment: String,
    /// How far it has come.
    pub progress: Progress,
    /// How to put traffic back, once something is promised.
    pub way_back: Option<WayBack>,
    /// Which members may be out, where the environment has members.
    #[serde(default)]
    pub at_work: Option<AtWork>,
    /// The id of its claim to the lock, where it has one.
    #[serde(default)]
    pub claim: Option<String>,
    /// The id of a claim that may hold or come to hold, although the run does not have the lock.
    #[serde(default)]
    pub left: Option<String>,
    /// How the run has divided traffic, once its router says so.
    #[serde(default)]
    pub moved_to: Option<Split>,
    /// Whether a run that is over ended well.
    #[serde(default)]
    pub ended_well: bool,
    /// Whether the run has ended by itself, stuck, and so has been counted among others.
    #[serde(default)]
    pub is_counted: bool,
    /// The issue in which people are asked, where one is open.
    #[serde(default)]
    pub asked: Option<Asked>,
    /// The hooks that its end owes, once it has begun to act.
    #[serde(default)]
    pub owed: Option<Owed>,
}
