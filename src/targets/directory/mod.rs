//! A release gets into a slot as a folder of files: `TO/SLOT/releases/000012-4f2a9c1`, with
//! `TO/SLOT/current` pointing at it.
//!
//! The folder is copied beside its place and renamed, then the link is replaced in one step, so
//! that a server that serves `current` sees the old release or the new one, never a mixture.
//! Releases are numbered: which is newest does not depend on a clock. Starting or reloading
//! whatever serves the files is not done here.

mod afar;

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use self::afar::Afar;
use super::{Desk, Order, Target, TargetError, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::platform::atomic_file::sync_directory;
use crate::platform::copy::{Copied, NotCopied, copy};
use crate::platform::host::on;
use crate::platform::text;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "directory",
    about: "Copies a folder into the slot's own folder and points a link at it.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        for (name, path) in [("from", &options.from), ("to", &options.to)] {
            if path.trim().is_empty() {
                return Err(format!("{name}: there is no path"));
            }
        }
        if options.keep == 0 {
            return Err("keep: 0 is too small: 1 is the least".to_owned());
        }
        let host = tools.hosts.named(options.host.as_deref())?;
        let told = format!("{} -> {}{}", options.from, options.to, on(&*host));
        let here = Directory {
            from: tools.directory.join(&options.from),
            to: match options.host {
                None => tools.directory.join(&options.to),
                Some(_) => options.to.into(),
            },
            keep: options.keep,
            told,
        };
        Ok(match options.host {
            None => Box::new(here),
            Some(_) => Box::new(Afar {
                host,
                vault: tools.vault.clone(),
                like_here: here,
            }),
        })
    },
};

/// What a copy is called until it is whole.
const INCOMING: &str = ".incoming-";

/// What the link is called until it takes the place of the old one.
const POINTER: &str = ".current-new";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The folder that is the release, such as `dist`.
    #[schemars(length(min = 1))]
    from: String,
    /// Where the slots' folders are. The release becomes `TO/SLOT/current`.
    #[schemars(length(min = 1))]
    to: String,
    /// The machine on which the slots' folders are, one of `hosts`. Default: this one.
    host: Option<String>,
    /// How many releases are kept in a slot. The one that `current` points to, and the one that it
    /// pointed to before, are kept in any case. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    keep: usize,
}

fn three() -> usize {
    3
}

#[derive(Clone)]
struct Directory {
    from: PathBuf,
    to: PathBuf,
    keep: usize,
    told: String,
}

/// What a deployment did.
struct Placed {
    copied: Copied,
    place: PathBuf,
    /// What is worth a line of log.
    notes: Vec<String>,
}

#[async_trait]
impl Target for Directory {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        self.slot_folder(order).map(drop)
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        // If this future is dropped, the copying thread stops at the next file.
        let stop = desk.cancelled.child_token();
        let _stop_with_us = stop.clone().drop_guard();
        let (this, order) = (self.clone(), order.clone());
        let placed = tokio::task::spawn_blocking(move || this.place(&order, &stop))
            .await
            .map_err(|failed| broken(format!("the copy of {} broke: {failed}", self.told)))??;
        for note in placed.notes {
            (desk.say)(note);
        }
        Ok(format!(
            "{} ({} KB) copied to {}",
            text::count(placed.copied.files, "file"),
            text::thousands(placed.copied.bytes.div_ceil(1000)),
            placed.place.display()
        ))
    }
}

impl Directory {
    /// The slot's folder, if there is something to put into it.
    fn with_something(&self, order: &Order) -> Result<PathBuf, TargetError> {
        let refused = |said: String| Err(TargetError::OutOfReach(said));
        let from = self.from.display();
        if order.slot != name_of(&order.slot) {
            return refused(format!(
                "the slot's name \"{}\" cannot be the name of a folder: letters, digits, ., _ and - can",
                order.slot
            ));
        }
        let mut entries = match fs::read_dir(&self.from) {
            Ok(entries) => entries,
            Err(failed) => return refused(format!("{from} cannot be copied: {failed}")),
        };
        if entries.next().is_none() {
            return refused(format!("{from} is empty, wanted the files of the release"));
        }
        Ok(self.to.join(&order.slot))
    }

    /// The slot's folder, if a deployment into it can work.
    fn slot_folder(&self, order: &Order) -> Result<PathBuf, TargetError> {
        let slot = self.with_something(order)?;
        let refused = |said: String| Err(TargetError::OutOfReach(said));
        let from = self.from.display();
        let (source, target) = (real(&self.from), real(&slot));
        if source.starts_with(&target) || target.starts_with(&source) {
            return refused(format!(
                "{from} and {} lie within each other; `to` must be elsewhere",
                slot.display()
            ));
        }
        let current = slot.join("current");
        match fs::symlink_metadata(&current) {
            Ok(there) if !there.is_symlink() => refused(format!(
                "{} is there and is not a link; move it away, for a link has to take its place",
                current.display()
            )),
            _ => Ok(slot),
        }
    }

