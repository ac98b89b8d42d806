//! What Traefik and Envoy have in common: a proxy that watches a file and takes it by itself.
//!
//! Nobody is told to reload, so nobody says no: a file that the proxy cannot use is logged over
//! there and the old one stays in force. So after a file was written the running proxy is asked
//! what it has, and where it does not come round the old file is put back. What is in the file
//! and how the proxy is asked is known to the kinds.

mod file;
mod names;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

pub(super) use self::file::WatchedFile;
pub(super) use self::names::{names, plain};
use super::placed::failed_at;
use super::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::text;

/// How long a proxy may take to come round to a file: Traefik's default for holding changes
/// back is 2 s, and a busy machine needs a while.
const TAKEN: Duration = Duration::from_secs(5);

/// How long it may say nothing at all.
const ANSWERS: Duration = Duration::from_secs(3);

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// A file that was taken later than this was held back, or the machine is very busy.
const HELD_BACK: Duration = Duration::from_millis(700);

/// How long another writer is waited for: as long as a change that has to be taken back takes.
const ANOTHER_WRITER: Duration = Duration::from_secs(15);

/// What the running proxy says of a file.
pub(super) enum Has {
    /// It runs by this one.
    This,
    /// It runs by another.
    Other(String),
    /// It looked at this one and did not want it.
    Refused(String),
    /// It does not say.
    Silent(String),
}

/// A proxy that watches a file.
#[async_trait]
pub(super) trait Watcher: Send + Sync {
    /// Its name, for messages.
    const NAME: &'static str;

    /// Whether it counts what each slot does.
    fn counting(&self) -> Counting<'_>;

    /// How many requests a slot has in flight now.
    async fn in_flight(&self, slot: Side) -> InFlight;

    /// How traffic is divided by a file.
    fn split_in(&self, content: &str) -> Result<Split, String>;

    /// The file after this one.
    fn followed_by(&self, content: &str, to: Split) -> Result<String, String>;

    /// How often it has refused a file so far.
    async fn refusals(&self) -> u64 {
        0
    }

    /// Whether it runs by that file; `refusals` is what was counted before it was written.
    /// `None` where it cannot be asked at all.
    async fn has(&self, content: &str, refusals: u64) -> Option<Has>;

    /// That a slot can get traffic.
    async fn ready_for(&self, to: Split) -> Result<(), RouterError>;

    /// What it said, in a few words, when it has the file.
    fn told_taken(&self, content: &str, split: Split) -> Confirmed;

    /// What a change costs with it, where nothing was held back.
    fn known_loss(&self) -> Option<String>;

    /// What is to be said when it took a change so late.
    fn held_back(&self, late: Duration) -> Option<String>;

    /// How testers reach the slot that they name.
    fn testers(&self) -> Option<&Testers>;

    /// The lines that it needs once.
    fn one_time_lines(&self) -> String;
}

/// A router that is a file and who watches it.
pub(super) struct ByFile<W> {
    pub(super) file: WatchedFile,
    pub(super) watcher: W,
    pub(super) slots: Slots,
    /// The longest that this run had to wait for a file to be taken, in milliseconds.
    pub(super) slowest: AtomicU64,
}

/// Why a proxy does not run by a file.
struct Unsettled {
    silent: bool,
    said: String,
}

impl<W: Watcher> ByFile<W> {
    /// The file and what it says.
    async fn now(&self) -> Result<(String, Split), RouterError> {
        let content = self.file.content().await?;
        let split = self.meaning(&content)?;
        Ok((content, split))
    }

    fn meaning(&self, content: &str) -> Result<Split, RouterError> {
        self.watcher.split_in(content).map_err(|said| {
            RouterError::Refused(format!(
                "the file {} is not one of ours: {said}; `cutover router-config` prints what it holds at first",
                self.file
            ))
        })
    }

    async fn as_read(&self, from: &Reading) -> Result<(String, Split), RouterError> {
        let now = self.now().await?;
        let found = file::revision(&now.0);
        if found == from.revision {
            return Ok(now);
        }
        Err(RouterError::Conflict {
            expected: from.revision.clone(),
            found: format!("{found} ({})", now.1.told(&self.slots)),
        })
    }

    /// Waits until the proxy runs by a file.
    async fn settle_on(&self, content: &str, refusals: u64) -> Result<Duration, Unsettled> {
        let began = Instant::now();
        let mut answered = false;
        loop {
            let said = match self.watcher.has(content, refusals).await {
                None | Some(Has::This) => return Ok(began.elapsed()),
                Some(Has::Refused(said)) => {
                    return Err(Unsettled {
                        silent: false,
                        said,
                    });
                }
                Some(Has::Other(said)) => {
                    answered = true;
                    said
                }
                Some(Has::Silent(said)) => said,
            };
            let patience = if answered { TAKEN } else { ANSWERS };
            if began.elapsed() + PAUSE > patience {
                return Err(Unsettled {
                    silent: !answered,
                    said: format!("{said}, for {}", text::duration(began.elapsed())),
                });
            }
            sleep(PAUSE).await;
        }
    }

