//! How a look over the network goes, whatever is spoken: it has a time, it comes so far, and it
//! fails in words that hold no secret. Used by the kinds that open their own connections.

use std::future::Future;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{Ailment, Pulse};
use crate::config::address::Address;
use crate::platform::secret::Vault;
use crate::platform::{names, shortage, text};

/// How much is told of what the other side says.
const EXCERPT: usize = 300;

/// What is being done, for a look that ends before its answer: `DNS`, `TCP`, `login`.
#[derive(Default)]
pub(super) struct Progress(Mutex<&'static str>);

impl Progress {
    /// Says what is being done from now on.
    pub(super) fn at(&self, stage: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// That there is no answer to what is being done.
    pub(super) fn silence(&self) -> Trouble {
        let stage = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Trouble::silent(format!("{stage}: no answer"))
    }
}

/// Why a look did not go well.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What was seen.
    measured: String,
    /// What should have been seen; that of the whole look where it is not said.
    wanted: Option<String>,
    answered: bool,
    unseen: bool,
}

impl Trouble {
    /// An answer that is not the one that is wanted.
    pub(super) fn wrong(measured: impl Into<String>) -> Self {
        Self {
            measured: measured.into(),
            wanted: None,
            answered: true,
            unseen: false,
        }
    }

    /// No answer.
    pub(super) fn silent(measured: impl Into<String>) -> Self {
        Self {
            answered: false,
            ..Self::wrong(measured)
        }
    }

    /// Something is missing here, so that nothing could be looked at.
    pub(super) fn here(measured: impl Into<String>) -> Self {
        Self {
            unseen: true,
            ..Self::silent(measured)
        }
    }

    /// What failed on the way; this machine's own shortages are told as such.
    pub(super) fn io(stage: &str, failed: &io::Error) -> Self {
        match shortage::of(failed) {
            Some(short) => Self::here(short),
            None => Self::silent(format!("{stage}: {failed}")),
        }
    }

    /// With what should have been seen.
    pub(super) fn wanted(mut self, wanted: impl Into<String>) -> Self {
        self.wanted = Some(wanted.into());
        self
    }
}

/// Connects to the first of a host's addresses that answers.
pub(super) async fn connect(to: &Address, progress: &Progress) -> Result<TcpStream, Trouble> {
    progress.at("DNS");
    let addresses = names::addresses(to.host(), to.port())
        .await
        .map_err(|failed| Trouble::io("DNS", &failed))?;
    progress.at("TCP");
    TcpStream::connect(&addresses[..])
        .await
        .map_err(|failed| Trouble::io("TCP", &failed))
}

/// Works for at most that long, and tells what came of it.
pub(super) async fn within(
    limit: Duration,
    wanted: String,
    vault: &Vault,
    progress: &Progress,
    work: impl Future<Output = Result<String, Trouble>>,
) -> Result<Pulse, Ailment> {
    let began = Instant::now();
    let outcome = tokio::time::timeout(limit, work).await;
    let took = began.elapsed();
    let after = text::duration(took);
    let trouble = match outcome {
        Ok(Ok(said)) => {
            let said = text::excerpt(&vault.redact(&said), EXCERPT);
            return Ok(Pulse {
                said: format!("{said} in {after}"),
                took,
            });
        }
        Ok(Err(trouble)) => trouble,
        Err(_) => progress.silence(),
    };
    let measured = text::excerpt(&vault.redact(&trouble.measured), EXCERPT);
    Err(Ailment {
        measured: match (trouble.answered, trouble.unseen) {
            (false, false) => format!("{measured} after {after}"),
            _ => measured,
        },
        wanted: text::excerpt(&vault.redact(&trouble.wanted.unwrap_or(wanted)), EXCERPT),
        took,
        silent: !trouble.answered,
        unseen: trouble.unseen,
    })
}
