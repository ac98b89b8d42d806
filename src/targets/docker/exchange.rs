//! The new container takes the place of the old one in an idle slot, or the old one is put back.
//!
//! Whatever step a run is killed at, the names say what was left, and the next run mends it.

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::platform::docker::No;
use crate::platform::secret::Vault;
use crate::targets::{Desk, TargetError};

use super::health::Patient;
use super::options::Options;
use super::parts::Port;
use super::seen::Container;
use super::stock::{Stock, acted};
use super::wanted::SLOT;
use super::{failed, prune};

/// How long a container has to end when the run is cancelled: the runner does not wait.
const WHEN_CANCELLED: std::time::Duration = std::time::Duration::from_secs(1);

/// How often what failed is asked to be removed, and how long after the last time.
const TRIES: u32 = 20;
const AGAIN: std::time::Duration = std::time::Duration::from_millis(250);

/// What an exchange is made with.
pub(super) struct Exchange<'a> {
    pub stock: &'a Stock<'a>,
    pub options: &'a Options,
    pub ports: &'a [Port],
    pub vault: &'a Vault,
    pub desk: &'a Desk<'a>,
    /// Cancelled with the run, and when it has taken too long.
    pub enough: &'a CancellationToken,
}

/// The container before, and whether it ran.
struct Before {
    container: Container,
    ran: bool,
}

