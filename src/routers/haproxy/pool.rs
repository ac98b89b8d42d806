//! The servers of one backend, each of which is taken out by `drain` and put in by `ready`.
//!
//! `drain` ends nothing: requests that a server has go on, and HAProxy goes on checking it, so a
//! server that comes back gets traffic when those checks pass, too. `maint` is left to people:
//! a server in that state is theirs. There is no compare-and-swap: the states are read just
//! before they are set.

use async_trait::async_trait;

use super::cli::{Cli, refused};
use super::lines;
use super::state_file::{StateFile, lock};
use super::table::{Table, saved};
use crate::model::pool::Place;
use crate::model::slot::Slot;
use crate::routers::pool::{InFlight, Pool, Rota, Turn};
use crate::routers::{Confirmed, RouterError};

/// The bits of `srv_admin_state` that are maintenance, however it came about.
const MAINTENANCE: u32 = 0x63;

/// Those that are `drain`.
const DRAIN: u32 = 0x18;

/// A pool that is the servers of a backend.
pub(super) struct Servers {
    pub(super) cli: Cli,
    pub(super) backend: String,
    pub(super) servers: Vec<String>,
    pub(super) file: Option<StateFile>,
    pub(super) members: Vec<Slot>,
}

/// What somebody has set a server to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Admin {
    Ready,
    Drain,
    Maintenance,
}

impl Admin {
    const fn of(bits: u32) -> Self {
        if bits & MAINTENANCE != 0 {
            Self::Maintenance
        } else if bits & DRAIN != 0 {
            Self::Drain
        } else {
            Self::Ready
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maint",
        }
    }
}

impl Servers {
    fn name(&self, member: usize) -> String {
        format!("{}/{}", self.backend, self.servers[member])
    }

    fn revision(&self, states: &[Admin]) -> String {
        let one = |(server, state): (&String, &Admin)| format!("{server} {}", state.name());
        let all = self.servers.iter().zip(states).map(one);
        all.collect::<Vec<_>>().join(", ")
    }

    /// What was set, and where that leaves each server.
    async fn look(&self) -> Result<(Vec<Admin>, Vec<Place>), RouterError> {
        let (state, stat) = (
            format!("show servers state {}", self.backend),
            format!("show stat {} 4 -1", self.backend),
        );
        let [text, table] = self.cli.ask([&state, &stat]).await?;
        if !text.starts_with("1\n# be_id") {
            return Err(refused(&state, &text));
        }
        let table = Table(table);
        let (mut states, mut places) = (Vec::new(), Vec::new());
        for (member, server) in self.servers.iter().enumerate() {
            let of = |column| saved(&text, &self.backend, server, column);
            let bits = of("srv_admin_state").and_then(|bits| bits.parse().ok());
            let (Some(bits), Some(weight)) = (bits, of("srv_uweight")) else {
                return Err(RouterError::Refused(format!(
                    "backend {} has no server {server}, which {} should be; say in `servers` how it is called there",
                    self.backend, self.members[member].name
                )));
            };
            let admin = Admin::of(bits);
            let status = table.of(server, "status").unwrap_or_default();
            let up = status.starts_with("UP") || status == "no check";
            states.push(admin);
            places.push(match admin {
                Admin::Maintenance => Place::Barred("in maintenance".to_owned()),
                Admin::Drain => Place::Out,
                Admin::Ready if weight == "0" => Place::Barred("weight 0".to_owned()),
                Admin::Ready if up => Place::In,
                Admin::Ready => Place::Down(format!("{status} in HAProxy")),
            });
        }
        Ok((states, places))
    }

    async fn set(&self, member: usize, to: Admin) -> Result<(), RouterError> {
        let order = format!("set server {} state {}", self.name(member), to.name());
        match self.cli.order(&order).await {
            Err(RouterError::Lost(said)) => match self.look().await {
                Ok((states, _)) if states[member] == to => Ok(()),
                _ => Err(RouterError::Lost(said)),
            },
            outcome => outcome,
        }
    }

