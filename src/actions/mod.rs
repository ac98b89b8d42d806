//! The runner's contract: what it tells us, what it listens for, and the files it reads.
//!
//! `context` is what the workflow says about itself, `commands` are lines on stdout that mean
//! something to the runner, `files` are the ones it reads when the step is over. GitHub's own
//! runner and act differ in small ways; what is written here is right for both.

pub mod commands;
pub mod context;
pub mod files;
