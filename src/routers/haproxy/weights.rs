//! The weights of two servers of one backend.
//!
//! HAProxy sets one weight at a time, so there is a moment between the two commands. The order
//! is made by [`pair`](super::pair) alone: what is raised comes first, so that traffic always has somewhere
//! to go. There is no compare-and-swap: the weights are read just before they are set. Weights
//! are absolute numbers, for HAProxy takes a percentage of the initial weight, which may be 0.

use async_trait::async_trait;

use super::cli::{Cli, refused};
use super::counted::{Rows, counted, in_flight};
use super::lines;
use super::pair::{Pair, pair_of, split_of, steps};
use super::state_file::{StateFile, lock};
use super::table::{Table, saved_weight};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::routers::{
    Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Testers,
};

/// A router that is the weights of two servers.
pub(super) struct ServerWeights {
    pub(super) cli: Cli,
    pub(super) backend: String,
    pub(super) servers: [String; 2],
    pub(super) file: Option<StateFile>,
    pub(super) testers: Option<Testers>,
    pub(super) slots: Slots,
}

fn revision(pair: Pair) -> String {
    format!("weights {} and {}", pair[0], pair[1])
}

impl ServerWeights {
    fn name(&self, server: usize) -> String {
        format!("{}/{}", self.backend, self.servers[server])
    }

    fn told_pair(&self, pair: Pair) -> String {
        format!("{} {}, {} {}", self.name(0), pair[0], self.name(1), pair[1])
    }

    /// The weights as they are, whatever they mean.
    async fn weights(&self) -> Result<Pair, RouterError> {
        Ok(self.look().await?.0)
    }

    /// The weights and the backend's table, in one look.
    async fn look(&self) -> Result<(Pair, Table), RouterError> {
        let get = [0, 1].map(|server| format!("get weight {}", self.name(server)));
        let stat = format!("show stat {} 4 -1", self.backend);
        let [first, second, table] = self.cli.ask([&get[0], &get[1], &stat]).await?;
        let weight = |command: &str, answer: &str| {
            let number = answer
                .split_whitespace()
                .next()
                .and_then(|word| word.parse().ok());
            number.ok_or_else(|| refused(command, answer))
        };
        Ok((
            [weight(&get[0], &first)?, weight(&get[1], &second)?],
            Table(table),
        ))
    }

    /// The weights, if they are the split of traffic.
    async fn state(&self) -> Result<(Pair, Split), RouterError> {
        let (pair, table) = self.look().await?;
        let no = |said: String| Err(RouterError::Refused(said));
        if let Some((name, weight)) = table.third(&self.servers) {
            return no(format!(
                "backend {} has a third server, {name}, with weight {weight}; give it weight 0, make it a backup or take it out",
                self.backend
            ));
        }
        for (server, weight) in pair.iter().enumerate() {
            let status = table
                .of(&self.servers[server], "status")
                .unwrap_or_default();
            // A weight of 0 is shown as DRAIN too, so only one that is more says something.
            if *weight > 0 && (status.starts_with("MAINT") || status == "DRAIN") {
                return no(format!(
                    "{} has weight {weight} but is in state {status}, so the weights are not what traffic does; `set server {} state ready`",
                    self.name(server),
                    self.name(server)
                ));
            }
        }
        match split_of(pair) {
            Some(split) => Ok((pair, split)),
            None if pair == [0, 0] => no(format!("{}: nobody gets traffic", self.told_pair(pair))),
            None => no(format!(
                "{}: that is not a share in whole percent; 0 to 100 each with a sum of 100 is wanted",
                self.told_pair(pair)
            )),
        }
    }

