//! The form without a reload, for proxies that can look for a file at every request: a
//! directory with one file, `w0` to `w100`.
//!
//! A change renames the file that is expected to be there, so the rename itself is the
//! comparison: where somebody else moved it, there is nothing to rename. Nothing is reloaded,
//! so no connection is closed. What the proxy does with the file is written by its own kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::access_log::Log;
use crate::model::slot::{Side, Slots};
use crate::model::split::{Split, Weight};
use crate::platform::host::{Host, HostError, Kind, on};
use crate::platform::text::shell_word;
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// A listing that is taken while a file is renamed may show both names or none; so a listing
/// that makes no sense is taken again, this often and after this long.
const LISTINGS: u32 = 4;
const BETWEEN_LISTINGS: Duration = Duration::from_millis(5);

/// How many steps a way back may have: one for each flag that could be there, and a look.
const STEPS_BACK: u32 = 103;

/// The weights that the one-time lines have where nothing else is asked for.
const USUAL_WEIGHTS: [u8; 5] = [10, 25, 50, 75, 90];

/// Who knows how many requests a slot has in flight.
#[async_trait]
pub(super) trait Busy: Send + Sync {
    /// How many that is now.
    async fn in_flight(&self, slot: Side) -> InFlight;
}

/// The flag files of one environment.
pub(super) struct Flags {
    /// The proxy's kind.
    pub(super) kind: &'static str,
    /// The proxy's name.
    pub(super) proxy: &'static str,
    /// The machine on which the proxy is.
    pub(super) host: Arc<dyn Host>,
    pub(super) directory: PathBuf,
    /// The weights between 0 and 100 that the proxy has lines for, rising.
    pub(super) weights: Vec<Weight>,
    /// From where it is counted what each slot did.
    pub(super) log: Log,
    /// Who knows what is in flight.
    pub(super) busy: Option<Box<dyn Busy>>,
    pub(super) testers: Option<Testers>,
    pub(super) slots: Slots,
    /// What the proxy's own configuration needs once.
    pub(super) lines: String,
}

/// The weights in rising order, without the two that need no lines of their own.
///
/// # Errors
/// When one is not a weight.
pub(super) fn weights(given: Option<&[u8]>) -> Result<Vec<Weight>, String> {
    let mut weights = given
        .unwrap_or(&USUAL_WEIGHTS)
        .iter()
        .map(|percent| Weight::try_from(*percent).map_err(|said| format!("weights: {said}")))
        .collect::<Result<Vec<_>, _>>()?;
    weights.retain(|weight| !matches!(weight.percent(), 0 | 100));
    weights.sort_unstable();
    weights.dedup();
    Ok(weights)
}

/// The file that stands for a weight.
pub(super) fn flag(weight: Weight) -> String {
    format!("w{}", weight.percent())
}

/// The weight that a file stands for; only the one way of writing it counts.
fn weight_of(name: &str) -> Option<Weight> {
    let weight = Weight::new(name.strip_prefix('w')?.parse().ok()?)?;
    (flag(weight) == name).then_some(weight)
}

/// What begins with `w` in the directory.
#[derive(Default)]
struct Listing {
    /// The flags, rising.
    flags: Vec<Weight>,
    /// What looks like a flag and is none.
    strangers: Vec<String>,
}

impl Flags {
    fn path(&self, weight: Weight) -> PathBuf {
        self.directory.join(flag(weight))
    }

    async fn list(&self) -> Result<Listing, RouterError> {
        let listed = self.host.list(&self.directory).await;
        let listed = listed.map_err(|failed| {
            let directory = self.directory.display();
            RouterError::OutOfReach(format!("the directory of flags {directory}: {failed}"))
        })?;
        let mut listing = Listing::default();
        for (name, kind) in listed {
            match weight_of(&name) {
                // A proxy that looks for a file does not see a directory, so one is no flag.
                Some(weight) if kind == Kind::File => listing.flags.push(weight),
                _ if name.starts_with('w') => listing.strangers.push(name),
                _ => {}
            }
        }
        listing.flags.sort_unstable();
        Ok(listing)
    }

