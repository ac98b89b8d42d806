//! What kind of failure it was that left a request without an answer: theirs, or ours.

use std::error::Error as _;
use std::io;

use crate::platform::shortage;

/// What kind of failure left a request without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nothing came in time.
    Timeout,
    /// Nobody listens there.
    Refused,
    /// The connection was closed or reset before the answer was whole.
    Reset,
    /// This machine could not send: no port, no file handle or no memory was left. That says
    /// nothing of the other side.
    Here,
    /// Something else; the phase and the words say more.
    Other,
}

impl Cause {
    /// The kind of a request's failure, by all that it was caused by.
    pub(super) fn of(failed: &reqwest::Error) -> Self {
        if failed.is_timeout() {
            return Self::Timeout;
        }
        let mut source = failed.source();
        while let Some(cause) = source {
            let found = match cause.downcast_ref::<io::Error>() {
                Some(failed) => Self::of_io(failed),
                None => match cause.downcast_ref::<hyper::Error>() {
                    Some(failed) if failed.is_incomplete_message() => Self::Reset,
                    _ => Self::Other,
                },
            };
            if found != Self::Other {
                return found;
            }
            source = cause.source();
        }
        Self::Other
    }

    fn of_io(failed: &io::Error) -> Self {
        if shortage::of(failed).is_some() {
            return Self::Here;
        }
        match failed.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Reset,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_out_here_is_ours() {
        for (number, cause) in [
            (24, Cause::Here),
            (99, Cause::Here),
            (111, Cause::Refused),
            (104, Cause::Reset),
            (110, Cause::Timeout),
            (113, Cause::Other),
        ] {
            let failed = io::Error::from_raw_os_error(number);
            assert_eq!(Cause::of_io(&failed), cause, "{failed}");
        }
    }
}