    /// Whether the file that a reload reads says the same.
    async fn same_in_file(&self, pair: Pair) -> Result<(), RouterError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let Some(text) = file.text().await? else {
            return Ok(());
        };
        let saved = [0, 1].map(|server| saved_weight(&text, &self.backend, &self.servers[server]));
        let [Some(first), Some(second)] = saved else {
            return Ok(());
        };
        if [first, second] == pair {
            return Ok(());
        }
        let path = file.path.display();
        Err(RouterError::Drifted {
            said: format!(
                "HAProxy's memory has {}, the file {path} {}",
                self.told_pair(pair),
                self.told_pair([first, second])
            ),
            repair: format!(
                "{} > {path}",
                self.cli.address.by_hand("show servers state")
            ),
        })
    }

    async fn expect(&self, change: &Change) -> Result<Pair, RouterError> {
        let (now, _) = self.state().await?;
        self.same_in_file(now).await?;
        if revision(now) == change.from.revision {
            Ok(now)
        } else {
            Err(RouterError::Conflict {
                expected: change.from.revision.clone(),
                found: revision(now),
            })
        }
    }

    async fn set(&self, server: usize, weight: u16) -> Result<(), RouterError> {
        let order = format!("set server {} weight {weight}", self.name(server));
        match self.cli.order(&order).await {
            Err(RouterError::Lost(said)) => match self.weights().await {
                Ok(now) if now[server] == weight => Ok(()),
                _ => Err(RouterError::Lost(said)),
            },
            outcome => outcome,
        }
    }

    /// Goes from one pair to the other, and back if it cannot get there.
    async fn go(&self, from: Pair, to: Pair) -> Result<(), RouterError> {
        let mut now = from;
        for (server, weight) in steps(from, to) {
            let failed = match self.set(server, weight).await {
                Ok(()) => {
                    now[server] = weight;
                    continue;
                }
                // A command that may still have its effect is not answered with its opposite.
                Err(lost @ RouterError::Lost(_)) => return Err(lost),
                Err(failed) => failed,
            };
            for (server, weight) in steps(now, from) {
                self.set(server, weight).await.map_err(|stuck| {
                    RouterError::Lost(format!("{failed}; and the way back failed: {stuck}"))
                })?;
            }
            return Err(failed);
        }
        Ok(())
    }

    /// Saves the weights for the next reload, if they are still these.
    async fn save(&self, pair: Pair) -> Result<(), RouterError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let [state] = self.cli.ask(["show servers state"]).await?;
        if !state.starts_with("1\n# be_id") {
            return Err(refused("show servers state", &state));
        }
        let found = [0, 1].map(|server| saved_weight(&state, &self.backend, &self.servers[server]));
        if found != pair.map(Some) {
            let found = found.map(|weight| weight.unwrap_or_default());
            return Err(RouterError::Conflict {
                expected: revision(pair),
                found: format!("{} just after the change", revision(found)),
            });
        }
        file.write(&format!("{state}\n")).await
    }
}

#[async_trait]
impl Router for ServerWeights {
    fn told(&self) -> String {
        let at = self.cli.told();
        format!("haproxy weights {} {} at {at}", self.name(0), self.name(1))
    }

    fn known_loss(&self) -> Option<String> {
        let mut said = "no compare-and-swap: a writer in the same millisecond is overwritten; clients with a persistence cookie stay on their server".to_owned();
        if self.file.is_none() {
            said.push_str(
                "; without `state-file` a reload of HAProxy returns to the weights in haproxy.cfg",
            );
        }
        Some(said)
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        lines::for_weights(
            &self.cli.address,
            &self.backend,
            &self.servers,
            self.file.as_ref(),
            &self.slots,
            self.testers.as_ref(),
        )
    }

    fn counting(&self) -> Counting<'_> {
        counted(&self.cli, Rows::Servers(&self.backend, &self.servers))
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        let rows = Rows::Servers(&self.backend, &self.servers);
        in_flight(&self.cli, &rows, slot).await
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let (pair, split) = self.state().await?;
        self.same_in_file(pair).await?;
        Ok(Reading {
            split,
            apart: Vec::new(),
            revision: revision(pair),
            saved: format!("[{},{}]", pair[0], pair[1]),
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let from = self.expect(change).await?;
        let (_, table) = self.look().await?;
        for (server, _) in steps(from, pair_of(change.to)).iter().take(1) {
            let status = table
                .of(&self.servers[*server], "status")
                .unwrap_or_default();
            if status.starts_with("MAINT") || status.starts_with("DOWN") {
                return Err(RouterError::Refused(format!(
                    "{} is in state {status} and would get no traffic",
                    self.name(*server)
                )));
            }
        }
        let [level] = self.cli.ask(["show cli level"]).await?;
        if level != "admin" {
            return Err(RouterError::Refused(format!(
                "the stats socket has level {level}; setting weights needs `level admin`"
            )));
        }
        match &self.file {
            Some(file) => file.prepare().await,
            None => Ok(()),
        }
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let _lock = lock(self.file.as_ref()).await?;
        let from = self.expect(change).await?;
        let to = pair_of(change.to);
        if from == to {
            return Ok(());
        }
        self.go(from, to).await?;
        let Err(unsaved) = self.save(to).await else {
            return Ok(());
        };
        let back = async { self.go(self.weights().await?, from).await };
        back.await.map_err(|stuck| {
            RouterError::Lost(format!("{unsaved}; and the way back failed: {stuck}"))
        })?;
        Err(unsaved)
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let (pair, found) = self.state().await?;
        self.same_in_file(pair).await?;
        if found == split {
            Ok(Confirmed::ByState(self.told_pair(pair)))
        } else {
            Err(RouterError::NotTaken(format!(
                "{}; wanted {}",
                self.told_pair(pair),
                self.told_pair(pair_of(split))
            )))
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let to: Pair = serde_json::from_str(&saved.saved).map_err(|failed| {
            RouterError::Refused(format!(
                "this is not the saved state of two weights: {failed}"
            ))
        })?;
        if to == [0, 0] {
            return Err(RouterError::Refused("both weights would be 0".to_owned()));
        }
        let _lock = lock(self.file.as_ref()).await?;
        self.go(self.weights().await?, to).await?;
        self.save(to).await
    }
}
