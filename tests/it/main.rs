//! All integration tests, in one binary: real parts, real sockets, the real program.

mod contract;
mod seams;
mod world;
