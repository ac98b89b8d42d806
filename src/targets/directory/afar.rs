//! The same on another machine: the folder travels there, and the link is exchanged there.
//!
//! What arrived of a release whose way broke off stays, and the next deployment of the same one
//! goes on with it. Until the link is exchanged the slot is as it was.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{Directory, INCOMING, POINTER, name_of, number_of};
use crate::platform::host::{Host, HostError};
use crate::platform::process::{End, GRACE, Script};
use crate::platform::secret::Vault;
use crate::platform::text;
use crate::targets::{Desk, Order, Target, TargetError};

/// How long the machine may take for what is done in its folders.
const DEADLINE: Duration = Duration::from_secs(120);

/// A directory on another machine.
pub(super) struct Afar {
    pub(super) host: Arc<dyn Host>,
    pub(super) vault: Vault,
    pub(super) like_here: Directory,
}

/// What is in a slot's folder.
struct Found {
    /// Where `current` points, or nothing.
    current: String,
    /// The releases, newest first, and what is left of others.
    releases: Vec<(u64, String)>,
    halves: Vec<String>,
}

#[async_trait]
impl Target for Afar {
    fn told(&self) -> String {
        self.like_here.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        self.may_begin(order, &CancellationToken::new()).await
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        self.may_begin(order, desk.cancelled).await?;
        let slot = self.like_here.to.join(&order.slot);
        let found = self.look(&slot, desk).await?;
        let number = found.releases.first().map_or(0, |(number, _)| *number) + 1;
        let name = format!("{number:06}-{}", name_of(order.release.as_str()));
        let half = format!("{INCOMING}{name}");
        let strange = found.halves.iter().filter(|other| **other != half);
        let strange: Vec<&str> = strange.map(String::as_str).collect();
        let removed = self.remove(&slot, &strange, desk).await;
        if removed == Err(TargetError::Cancelled) {
            return Err(TargetError::Cancelled);
        }
        for other in strange {
            (desk.say)(match &removed {
                Ok(()) => format!("removed the half copy {other} of an earlier run"),
                Err(failed) => format!("the half copy {other} was not removed: {failed}"),
            });
        }
        let incoming = slot.join("releases").join(&half);
        let from = &self.like_here.from;
        let uploaded = match self.host.upload(from, &incoming, desk.cancelled).await {
            Ok(uploaded) => uploaded,
            Err(_) if desk.cancelled.is_cancelled() => return Err(TargetError::Cancelled),
            Err(HostError::OutOfReach(said)) => return Err(TargetError::OutOfReach(said)),
            Err(HostError::Refused(said)) => {
                // What cannot be removed now is removed by the next deployment.
                let _ = self.remove(&slot, &[&half], desk).await;
                return Err(broken(format!("{} was not copied: {said}", from.display())));
            }
            // What arrived stays for the next one; without the link it is no release.
            Err(HostError::Lost { said, .. }) => {
                return Err(TargetError::Vanished {
                    said: format!("{} was not copied: {said}", from.display()),
                    last_words: Vec::new(),
                });
            }
        };
        let point = format!(
            "cd {0} && mv -T releases/{half} releases/{name} && rm -f {POINTER} && ln -s releases/{name} {POINTER} && {{ sync -f . 2>/dev/null || sync; }} && mv -Tf {POINTER} current && {{ sync . 2>/dev/null || sync; }}",
            word(&slot)
        );
        self.sh(&point, desk.cancelled).await?;
        self.prune(&slot, &found, &name, desk).await;
        Ok(format!(
            "{} ({} KB, {} KB of them sent) copied to {}{}",
            text::count(uploaded.files, "file"),
            text::thousands(uploaded.bytes.div_ceil(1000)),
            text::thousands(uploaded.sent.div_ceil(1000)),
            slot.join("releases").join(&name).display(),
            crate::platform::host::on(&*self.host)
        ))
    }
}

impl Afar {
    /// Refuses what a link could not take the place of.
    async fn may_begin(
        &self,
        order: &Order,
        cancelled: &CancellationToken,
    ) -> Result<(), TargetError> {
        let slot = self.like_here.with_something(order)?;
        let current = word(&slot.join("current"));
        let look = format!(
            "if test -e {current} && ! test -L {current}; then echo it is there and is not a link, and a link has to take its place; exit 1; fi"
        );
        let looked = self.sh(&look, cancelled).await;
        looked.map(drop).map_err(|failed| match failed {
            TargetError::Failed { last_words, .. } => {
                TargetError::OutOfReach(format!("{current}: {}", last_words.join(" ")))
            }
            failed => failed,
        })
    }

