//! All integration tests, in one binary: real parts, real sockets, the real program.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and tells by printing, in its helpers too"
)]

#[cfg(test)]
mod contract;
#[cfg(test)]
mod processes;
mod seams;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod world;