    /// The one weight that is flagged.
    async fn now(&self) -> Result<Weight, RouterError> {
        let mut listing = self.list().await?;
        for _ in 1..LISTINGS {
            if listing.flags.len() == 1 {
                break;
            }
            tokio::time::sleep(BETWEEN_LISTINGS).await;
            listing = self.list().await?;
        }
        if !listing.strangers.is_empty() {
            return Err(RouterError::Refused(format!(
                "{} holds {}, which is no flag: the files w0 to w100 are",
                self.directory.display(),
                listing.strangers.join(", ")
            )));
        }
        match listing.flags.as_slice() {
            [one] if self.has_lines(*one) => Ok(*one),
            flags => Err(self.drifted(flags)),
        }
    }

    fn has_lines(&self, weight: Weight) -> bool {
        matches!(weight.percent(), 0 | 100) || self.weights.contains(&weight)
    }

    /// What the proxy makes of such flags, and the command that leaves the one it goes by.
    fn drifted(&self, flags: &[Weight]) -> RouterError {
        let in_force = flags.iter().rev().find(|flag| self.has_lines(**flag));
        let in_force = in_force.copied().unwrap_or(Weight::ZERO);
        let found: Vec<String> = flags.iter().copied().map(flag).collect();
        let found = match found.as_slice() {
            [] => "no flag".to_owned(),
            [one] => format!(
                "{one}, for which {} has no lines (it has {})",
                self.proxy,
                self.known()
            ),
            several => several.join(" and "),
        };
        let directory = self.directory.display();
        let word = |weight: Weight| {
            let path = self.path(weight);
            shell_word(&path.to_string_lossy()).into_owned()
        };
        let mut commands = Vec::new();
        if !flags.contains(&in_force) {
            commands.push(format!("touch {}", word(in_force)));
        }
        let others = flags.iter().filter(|flag| **flag != in_force);
        let others: Vec<String> = others.map(|flag| word(*flag)).collect();
        if !others.is_empty() {
            commands.push(format!("rm {}", others.join(" ")));
        }
        let told = Split { second: in_force }.told(&self.slots);
        RouterError::Drifted {
            said: format!(
                "{directory} holds {found}, not exactly one flag; {} then has {told}",
                self.proxy
            ),
            repair: commands.join(" && "),
        }
    }

    /// The weights that can be flagged, for a message.
    fn known(&self) -> String {
        let known = self
            .weights
            .iter()
            .map(|weight| format!("{}, ", weight.percent()));
        format!("0, {}100", known.collect::<String>())
    }

    /// The flags that are there, for a message.
    async fn found(&self) -> String {
        match self.list().await {
            Ok(listing) if listing.flags.is_empty() => "no flag".to_owned(),
            Ok(listing) => {
                let names: Vec<_> = listing.flags.into_iter().map(flag).collect();
                names.join(" and ")
            }
            Err(failed) => failed.to_string(),
        }
    }

    /// That the flag which was read is there still.
    async fn as_read(&self, from: &Reading) -> Result<Weight, RouterError> {
        let now = self.now().await?;
        if flag(now) == from.revision {
            Ok(now)
        } else {
            Err(RouterError::Conflict {
                expected: from.revision.clone(),
                found: flag(now),
            })
        }
    }

    fn can_flag(&self, split: Split) -> Result<(), RouterError> {
        if self.has_lines(split.second) {
            return Ok(());
        }
        Err(RouterError::Refused(format!(
            "there are no lines in {0} for a weight of {1}; there are for {2}; add it to `weights` and the lines that `cutover router-config` then prints to {0}",
            self.proxy,
            split.second,
            self.known()
        )))
    }

    async fn rename(&self, from: Weight, to: Weight) -> Result<bool, HostError> {
        self.host.rename(&self.path(from), &self.path(to)).await
    }

