//! Where ledgers lie, and how the post step finds the one of its own step.
//!
//! The runner hands the path on as state. act does not, so the name says whose it is, and the
//! folder is one that both containers of a step see.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::actions::context::Context;
use crate::actions::files;
use crate::config::inputs::Inputs;
use crate::model::event::Event;
use crate::platform::atomic_file;
use crate::rollout::ledger::{Ledger, Note, Progress, SCHEMA_VERSION};

use super::session::Session;

/// The name of the state that hands the path on.
const STATE: &str = "ledger";

impl Session {
    /// Opens the ledger of a run that changes something. A place that cannot be written is a
    /// warning: whether the way back is written down is asked again before the change.
    pub(super) fn open_ledger(&self, mode: &str, environment: &str, inputs: &Inputs) -> Ledger {
        let path = directory(&self.context).join(format!(
            "{}{}",
            prefix(&self.context),
            file_name(environment)
        ));
        if let Some(state) = &self.context.state_file
            && let Err(failed) = files::save_state(state, STATE, &path.to_string_lossy())
        {
            (self.say)(Event::Warned(failed.to_string()));
        }
        let note = Note {
            schema_version: SCHEMA_VERSION,
            mode: mode.to_owned(),
            config: inputs.config.clone(),
            environment: environment.to_owned(),
            progress: Progress::Begun,
            way_back: None,
            at_work: None,
            claim: None,
            left: None,
            moved_to: None,
            ended_well: false,
            is_counted: false,
            asked: None,
            owed: None,
        };
        Ledger::open(path.clone(), note).unwrap_or_else(|failed| {
            let said = format!(
                "{} cannot be written ({failed}), so a killed run could not be finished",
                path.display()
            );
            (self.say)(Event::Warned(said));
            Ledger::default()
        })
    }

    /// Removes what is left of a ledger whose run was killed before it was there.
    pub(super) fn clear_drafts(&self) {
        if let Some(path) = self.context.saved(STATE) {
            atomic_file::clear_drafts(Path::new(path));
        }
    }

    /// The ledgers that this step, or at a terminal this machine, has left open.
    pub(super) fn open_ledgers(&self, inputs: &Inputs) -> Vec<(PathBuf, Note)> {
        let mut paths: Vec<PathBuf> = self
            .context
            .saved(STATE)
            .map(PathBuf::from)
            .into_iter()
            .collect();
        let prefix = prefix(&self.context);
        for entry in std::fs::read_dir(directory(&self.context))
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(&prefix)
                && !paths.contains(&entry.path())
            {
                paths.push(entry.path());
            }
        }
        let wanted = |note: &Note| {
            inputs
                .environment
                .as_ref()
                .is_none_or(|name| *name == note.environment)
        };
        paths
            .into_iter()
            .filter_map(|path| {
                let note = match Ledger::read(&path) {
                    Ok(note) => Some(note).filter(wanted)?,
                    Err(failed) if failed.kind() == ErrorKind::NotFound => return None,
                    Err(failed) => {
                        (self.say)(Event::Warned(format!(
                            "{} cannot be read ({failed}), so what its run has left open is not known; see where traffic is",
                            path.display()
                        )));
                        return None;
                    }
                };
                Some((path, note))
            })
            .collect()
    }
}

/// Under act the runner's temp folder is each container's own; the folder of the state file is
/// shared.
pub(super) fn directory(context: &Context) -> PathBuf {
    let of_state = || context.state_file.as_ref()?.parent().map(PathBuf::from);
    let first = if context.act {
        of_state()
    } else {
        context.temp.clone()
    };
    first.or_else(of_state).unwrap_or_else(std::env::temp_dir)
}

/// Whose ledger it is: run, attempt, job and step; at a terminal, this machine's.
fn prefix(context: &Context) -> String {
    let run = context
        .run_id
        .map_or_else(|| "local".to_owned(), |id| id.to_string());
    let attempt = context.run_attempt.unwrap_or_default();
    let parts = [context.job.as_deref(), context.step.as_deref()]
        .map(|part| file_name(part.unwrap_or_default()));
    format!("cutover-ledger-{run}-{attempt}-{}-{}-", parts[0], parts[1])
}

/// A text as a part of a file's name.
pub(super) fn file_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') {
            c
        } else {
            '_'
        }
    };
    text.chars().map(plain).take(60).collect()
}
