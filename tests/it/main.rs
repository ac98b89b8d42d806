//! All integration tests, in one binary: real parts, real sockets, the real program.

#[cfg(test)]
mod anomaly;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod canary_figures;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod counters;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod figures;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod locks;
#[cfg(test)]
mod prober_figures;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod protection;
#[cfg(test)]
mod report;
#[cfg(test)]
mod seams;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod switch_figures;
#[cfg(test)]
mod thresholds;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod vigil;
#[cfg(test)]
mod windows;
#[cfg(test)]
mod world;
