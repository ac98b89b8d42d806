//! A health check on a clock: what it remembers, whom it tells, and when.

mod day;
mod rules;
mod runs;
mod way_back;