    /// That the proxy runs by what is in the file.
    async fn in_force(&self, content: &str) -> Result<(), RouterError> {
        match self.settle_on(content, u64::MAX).await {
            Ok(_) => Ok(()),
            Err(unsettled) if unsettled.silent => Err(RouterError::OutOfReach(unsettled.said)),
            Err(unsettled) => Err(self.drifted(&unsettled.said)),
        }
    }

    fn drifted(&self, said: &dyn Display) -> RouterError {
        RouterError::Drifted {
            said: format!("{} has not what {} says: {said}", W::NAME, self.file),
            repair: self.file.touched_by_rename(),
        }
    }

    async fn write(&self, content: &str) -> Result<(), RouterError> {
        let written = self.file.write(content).await;
        written.map_err(|failed| failed_at(&format!("writing {}", self.file), failed))
    }

    /// Puts a file back and waits until the proxy runs by it. Nothing is asked before it is
    /// written, for a way back must not wait for an answer.
    async fn put(&self, content: &str) -> Result<(), Unsettled> {
        self.write(content).await.map_err(|failed| Unsettled {
            silent: false,
            said: failed.to_string(),
        })?;
        self.taken(content, u64::MAX).await
    }

    /// Waits until the proxy has taken a file that was just written, and keeps how late that was.
    async fn taken(&self, content: &str, refusals: u64) -> Result<(), Unsettled> {
        let late = self.settle_on(content, refusals).await?;
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        self.slowest.fetch_max(late, Ordering::Relaxed);
        Ok(())
    }

    /// Puts the old file back after one that was not taken; returns what there is to tell.
    async fn take_back(&self, old: &str, why: &Unsettled) -> RouterError {
        let said = &why.said;
        match self.put(old).await {
            Ok(()) if why.silent => {
                RouterError::OutOfReach(format!("{said}; the old file is back"))
            }
            Ok(()) => RouterError::NotTaken(format!("{said}; the old file is back and in force")),
            Err(also) if also.silent && why.silent => {
                RouterError::OutOfReach(format!("{said}; the old file is back"))
            }
            Err(also) => self.drifted(&format!("{said}; taking it back: {}", also.said)),
        }
    }

    /// What was seen to be held back in this run.
    fn held_back(&self) -> Option<String> {
        let slowest = Duration::from_millis(self.slowest.load(Ordering::Relaxed));
        if slowest < HELD_BACK {
            return None;
        }
        self.watcher.held_back(slowest)
    }
}

#[async_trait]
impl<W: Watcher> Router for ByFile<W> {
    fn told(&self) -> String {
        format!("{} file {}", W::NAME.to_lowercase(), self.file)
    }

    fn known_loss(&self) -> Option<String> {
        let all: Vec<_> = [self.held_back(), self.watcher.known_loss()]
            .into_iter()
            .flatten()
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn testers(&self) -> Option<&Testers> {
        self.watcher.testers()
    }

    fn one_time_lines(&self) -> String {
        self.watcher.one_time_lines()
    }

    fn counting(&self) -> Counting<'_> {
        self.watcher.counting()
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        self.watcher.in_flight(slot).await
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let (content, split) = self.now().await?;
        self.in_force(&content).await?;
        Ok(Reading {
            split,
            apart: Vec::new(),
            revision: file::revision(&content),
            saved: content,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let (content, _) = self.as_read(&change.from).await?;
        self.in_force(&content).await?;
        self.watcher.ready_for(change.to).await?;
        self.file.placed().prepare_unseen().await
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        // Held to the end: taking back must not overwrite what somebody else wrote meanwhile.
        let _lock = self.file.placed().lock(ANOTHER_WRITER).await?;
        let (old, split) = self.as_read(&change.from).await?;
        if split == change.to {
            return Ok(());
        }
        let new = self.watcher.followed_by(&old, change.to);
        let new = new.map_err(RouterError::Refused)?;
        let refusals = self.watcher.refusals().await;
        self.write(&new).await?;
        match self.taken(&new, refusals).await {
            Ok(()) => Ok(()),
            Err(unsettled) => Err(self.take_back(&old, &unsettled).await),
        }
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let (content, found) = self.now().await?;
        if found != split {
            return Err(RouterError::Conflict {
                expected: split.told(&self.slots),
                found: found.told(&self.slots),
            });
        }
        self.in_force(&content).await?;
        Ok(self.watcher.told_taken(&content, split))
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        self.meaning(&saved.saved)?;
        // The way back waits for another writer, but not for ever.
        let _lock = self.file.placed().lock(ANOTHER_WRITER).await.ok();
        if self
            .file
            .content()
            .await
            .is_ok_and(|now| now == saved.saved)
            && !matches!(
                self.watcher.has(&saved.saved, u64::MAX).await,
                Some(Has::Other(_) | Has::Refused(_))
            )
        {
            return Ok(());
        }
        let put = self.put(&saved.saved).await;
        put.map_err(|unsettled| self.drifted(&unsettled.said))
    }
}
