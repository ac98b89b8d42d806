//! The containers of a slot, and what is done to one: made, started, stopped, renamed, removed.
//!
//! `NAME` is the slot's container. `NAME.next` is one that is being made, `NAME.old-…` one that
//! stands aside, `NAME.failed` the last one that did not get well. `NAME.old-….before` is one that
//! was stopped for a container that nobody has seen well yet. What does not carry our labels is
//! never touched.

use std::time::Duration;

use serde_json::{Value, json};

use crate::platform::docker::{Engine, No, SOON, query};
use crate::targets::{Order, TargetError};

use super::parts::Port;
use super::seen::{Container, Created, Row};
use super::wanted::{APP, ENVIRONMENT, RESTART, SLOT};
use super::{failed, unread};

/// How the name of one that stands aside ends, as long as the one that took its place was not seen well.
const UNTIL_WELL: &str = ".before";

/// How much longer the engine may take to stop a container than the container itself.
const ENGINES_OWN: Duration = Duration::from_secs(20);

/// What there is of a slot.
pub(super) struct Stock<'a> {
    pub engine: &'a Engine,
    /// The slot's container is called this.
    pub name: &'a str,
    /// All containers of the application in the environment, the other slot's too, newest first.
    pub all: Vec<Row>,
    slot: &'a str,
}

impl<'a> Stock<'a> {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// When the engine does not say, or the slot's name is somebody else's container.
    pub(super) async fn look(
        engine: &'a Engine,
        name: &'a str,
        order: &'a Order,
    ) -> Result<Self, TargetError> {
        let looked_for = |no: No| unread("the slot's containers were not looked for", &no);
        let filters = json!({ "label": [
            format!("{APP}={}", order.app), format!("{ENVIRONMENT}={}", order.environment),
        ] });
        let path = format!(
            "/containers/json?all=1&filters={}",
            query(&filters.to_string())
        );
        let mut all: Vec<Row> = engine.get(&path).await.map_err(looked_for)?;
        all.sort_by_key(|row| std::cmp::Reverse(row.created));
        let stock = Self {
            engine,
            name,
            all,
            slot: &order.slot,
        };
        for name in [
            name.to_owned(),
            stock.beside("next"),
            stock.beside("failed"),
        ] {
            let found = stock.named(&name).await.map_err(looked_for)?;
            if found.is_some() && stock.ours(&name).is_none() {
                return Err(TargetError::OutOfReach(format!(
                    "a container {name} is there and is not of {} in {}; rename it, or choose another name with `container`",
                    order.slot, order.environment
                )));
            }
        }
        Ok(stock)
    }

    /// A name beside the slot's own.
    pub(super) fn beside(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    /// Those of the slot.
    pub(super) fn of_slot(&self) -> impl Iterator<Item = &Row> {
        self.all
            .iter()
            .filter(|row| row.label(SLOT) == Some(self.slot))
    }

    /// One of the slot, by its name.
    pub(super) fn ours(&self, name: &str) -> Option<&Row> {
        self.of_slot().find(|row| row.name() == name)
    }

    /// Those of the slot that stand aside, newest first.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Row> {
        let begins = self.beside("old-");
        self.of_slot()
            .filter(move |row| row.name().starts_with(&begins))
    }

    /// The name of one that stands aside.
    pub(super) fn name_aside(&self, id: &str) -> String {
        let short = id.get(..12).unwrap_or(id);
        self.beside(&format!("old-{short}"))
    }

    /// The same, as long as the one that took its place was not seen well.
    pub(super) fn name_until_well(&self, id: &str) -> String {
        self.name_aside(id) + UNTIL_WELL
    }

    /// The one that was stopped for the slot's container, if no run has seen that well.
    pub(super) fn until_well(&self) -> Option<&Row> {
        let newest = self.aside().next();
        newest.filter(|row| row.name().ends_with(UNTIL_WELL))
    }

    async fn named(&self, name: &str) -> Result<Option<Container>, No> {
        self.engine.find(&format!("/containers/{name}/json")).await
    }

