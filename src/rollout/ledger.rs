//! The ledger: what a run has promised, on disk before the change is made.
//!
//! A run can be killed at any instant. Whoever comes after it (the post step, or a person with
//! `cutover finish`) reads here how traffic was divided and whether the point of no return was
//! passed. A ledger that is there belongs to a run that did not end.

mod note;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::model::approval::Asked;
use crate::model::ending::Reason;
use crate::model::fault::Fault;
use crate::model::hook::About;
use crate::model::split::Split;
use crate::platform::atomic_file;

pub use note::{AtWork, Note, Noted, Owed, Progress, SCHEMA_VERSION, WayBack};

/// The ledger of a run. Without a path nothing is written: a dry run and a rehearsal need none.
#[derive(Debug, Default)]
pub struct Ledger {
    open: Option<(PathBuf, Mutex<Note>)>,
}

impl Ledger {
    /// Opens a ledger, and writes its first note.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: PathBuf, note: Note) -> io::Result<Self> {
        write(&path, &note)?;
        Ok(Self {
            open: Some((path, Mutex::new(note))),
        })
    }

    /// Takes up the ledger of a run that did not end, and writes nothing yet.
    pub const fn resume(path: PathBuf, note: Note) -> Self {
        Self {
            open: Some((path, Mutex::new(note))),
        }
    }

    /// Reads the note of a run that did not end.
    ///
    /// # Errors
    /// When it is not there, or is none of ours.
    pub fn read(path: &Path) -> io::Result<Note> {
        let note: Note = serde_json::from_slice(&fs::read(path)?)?;
        if note.schema_version == SCHEMA_VERSION {
            Ok(note)
        } else {
            let said = format!(
                "it has form {}, and this program writes {SCHEMA_VERSION}",
                note.schema_version
            );
            Err(io::Error::new(io::ErrorKind::InvalidData, said))
        }
    }

    /// Writes down how to put traffic back, before it is moved.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be changed.
    pub fn promise(&self, way_back: WayBack) -> Result<(), Fault> {
        self.promised(|note| note.way_back = Some(way_back))
    }

    /// Writes down which members are taken out, before they are.
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be changed.
    pub fn takes_out(&self, at_work: AtWork) -> Result<(), Fault> {
        self.promised(|note| note.at_work = Some(at_work))
    }

    fn promised(&self, what: impl FnOnce(&mut Note)) -> Result<(), Fault> {
        self.change(|note| {
            note.progress = Progress::Promised;
            what(note);
        })
        .map_err(|failed| {
            Fault::new(
                Reason::OutOfReach,
                "the way back could not be written down, so nothing was changed",
            )
            .measured(failed.to_string())
            .next("is the disk of the runner full?")
        })
    }

    /// Remembers how traffic is divided now. It is written down with the next word: the way back
    /// that stands there already says what was to come.
    pub fn moved(&self, to: Split) {
        if let Some((_, note)) = &self.open {
            note.lock().unwrap_or_else(PoisonError::into_inner).moved_to = Some(to);
        }
    }

    /// Writes down that traffic stays where it is. Where that fails, a run that is killed right
    /// now is taken back, which is safe too.
    pub fn commit(&self) {
        let _ = self.change(|note| note.progress = Progress::Committed);
    }

    /// Remembers which contracts are due from the commit on, which writes them down.
    pub fn contracts_are_due(&self, hooks: impl Iterator<Item = String>) {
        let due: BTreeSet<String> = hooks.collect();
        if let Some((_, note)) = &self.open
            && !due.is_empty()
        {
            let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
            note.owed.get_or_insert_default().contracts = due;
        }
    }

    /// Writes down that a contract has come to its end.
    pub fn has_contracted(&self, hook: &str) {
        let _ = self.change(|note| {
            if let Some(owed) = &mut note.owed {
                owed.contracts.remove(hook);
            }
        });
    }

    /// The same before traffic is moved to where it stays. Whether it got there is the router's word.
    pub fn commit_to(&self, to: Split) {
        let _ = self.change(|note| {
            note.progress = Progress::Committed;
            note.moved_to = Some(to);
        });
    }

    /// Writes down that traffic is as it was found.
    pub fn settle(&self) {
        let _ = self.change(|note| note.progress = Progress::Begun);
    }

    /// Writes down which claim to the lock is this run's, before it is made.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn claims(&self, id: Option<&str>) -> io::Result<()> {
        self.change(|note| note.claim = id.map(ToOwned::to_owned))
    }

    /// Writes down which claim may hold, or come to hold, although this run does not have the lock.
    pub fn leaves_claim(&self, id: Option<&str>) {
        let _ = self.change(|note| {
            note.claim = None;
            note.left = id.map(ToOwned::to_owned);
        });
    }

    /// Writes down in which issue people are asked, before it is opened; `None` when it is closed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn asks(&self, asked: Option<Asked>) -> io::Result<()> {
        self.change(|note| note.asked = asked)
    }

    /// Writes down that the end of this run owes its hooks, and what they are to be told. Where that
    /// fails, the post step of a run that is killed leaves them out.
    pub fn owes(&self, about: About) {
        let _ = self.change(|note| note.owed.get_or_insert_default().about = about);
    }

    /// Writes down how traffic is divided when it is back, before it is put there: the hooks of the
    /// end ask for it. Where there are none, nothing is written.
    pub fn goes_back(&self, to: Split) {
        if self.note(|note| note.owed.is_some()) {
            let _ = self.change(|note| {
                if let Some(owed) = &mut note.owed {
                    owed.back = Some(to);
                }
            });
        }
    }

    /// Writes down that a hook at the end is begun, before it is; `false` where it was begun already.
    /// Where it cannot be written, the hook is run all the same: only a run that is killed right
    /// after that would begin it twice.
    pub fn begins(&self, hook: &str) -> bool {
        let mut first = true;
        let _ = self.change(|note| {
            let owed = note.owed.get_or_insert_default();
            first = owed.begun.insert(hook.to_owned());
        });
        first
    }

    /// Whether an issue is open in which people are asked.
    pub fn is_asking(&self) -> bool {
        self.note(|note| note.asked.is_some())
    }

    fn note(&self, says: impl FnOnce(&Note) -> bool) -> bool {
        self.open
            .as_ref()
            .is_some_and(|(_, note)| says(&note.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The run has ended in a defined state, but its lock could not be released, or its record
    /// not be closed.
    pub fn is_over(&self, well: bool) {
        let _ = self.change(|note| {
            note.progress = Progress::Over;
            note.ended_well = well;
        });
    }

    /// The run has ended, and what it left is to be tried again. It was counted when it ended.
    pub fn is_stuck(&self) {
        let _ = self.change(|note| note.is_counted = true);
    }

    /// The run has ended in a defined state: the ledger goes.
    pub fn close(&self) {
        if let Some((path, _)) = &self.open {
            let _ = fs::remove_file(path);
        }
    }

    /// Removes the ledger of a run that is no more, and what it was about to write when it ended.
    pub fn discard(path: &Path) {
        let _ = fs::remove_file(path);
        atomic_file::clear_drafts(path);
    }

    fn change(&self, change: impl FnOnce(&mut Note)) -> io::Result<()> {
        let Some((path, note)) = &self.open else {
            return Ok(());
        };
        let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut note);
        write(path, &note)
    }
}

fn write(path: &Path, note: &Note) -> io::Result<()> {
    atomic_file::replace(path, &serde_json::to_vec_pretty(note)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::release::Release;
    use crate::model::slot::Side;
    use crate::routers::Reading;

    fn note() -> Note {
        Note {
            schema_version: SCHEMA_VERSION,
            mode: "rollout".into(),
            config: ".github/cutover.yml".into(),
            environment: "production".into(),
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
        }
    }

    fn way_back() -> WayBack {
        WayBack {
            before: Reading {
                split: Split::all_to(Side::First),
                apart: Vec::new(),
                revision: "7".into(),
                saved: "w0".into(),
            },
            ours: Split::all_to(Side::Second),
            passed: Vec::new(),
            old: Some(Release::new("v1")),
        }
    }

    #[test]
    fn what_is_promised_is_on_disk_before_the_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let ledger = Ledger::open(path.clone(), note()).unwrap();
        ledger.promise(way_back()).unwrap();
        let read = Ledger::read(&path).unwrap();
        assert_eq!(
            (read.progress, read.way_back),
            (Progress::Promised, Some(way_back()))
        );
        ledger.commit();
        assert_eq!(Ledger::read(&path).unwrap().progress, Progress::Committed);
        ledger.close();
        assert!(Ledger::read(&path).is_err());
    }

    #[test]
    fn a_hook_at_the_end_is_begun_once_also_by_whoever_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let ledger = Ledger::open(path.clone(), note()).unwrap();
        assert_eq!(Ledger::read(&path).unwrap().owed, None);
        let about = About {
            version: Some("v2".into()),
            ..About::default()
        };
        ledger.owes(about.clone());
        assert!(ledger.begins("always[1]"));
        let read = Ledger::read(&path).unwrap();
        assert_eq!(read.owed.as_ref().unwrap().about, about);
        let next = Ledger::resume(path.clone(), read);
        assert!(!next.begins("always[1]"));
        assert!(next.begins("always[2]"));
        assert_eq!(Ledger::read(&path).unwrap().owed.unwrap().begun.len(), 2);
        assert!(Ledger::default().begins("always[1]"));
    }

    #[test]
    fn a_promise_that_cannot_be_written_stops_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path().join("ledger"), note()).unwrap();
        drop(directory);
        let fault = ledger.promise(way_back()).unwrap_err();
        assert_eq!(fault.reason, Reason::OutOfReach);
        Ledger::default().promise(way_back()).unwrap();
    }
}
