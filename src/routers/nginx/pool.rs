//! The servers of one `upstream`, in an include file that Cutover writes: those that are out are
//! `down` there.
//!
//! nginx does not say how many requests a server still has, so who takes one out waits for as
//! long as requests may take. How a file is put in force is `loader`'s matter.

use async_trait::async_trait;

use super::lines;
use super::loader::{LOSS, Loader, Page, generation_after};
use crate::model::pool::Place;
use crate::model::slot::Slot;
use crate::routers::pool::{InFlight, Pool, Rota, Turn};
use crate::routers::{Confirmed, RouterError};

/// A pool that is the servers of an upstream.
pub(super) struct Upstream {
    pub(super) loader: Loader,
    /// What `proxy_pass` names.
    pub(super) name: String,
    /// The address of each member, as nginx reaches it, with what else stands in its line.
    pub(super) servers: Vec<String>,
    pub(super) members: Vec<Slot>,
}

/// The file as it is on the disk.
struct OnDisk {
    content: String,
    generation: String,
    /// Whether each member is in.
    is_in: Vec<bool>,
}

impl OnDisk {
    fn page(&self) -> Page<'_> {
        Page {
            content: &self.content,
            generation: &self.generation,
        }
    }
}

impl Upstream {
    async fn on_disk(&self) -> Result<OnDisk, RouterError> {
        let content = self.loader.text().await?;
        let read = read(&content, &self.name, &self.servers);
        let (generation, is_in) = read.map_err(|said| self.loader.unreadable(&said))?;
        Ok(OnDisk {
            content,
            generation,
            is_in,
        })
    }

    fn written(&self, generation: &str, is_in: &[bool]) -> String {
        written(&self.name, generation, &self.servers, is_in)
    }
}

#[async_trait]
impl Pool for Upstream {
    fn told(&self) -> String {
        format!("nginx upstream {} in {}", self.name, self.loader.file)
    }

    fn known_loss(&self) -> Option<String> {
        Some(format!(
            "{LOSS}; and nginx does not say how many requests a server still has, so the whole of `drain` is waited"
        ))
    }

    fn one_time_lines(&self) -> String {
        let all = vec![true; self.servers.len()];
        lines::for_upstream(
            self.loader.file.path(),
            self.loader.generations.path(),
            &self.name,
            &self.members,
            &self.written("0", &all),
        )
    }

    async fn read(&self) -> Result<Rota, RouterError> {
        let found = self.on_disk().await?;
        self.loader.in_force(&found.generation).await?;
        let place = |is_in: &bool| if *is_in { Place::In } else { Place::Out };
        Ok(Rota {
            places: found.is_in.iter().map(place).collect(),
            revision: found.page().revision(),
        })
    }

    async fn prepare(&self) -> Result<(), RouterError> {
        let found = self.on_disk().await?;
        self.loader.prepare(&found.generation).await
    }

    async fn apply(&self, from: &Rota, turn: &Turn) -> Result<(), RouterError> {
        let _lock = self.loader.lock().await?;
        let old = self.on_disk().await?;
        old.page().expect(&from.revision)?;
        let mut is_in = old.is_in.clone();
        for member in &turn.members {
            is_in[*member] = turn.come_in;
        }
        if is_in == old.is_in {
            return Ok(());
        }
        if !is_in.contains(&true) {
            return Err(RouterError::Refused(
                "nobody would be left in the upstream".to_owned(),
            ));
        }
        let generation = generation_after(&old.generation);
        let page = Page {
            content: &self.written(&generation, &is_in),
            generation: &generation,
        };
        self.loader.turn(old.page(), page).await
    }

    async fn confirm(&self, turn: &Turn) -> Result<Confirmed, RouterError> {
        let found = self.on_disk().await?;
        let other = |member: &&usize| found.is_in[**member] != turn.come_in;
        if let Some(member) = turn.members.iter().find(other) {
            let word = |is_in: bool| if is_in { "in" } else { "out" };
            return Err(RouterError::NotTaken(format!(
                "{} is {} in {}, wanted {}",
                self.members[*member].name,
                word(!turn.come_in),
                self.loader.file,
                word(turn.come_in)
            )));
        }
        self.loader.confirm(&found.generation).await
    }

