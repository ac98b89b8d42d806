//! One entry of a map file: its value is the weight of the second slot.
//!
//! A change is a transaction: a new version of the map is prepared and filled, and committed
//! only if the version in force is still the one that was read. Requests see the old value or
//! the new one. The file is written first, because a reload of HAProxy reads it: the other way
//! round, a reload in between would send traffic back to a slot that is about to be stopped.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::cli::{Cli, harmless, refused};
use super::counted::{Rows, counted, in_flight};
use super::entries::{Entry, Versions, filed, only_weight, shown, versions, with_entry};
use super::state_file::{StateFile, lock};
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// How long another's prepared version gets to be committed; its writer may be gone for ever.
const SETTLE: Duration = Duration::from_millis(250);

/// How often a restore begins anew when somebody else commits in between.
const RESTORES: u32 = 5;

/// A router that is one entry of a map.
pub(super) struct MapEntry {
    pub(super) cli: Cli,
    pub(super) map: String,
    pub(super) key: String,
    pub(super) file: Option<StateFile>,
    pub(super) backends: [String; 2],
    pub(super) testers: Option<Testers>,
    pub(super) lines: String,
}

/// The map in HAProxy's memory.
struct Memory {
    versions: Versions,
    entries: Vec<Entry>,
}

/// What is in force, with the text of the file if there is one.
struct State {
    current: u32,
    weight: Weight,
    text: Option<String>,
}

impl State {
    fn revision(&self) -> String {
        format!("version {}, {}", self.current, self.weight)
    }
}

/// What [`Reading::saved`] holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    weight: Weight,
    file: Option<String>,
}

impl MapEntry {
    async fn memory(&self) -> Result<Memory, RouterError> {
        let command = format!("show map {}", self.map);
        let [list, entries] = self.cli.ask(["show map", &command]).await?;
        self.read_out(&list, &entries)
    }

    /// What `show map` and `show map MAP` said.
    fn read_out(&self, list: &str, entries: &str) -> Result<Memory, RouterError> {
        let wrong = |said: String| refused(&format!("show map {}", self.map), &said);
        Ok(Memory {
            versions: versions(list, &self.map).map_err(RouterError::Refused)?,
            entries: shown(entries).map_err(wrong)?,
        })
    }

    async fn state(&self) -> Result<State, RouterError> {
        let text = async {
            match &self.file {
                Some(file) => file.text().await?.ok_or_else(|| file.missing()).map(Some),
                None => Ok(None),
            }
        };
        // Both at once: on a host far away each takes a while.
        let (memory, text) = tokio::join!(self.memory(), text);
        let (memory, text) = (memory?, text?);
        let running = only_weight(&memory.entries, &self.key);
        let filed = text.as_deref().map(filed);
        let filed = filed.map(|entries| only_weight(&entries, &self.key));
        match (running, filed) {
            (Ok(weight), None) => Ok(State {
                current: memory.versions.current,
                weight,
                text,
            }),
            (Ok(weight), Some(Ok(same))) if weight == same => Ok(State {
                current: memory.versions.current,
                weight,
                text,
            }),
            (Ok(weight), Some(filed)) => Err(self.drifted(&memory, Some(weight), filed)),
            (Err(_), Some(Ok(filed))) => Err(self.drifted(&memory, None, Ok(filed))),
            (Err(said), _) => Err(RouterError::Refused(format!(
                "the map {}: {said}",
                self.map
            ))),
        }
    }