    /// A container of the slot as it is now.
    ///
    /// # Errors
    /// When the engine does not say.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Container>, TargetError> {
        let found = self.named(id).await;
        found.map_err(|no| unread("the container was not looked at", &no))
    }

    /// Refuses networks that are not there.
    ///
    /// # Errors
    /// When one is not there, or the engine does not say.
    pub(super) async fn has_networks(&self, names: &[String]) -> Result<(), TargetError> {
        for name in names {
            let path = format!("/networks/{}", query(name));
            let found: Option<Value> = self
                .engine
                .find(&path)
                .await
                .map_err(|no| unread(&format!("the network {name} was not looked for"), &no))?;
            if found.is_none() {
                return Err(TargetError::OutOfReach(format!(
                    "there is no network {name}; make it once: `docker network create {name}`"
                )));
            }
        }
        Ok(())
    }

    /// Refuses ports that another container has.
    ///
    /// # Errors
    /// When one is taken, or the engine does not say.
    pub(super) async fn has_ports(&self, ports: &[Port]) -> Result<(), TargetError> {
        for port in ports {
            if let Some(other) = self.holder(port).await? {
                return Err(TargetError::OutOfReach(format!(
                    "{} is taken by the container {other}; nothing was stopped",
                    port.outside()
                )));
            }
        }
        Ok(())
    }

    /// The other container that has a port.
    pub(super) async fn holder(&self, port: &Port) -> Result<Option<String>, TargetError> {
        let filters = json!({ "publish": [format!("{}/{}", port.host, port.protocol())] });
        let path = format!("/containers/json?filters={}", query(&filters.to_string()));
        let rows: Vec<Row> = self
            .engine
            .get(&path)
            .await
            .map_err(|no| unread("who has the port was not seen", &no))?;
        let has = |row: &&Row| {
            let here = |one: &super::seen::Published| {
                one.public_port
                    .is_some_and(|number| port.is_at(&one.ip, number, &one.kind))
            };
            row.name() != self.name && row.ports.iter().any(here)
        };
        Ok(rows.iter().find(has).map(|row| row.name().to_owned()))
    }

    /// Makes a container that is not started; its id.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn make(&self, name: &str, body: &Value) -> Result<String, TargetError> {
        let path = format!("/containers/create?name={}", query(name));
        let made = self.engine.post(&path, Some(body), SOON).await;
        let not_made = |no: No| acted("the container was not made, and nothing was stopped", &no);
        let made = made.map_err(not_made)?;
        serde_json::from_slice::<Created>(&made.body)
            .map(|made| made.id)
            .map_err(|wrong| failed(format!("the container's id was not understood: {wrong}")))
    }

    /// Puts a container that is not started into one more network.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn connect(&self, id: &str, network: &str) -> Result<(), TargetError> {
        let path = format!("/networks/{}/connect", query(network));
        let body = json!({ "Container": id });
        let done = self.engine.post(&path, Some(&body), SOON).await;
        let not_in = |no: No| acted(&format!("the container did not get into {network}"), &no);
        done.map(drop).map_err(not_in)
    }

    /// Starts a container.
    ///
    /// # Errors
    /// What the engine says of it.
    pub(super) async fn start(&self, id: &str) -> Result<(), No> {
        let path = format!("/containers/{id}/start");
        self.engine.post(&path, None, ENGINES_OWN).await.map(drop)
    }

    /// Stops a container that has so long to end by itself.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn stop(&self, id: &str, grace: Duration) -> Result<(), TargetError> {
        let path = format!("/containers/{id}/stop?t={}", grace.as_secs());
        let stopped = self.engine.post(&path, None, grace + ENGINES_OWN).await;
        stopped
            .map(drop)
            .map_err(|no| acted("a container was not stopped", &no))
    }

    /// Ends a container at once.
    pub(super) async fn kill(&self, id: &str) {
        // It may have ended; whoever waits for its stop sees that.
        let _ = self
            .engine
            .post(&format!("/containers/{id}/kill"), None, SOON)
            .await;
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<(), TargetError> {
        let path = format!("/containers/{id}/rename?name={}", query(name));
        let renamed = self.engine.post(&path, None, SOON).await;
        let not = |no: No| acted(&format!("a container was not renamed to {name}"), &no);
        renamed.map(drop).map_err(not)
    }

    /// Removes a container and what it alone used.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn remove(&self, id: &str) -> Result<(), TargetError> {
        let path = format!("/containers/{id}?v=1&force=1");
        let removed = self.engine.delete(&path).await;
        removed
            .map(drop)
            .map_err(|no| acted("a container was not removed", &no))
    }

    /// Sees to it that the engine does not start a container that stands aside.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn lay_down(&self, id: &str) -> Result<(), TargetError> {
        self.restart_as(id, "no").await
    }

    /// Gives it back when the engine starts it.
    ///
    /// # Errors
    /// When the engine refuses.
    pub(super) async fn take_up(&self, old: &Container) -> Result<(), TargetError> {
        self.restart_as(&old.id, old.label(RESTART).unwrap_or("no"))
            .await
    }

    async fn restart_as(&self, id: &str, word: &str) -> Result<(), TargetError> {
        let body = json!({ "RestartPolicy": { "Name": word } });
        let path = format!("/containers/{id}/update");
        let done = self.engine.post(&path, Some(&body), SOON).await;
        done.map(drop)
            .map_err(|no| acted("a container was not updated", &no))
    }
}

/// Something that was asked for was not done, or nobody knows.
pub(super) fn acted(what: &str, no: &No) -> TargetError {
    let said = format!("{what}: {no}");
    if no.is_doubt() {
        return TargetError::Lost {
            said: format!("{said}; the engine may still do it"),
            last_words: Vec::new(),
        };
    }
    failed(said)
}