    /// Copies, points, prunes. Until the link is replaced the slot is as it was.
    fn place(&self, order: &Order, stop: &CancellationToken) -> Result<Placed, TargetError> {
        let slot = self.slot_folder(order)?;
        let releases = slot.join("releases");
        fs::create_dir_all(&releases).map_err(at(&releases))?;
        let mut notes = sweep(&slot, &releases);

        let before = fs::read_link(slot.join("current")).ok();
        let there = numbered(&releases).map_err(at(&releases))?;
        let number = there.first().map_or(0, |(number, _)| *number) + 1;
        let name = format!("{number:06}-{}", name_of(order.release.as_str()));
        let incoming = releases.join(format!("{INCOMING}{name}"));
        let place = releases.join(&name);
        let copied = copy(&self.from, &incoming, stop).and_then(|copied| {
            fs::rename(&incoming, &place)
                .map_err(|failed| NotCopied::Failed(format!("{}: {failed}", place.display())))?;
            Ok(copied)
        });
        let copied = match copied {
            Ok(copied) => copied,
            Err(why) => {
                // What cannot be removed now is removed by the next deployment.
                let _ = fs::remove_dir_all(&incoming);
                return Err(match why {
                    NotCopied::Cancelled => TargetError::Cancelled,
                    NotCopied::Failed(said) => {
                        broken(format!("{} was not copied: {said}", self.from.display()))
                    }
                });
            }
        };
        sync_directory(&releases).map_err(at(&releases))?;
        if stop.is_cancelled() {
            return Err(TargetError::Cancelled);
        }
        let current = point(&slot, &name).map_err(at(&slot.join("current")))?;
        notes.extend(self.prune(&releases, [Some(current), before]));
        Ok(Placed {
            copied,
            place,
            notes,
        })
    }

    /// Removes all but the newest releases and those that `current` points or pointed to.
    fn prune(&self, releases: &Path, used: [Option<PathBuf>; 2]) -> Vec<String> {
        let used: Vec<_> = used
            .iter()
            .flatten()
            .filter_map(|link| link.file_name())
            .collect();
        let there = match numbered(releases) {
            Ok(there) => there,
            Err(failed) => return vec![format!("old releases were not removed: {failed}")],
        };
        there
            .iter()
            .skip(self.keep)
            .filter(|(_, name)| !used.contains(&name.as_ref()))
            .map(|(_, name)| match fs::remove_dir_all(releases.join(name)) {
                Ok(()) => format!("removed the old release {name}"),
                Err(failed) => format!("the old release {name} was not removed: {failed}"),
            })
            .collect()
    }
}

/// Removes what a run that was killed left half done.
fn sweep(slot: &Path, releases: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    for entry in fs::read_dir(releases).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(INCOMING) {
            notes.push(match fs::remove_dir_all(entry.path()) {
                Ok(()) => format!("removed the half copy {name} of an earlier run"),
                Err(failed) => format!("the half copy {name} was not removed: {failed}"),
            });
        }
    }
    // Nothing to say: a link that nobody reads was left, or none was.
    let _ = fs::remove_file(slot.join(POINTER));
    notes
}

/// Points `current` at a release in one step, and returns what it points to now.
fn point(slot: &Path, name: &str) -> io::Result<PathBuf> {
    let aim = Path::new("releases").join(name);
    let pointer = slot.join(POINTER);
    symlink(&aim, &pointer)?;
    fs::rename(&pointer, slot.join("current"))?;
    sync_directory(slot)?;
    Ok(aim)
}

/// The releases in a folder, newest first. What is not numbered is not ours.
fn numbered(releases: &Path) -> io::Result<Vec<(u64, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(releases)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.extend(number_of(&name).map(|number| (number, name)));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The number in a release's name.
fn number_of(name: &str) -> Option<u64> {
    let (number, _) = name.split_once('-')?;
    let digits = number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| number.parse().ok())?
}

/// A text as a part of a folder's name: nothing in it leads elsewhere.
fn name_of(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = text
        .chars()
        .take(80)
        .map(|c| if safe(c) { c } else { '-' })
        .collect();
    match name.trim_matches(['.', '-']) {
        "" => "release".to_owned(),
        name => name.to_owned(),
    }
}

/// A path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), ..) => real,
        (Err(_), Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_owned(),
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> TargetError {
    let path = path.display().to_string();
    move |failed| broken(format!("{path}: {failed}"))
}

fn broken(said: String) -> TargetError {
    TargetError::Failed {
        said,
        last_words: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_version_leads_out_of_the_folder() {
        for (text, name) in [
            ("4f2a9c1", "4f2a9c1"),
            ("v1.2.3", "v1.2.3"),
            ("../../etc/passwd", "etc-passwd"),
            ("/", "release"),
            ("", "release"),
            (".", "release"),
            ("..", "release"),
            ("a/../b\0c\nd é", "a-..-b-c-d"),
            (".incoming-x", "incoming-x"),
        ] {
            assert_eq!(name_of(text), name, "{text:?}");
        }
        assert_eq!(name_of(&"x".repeat(500)).len(), 80);
    }

    #[test]
    fn newest_is_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "000009-b",
            "000010-a",
            "1000000-c",
            "notes",
            "12-x",
            ".incoming-000011-x",
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let names: Vec<_> = numbered(folder.path())
            .unwrap()
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["1000000-c", "000010-a", "000009-b"]);
    }
}
