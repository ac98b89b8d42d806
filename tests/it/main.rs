//! All integration tests, in one binary: real parts, real sockets, the real program.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

mod processes;
mod seams;
mod world;