    /// Memory and file differ. The repair leaves traffic where it is wherever that can be told.
    fn drifted(
        &self,
        memory: &Memory,
        running: Option<Weight>,
        filed: Result<Weight, String>,
    ) -> RouterError {
        let path = self
            .file
            .as_ref()
            .map_or_else(String::new, |file| file.path.display().to_string());
        let all: Vec<_> = memory
            .entries
            .iter()
            .map(|entry| format!("`{} {}`", entry.key, entry.value))
            .collect();
        let running_said = if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join(", ")
        };
        let filed_said = match &filed {
            Ok(weight) => format!("says `{} {}`", self.key, weight.percent()),
            Err(said) => format!("is wrong: {said}"),
        };
        let follow = filed.as_ref().ok().map(|weight| {
            let weight = weight.percent();
            // A duplicate must not be made: an entry that is there is set, else it is added.
            let known = memory.entries.iter().any(|entry| entry.key == self.key);
            let verb = if known { "set" } else { "add" };
            let set = format!("{verb} map {} {} {weight}", self.map, self.key);
            self.cli.address.by_hand(&set)
        });
        let keep =
            running.map(|weight| format!("echo '{} {}' > {path}", self.key, weight.percent()));
        let repair = match (keep, follow) {
            (Some(keep), Some(follow)) => format!(
                "{keep}   # leaves traffic where it is; to follow the file instead: {follow}"
            ),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        };
        RouterError::Drifted {
            said: format!("HAProxy's memory has {running_said}, the file {path} {filed_said}"),
            repair,
        }
    }

    /// Puts a weight into the memory. With `from`, only if that is still in force.
    async fn commit(&self, weight: Weight, from: Option<&State>) -> Result<(), RouterError> {
        let (map, key) = (&self.map, &self.key);
        let mut before = None;
        if from.is_some() {
            before = Some(self.memory().await?.versions);
        }
        let prepare = format!("prepare map {map}");
        // A lost answer is harmless until the commit: a version that is not committed has no effect.
        let said = self.cli.send(&prepare).await.map_err(harmless)?;
        let version: u32 = said
            .strip_prefix("New version created: ")
            .and_then(|number| number.trim().parse().ok())
            .ok_or_else(|| refused(&prepare, &said))?;
        if let Err(failed) = self.fill(version, weight, from.zip(before)).await {
            // Only tidies up; that the version stays out of force is what matters.
            let _ = self.cli.send(&format!("clear map @{version} {map}")).await;
            return Err(failed);
        }
        let commit = format!("commit map @{version} {map}");
        match self.cli.send(&commit).await {
            Ok(said) if said.is_empty() => Ok(()),
            Ok(said) if said.contains("out of range") => {
                Err(self.conflict(from, "a later version was committed first".to_owned()))
            }
            Ok(said) => Err(refused(&commit, &said)),
            Err(RouterError::Lost(said)) => match self.memory().await {
                // In force, or HAProxy has just been restarted and read the file.
                Ok(now) if only_weight(&now.entries, key) == Ok(weight) => Ok(()),
                _ => Err(RouterError::Lost(said)),
            },
            Err(failed) => Err(failed),
        }
    }

    /// Fills the prepared version, and looks just before the commit, in the same line, whether it
    /// can be committed: it holds what it should, and nobody else is writing.
    async fn fill(
        &self,
        version: u32,
        weight: Weight,
        from: Option<(&State, Versions)>,
    ) -> Result<(), RouterError> {
        let (map, key) = (&self.map, &self.key);
        let add = format!("add map @{version} {map} {key} {}", weight.percent());
        let show = format!("show map @{version} {map}");
        let now = format!("show map {map}");
        let asked = self.cli.ask([&add, &show, "show map", &now]).await?;
        let [added, prepared, list, entries] = asked;
        if !added.is_empty() {
            return Err(refused(&add, &added));
        }
        // HAProxy answers nothing, too, when it ignores a value that it cannot convert; and an
        // empty version, once committed, would send all traffic to the default slot.
        let holds = shown(&prepared).and_then(|entries| only_weight(&entries, key));
        if holds != Ok(weight) {
            return Err(refused(&show, &prepared));
        }
        let Some((from, before)) = from else {
            return Ok(());
        };
        let mut now = self.read_out(&list, &entries)?;
        if before.prepared != before.current {
            tokio::time::sleep(SETTLE).await;
            now = self.memory().await?;
        }
        let found = only_weight(&now.entries, key);
        let same = now.versions.current == from.current && found == Ok(from.weight);
        let ours = version == before.prepared.wrapping_add(1) && now.versions.prepared == version;
        let found = match found {
            _ if same && ours => return Ok(()),
            _ if same => "another writer in the middle of a change".to_owned(),
            Ok(weight) => format!("version {}, {weight}", now.versions.current),
            Err(said) => said,
        };
        Err(self.conflict(Some(from), found))
    }

    fn conflict(&self, from: Option<&State>, found: String) -> RouterError {
        RouterError::Conflict {
            expected: from.map_or_else(|| "no other writer".to_owned(), State::revision),
            found,
        }
    }

    async fn expect(&self, change: &Change) -> Result<State, RouterError> {
        let now = self.state().await?;
        if now.revision() == change.from.revision {
            Ok(now)
        } else {
            Err(RouterError::Conflict {
                expected: change.from.revision.clone(),
                found: now.revision(),
            })
        }
    }
}

