//! The form with a reload: an include file is written, tested, loaded, and asked for.
//!
//! `nginx -t` and the reload can both end with 0 while the master refuses the configuration
//! and the old one stays in force: a port is held by another process, a zone's key changed.
//! So nothing counts but the generation that nginx answers. Where it does not come, the old
//! file is put back and loaded, and that is asked for as well.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::command::Shell;
use super::error_log::ErrorLog;
use super::generation::{Asked, IN_A_ROW, Unsettled};
use super::lines;
use super::live_file::Live;
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::atomic_file::{directory_of, replace_aside};
use crate::routers::access_log::Log;
use crate::routers::lock;
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// How long a reload may take to show. A master that cannot have a port tries for 2.5 s.
const RELOAD_SHOWS: Duration = Duration::from_secs(5);

/// How long a running nginx may take to say what it runs by, where nothing was changed.
const STEADY: Duration = Duration::from_secs(1);

/// How long another writer is waited for: as long as a change that has to be taken back takes.
const ANOTHER_WRITER: Duration = Duration::from_secs(15);

/// The include file of one environment.
pub(super) struct Include {
    pub(super) file: PathBuf,
    pub(super) test: Shell,
    pub(super) reload: Shell,
    pub(super) generations: Asked,
    pub(super) error_log: ErrorLog,
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
    /// The generation for people, the hash for changes by hand.
    fn revision(&self) -> String {
        let hash = Sha256::digest(self.content.as_bytes());
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("generation {} (sha256 {hash})", self.live.generation)
    }
}

impl Include {
    /// Where the content is: a link to it stays a link.
    fn place(&self) -> PathBuf {
        fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone())
    }

    fn on_disk(&self) -> Result<OnDisk, RouterError> {
        let file = self.file.display();
        let content = fs::read_to_string(&self.file).map_err(|failed| {
            RouterError::OutOfReach(format!(
                "the include file {file}: {failed}; `cutover router-config` prints what it holds at first"
            ))
        })?;
        let live = Live::read(&content, &self.slots).map_err(|said| {
            RouterError::Refused(format!("the include file {file} cannot be read: {said}"))
        })?;
        Ok(OnDisk { content, live })
    }

    async fn write(&self, content: &str) -> io::Result<()> {
        replace_aside(&self.place(), content.as_bytes()).await
    }

    fn as_read(&self, from: &Reading) -> Result<OnDisk, RouterError> {
        let found = self.on_disk()?;
        if found.revision() == from.revision {
            Ok(found)
        } else {
            Err(RouterError::Conflict {
                expected: from.revision.clone(),
                found: found.revision(),
            })
        }
    }

    /// That nginx runs by what is on the disk.
    async fn in_force(&self, live: &Live) -> Result<(), RouterError> {
        let asked = self.generations.settle_on(&live.generation, 1, STEADY);
        match asked.await {
            Ok(()) => Ok(()),
            Err(Unsettled::Silent(said)) => Err(RouterError::OutOfReach(said)),
            Err(Unsettled::Other(said)) => Err(self.drifted(live, &said)),
        }
    }

    fn drifted(&self, live: &Live, said: &str) -> RouterError {
        let (file, generation) = (self.file.display(), &live.generation);
        RouterError::Drifted {
            said: format!("{file} is generation {generation}, and {said}"),
            repair: self.repair(),
        }
    }

    /// Puts a file in force: writes, tests, reloads, asks. Goes on where a command fails, for
    /// it is nginx's answer that counts.
    async fn put(&self, content: &str, live: &Live) -> Result<(), RouterError> {
        self.write(content).await.map_err(|failed| {
            RouterError::Refused(format!("writing {}: {failed}", self.file.display()))
        })?;
        let mut said = Vec::new();
        for command in [&self.test, &self.reload] {
            said.extend(command.run().await.err());
        }
        let asked = self
            .generations
            .settle_on(&live.generation, IN_A_ROW, RELOAD_SHOWS);
        asked.await.map_err(|unsettled| {
            said.insert(0, unsettled.to_string());
            self.drifted(live, &said.join("; "))
        })
    }

    /// Puts the old file back in force after a failure; returns what there is to tell.
    async fn take_back(&self, old: &OnDisk, why: RouterError) -> RouterError {
        match (self.put(&old.content, &old.live).await, why) {
            (Ok(()), RouterError::NotTaken(said)) => {
                RouterError::NotTaken(format!("{said}; the old file is back and in force"))
            }
            (Ok(()), why) => why,
            (Err(failed), why) => RouterError::Drifted {
                said: format!("{why}; taking it back failed: {failed}"),
                repair: self.repair(),
            },
        }
    }

    /// What a person runs to put the file on the disk in force.
    fn repair(&self) -> String {
        format!("{} && {}", self.test.line(), self.reload.line())
    }
}

