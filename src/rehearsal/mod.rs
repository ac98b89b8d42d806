//! A stand-in of an environment, inside this process: two slots, a router, a deploy API.
//!
//! Real sockets on loopback and the real `http` router, `http` target and `http` probes
//! against them; only what they talk to is made up. Faults can be ordered. It is what
//! `rehearse` runs against, and what tests use where a real proxy is not the point.

pub mod answers;
pub mod environment;
pub mod faults;
pub mod world;
