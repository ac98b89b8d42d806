//! The audit: every event of a run as a line of JSON that hangs together with the line before.
//!
//! Who, what, when and where stand in every line, secrets in none. Lines are written as they
//! happen; a file that cannot be written is one warning, and changes nothing else. Not in the
//! audit: how far a step is, and what a user's own command printed; the log has that.

mod file;
mod lines;
pub mod loki;
pub mod schema;

use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::model::chain::{Chain, RESUMED};
use crate::model::event::Event;
use crate::platform::secret::Vault;

use super::{Listener, words};
use file::Opened;

/// The version of a line's form.
const SCHEMA_VERSION: u32 = 1;

/// Who runs what, and where: what every line of a run carries. Empty is unknown.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The application.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The mode.
    pub mode: &'static str,
    /// Who caused the run.
    pub actor: Option<String>,
    /// Who caused this attempt.
    pub triggering_actor: Option<String>,
    /// The repository, `owner/name`.
    pub repository: Option<String>,
    /// The run.
    pub run_id: Option<u64>,
    /// Which attempt of it.
    pub run_attempt: Option<u32>,
    /// The job.
    pub job: Option<String>,
    /// The runner.
    pub runner: Option<String>,
    /// The branch or tag.
    pub branch: Option<String>,
    /// The commit.
    pub sha: Option<String>,
}

impl Origin {
    fn fields(&self) -> Map<String, Value> {
        let fields = [
            ("app", json!(self.app)),
            ("environment", json!(self.environment)),
            ("mode", json!(self.mode)),
            ("actor", json!(self.actor)),
            ("triggering-actor", json!(self.triggering_actor)),
            ("repository", json!(self.repository)),
            ("run-id", json!(self.run_id)),
            ("run-attempt", json!(self.run_attempt)),
            ("job", json!(self.job)),
            ("runner", json!(self.runner)),
            ("branch", json!(self.branch)),
            ("sha", json!(self.sha)),
        ];
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// A line as it was written, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Nanoseconds since 1970.
    pub nanoseconds: i128,
    /// The line, without its end.
    pub line: String,
}

/// What there is to say when an audit was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// How many lines this run has written.
    pub lines: usize,
    /// The hash of the last one.
    pub head: String,
    /// Whether all of them are in the file.
    pub in_file: bool,
    /// What went wrong.
    pub warnings: Vec<String>,
    /// The lines.
    pub entries: Vec<Entry>,
}

/// Writes the audit of one run.
pub struct Audit {
    origin: Origin,
    vault: Vault,
    chain: Chain,
    file: Option<file::Lines>,
    entries: Vec<Entry>,
    warnings: Vec<String>,
    is_closed: bool,
}

impl Audit {
    /// Opens the audit of a run in a file, which is made where there is none, and goes on after
    /// the last line where there is one. A file that cannot be had is a warning at the end.
    pub fn open(path: &Path, origin: Origin, vault: Vault) -> Self {
        let (opened, warning) = match file::Lines::open(path) {
            Ok(opened) => opened,
            Err(failed) => (
                Opened::default(),
                Some(format!("no audit is written: {failed}")),
            ),
        };
        let mut audit = Self {
            origin,
            vault,
            chain: opened.chain,
            file: opened.lines,
            entries: Vec::new(),
            warnings: warning.into_iter().collect(),
            is_closed: false,
        };
        if opened.is_unfinished {
            let said = "the run before left no end: it was killed, or lines were removed";
            let after = audit.chain.lines();
            audit.write(RESUMED, json!({ "after": after, "said": said }));
        }
        audit
    }

    /// Writes the last line and makes the file durable. What is heard later is not in it.
    pub fn close(&mut self) -> Closed {
        if !self.is_closed {
            let (fields, at) = self.fields(Value::Object(Map::new()));
            let line = self.chain.close(fields);
            self.keep(line, at);
            self.is_closed = true;
            if let Some(Err(failed)) = self.file.as_mut().map(file::Lines::sync) {
                self.give_up(&failed);
            }
        }
        Closed {
            lines: self.entries.len(),
            head: self.chain.head().to_owned(),
            in_file: self.file.take().is_some(),
            warnings: std::mem::take(&mut self.warnings),
            entries: std::mem::take(&mut self.entries),
        }
    }

    fn write(&mut self, event: &str, data: Value) {
        let (fields, at) = self.fields(data);
        let line = self.chain.link(event, fields);
        self.keep(line, at);
    }

    /// What a line carries beside its place in the chain. Secrets are taken out here, before
    /// the line is hashed.
    fn fields(&self, data: Value) -> (Map<String, Value>, Timestamp) {
        let at = Timestamp::now();
        let mut fields = Map::new();
        fields.insert("at".to_owned(), format!("{at:.3}").into());
        let mut known = Value::Object(self.origin.fields());
        let mut data = data;
        clean(&mut known, &self.vault);
        clean(&mut data, &self.vault);
        if let Value::Object(known) = known {
            fields.extend(known);
        }
        fields.insert("data".to_owned(), data);
        fields.insert("schema_version".to_owned(), SCHEMA_VERSION.into());
        (fields, at)
    }

    fn keep(&mut self, line: String, at: Timestamp) {
        if let Some(Err(failed)) = self.file.as_mut().map(|file| file.append(&line)) {
            self.give_up(&failed);
        }
        self.entries.push(Entry {
            nanoseconds: at.as_nanosecond(),
            line,
        });
    }

    /// One warning, and no more is written: a file with a hole would look like one that was
    /// tampered with.
    fn give_up(&mut self, failed: &std::io::Error) {
        if let Some(file) = self.file.take() {
            let path = file.path().display();
            self.warnings.push(format!(
                "the audit ends early: {path} cannot be written: {failed}"
            ));
        }
    }
}

impl Listener for Audit {
    fn hear(&mut self, event: &Event) {
        if self.is_closed {
            return;
        }
        if let Some((event, data)) = lines::of(event) {
            self.write(event, data);
        }
    }
}

/// Takes secrets and control characters out of every text below `value`.
fn clean(value: &mut Value, vault: &Vault) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| clean(item, vault)),
        Value::Object(entries) => entries.values_mut().for_each(|item| clean(item, vault)),
        Value::String(text) => *text = words::clean(text, vault),
        Value::Number(number) => {
            let text = number.to_string();
            let redacted = vault.redact(&text);
            if redacted != text {
                *value = Value::String(redacted.into_owned());
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
