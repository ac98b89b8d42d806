//! The audit: what is written, that it hangs together, and that nothing is lost or told that
//! should not be.

mod chain;
mod file;
mod runs;

use std::path::Path;

use cutover::model::event::Event;
use cutover::platform::secret::Vault;
use cutover::report::Listener as _;
use cutover::report::audit::{Audit, Closed, Origin};
use serde_json::Value;

/// Who runs in these tests.
fn origin() -> Origin {
    Origin {
        app: "storefront".to_owned(),
        environment: "production".to_owned(),
        mode: "rollout",
        actor: Some("mona".to_owned()),
        run_id: Some(42),
        run_attempt: Some(1),
        ..Origin::default()
    }
}

/// Writes one run.
fn write(path: &Path, events: impl IntoIterator<Item = Event>) -> Closed {
    let mut audit = Audit::open(path, origin(), Vault::default());
    events.into_iter().for_each(|event| audit.hear(&event));
    audit.close()
}

fn noticed(said: impl ToString) -> Event {
    Event::Noticed(said.to_string())
}

/// The lines of a file as JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line| serde_json::from_str(line).unwrap();
    text.lines().map(line).collect()
}

/// What happened, in the order in which it did.
fn events(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect()
}
