//! Cutover puts a new version in front of users without dropping a request, and takes it back
//! by itself when the version is bad.
//!
//! This is the map of the house, from the top floor down. Imports go down only; a test holds
//! the floors (`tests/it/tidy.rs`).
//!
//! | floor | rooms | what they know |
//! |---|---|---|
//! | 5 | [`app`], [`cast`], [`modes`] | everybody; each mode tells its own story |
//! | 4 | [`report`] | events, and who wants to hear of them |
//! | 3 | [`rollout`], [`rehearsal`] | how to change things safely; traits, never a vendor |
//! | 2 | [`targets`] [`hooks`] [`routers`] [`hosts`] [`probes`] [`metrics`] [`notifiers`] [`exporters`] [`github`] [`actions`] | one outside party each |
//! | 1 | [`judge`] [`config`] [`model`] | pure words and decisions; no I/O |
//! | 0 | [`platform`] | time, text, secrets, files, HTTP |
//!
//! What always holds: only the saga unwinds. Only `app` and `cast` name everybody. `report` is
//! never called from below. The environment is read in `config` and `actions` alone. What
//! leaves the process as text has been through the vault of secrets.

pub mod app;

pub mod error;

pub mod cast;

pub mod modes;

pub mod report;

pub mod rollout;

pub mod rehearsal;

pub mod targets;

pub mod hooks;

pub mod routers;

pub mod hosts;

pub mod probes;

pub mod metrics;

pub mod notifiers;

pub mod exporters;

pub mod github;

pub mod actions;

pub mod judge;

pub mod config;

pub mod model;

pub mod platform;
