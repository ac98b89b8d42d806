//! All integration tests, in one binary: real parts, real sockets, the real program.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod seams;
mod world;
