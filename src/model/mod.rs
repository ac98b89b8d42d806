//! The words of the trade as types: pure, serialisable, without I/O, clock or environment.
//!
//! Who reads these files knows the language that everything else is written in. Decisions
//! over these words are in `judge`; what happens with them is in `rollout`.

pub mod anomaly;
pub mod approval;
pub mod arms;
pub mod assessment;
pub mod canary;
pub mod chain;
pub mod claim;
pub mod ending;
pub mod event;
pub mod failover;
pub mod fault;
pub mod figures;
pub mod finding;
pub mod gates;
pub mod hook;
pub mod measure;
pub mod metric;
pub mod news;
pub mod protection;
pub mod queue;
pub mod receipt;
pub mod release;
pub mod series;
pub mod severity;
pub mod slot;
pub mod split;
pub mod vigil;
