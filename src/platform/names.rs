//! Host names and their addresses, as the system has them (hosts file included).
//!
//! Who asks for a name that is being looked up waits for that answer, and an answer is good for
//! [`FRESH`]: thousands of checks of one host are one question. No answer is kept for longer, so
//! a name that moves is seen to move.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::shortage;

/// How long an answer is good for, failures too.
pub const FRESH: Duration = Duration::from_secs(1);

/// An answer, and since when it is there.
struct Found {
    since: Instant,
    answer: Result<Vec<IpAddr>, Failed>,
}

/// What can be said again of an error.
struct Failed {
    code: Option<i32>,
    kind: io::ErrorKind,
    said: String,
}

type Asked = Arc<OnceCell<Found>>;

static NAMES: LazyLock<Mutex<HashMap<String, Asked>>> = LazyLock::new(Mutex::default);

/// The addresses of a host, with that port.
///
/// # Errors
/// What the system's resolver says; a shortage of files is said as such.
pub async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let asked = asked(host);
    let found = asked.get_or_init(|| look_up(host.to_owned())).await;
    match &found.answer {
        Ok(addresses) => Ok(addresses
            .iter()
            .map(|address| SocketAddr::new(*address, port))
            .collect()),
        Err(failed) => Err(failed.again()),
    }
}

/// The question for a host: the one that is open or fresh, or a new one.
fn asked(host: &str) -> Asked {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    names.retain(|_, asked| {
        asked
            .get()
            .is_none_or(|found| found.since.elapsed() < FRESH)
    });
    Arc::clone(names.entry(host.to_owned()).or_default())
}

async fn look_up(host: String) -> Found {
    let looked = tokio::task::spawn_blocking(move || {
        (host.as_str(), 0)
            .to_socket_addrs()
            .map_err(|failed| shortage::of_files().unwrap_or(failed))
    });
    let answer = match looked.await {
        Ok(Ok(addresses)) => Ok(addresses.map(|address| address.ip()).collect()),
        Ok(Err(failed)) => Err(Failed::from(&failed)),
        Err(broken) => Err(Failed::from(&io::Error::other(broken.to_string()))),
    };
    Found {
        since: Instant::now(),
        answer,
    }
}

impl From<&io::Error> for Failed {
    fn from(failed: &io::Error) -> Self {
        Self {
            code: failed.raw_os_error(),
            kind: failed.kind(),
            said: failed.to_string(),
        }
    }
}

impl Failed {
    fn again(&self) -> io::Error {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.kind, self.said.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_an_answer() {
        let first = asked("one-question.invalid");
        let second = asked("one-question.invalid");
        assert!(Arc::ptr_eq(&first, &second));
        let both = tokio::join!(
            addresses("one-question.invalid", 1),
            addresses("one-question.invalid", 2)
        );
        let [one, other] = [both.0.unwrap_err(), both.1.unwrap_err()];
        assert_eq!(one.to_string(), other.to_string());
        assert!(first.initialized());
    }

    #[tokio::test]
    async fn an_answer_that_is_not_fresh_is_asked_for_again() {
        let old = asked("old.invalid");
        let since = Instant::now().checked_sub(FRESH * 2).unwrap();
        let answer = Ok(vec![IpAddr::from([127, 0, 0, 9])]);
        assert!(old.set(Found { since, answer }).is_ok());
        assert!(!Arc::ptr_eq(&old, &asked("old.invalid")));
    }

    #[tokio::test]
    async fn an_address_is_its_own() {
        let found = addresses("[::1]", 7).await.unwrap();
        assert_eq!(found, ["[::1]:7".parse().unwrap()]);
        assert_eq!(addresses("127.0.0.1", 7).await.unwrap().len(), 1);
    }
}
