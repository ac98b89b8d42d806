//! Cutover.
pub mod config;
pub mod github;
pub mod model;
pub mod notifiers;
pub mod platform;
pub mod probes;
pub mod report;
pub mod routers;
pub mod targets;
