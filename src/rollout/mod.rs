//! The machinery of a safe change: stories, steps, promises, and the saga that keeps them.
//!
//! A story is straight-line code over steps. A step goes forward and returns what it found; a
//! promise says how to take a step back and is given before the step acts. Only the saga
//! unwinds. A lock keeps other runs away. Nothing here knows a vendor, the runner, GitHub, or how anything is shown.

pub mod anomaly;
pub mod approval;
pub mod arms;
pub mod blue_green;
pub mod canary;
pub mod drain;
pub mod failover;
mod faults;
pub mod felt;
pub mod gauges;
pub mod hooks;
pub mod ledger;
pub mod lock;
pub mod looks;
pub mod patience;
mod places;
pub mod preflight;
pub mod prober;
pub mod proof;
pub mod pulse;
pub mod saga;
pub mod stage;
pub mod steps;
pub mod switch;
pub mod testers;
pub mod undos;
pub mod vigil;
pub mod watch;
