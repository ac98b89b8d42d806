//! The form with a reload: an include file says how traffic is divided between two slots.
//!
//! How a file is put in force is `loader`'s matter; what stands in it is `live_file`'s.

use async_trait::async_trait;

use super::lines;
use super::live_file::Live;
use super::loader::{LOSS, Loader, Page};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::routers::access_log::Log;
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// The include file of one environment.
pub(super) struct Include {
    pub(super) loader: Loader,
    pub(super) split_by: String,
    pub(super) log: Log,
    pub(super) testers: Option<Testers>,
    pub(super) slots: Slots,
}

/// An include file as it is on the disk.
struct OnDisk {
    content: String,
    live: Live,
}

impl OnDisk {
    fn page(&self) -> Page<'_> {
        Page {
            content: &self.content,
            generation: &self.live.generation,
        }
    }
}

impl Include {
    async fn on_disk(&self) -> Result<OnDisk, RouterError> {
        let content = self.loader.text().await?;
        let live = Live::read(&content, &self.slots);
        let live = live.map_err(|said| self.loader.unreadable(&said))?;
        Ok(OnDisk { content, live })
    }

    async fn as_read(&self, from: &Reading) -> Result<OnDisk, RouterError> {
        let found = self.on_disk().await?;
        found.page().expect(&from.revision)?;
        Ok(found)
    }
}

#[async_trait]
impl Router for Include {
    fn told(&self) -> String {
        format!("nginx include {}", self.loader.file)
    }

    fn known_loss(&self) -> Option<String> {
        Some(format!("{LOSS}, and `flags` needs no reload"))
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        lines::for_include(
            self.loader.file.path(),
            self.loader.generations.path(),
            &self.split_by,
            &lines::Site {
                slots: &self.slots,
                log: &self.log,
                testers: self.testers.as_ref(),
            },
        )
    }

    fn counting(&self) -> Counting<'_> {
        self.log.counting()
    }

    async fn in_flight(&self, _: Side) -> InFlight {
        InFlight::NotCounted("nginx does not say how many requests an upstream has")
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let found = self.on_disk().await?;
        self.loader.in_force(&found.live.generation).await?;
        Ok(Reading {
            split: found.live.split,
            apart: Vec::new(),
            revision: found.page().revision(),
            saved: found.content,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let found = self.as_read(&change.from).await?;
        self.loader.prepare(&found.live.generation).await
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let _lock = self.loader.lock().await?;
        let old = self.as_read(&change.from).await?;
        if old.live.split == change.to {
            return Ok(());
        }
        let new = old.live.followed_by(change.to);
        let page = Page {
            content: &new.written(&self.slots, &self.split_by),
            generation: &new.generation,
        };
        self.loader.turn(old.page(), page).await
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let found = self.on_disk().await?;
        if found.live.split != split {
            return Err(RouterError::Conflict {
                expected: split.told(&self.slots),
                found: found.live.split.told(&self.slots),
            });
        }
        self.loader.confirm(&found.live.generation).await
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let live = Live::read(&saved.saved, &self.slots).map_err(|said| {
            RouterError::Refused(format!("the saved include file cannot be restored: {said}"))
        })?;
        let page = Page {
            content: &saved.saved,
            generation: &live.generation,
        };
        self.loader.restore(page).await
    }
}
