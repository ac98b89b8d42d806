//! Cutover.
pub mod cast;
pub mod config;
pub mod judge;
pub mod model;
pub mod notifiers;
pub mod platform;
pub mod probes;
pub mod rehearsal;
pub mod report;
pub mod rollout;
pub mod routers;
pub mod targets;