    /// One step towards `wanted` as the only flag; whether it is that now. Once `synced`, for good.
    async fn settle(&self, wanted: Weight, synced: &mut bool) -> Result<bool, RouterError> {
        let path = self.path(wanted);
        let failed = |failed| refused("restoring", &path, &failed);
        let flags = self.list().await?.flags;
        match flags.as_slice() {
            [one] if *one == wanted && *synced => return Ok(true),
            // Onto itself: what an earlier run renamed may not be on the disk yet.
            [one] if *one == wanted => return self.rename(wanted, wanted).await.map_err(failed),
            // A flag has nothing in it.
            [] => self.host.replace(&path, b"").await.map_err(failed)?,
            // Each takes one flag away and leaves the wanted one. One that is gone is looked for again.
            [first, .., last] if *last == wanted => {
                self.rename(*first, wanted).await.map_err(failed)?;
            }
            [.., last] => {
                self.rename(*last, wanted).await.map_err(failed)?;
            }
        }
        *synced = true;
        Ok(false)
    }
}

/// What a file system's refusal is to a person.
fn refused(doing: &str, at: &Path, failed: &HostError) -> RouterError {
    let said = format!("{doing} {}: {failed}", at.display());
    match failed {
        HostError::Lost { .. } => RouterError::Lost(said),
        HostError::OutOfReach(_) => RouterError::OutOfReach(said),
        HostError::Refused(_) => RouterError::Refused(said),
    }
}

#[async_trait]
impl Router for Flags {
    fn told(&self) -> String {
        let on = on(&*self.host);
        format!("{} flags {}{on}", self.kind, self.directory.display())
    }

    fn known_loss(&self) -> Option<String> {
        None
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        self.lines.clone()
    }

    fn counting(&self) -> Counting<'_> {
        self.log.counting()
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        match (&self.busy, self.kind) {
            (Some(busy), _) => busy.in_flight(slot).await,
            (None, "caddy") => InFlight::NotCounted("Caddy is not asked without `admin`"),
            (None, _) => InFlight::NotCounted("nginx does not say what an upstream has"),
        }
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let now = self.now().await?;
        Ok(Reading {
            split: Split { second: now },
            apart: Vec::new(),
            revision: flag(now),
            saved: flag(now),
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        self.can_flag(change.to)?;
        self.as_read(&change.from).await?;
        let writable = self.host.writable(&self.directory).await;
        writable.map_err(|failed| refused("renaming a file in", &self.directory, &failed))
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        self.can_flag(change.to)?;
        let (now, wanted) = (self.as_read(&change.from).await?, change.to.second);
        if now == wanted {
            return Ok(());
        }
        match self.rename(now, wanted).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(RouterError::Conflict {
                expected: flag(now),
                found: self.found().await,
            }),
            // The change is in force; what failed is only that it would outlive a power cut. Or
            // it is not known whether it is.
            Err(HostError::Lost { said, .. }) => {
                let (now, wanted) = (flag(now), flag(wanted));
                Err(RouterError::Lost(format!(
                    "{now} was to be renamed to {wanted}, and then: {said}"
                )))
            }
            Err(failed) => Err(refused("renaming", &self.path(now), &failed)),
        }
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let now = self.now().await?;
        if now == split.second {
            let directory = self.directory.display();
            Ok(Confirmed::ByState(format!(
                "{directory} holds {}",
                flag(now)
            )))
        } else {
            Err(RouterError::Conflict {
                expected: flag(split.second),
                found: flag(now),
            })
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let Some(wanted) = weight_of(&saved.saved) else {
            let said = format!("\"{}\" is not a flag that could be restored", saved.saved);
            return Err(RouterError::Refused(said));
        };
        // There may be several flags, and somebody else may be moving them at the same time.
        let (mut last, mut synced) = (None, false);
        for _ in 0..STEPS_BACK {
            match self.settle(wanted, &mut synced).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failed) => (synced, last) = (false, Some(failed)),
            }
        }
        match last {
            Some(failed) => Err(failed),
            None => Err(RouterError::Conflict {
                expected: flag(wanted),
                found: self.found().await,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_written_one_way_only() {
        for percent in 0..=u8::MAX {
            let name = format!("w{percent}");
            assert_eq!(weight_of(&name), Weight::new(percent), "{name}");
        }
        for name in [
            "w", "w101", "w-1", "w+1", "w007", "w00", "wx", "w1 ", "w 1", "W1", "1", "w1.0", "w٣",
            "w256", "w10.bak", "",
        ] {
            assert_eq!(weight_of(name), None, "{name}");
        }
    }
}
