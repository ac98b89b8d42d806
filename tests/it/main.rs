//! All integration tests, in one binary: real parts, real sockets, the real program.

mod seams;
mod world;