#[async_trait]
impl Router for Include {
    fn told(&self) -> String {
        format!("nginx include {}", self.file.display())
    }

    fn known_loss(&self) -> Option<String> {
        Some("clients that keep connections open can lose requests at each reload (0.5 to 3.7 per switch were measured); nginx 1.27.4 and later with keepalive_min_timeout loses none, and `flags` needs no reload".to_owned())
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        lines::for_include(
            &self.file,
            self.generations.path(),
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
        let found = self.on_disk()?;
        self.in_force(&found.live).await?;
        Ok(Reading {
            split: found.live.split,
            revision: found.revision(),
            saved: found.content,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let found = self.as_read(&change.from)?;
        self.in_force(&found.live).await?;
        let place = self.place();
        let directory = directory_of(&place);
        tempfile::tempfile_in(directory).map_err(|failed| {
            RouterError::Refused(format!("writing in {}: {failed}", directory.display()))
        })?;
        // What is wrong already would be blamed on the change, and would block the way back.
        self.test.run().await.map_err(RouterError::Refused)
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        // Held to the end: taking back must not overwrite what somebody else wrote meanwhile.
        let _lock = lock::take(&self.place(), ANOTHER_WRITER).await?;
        let old = self.as_read(&change.from)?;
        if old.live.split == change.to {
            return Ok(());
        }
        let new = old.live.followed_by(change.to);
        self.write(&new.written(&self.slots, &self.split_by))
            .await
            .map_err(|failed| {
                RouterError::Refused(format!("writing {}: {failed}", self.file.display()))
            })?;
        if let Err(said) = self.test.run().await {
            // Nothing was loaded, so the file is all there is to take back.
            return Err(match self.write(&old.content).await {
                Ok(()) => RouterError::Refused(said),
                Err(failed) => self.drifted(&new, &format!("{said}; taking it back: {failed}")),
            });
        }
        let log_end = self.error_log.end();
        if let Err(said) = self.reload.run().await {
            return Err(self.take_back(&old, RouterError::Refused(said)).await);
        }
        let asked = self
            .generations
            .settle_on(&new.generation, IN_A_ROW, RELOAD_SHOWS);
        let Err(unsettled) = asked.await else {
            return Ok(());
        };
        let emerg = match self.error_log.emerg_after(log_end) {
            Some(line) => format!("the error log says: {line}"),
            None => "nginx's error log says why".to_owned(),
        };
        let why = RouterError::NotTaken(format!(
            "the test and the reload both ended with 0, but {unsettled}; {emerg}"
        ));
        Err(self.take_back(&old, why).await)
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let found = self.on_disk()?;
        if found.live.split != split {
            return Err(RouterError::Conflict {
                expected: split.told(&self.slots),
                found: found.live.split.told(&self.slots),
            });
        }
        let generation = &found.live.generation;
        let asked = self
            .generations
            .settle_on(generation, IN_A_ROW, RELOAD_SHOWS);
        match asked.await {
            Ok(()) => Ok(Confirmed::ByDataPlane(format!(
                "{IN_A_ROW} of {IN_A_ROW} new connections answered generation {generation}"
            ))),
            Err(Unsettled::Silent(said)) => Err(RouterError::OutOfReach(said)),
            Err(Unsettled::Other(said)) => Err(self.drifted(&found.live, &said)),
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let live = Live::read(&saved.saved, &self.slots).map_err(|said| {
            RouterError::Refused(format!("the saved include file cannot be restored: {said}"))
        })?;
        // The way back waits for another writer, but not for ever.
        let _lock = lock::take(&self.place(), ANOTHER_WRITER).await.ok();
        let same = fs::read_to_string(&self.file).is_ok_and(|now| now == saved.saved);
        let asked = self
            .generations
            .settle_on(&live.generation, IN_A_ROW, STEADY);
        // A reload can cost requests, so none is made where nothing changed.
        if same && asked.await.is_ok() {
            return Ok(());
        }
        self.put(&saved.saved, &live).await
    }
}
