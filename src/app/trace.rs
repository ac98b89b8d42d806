//! What developers see: tracing, to standard error, when `RUST_LOG` or the runner's step debug
//! asks for it. Every line goes through the vault of secrets, like all text that leaves us.

use std::io::{self, Write};

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::actions::commands;
use crate::actions::context::Context;
use crate::platform::secret::Vault;

use super::Variables;

/// What step debug shows: our own requests, and no library's.
fn step_debug() -> Targets {
    Targets::new().with_target("cutover", Level::DEBUG)
}

/// Begins to trace, if anybody asked for it. `RUST_LOG` takes levels and `target=level`, with commas.
pub(super) fn begin(context: &Context, environment: &Variables, vault: &Vault) {
    let asked = environment.iter().find(|(name, _)| name == "RUST_LOG");
    let asked = asked.and_then(|(_, filter)| filter.to_str());
    let (filter, unread) = match asked.map(str::parse::<Targets>) {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (step_debug(), Some(error)),
        None if context.debug => (step_debug(), None),
        None => return,
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(Redacted {
            vault: vault.clone(),
        });
    // A subscriber that is there already, as in a test, stays.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    if let Some(error) = unread {
        tracing::warn!("RUST_LOG cannot be read ({error}); cutover=debug is used instead");
    }
}

/// Makes writers that take secrets out.
struct Redacted {
    vault: Vault,
}

impl<'a> MakeWriter<'a> for Redacted {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            vault: self.vault.clone(),
            text: Vec::new(),
        }
    }
}

/// One event; it is written when it is whole, because half a secret is not recognised as one.
struct Line {
    vault: Vault,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let mut out = io::stderr().lock();
        for line in self.vault.redact(&text).lines() {
            let _ = out.write_all(commands::untrusted(line).as_bytes());
        }
    }
}
