//! A health check on a clock: what it remembers, whom it tells, and when.

mod day;
mod memory;
mod rules;
mod runs;
mod scene;
mod way_back;
