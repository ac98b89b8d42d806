//! A file that nginx includes: written, tested, loaded and asked for, or taken back.
//!
//! `nginx -t` and the reload can both end with 0 while the master refuses the configuration
//! and the old one stays in force: a port is held by another process, a zone's key changed.
//! So nothing counts but the generation that nginx answers. Where it does not come, the old
//! file is put back and loaded, and that is asked for as well. What the file says is not known
//! here.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::command::Shell;
use super::error_log::ErrorLog;
use super::generation::{Asked, IN_A_ROW, Unsettled};
use crate::platform::host::HostError;
use crate::routers::lock::Lock;
use crate::routers::placed::{Placed, failed_at};
use crate::routers::{Confirmed, RouterError};

/// How long a reload may take to show. A master that cannot have a port tries for 2.5 s.
const RELOAD_SHOWS: Duration = Duration::from_secs(5);

/// How long a running nginx may take to say what it runs by, where nothing was changed.
const STEADY: Duration = Duration::from_secs(1);

/// How long another writer is waited for: as long as a change that has to be taken back takes.
const ANOTHER_WRITER: Duration = Duration::from_secs(15);

/// The file, and how nginx is made to take it.
pub(super) struct Loader {
    pub(super) file: Placed,
    pub(super) test: Shell,
    pub(super) reload: Shell,
    pub(super) generations: Asked,
    pub(super) error_log: ErrorLog,
}

/// What stands in the file, or is to stand there.
#[derive(Clone, Copy)]
pub(super) struct Page<'a> {
    pub(super) content: &'a str,
    pub(super) generation: &'a str,
}

impl Page<'_> {
    /// The generation for people, the hash for changes by hand.
    pub(super) fn revision(&self) -> String {
        let hash = Sha256::digest(self.content.as_bytes());
        let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
        format!("generation {} (sha256 {hash})", self.generation)
    }

    /// That it is the revision that was read.
    pub(super) fn expect(&self, revision: &str) -> Result<(), RouterError> {
        match self.revision() {
            found if found == revision => Ok(()),
            found => Err(RouterError::Conflict {
                expected: revision.to_owned(),
                found,
            }),
        }
    }
}

/// The next generation: a count and a random part, so that no two files ever written have the same.
pub(super) fn generation_after(old: &str) -> String {
    let count = old.split('-').next().unwrap_or_default();
    let count = count
        .parse::<u64>()
        .map_or(1, |count| count.saturating_add(1));
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{count}-{}", &random[..8])
}

impl Loader {
    /// Keeps other writers out. Held to the end: taking back must not overwrite what somebody else
    /// wrote meanwhile.
    pub(super) async fn lock(&self) -> Result<Lock, RouterError> {
        self.file.lock_behind(ANOTHER_WRITER).await
    }

    /// What stands in the file.
    pub(super) async fn text(&self) -> Result<String, RouterError> {
        self.file.text().await.map_err(|failed| {
            RouterError::OutOfReach(format!(
                "the include file {}: {failed}; `cutover router-config` prints what it holds at first",
                self.file
            ))
        })
    }

    /// A file that is none of ours.
    pub(super) fn unreadable(&self, said: &str) -> RouterError {
        RouterError::Refused(format!(
            "the include file {} cannot be read: {said}",
            self.file
        ))
    }

    async fn write(&self, content: &str) -> Result<(), HostError> {
        self.file.write(content).await
    }

    fn unwritten(&self, failed: HostError) -> RouterError {
        failed_at(&format!("writing {}", self.file), failed)
    }

    /// That nginx runs by what is on the disk.
    pub(super) async fn in_force(&self, generation: &str) -> Result<(), RouterError> {
        let asked = self.generations.settle_on(generation, 1, STEADY);
        self.settled(generation, asked.await)
    }

    /// That it does so again and again.
    pub(super) async fn confirm(&self, generation: &str) -> Result<Confirmed, RouterError> {
        let asked = self
            .generations
            .settle_on(generation, IN_A_ROW, RELOAD_SHOWS);
        self.settled(generation, asked.await)?;
        Ok(Confirmed::ByDataPlane(format!(
            "{IN_A_ROW} of {IN_A_ROW} new connections answered generation {generation}"
        )))
    }

