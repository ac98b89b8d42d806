//! The seam: who gets traffic.
//!
//! A router is read, prepared, changed, confirmed and restored, always in terms of one
//! [`Split`]. To add a kind: write its file, add its `mod` line and its `KIND` to [`KINDS`].
//! The contract suite in `tests/it/seams` loops over the table, so the new kind is held to
//! the same promises at once. Nothing here knows why traffic moves.

mod access_log;
pub mod caddy;
pub mod envoy;
mod flags;
pub mod fleet;
pub mod haproxy;
pub mod http;
mod lock;
pub mod nginx;
mod placed;
pub mod pointer;
pub mod pool;
mod testers;
pub mod traefik;
mod watched;

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::config::kinds::Kind;
use crate::model::arms::Stand;
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

pub use testers::{Sent, Testers};

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Router, Tools>] = &[
    caddy::KIND,
    envoy::KIND,
    fleet::KIND,
    haproxy::KIND,
    http::KIND,
    nginx::KIND,
    pointer::KIND,
    traefik::KIND,
];

/// What a router is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// The application's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
    /// The two slots.
    pub slots: Slots,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// What must not be shown of what a command prints.
    pub vault: Vault,
    /// The machines that a block may name as its host.
    pub hosts: Hosts,
}

/// What a router said: the split, and what is needed to change it and to put it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// How traffic is divided; where it has nodes, by most of them.
    pub split: Split,
    /// How the other nodes divide it, where they do not agree with most of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Split>,
    /// Changes whenever anybody changes the router; a change names the revision it starts from.
    pub revision: String,
    /// The router's own state, literally, in a form that only this kind of router understands.
    pub saved: String,
}

impl Reading {
    /// Whether anybody's traffic moves where this becomes `to`.
    pub fn moves_to(&self, to: Split) -> bool {
        self.split != to || !self.apart.is_empty()
    }

    /// How traffic is divided, in a few words.
    pub fn told(&self, slots: &Slots) -> String {
        let most = self.split.told(slots);
        if self.apart.is_empty() {
            return most;
        }
        let others: Vec<String> = self.apart.iter().map(|it| it.told(slots)).collect();
        format!("{most} (other nodes: {})", others.join("; "))
    }
}

/// A change of the split, from what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was read before.
    pub from: Reading,
    /// What is wanted.
    pub to: Split,
    /// Why, for routers that keep a note of it.
    pub reason: String,
}

/// How far a router can tell that a change is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// Its workers answer by the new state.
    ByDataPlane(String),
    /// Its state says so; whether traffic follows is for the proof to see.
    ByState(String),
}

/// Why a router did not do as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// Somebody else changed it since it was read. Nothing was changed.
    #[error("the router was changed by someone else: expected {expected}, found {found}")]
    Conflict {
        /// What was read before.
        expected: String,
        /// What is there now.
        found: String,
    },
    /// It cannot be reached. Nothing was changed.
    #[error("the router is out of reach: {0}")]
    OutOfReach(String),
    /// It said no, or its state makes no sense. Nothing was changed.
    #[error("the router refused: {0}")]
    Refused(String),
    /// It said yes and still works by the old state. The old state was restored.
    #[error("the router did not take the change: {0}")]
    NotTaken(String),
    /// The request was made and the answer was lost: it may or may not have had its effect.
    #[error("the router's answer was lost: {0}")]
    Lost(String),
    /// Its own parts disagree, such as a file and the running process.
    #[error("the router disagrees with itself: {said}")]
    Drifted {
        /// Both sides.
        said: String,
        /// The command that makes them agree.
        repair: String,
    },
    /// Several nodes are one router, and they do not agree or not all of them answer.
    #[error("the nodes of the router do not agree, or not all of them answer: {}", .0.said)]
    Divergent(Box<Divergence>),
}

/// How the nodes of one router differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// What each node says.
    pub said: String,
    /// How those that answer divide traffic.
    pub splits: Vec<Split>,
    /// All of them as one, as most of them say, where all answer: from here they can be made
    /// to agree.
    pub reading: Option<Reading>,
    /// What makes them agree.
    pub repair: String,
}

