//! The anomaly rule: on simulated weeks, and on figures that are known.

mod rule;
mod weeks;
