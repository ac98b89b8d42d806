//! The two doors, made into types: the inputs (`INPUT_*` and flags) and the config file.
//!
//! Everything is read, checked and complained about at once, before anything is changed.
//! What a block's kind does is not known here: a block is its kind's name and its options,
//! and the seam's table of kinds builds it (`kinds`). No network, no file but the config.

pub mod address;
pub mod anomaly;
pub mod app;
pub mod approval;
pub mod audit;
pub mod calendar;
pub mod canary;
pub mod check;
pub mod clock;
pub mod command_line;
pub mod cron;
pub mod docker_engine;
pub mod docker_host;
pub mod drain;
pub mod endpoints;
pub mod expect;
pub mod failover;
pub mod file;
pub mod fleet;
pub mod gates;
pub mod hooks;
pub mod input_table;
pub mod inputs;
pub mod interpolate;
pub mod kinds;
pub mod ladder;
pub mod lock;
pub mod meaning;
pub mod patience;
pub mod preflight;
pub mod problem;
pub mod protection;
pub mod records;
mod report_file;
pub mod request;
pub mod rolling;
pub mod schema;
pub mod script;
pub mod telemetry;
pub mod template;
pub mod thresholds;
pub mod units;
pub mod yaml;
