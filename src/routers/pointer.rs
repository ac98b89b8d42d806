//! The simplest router: a file or a symbolic link that names the active slot.
//!
//! Whatever reads it (a start script, a web server's document root, a proxy that somebody
//! wrote) is not known here, so traffic is all here or all there, and whether it follows is
//! for the proof to see.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::lock;
use super::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::atomic_file::{directory_of, replace, sync_directory};
use crate::platform::text::{excerpt, shell_word};

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "pointer",
    about: "A file or a symbolic link that names the active slot.",
    schema: plain_schema::<Options>,
    build,
};

/// How long another writer is waited for; a write takes milliseconds.
const ANOTHER_WRITER: Duration = Duration::from_secs(2);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The file or link that names the active slot.
    path: String,
    /// `file`: its content is the slot's name. `symlink`: the last part of what it points to is.
    #[serde(default)]
    form: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Form {
    #[default]
    File,
    Symlink,
}

struct Pointer {
    path: PathBuf,
    form: Form,
    slots: Slots,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let Options { path, form } = block.options()?;
    for side in [Side::First, Side::Second] {
        let name = tools.slots.name(side);
        if name.trim() != name || name.contains('/') || name.is_empty() {
            return Err(format!(
                "the slot \"{name}\" cannot be pointed at: its name has a slash or a space around it"
            ));
        }
    }
    Ok(Box::new(Pointer {
        path: tools.directory.join(path),
        form,
        slots: tools.slots.clone(),
    }))
}

impl Pointer {
    /// What the pointer says, literally: the file's content or the link's target.
    fn now(&self) -> Result<String, RouterError> {
        let said = match self.form {
            Form::File => fs::read_to_string(&self.path),
            Form::Symlink => fs::read_link(&self.path).and_then(|target| {
                let text = target.into_os_string().into_string();
                text.map_err(|_| io::Error::other("its target is not UTF-8"))
            }),
        };
        said.map_err(|failed| {
            let path = self.path.display();
            let said = match failed.kind() {
                io::ErrorKind::NotFound => format!("it is not there; {}", self.first_time()),
                io::ErrorKind::InvalidInput if self.form == Form::Symlink => {
                    "it is not a symbolic link, which `form: symlink` says".to_owned()
                }
                _ => failed.to_string(),
            };
            RouterError::OutOfReach(format!("the pointer {path}: {said}"))
        })
    }

    /// The slot that is named.
    fn side(&self, said: &str) -> Result<Side, RouterError> {
        let name = match self.form {
            Form::File => said.trim(),
            Form::Symlink => {
                let last = Path::new(said).file_name().and_then(|name| name.to_str());
                last.unwrap_or_default()
            }
        };
        self.slots.side_of(name).ok_or_else(|| {
            let (first, second) = (&self.slots.first.name, &self.slots.second.name);
            RouterError::Refused(format!(
                "the pointer {} names \"{}\", and the slots are {first} and {second}",
                self.path.display(),
                excerpt(name, 60)
            ))
        })
    }

    /// What the pointer is to say instead of `said`, in the same manner.
    fn pointing_at(&self, side: Side, said: &str) -> String {
        let name = self.slots.name(side);
        match self.form {
            Form::File => said.replace(said.trim(), name),
            Form::Symlink => {
                let target = Path::new(said).with_file_name(name);
                target.to_string_lossy().into_owned()
            }
        }
    }

    fn write(&self, said: &str) -> io::Result<()> {
        let directory = directory_of(&self.path);
        match self.form {
            Form::File => {
                // A link to the file stays a link.
                let place = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
                replace(&place, said.as_bytes())
            }
            Form::Symlink => {
                let beside = tempfile::Builder::new()
                    .prefix(".cutover-")
                    .suffix(".tmp")
                    .make_in(directory, |beside| symlink(said, beside))?;
                beside.persist(&self.path).map_err(|failed| failed.error)?;
                sync_directory(directory)
            }
        }
    }

    fn as_read(&self, from: &Reading) -> Result<String, RouterError> {
        let now = self.now()?;
        if now == from.revision {
            Ok(now)
        } else {
            Err(RouterError::Conflict {
                expected: from.revision.trim().to_owned(),
                found: excerpt(&now, 60),
            })
        }
    }

    fn refused(&self, failed: &io::Error) -> RouterError {
        RouterError::Refused(format!("the pointer {}: {failed}", self.path.display()))
    }

    fn first_time(&self) -> String {
        let (path, name) = (self.path.to_string_lossy(), &self.slots.first.name);
        match self.form {
            Form::File => format!("echo {} > {}", shell_word(name), shell_word(&path)),
            Form::Symlink => format!("ln -s {} {}", shell_word(name), shell_word(&path)),
        }
    }
}

fn whole(split: Split) -> Result<Side, RouterError> {
    if split.is_whole() {
        return Ok(split.active());
    }
    Err(RouterError::Refused(format!(
        "a pointer points at one slot: weight 0 or 100, not {}",
        split.second.percent()
    )))
}

#[async_trait]
impl Router for Pointer {
    fn told(&self) -> String {
        format!("pointer {}", self.path.display())
    }

    fn known_loss(&self) -> Option<String> {
        None
    }

    fn one_time_lines(&self) -> String {
        format!(
            "# Once, where the pointer is; what reads it is yours:\n{}\n",
            self.first_time()
        )
    }

    fn counting(&self) -> Counting<'_> {
        Counting::Not("it is a file, and sees no requests")
    }

    async fn in_flight(&self, _: Side) -> InFlight {
        InFlight::NotCounted("a file sees no requests")
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let now = self.now()?;
        Ok(Reading {
            split: Split::all_to(self.side(&now)?),
            revision: now.clone(),
            saved: now,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let side = whole(change.to)?;
        let next = self.pointing_at(side, &self.as_read(&change.from)?);
        let directory = directory_of(&self.path);
        if self.form == Form::Symlink
            && let Err(failed) = fs::metadata(directory.join(&next))
        {
            let path = self.path.display();
            return Err(RouterError::Refused(format!(
                "the pointer {path} would point at {next}: {failed}"
            )));
        }
        tempfile::tempfile_in(directory).map_err(|failed| self.refused(&failed))?;
        Ok(())
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let side = whole(change.to)?;
        let _lock = lock::take(&self.path, ANOTHER_WRITER).await?;
        let now = self.as_read(&change.from)?;
        let next = self.pointing_at(side, &now);
        if next == now {
            return Ok(());
        }
        self.write(&next).map_err(|failed| self.refused(&failed))
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let (now, wanted) = (self.now()?, whole(split)?);
        let side = self.side(&now)?;
        let name = self.slots.name(side);
        if side == wanted {
            let path = self.path.display();
            Ok(Confirmed::ByState(format!("{path} names {name}")))
        } else {
            Err(RouterError::Conflict {
                expected: self.slots.name(wanted).to_owned(),
                found: name.to_owned(),
            })
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        // The way back waits for another writer, but not for ever.
        let _lock = lock::take(&self.path, ANOTHER_WRITER).await.ok();
        self.write(&saved.saved)
            .map_err(|failed| self.refused(&failed))
    }
}