    fn settled(&self, generation: &str, asked: Result<(), Unsettled>) -> Result<(), RouterError> {
        match asked {
            Ok(()) => Ok(()),
            Err(Unsettled::Silent(said)) => Err(RouterError::OutOfReach(said)),
            Err(Unsettled::Other(said)) => Err(self.drifted(generation, &said)),
        }
    }

    fn drifted(&self, generation: &str, said: &str) -> RouterError {
        RouterError::Drifted {
            said: format!("{} is generation {generation}, and {said}", self.file),
            repair: self.repair(),
        }
    }

    /// What a person runs to put the file on the disk in force.
    fn repair(&self) -> String {
        format!("{} && {}", self.test.line(), self.reload.line())
    }

    /// That a change could be made.
    pub(super) async fn prepare(&self, generation: &str) -> Result<(), RouterError> {
        self.in_force(generation).await?;
        self.file.prepare().await?;
        // What is wrong already would be blamed on the change, and would block the way back.
        self.test.run().await.map_err(RouterError::Refused)
    }

    /// Puts a new page in force, or leaves the old one in force.
    pub(super) async fn turn(&self, old: Page<'_>, new: Page<'_>) -> Result<(), RouterError> {
        let written = self.write(new.content).await;
        written.map_err(|failed| self.unwritten(failed))?;
        if let Err(said) = self.test.run().await {
            // Nothing was loaded, so the file is all there is to take back.
            return Err(match self.write(old.content).await {
                Ok(()) => RouterError::Refused(said),
                Err(failed) => {
                    let said = format!("{said}; taking it back: {failed}");
                    self.drifted(new.generation, &said)
                }
            });
        }
        let log_end = self.error_log.end().await;
        if let Err(said) = self.reload.run().await {
            return Err(self.take_back(old, RouterError::Refused(said)).await);
        }
        let asked = self
            .generations
            .settle_on(new.generation, IN_A_ROW, RELOAD_SHOWS);
        let Err(unsettled) = asked.await else {
            return Ok(());
        };
        let emerg = match self.error_log.emerg_after(log_end).await {
            Some(line) => format!("the error log says: {line}"),
            None => "nginx's error log says why".to_owned(),
        };
        let why = RouterError::NotTaken(format!(
            "the test and the reload both ended with 0, but {unsettled}; {emerg}"
        ));
        Err(self.take_back(old, why).await)
    }

    /// Puts a page in force: writes, tests, reloads, asks. Goes on where a command fails, for it is
    /// nginx's answer that counts.
    pub(super) async fn put(&self, page: Page<'_>) -> Result<(), RouterError> {
        let written = self.write(page.content).await;
        written.map_err(|failed| self.unwritten(failed))?;
        let mut said = Vec::new();
        for command in [&self.test, &self.reload] {
            said.extend(command.run().await.err());
        }
        let asked = self
            .generations
            .settle_on(page.generation, IN_A_ROW, RELOAD_SHOWS);
        asked.await.map_err(|unsettled| {
            said.insert(0, unsettled.to_string());
            self.drifted(page.generation, &said.join("; "))
        })
    }

    /// Puts the old page back in force after a failure; returns what there is to tell.
    async fn take_back(&self, old: Page<'_>, why: RouterError) -> RouterError {
        match (self.put(old).await, why) {
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

    /// Puts a page that was saved back in force, whatever is there now.
    pub(super) async fn restore(&self, saved: Page<'_>) -> Result<(), RouterError> {
        // The way back waits for another writer, but not for ever.
        let _lock = self.lock().await.ok();
        let now = self.file.text().await;
        let same = now.is_ok_and(|now| now == saved.content);
        let asked = self
            .generations
            .settle_on(saved.generation, IN_A_ROW, STEADY);
        // A reload can cost requests, so none is made where nothing changed.
        if same && asked.await.is_ok() {
            return Ok(());
        }
        self.put(saved).await
    }
}

/// What a reload is known to cost.
pub(super) const LOSS: &str = "clients that keep connections open can lose requests at each reload (0.5 to 3.7 per switch were measured); nginx 1.27.4 and later with keepalive_min_timeout loses none";