impl Exchange<'_> {
    /// Removes what a run that was killed left half made.
    ///
    /// # Errors
    /// When the engine does not let us.
    pub(super) async fn mend(&self) -> Result<(), TargetError> {
        let stock = self.stock;
        let next = stock.ours(&stock.beside("next"));
        if let Some(next) = next {
            stock.remove(&next.id).await?;
            (self.desk.say)(format!(
                "removed {}, which an earlier run did not start",
                next.name()
            ));
        }
        if let Some(row) = stock.ours(stock.name)
            && let Some(found) = stock.inspect(&row.id).await?
            && found.state.status == "created"
        {
            stock.remove(&found.id).await?;
            (self.desk.say)(format!(
                "removed {}, which an earlier run did not start",
                row.name()
            ));
        }
        Ok(())
    }

    /// Makes the new container, which is not started; its id.
    ///
    /// # Errors
    /// When the engine refuses, or the run is cancelled; it is removed again then.
    pub(super) async fn make(
        &self,
        body: &Value,
        networks: &[String],
    ) -> Result<String, TargetError> {
        let stock = self.stock;
        let new = stock.make(&stock.beside("next"), body).await?;
        let mut ready = Ok(());
        for network in networks.iter().skip(1) {
            ready = stock.connect(&new, network).await;
            if ready.is_err() {
                break;
            }
        }
        if self.enough.is_cancelled() {
            ready = Err(TargetError::Cancelled);
        }
        if let Err(why) = ready {
            stock.remove(&new).await?;
            return Err(why);
        }
        Ok(new)
    }

    /// The one that was stopped for a container that was not seen well, for that run was killed.
    async fn interrupted(&self) -> Result<Option<Before>, TargetError> {
        let Some(aside) = self.stock.until_well() else {
            return Ok(None);
        };
        let found = self.stock.inspect(&aside.id).await?;
        Ok(found.map(|container| Before {
            container,
            ran: true,
        }))
    }

    /// The container before: the one that was last well, if a run was killed before its own one was;
    /// else the slot's own; else the last one that stands aside, for nothing took its place.
    async fn before(&self) -> Result<Option<Before>, TargetError> {
        let stock = self.stock;
        if let Some(before) = self.interrupted().await? {
            return Ok(Some(before));
        }
        if let Some(container) = stock.inspect(stock.name).await? {
            let lives = container.state.running || container.state.restarting;
            // Of one that a killed run stopped, too: it was laid down before.
            let ran = lives || container.is_laid_down();
            return Ok(Some(Before { container, ran }));
        }
        let Some(aside) = stock.aside().next() else {
            return Ok(None);
        };
        let found = stock.inspect(&aside.id).await?;
        Ok(found.map(|container| Before {
            container,
            ran: true,
        }))
    }

    /// Has the new container, which is made and not started, take the slot's name and get well.
    ///
    /// # Errors
    /// Why it did not; the container before is back then, or the error says that it is not.
    pub(super) async fn run(&self, new: &str) -> Result<String, TargetError> {
        let before = self.before().await?;
        let outcome = self.replace(new, before.as_ref()).await;
        self.ended(new, before.as_ref(), outcome).await
    }

    /// Has the slot's container get well, which is the wanted one. Where the run that started it was
    /// killed before it was, this one takes that to its end.
    ///
    /// # Errors
    /// Why it did not; after such a run the container before is back then, as above.
    pub(super) async fn go_on(&self, same: &str) -> Result<String, TargetError> {
        let before = self.interrupted().await?;
        let outcome = self.gets_well(same).await;
        match before {
            None => outcome,
            before => self.ended(same, before.as_ref(), outcome).await,
        }
    }

    /// What it came to: the one before stands aside, or is put back.
    async fn ended(
        &self,
        new: &str,
        before: Option<&Before>,
        outcome: Result<String, TargetError>,
    ) -> Result<String, TargetError> {
        let say = self.desk.say;
        let why = match outcome {
            Ok(well) => {
                self.stands_aside(before).await;
                prune::tidy(self.stock, say).await;
                return Ok(well);
            }
            Err(why) => why,
        };
        let note = match self.put_back(new, before).await {
            Ok(()) => told(before),
            Err(also) => return Err(self.left(&why, &also)),
        };
        let ended = match why {
            TargetError::Failed { said, last_words } => TargetError::Failed {
                said: format!("{said}; {note}"),
                last_words,
            },
            TargetError::TimedOut {
                said,
                after,
                last_words,
            } => TargetError::TimedOut {
                said: format!("{said}; {note}"),
                after,
                last_words,
            },
            // The old one was stopped: it is not as if nothing had begun.
            TargetError::OutOfReach(said) => failed(format!("{said}; {note}")),
            other => {
                say(note.to_owned());
                other
            }
        };
        // Not before the old one runs: the engine may take its time for that, and a cancelled run
        // has none.
        prune::tidy(self.stock, say).await;
        Err(ended)
    }

    /// The new one is well: from now on it is what is put back.
    async fn stands_aside(&self, before: Option<&Before>) {
        let Some(before) = before else {
            return;
        };
        let (stock, id) = (self.stock, &before.container.id);
        if let Err(failed) = stock.rename(id, &stock.name_aside(id)).await {
            (self.desk.say)(format!(
                "{} is still what the next failure goes back to: {failed}",
                stock.name_until_well(id)
            ));
        }
    }

    /// Both went wrong, so what is in the slot is not known.
    fn left(&self, why: &TargetError, also: &TargetError) -> TargetError {
        TargetError::Lost {
            said: format!(
                "{why}; and the container before could not be put back: {also}; see `docker ps -a --filter name={}`",
                self.stock.name
            ),
            last_words: match why {
                TargetError::Failed { last_words, .. }
                | TargetError::TimedOut { last_words, .. } => last_words.clone(),
                _ => Vec::new(),
            },
        }
    }

    async fn replace(&self, new: &str, before: Option<&Before>) -> Result<String, TargetError> {
        let stock = self.stock;
        if let Some(before) = before {
            let id = &before.container.id;
            // First of all: it says that it ran, whatever comes.
            stock.lay_down(id).await?;
            self.stop(id).await?;
            let aside = stock.name_until_well(id);
            if stock.ours(&aside).is_none() {
                stock.rename(id, &aside).await?;
            }
            self.make_room(id).await?;
        }
        if self.enough.is_cancelled() {
            return Err(TargetError::Cancelled);
        }
        stock.rename(new, stock.name).await?;
        if let Err(no) = stock.start(new).await {
            return Err(self.not_started(&no).await);
        }
        self.gets_well(new).await
    }

    async fn gets_well(&self, id: &str) -> Result<String, TargetError> {
        let patient = Patient {
            engine: self.stock.engine,
            id,
            name: self.stock.name,
            options: self.options,
            vault: self.vault,
        };
        patient.gets_well(self.desk.say, self.enough).await
    }

    /// Stops a container; a cancelled run has no time for its farewell.
    async fn stop(&self, id: &str) -> Result<(), TargetError> {
        let grace = if self.enough.is_cancelled() {
            WHEN_CANCELLED
        } else {
            self.options.stop_timeout.get()
        };
        let mut stopping = std::pin::pin!(self.stock.stop(id, grace));
        tokio::select! {
            biased;
            stopped = &mut stopping => return stopped,
            () = self.enough.cancelled() => {}
        }
        let soon = tokio::time::timeout(WHEN_CANCELLED, &mut stopping).await;
        if let Ok(stopped) = soon {
            return stopped;
        }
        self.stock.kill(id).await;
        stopping.await
    }

    async fn not_started(&self, no: &No) -> TargetError {
        let name = self.stock.name;
        let words = no.to_string();
        if words.contains("address already in use") || words.contains("port is already allocated") {
            for port in self.ports {
                if !words.contains(&format!(":{} ", port.host))
                    && !words.contains(&format!(":{}:", port.host))
                {
                    continue;
                }
                let who = match self.stock.holder(port).await {
                    Ok(Some(other)) => format!("the container {other}"),
                    _ => "a program on the engine's machine that is in no container".to_owned(),
                };
                return failed(format!(
                    "{name} did not start: {} is taken by {who}",
                    port.outside()
                ));
            }
        }
        acted(&format!("{name} did not start"), no)
    }

    /// Sets one aside for a look that did not get well. Of an earlier such one only the container is
    /// removed here, for its name is needed.
    async fn set_aside(&self, id: &str) -> Result<(), TargetError> {
        let stock = self.stock;
        self.stop(id).await?;
        stock.lay_down(id).await?;
        let name = stock.beside("failed");
        if let Some(earlier) = stock.inspect(&name).await?
            && earlier.id != id
            && earlier.label(SLOT).is_some()
        {
            stock.remove(&earlier.id).await?;
            (self.desk.say)(format!("removed the container {name}"));
        }
        stock.rename(id, &name).await
    }

    /// Takes the slot's name and ports from one that did not get well.
    async fn clear_away(&self, id: &str) -> Result<(), TargetError> {
        let Err(why) = self.set_aside(id).await else {
            return Ok(());
        };
        // Trouble with what failed must not keep down what works. It may be gone already.
        (self.desk.say)(format!("the failed container is not kept: {why}"));
        // Who else removes it at this moment takes a while.
        let mut tries = 0;
        while let Err(why) = self.stock.remove(id).await {
            tries += 1;
            if tries == TRIES || !matches!(why, TargetError::Failed { .. }) {
                return Err(why);
            }
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    /// Clears away what a killed run has started in the slot and has not seen well.
    async fn make_room(&self, before: &str) -> Result<(), TargetError> {
        let stock = self.stock;
        if let Some(row) = stock.ours(stock.name)
            && row.id != before
            && let Some(there) = stock.inspect(stock.name).await?
            && there.id == row.id
        {
            self.clear_away(&row.id).await?;
        }
        Ok(())
    }

    /// Takes the slot's name and ports from the new one, and lets the old one have them again.
    async fn put_back(&self, new: &str, before: Option<&Before>) -> Result<(), TargetError> {
        let stock = self.stock;
        self.clear_away(new).await?;
        let Some(before) = before else {
            return Ok(());
        };
        let id = &before.container.id;
        self.make_room(id).await?;
        if stock.inspect(stock.name).await?.is_none() {
            stock.rename(id, stock.name).await?;
        }
        stock.take_up(&before.container).await?;
        if before.ran {
            let started = stock.start(id).await;
            started.map_err(|no| acted("it did not start again", &no))?;
        }
        Ok(())
    }
}

/// What is in the slot after the way back.
fn told(before: Option<&Before>) -> &'static str {
    match before {
        None => "there was no container before, so none runs in the slot",
        Some(before) if before.ran => "the container before runs again",
        Some(_) => "the container before is back, stopped as it was",
    }
}