impl RouterError {
    /// The same, of one node of several.
    #[must_use]
    pub fn of(self, node: &str) -> Self {
        let named = |said: String| format!("{node}: {said}");
        match self {
            Self::Conflict { expected, found } => Self::Conflict {
                expected,
                found: named(found),
            },
            Self::OutOfReach(said) => Self::OutOfReach(named(said)),
            Self::Refused(said) => Self::Refused(named(said)),
            Self::NotTaken(said) => Self::NotTaken(named(said)),
            Self::Lost(said) => Self::Lost(named(said)),
            Self::Drifted { said, repair } => Self::Drifted {
                said: named(said),
                repair,
            },
            Self::Divergent(divergence) => Self::Divergent(divergence),
        }
    }
}

/// Whether a router counts what each slot does.
pub enum Counting<'a> {
    /// It does, for as long as the tally lives.
    By(Box<dyn Tally + 'a>),
    /// It does not; why, or what it would need.
    Not(&'static str),
}

/// How many requests a slot has in flight, as far as its router knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InFlight {
    /// So many.
    Requests(u64),
    /// It counts them, and could not be asked, or does not know the slot.
    Unknown(String),
    /// It does not count them; why.
    NotCounted(&'static str),
}

impl InFlight {
    /// A number as a proxy prints it; what is no count is unknown.
    fn of(number: f64) -> Self {
        let whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
        let count = whole.then(|| format!("{number:.0}").parse().ok()).flatten();
        count.map_or_else(
            || Self::Unknown(format!("{number} is no count")),
            Self::Requests,
        )
    }
}

/// What a router counts for each slot: the requests of real users, without any other source.
#[async_trait]
pub trait Tally: Send + Sync {
    /// Where from, in a few words, and what is not counted there.
    fn told(&self) -> String;

    /// Where the counters of both slots stand now, from one look.
    ///
    /// # Errors
    /// When it cannot be asked, or does not know a slot.
    async fn stand(&self) -> Result<Stand, RouterError>;
}

/// Who gets traffic. All verbs can be repeated without harm.
#[async_trait]
pub trait Router: Send + Sync {
    /// What it is, for a line of log: `nginx flags /run/traffic/shop`.
    fn told(&self) -> String;

    /// What a change is known to cost, where it costs something.
    fn known_loss(&self) -> Option<String>;

    /// The lines that the proxy's own configuration needs once, with a word on where they go.
    fn one_time_lines(&self) -> String;

    /// Whether it counts what each slot does.
    fn counting(&self) -> Counting<'_>;

    /// How many requests a slot has in flight now, whoever sent them.
    async fn in_flight(&self, slot: Side) -> InFlight;

    /// How testers reach the slot that they name, where the proxy has the lines for it.
    fn testers(&self) -> Option<&Testers> {
        None
    }

    /// How traffic is divided now.
    ///
    /// # Errors
    /// When it cannot be reached, or its state is not a split.
    async fn read(&self) -> Result<Reading, RouterError>;

    /// The same on a way back, which must not be kept by one of several nodes that says nothing.
    ///
    /// # Errors
    /// As [`Router::read`].
    async fn read_soon(&self) -> Result<Reading, RouterError> {
        self.read().await
    }

    /// Checks that a change could be made, and makes nothing.
    ///
    /// # Errors
    /// When it could not.
    async fn prepare(&self, change: &Change) -> Result<(), RouterError>;

    /// Makes a change, starting from the revision that was read, or refuses.
    ///
    /// # Errors
    /// See [`RouterError`]; after any but [`RouterError::Lost`] the old state is in force.
    async fn apply(&self, change: &Change) -> Result<(), RouterError>;

    /// Makes a change of ours come too late that is still on its way, because its answer was lost. What
    /// is in force stays so. Of a router to which nothing can come late, or that has nothing to refuse it
    /// by, nothing is asked.
    ///
    /// # Errors
    /// [`RouterError::Conflict`] where it has come meanwhile, or somebody else's has; others where
    /// it may still come.
    async fn forestall(&self) -> Result<(), RouterError> {
        Ok(())
    }

    /// Reads back whether a split is in force. Waits no longer than the router usually needs.
    ///
    /// # Errors
    /// When it is not, or cannot be told.
    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError>;

    /// Puts the saved state back, literally, whatever is there now.
    ///
    /// # Errors
    /// When it could not be put back.
    async fn restore(&self, saved: &Reading) -> Result<(), RouterError>;
}