    async fn look(&self, slot: &Path, desk: &Desk<'_>) -> Result<Found, TargetError> {
        let look = format!(
            "mkdir -p {0}/releases && cd {0} && {{ readlink current 2>/dev/null || echo; }} && ls -1A releases",
            word(slot)
        );
        let lines = self.sh(&look, desk.cancelled).await?;
        let (current, names) = lines
            .split_first()
            .map_or(("", &[][..]), |(it, rest)| (it, rest));
        let releases = names
            .iter()
            .filter_map(|name| Some((number_of(name)?, name.clone())));
        let mut releases: Vec<_> = releases.collect();
        releases.sort_unstable_by(|a, b| b.cmp(a));
        let halves = names.iter().filter(|name| name.starts_with(INCOMING));
        Ok(Found {
            current: current.to_owned(),
            releases,
            halves: halves.cloned().collect(),
        })
    }

    /// Removes all but the newest releases and those that `current` points or pointed to.
    async fn prune(&self, slot: &Path, found: &Found, name: &str, desk: &Desk<'_>) {
        let before = Path::new(&found.current).file_name();
        let kept = self.like_here.keep.saturating_sub(1);
        let old = found
            .releases
            .iter()
            .skip(kept)
            .map(|(_, name)| name.as_str());
        let old = old.filter(|old| *old != name && before != Some((*old).as_ref()));
        let old: Vec<&str> = old.collect();
        let removed = self.remove(slot, &old, desk).await;
        for old in old {
            (desk.say)(match &removed {
                Ok(()) => format!("removed the old release {old}"),
                Err(failed) => format!("the old release {old} was not removed: {failed}"),
            });
        }
    }

    async fn remove(
        &self,
        slot: &Path,
        names: &[&str],
        desk: &Desk<'_>,
    ) -> Result<(), TargetError> {
        if names.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = names.iter().map(|name| text::shell_word(name)).collect();
        // A folder that nobody may write to could not be emptied.
        let script = format!(
            "cd {}/releases && chmod -R u+w -- {1} && rm -rf -- {1}",
            word(slot),
            names.join(" ")
        );
        self.sh(&script, desk.cancelled).await.map(drop)
    }

    /// Runs a few words of shell there, and returns the lines that they print, by the letter: a
    /// folder's name may have a secret in it, such as a version that came as one.
    async fn sh(
        &self,
        run: &str,
        cancelled: &CancellationToken,
    ) -> Result<Vec<String>, TargetError> {
        let lines = Mutex::new(Vec::new());
        let keep = |line: String| {
            if let Ok(mut lines) = lines.lock() {
                lines.push(line);
            }
        };
        let script = Script {
            run,
            directory: Path::new(""),
            variables: &[],
            timeout: DEADLINE,
            grace: GRACE,
            vault: &Vault::default(),
        };
        let shown = |words: Vec<String>| {
            let words = words.iter().map(|line| self.vault.redact(line));
            words.map(Into::into).collect::<Vec<String>>()
        };
        let ran = self.host.run(&script, &[], &keep, cancelled).await;
        let ran = ran.map_err(|failed| match failed {
            HostError::Lost { said, last_lines } => TargetError::Lost {
                said,
                last_words: shown(last_lines),
            },
            failed => TargetError::OutOfReach(failed.to_string()),
        })?;
        match ran.end {
            End::Code(0) => Ok(lines.into_inner().unwrap_or_default()),
            End::Cancelled => Err(TargetError::Cancelled),
            end => Err(TargetError::Failed {
                said: format!("{}: the folders over there: it {end}", self.like_here.told),
                last_words: shown(ran.last_lines),
            }),
        }
    }
}

/// A path as one word of a shell's command line.
fn word(path: &Path) -> String {
    text::shell_word(&path.to_string_lossy()).into_owned()
}

fn broken(said: String) -> TargetError {
    TargetError::Failed {
        said,
        last_words: Vec::new(),
    }
}
