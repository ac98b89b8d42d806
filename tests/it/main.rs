//! All integration tests, in one binary: real parts, real sockets, the real program.

#[cfg(test)]
mod seams;
#[cfg(test)]
mod world;
