//! The world that the tests run in: real proxies, real sockets, and strict stand-ins for what
//! cannot be had. Everything listens on a port of its own and ends with its owner.

pub(crate) mod app;
pub(crate) mod tls;