#[async_trait]
impl Router for MapEntry {
    fn told(&self) -> String {
        let at = self.cli.told();
        format!("haproxy map {} {} at {at}", self.map, self.key)
    }

    fn known_loss(&self) -> Option<String> {
        let back = "the map file is not written: a reload or restart of HAProxy returns to what";
        let told = format!("{back} {} says there", self.map);
        self.file.is_none().then_some(told)
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        self.lines.clone()
    }

    fn counting(&self) -> Counting<'_> {
        counted(&self.cli, Rows::Backends(&self.backends))
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        in_flight(&self.cli, &Rows::Backends(&self.backends), slot).await
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let state = self.state().await?;
        let saved = Saved {
            weight: state.weight,
            file: state.text.clone(),
        };
        Ok(Reading {
            split: Split {
                second: state.weight,
            },
            apart: Vec::new(),
            revision: state.revision(),
            saved: serde_json::to_string(&saved)
                .map_err(|failed| RouterError::Refused(failed.to_string()))?,
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        self.expect(change).await?;
        match &self.file {
            Some(file) => file.prepare().await,
            None => Ok(()),
        }
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let _lock = lock(self.file.as_ref()).await?;
        let now = self.expect(change).await?;
        let wanted = change.to.second;
        if now.weight == wanted {
            return Ok(());
        }
        let (Some(file), Some(text)) = (&self.file, &now.text) else {
            return self.commit(wanted, Some(&now)).await;
        };
        file.write(&with_entry(text, &self.key, wanted)).await?;
        let failed = match self.commit(wanted, Some(&now)).await {
            Ok(()) => return Ok(()),
            // The effect is unknown, and so is which text would be right.
            Err(lost @ RouterError::Lost(_)) => return Err(lost),
            Err(failed) => failed,
        };
        let memory = self.memory().await;
        // A reload in between has read the new file: then this is what is in force.
        if let Ok(memory) = &memory
            && only_weight(&memory.entries, &self.key) == Ok(wanted)
        {
            return Ok(());
        }
        let put_back = file.write(text).await;
        put_back.map_err(|unwritten| RouterError::Drifted {
            said: format!("{failed}; and the file could not be put back: {unwritten}"),
            repair: format!(
                "echo '{} {}' > {}",
                self.key,
                now.weight.percent(),
                file.path.display()
            ),
        })?;
        match memory {
            Ok(_) => Err(failed),
            // Such a reload may have been, and there is nobody to ask.
            Err(unseen) => Err(RouterError::Lost(format!("{failed}; then {unseen}"))),
        }
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let now = self.state().await?;
        let weight = now.weight.percent();
        if now.weight != split.second {
            return Err(RouterError::NotTaken(format!(
                "the map {} says `{} {weight}`, wanted {}",
                self.map,
                self.key,
                split.second.percent()
            )));
        }
        let file = self.file.as_ref();
        let file = file.map_or("", |_| ", and so does the file");
        Ok(Confirmed::ByState(format!(
            "the map says `{} {weight}`{file}",
            self.key
        )))
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let saved: Saved = serde_json::from_str(&saved.saved).map_err(|failed| {
            RouterError::Refused(format!("this is not the saved state of a map: {failed}"))
        })?;
        let _lock = lock(self.file.as_ref()).await?;
        if let Some(file) = &self.file {
            let text = match saved.file {
                Some(text) => text,
                None => with_entry(
                    &file.text().await?.unwrap_or_default(),
                    &self.key,
                    saved.weight,
                ),
            };
            file.write(&text).await?;
        }
        let mut tried = 1;
        loop {
            match self.commit(saved.weight, None).await {
                Err(RouterError::Conflict { .. }) if tried < RESTORES => tried += 1,
                outcome => return outcome,
            }
        }
    }
}
