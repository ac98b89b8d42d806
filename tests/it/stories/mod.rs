//! Whole modes, as users run them: the built program against real proxies. What each prints
//! is held to the letter, so that it can be read like a release note.

mod ages;
mod anomaly;
mod app;
mod caddy;
mod calls;
mod canaries;
mod containers;
mod counted;
mod docker;
mod drains;
mod failover;
mod fleets;
mod gates;
mod guardrails;
mod hooks;
mod hooks_end;
mod hosts;
pub(crate) mod load;
mod over_ssh;
mod over_ssh_figures;
mod preflight;
mod records;
mod refusals;
mod rehearsals;
mod rolling;
mod rolling_cut;
mod rolling_load;
mod rolling_records;
mod rolling_refused;
mod rollouts;
mod shares;
mod standing;
mod switches;
mod telemetry;
mod testers;
mod watchers;