    async fn reconcile(&self) -> Result<(), RouterError> {
        let _lock = self.loader.lock().await?;
        let found = self.on_disk().await?;
        match self.loader.in_force(&found.generation).await {
            Err(RouterError::Drifted { .. }) => self.loader.put(found.page()).await,
            outcome => outcome,
        }
    }

    async fn in_flight(&self, _: &[usize]) -> Result<InFlight, RouterError> {
        Ok(InFlight::Untold(
            "nginx does not say what a server still has",
        ))
    }
}

/// The file's content.
fn written(name: &str, generation: &str, servers: &[String], is_in: &[bool]) -> String {
    let mut lines = String::new();
    for (server, is_in) in servers.iter().zip(is_in) {
        let down = if *is_in { "" } else { " down" };
        lines.push_str(&format!("    server {server}{down};\n"));
    }
    format!(
        "# cutover gen={generation}\n\
         # Cutover writes this file at every turn of a member; what is edited here is lost.\n\
         upstream {name} {{\n{lines}    keepalive 32;\n}}\n\
         map \"\" $cutover_generation {{ default \"{generation}\"; }}\n"
    )
}

/// Reads a file's content: its generation, and whether each server is in.
fn read(content: &str, name: &str, servers: &[String]) -> Result<(String, Vec<bool>), String> {
    let mut generation = None;
    let mut found = vec![None; servers.len()];
    let head = format!("upstream {name} {{");
    if !content.lines().any(|line| line.trim() == head) {
        return Err(format!("it has no `{head}`"));
    }
    for line in content.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("map \"\" $cutover_generation { default \"") {
            generation = rest.split('"').next().map(ToOwned::to_owned);
        }
        let Some(server) = line.strip_prefix("server ") else {
            continue;
        };
        let server = server.trim_end_matches(';').trim();
        let (server, is_in) = match server.strip_suffix(" down") {
            Some(server) => (server, false),
            None => (server, true),
        };
        match servers.iter().position(|known| known == server) {
            Some(at) => found[at] = Some(is_in),
            None => {
                return Err(format!(
                    "it has a server {server}, which is no member; write the file anew as `cutover router-config` prints it when members change"
                ));
            }
        }
    }
    let is_in: Option<Vec<bool>> = found.iter().copied().collect();
    match (generation, is_in) {
        (Some(generation), Some(is_in)) => Ok((generation, is_in)),
        (None, _) => Err("it does not set $cutover_generation".to_owned()),
        (_, None) => {
            let missing = servers
                .iter()
                .zip(&found)
                .find(|(_, found)| found.is_none());
            let missing = missing.map_or("", |(server, _)| server);
            Err(format!(
                "it has no server {missing}; write the file anew as `cutover router-config` prints it when members change"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let servers = ["10.0.0.5:8001", "10.0.0.6:8001 weight=2"].map(ToOwned::to_owned);
        for is_in in [[true, true], [false, true], [true, false]] {
            let content = written("shop", "7-abc", &servers, &is_in);
            let read = read(&content, "shop", &servers).unwrap();
            assert_eq!(read, ("7-abc".to_owned(), is_in.to_vec()), "{content}");
        }
    }

    #[test]
    fn a_file_for_other_members_is_refused() {
        let servers = ["a:1", "b:1"].map(ToOwned::to_owned);
        let content = written("shop", "7", &servers, &[true, false]);
        let refused = |content: &str, name: &str, servers: &[String]| {
            read(content, name, servers).unwrap_err()
        };
        assert!(refused(&content, "other", &servers).contains("upstream other"));
        assert!(refused(&content, "shop", &servers[..1]).contains("a server b:1"));
        let three = ["a:1", "b:1", "c:1"].map(ToOwned::to_owned);
        assert!(refused(&content, "shop", &three).contains("no server c:1"));
        let bare = content.replace("$cutover_generation", "$other");
        assert!(refused(&bare, "shop", &servers).contains("$cutover_generation"));
    }
}
