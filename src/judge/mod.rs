//! Decisions, pure: figures and answers go in, verdicts come out.
//!
//! Nothing here asks, waits or knows the time. Whatever decides over users' traffic can be
//! tested with a table.

pub mod ages;
pub mod anomaly;
pub mod approval;
pub mod branches;
pub mod canary;
pub mod chain;
pub mod ending;
pub mod evidence;
pub mod gravest;
pub mod limits;
pub mod protection;
pub mod required;
pub mod reviews;
pub mod severity;
pub mod share;
pub mod streak;
pub mod thresholds;
pub mod vigil;
pub mod windows;
