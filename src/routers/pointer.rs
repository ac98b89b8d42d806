//! The simplest router: a file or a symbolic link that names the active slot.
//!
//! Whatever reads it (a start script, a web server's document root, a proxy that somebody
//! wrote) is not known here, so traffic is all here or all there, and whether it follows is
//! for the proof to see.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::placed::{Placed, failed_at};
use super::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::atomic_file::{directory_of, sync_directory};
use crate::platform::host::HostError;
use crate::platform::text::{excerpt, shell_word};

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "pointer",
    about: "A file or a symbolic link that names the active slot.",
    schema: plain_schema::<Options>,
    build,
};

/// How long another writer is waited for; a write takes milliseconds, and over a slow line a lock is
/// given back later than that.
const ANOTHER_WRITER: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The file or link that names the active slot.
    path: String,
    /// The machine on which it is, one of `hosts`. Default: this one.
    host: Option<String>,
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
    place: Placed,
    form: Form,
    slots: Slots,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let Options { path, host, form } = block.options()?;
    for side in [Side::First, Side::Second] {
        let name = tools.slots.name(side);
        if name.trim() != name || name.contains('/') || name.is_empty() {
            return Err(format!(
                "the slot \"{name}\" cannot be pointed at: its name has a slash or a space around it"
            ));
        }
    }
    Ok(Box::new(Pointer {
        place: Placed::of(("path", &path), host.as_deref(), tools)?,
        form,
        slots: tools.slots.clone(),
    }))
}

impl Pointer {
    /// What the pointer says, literally: the file's content or the link's target.
    async fn now(&self) -> Result<String, RouterError> {
        let path = self.place.path();
        let is_link = match self.form {
            Form::File => Ok(false),
            Form::Symlink => self.place.is_link().await,
        };
        let unread =
            |said: String| RouterError::OutOfReach(format!("the pointer {}: {said}", self.place));
        let is_link = is_link.map_err(|failed| unread(failed.to_string()))?;
        let said = match self.form {
            Form::Symlink if is_link && self.place.is_here() => target_of(path),
            Form::Symlink if is_link => self.place.shell(r#"readlink -- "$FILE""#, &[]).await,
            Form::File | Form::Symlink => match self.place.host().kind(path).await {
                Ok(None) => Err(HostError::Refused(format!(
                    "it is not there; {}",
                    self.first_time()
                ))),
                Ok(Some(_)) if self.form == Form::Symlink => Err(HostError::Refused(
                    "it is not a symbolic link, which `form: symlink` says".to_owned(),
                )),
                Ok(Some(_)) => self.place.text().await,
                Err(failed) => Err(failed),
            },
        };
        said.map_err(|failed| unread(failed.to_string()))
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
                self.place,
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

    async fn write(&self, said: &str) -> Result<(), RouterError> {
        let written = match self.form {
            Form::File => self.place.write(said).await,
            Form::Symlink if self.place.is_here() => point(self.place.path(), said)
                .map_err(|failed| HostError::Refused(failed.to_string())),
            Form::Symlink => {
                let to = ("TO".to_owned(), said.to_owned());
                self.place.shell(POINT, &[to]).await.map(drop)
            }
        };
        written.map_err(|failed| failed_at(&format!("the pointer {}", self.place), failed))
    }

    async fn as_read(&self, from: &Reading) -> Result<String, RouterError> {
        let now = self.now().await?;
        if now == from.revision {
            Ok(now)
        } else {
            Err(RouterError::Conflict {
                expected: from.revision.trim().to_owned(),
                found: excerpt(&now, 60),
            })
        }
    }

    /// That a link would not point nowhere.
    async fn leads_somewhere(&self, next: &str) -> Result<(), RouterError> {
        let aim = directory_of(self.place.path()).join(next);
        let said = match self.place.host().kind(&aim).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => "No such file or directory".to_owned(),
            Err(failed) => failed.to_string(),
        };
        Err(RouterError::Refused(format!(
            "the pointer {} would point at {next}: {said}",
            self.place
        )))
    }

    fn first_time(&self) -> String {
        let (path, name) = (self.place.path().to_string_lossy(), &self.slots.first.name);
        match self.form {
            Form::File => format!("echo {} > {}", shell_word(name), shell_word(&path)),
            Form::Symlink => format!("ln -s {} {}", shell_word(name), shell_word(&path)),
        }
    }
}

/// Points a link elsewhere on a host, in one step.
const POINT: &str = r#"t="$FILE.cutover-$$"; ln -s -- "$TO" "$t" && mv -T -f -- "$t" "$FILE" || { rm -f -- "$t"; exit 1; }
d=$(dirname -- "$FILE"); sync "$d" 2>/dev/null || sync"#;

/// The same here.
fn point(path: &Path, to: &str) -> io::Result<()> {
    let directory = directory_of(path);
    let beside = tempfile::Builder::new()
        .prefix(".cutover-")
        .suffix(".tmp")
        .make_in(directory, |beside| symlink(to, beside))?;
    beside.persist(path).map_err(|failed| failed.error)?;
    sync_directory(directory)
}

fn target_of(path: &Path) -> Result<String, HostError> {
    let refused = |said: String| HostError::Refused(said);
    let target = fs::read_link(path).map_err(|failed| refused(failed.to_string()))?;
    let text = target.into_os_string().into_string();
    text.map_err(|_| refused("its target is not UTF-8".to_owned()))
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
        format!("pointer {}", self.place)
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
        let now = self.now().await?;
        Ok(Reading {
            split: Split::all_to(self.side(&now)?),
            apart: Vec::new(),
            revision: now.clone(),
            saved: now,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let side = whole(change.to)?;
        let next = self.pointing_at(side, &self.as_read(&change.from).await?);
        if self.form == Form::Symlink {
            self.leads_somewhere(&next).await?;
        }
        let directory = directory_of(self.place.path());
        let writable = self.place.host().writable(directory).await;
        writable.map_err(|failed| failed_at(&format!("the pointer {}", self.place), failed))
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let side = whole(change.to)?;
        let _lock = self.place.lock(ANOTHER_WRITER).await?;
        let now = self.as_read(&change.from).await?;
        let next = self.pointing_at(side, &now);
        if next == now {
            return Ok(());
        }
        self.write(&next).await
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let (now, wanted) = (self.now().await?, whole(split)?);
        let side = self.side(&now)?;
        let name = self.slots.name(side);
        if side == wanted {
            Ok(Confirmed::ByState(format!("{} names {name}", self.place)))
        } else {
            Err(RouterError::Conflict {
                expected: self.slots.name(wanted).to_owned(),
                found: name.to_owned(),
            })
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        // The way back waits for another writer, but not for ever.
        let _lock = self.place.lock(ANOTHER_WRITER).await.ok();
        self.write(&saved.saved).await
    }
}