    /// Saves the states for the next reload.
    async fn save(&self) -> Result<(), RouterError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let [state] = self.cli.ask(["show servers state"]).await?;
        if !state.starts_with("1\n# be_id") {
            return Err(refused("show servers state", &state));
        }
        file.write(&format!("{state}\n")).await
    }

    /// That HAProxy has the states, and the file has them not.
    fn unsaved(&self, failed: RouterError) -> RouterError {
        let Some(file) = &self.file else {
            return failed;
        };
        RouterError::Drifted {
            said: format!(
                "HAProxy's memory has it, the file {} not: {failed}",
                file.told()
            ),
            repair: format!(
                "{} > {}",
                self.cli.address.by_hand("show servers state"),
                file.path.display()
            ),
        }
    }
}

#[async_trait]
impl Pool for Servers {
    fn told(&self) -> String {
        format!("haproxy backend {} at {}", self.backend, self.cli.address)
    }

    fn known_loss(&self) -> Option<String> {
        let mut said = "clients with a persistence cookie go on asking a server that is taken out, also while it is deployed to".to_owned();
        if self.file.is_none() {
            said.push_str(
                "; without `state-file` a reload of HAProxy puts members in that are out",
            );
        }
        Some(said)
    }

    fn one_time_lines(&self) -> String {
        lines::for_servers(
            &self.cli.address,
            &self.backend,
            &self.servers,
            self.file.as_ref(),
            &self.members,
        )
    }

    async fn read(&self) -> Result<Rota, RouterError> {
        let (states, places) = self.look().await?;
        Ok(Rota {
            places,
            revision: self.revision(&states),
        })
    }

    async fn prepare(&self) -> Result<(), RouterError> {
        let [level] = self.cli.ask(["show cli level"]).await?;
        if level != "admin" {
            return Err(RouterError::Refused(format!(
                "the stats socket has level {level}; setting states needs `level admin`"
            )));
        }
        match &self.file {
            Some(file) => file.prepare().await,
            None => Ok(()),
        }
    }

    async fn apply(&self, from: &Rota, turn: &Turn) -> Result<(), RouterError> {
        let _lock = lock(self.file.as_ref()).await?;
        let (states, _) = self.look().await?;
        let found = self.revision(&states);
        if found != from.revision {
            return Err(RouterError::Conflict {
                expected: from.revision.clone(),
                found,
            });
        }
        // Either order would end the maintenance, too, and that is for whoever began it.
        let theirs = |member: &&usize| states[**member] == Admin::Maintenance;
        if let Some(member) = turn.members.iter().find(theirs) {
            return Err(RouterError::Refused(format!(
                "{} is in maintenance, which somebody else has begun",
                self.name(*member)
            )));
        }
        let to = if turn.come_in {
            Admin::Ready
        } else {
            Admin::Drain
        };
        let open = turn.members.iter().filter(|member| states[**member] != to);
        let mut begun = false;
        for member in open {
            // Half of a turn is none that was refused; what is in force is read back.
            self.set(*member, to).await.map_err(|failed| match begun {
                true => RouterError::Lost(failed.to_string()),
                false => failed,
            })?;
            begun = true;
        }
        let Err(unsaved) = self.save().await else {
            return Ok(());
        };
        Err(self.unsaved(unsaved))
    }

    async fn reconcile(&self) -> Result<(), RouterError> {
        let _lock = lock(self.file.as_ref()).await?;
        let saved = self.save().await;
        saved.map_err(|failed| self.unsaved(failed))
    }

    async fn confirm(&self, turn: &Turn) -> Result<Confirmed, RouterError> {
        let (_, places) = self.look().await?;
        let mut said = Vec::new();
        for member in &turn.members {
            let (name, place) = (self.name(*member), &places[*member]);
            if place.is_in() != turn.come_in {
                let wanted = if turn.come_in { "in" } else { "out" };
                return Err(RouterError::NotTaken(format!(
                    "{name} is {}, wanted {wanted}",
                    place.told()
                )));
            }
            said.push(name);
        }
        let state = if turn.come_in { "up" } else { "drained" };
        Ok(Confirmed::ByState(format!("{} {state}", said.join(", "))))
    }

    async fn in_flight(&self, members: &[usize]) -> Result<InFlight, RouterError> {
        let stat = format!("show stat {} 4 -1", self.backend);
        let [table] = self.cli.ask([&stat]).await?;
        let table = Table(table);
        let mut all = 0.0;
        for member in members {
            let number = |column| table.number(&self.servers[*member], column);
            let Some(sessions) = number("scur") else {
                return Err(refused(&stat, &table.0));
            };
            all += sessions + number("qcur").unwrap_or_default();
        }
        Ok(InFlight::Known(all as u64))
    }
}
