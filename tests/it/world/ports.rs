//! Ports for servers that take a number and not a socket.
//!
//! A port that was free a moment ago may be the next client's own: the kernel gives clients any
//! port from its range, and a load takes thousands. So servers get theirs from below the range.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const MANY: u16 = 20_000;

/// A port that nobody listens on, and that nobody else in this process is given.
pub(crate) fn free() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several of these processes may run at once.
    let ours = (std::process::id() % 97) as u16 * 199;
    loop {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed) % MANY;
        let port = FIRST + (ours + nth) % MANY;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
