//! Errors that are this machine's own: no file, no port, no memory left. They say nothing about
//! the other side, and must not be taken for its failure.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// What this machine ran out of, if that is what an error comes from.
pub fn of(failed: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(failed);
    while let Some(cause) = next {
        let found = cause
            .downcast_ref::<io::Error>()
            .and_then(|io| of_io(io).or_else(|| io.get_ref().and_then(|inner| of(inner))));
        if found.is_some() {
            return found;
        }
        next = cause.source();
    }
    None
}

fn of_io(failed: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(failed)? {
        Errno::MFILE => Some("this process may open no more files (see `ulimit -n`)"),
        Errno::NFILE => Some("this machine has no more open files to give"),
        Errno::ADDRNOTAVAIL => Some("this machine has no address or port left to connect from"),
        Errno::NOBUFS | Errno::NOMEM => Some("this machine has no memory left to connect with"),
        _ => None,
    }
}

/// How many files this process may have open; many where there is no limit.
pub fn files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let limit = limit.current.unwrap_or(u64::MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The error of the next file that is opened, if it has one: a look-up of names does not say
/// that it failed for want of files.
pub(super) fn of_files() -> Option<io::Error> {
    std::fs::File::open("/dev/null")
        .err()
        .filter(|failed| of_io(failed).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_found_below_other_errors() {
        let bare = io::Error::from(Errno::MFILE);
        let wrapped = io::Error::other(io::Error::from(Errno::ADDRNOTAVAIL));
        assert!(of(&bare).unwrap().contains("files"));
        assert!(of(&wrapped).unwrap().contains("port"));
        assert_eq!(of(&io::Error::from(Errno::CONNREFUSED)), None);
        assert_eq!(of(&io::Error::other("Too many open files")), None);
    }
}
