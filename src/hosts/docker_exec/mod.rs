//! The `docker-exec` kind: a container of a Docker engine as a machine, by the engine's own API; no
//! `docker` command is needed, and nothing in the container but a shell and its usual tools.
//!
//! What is run there is an exec, whose standard input is its lifeline (`posix`). Who inspects one
//! sees its command line and its variables, so nothing of the command is in either.

mod exec;
mod frames;
mod sockets;

use std::fmt::Display;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::Tools;
use super::posix;
use super::shell::{Machine, Out, Running, Seat, Shell, Talk};
use crate::config::docker_engine;
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::platform::docker::{Engine, SOON, Tls};
use crate::platform::host::{Host, HostError, Socket, Stream};
use crate::platform::secret::Vault;
use exec::Exec;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Host, Tools> = Kind {
    name: "docker-exec",
    about: "A container of a Docker engine, as a machine.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Machine(Box::new(build(block, tools)?)))),
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The container, by its name.
    #[schemars(length(min = 1))]
    container: String,
    /// The user in it, by name or number: `root`, `101:101`. Default: as its image says.
    user: Option<String>,
    /// The engine: `unix:///var/run/docker.sock` or `tcp://host:2376`. Default: as `DOCKER_HOST`
    /// says, else the usual socket.
    engine: Option<String>,
    /// The certificates for an engine behind TLS.
    tls: Option<Tls>,
    /// The host whose engine it is, another one of `hosts`; `engine` is a socket there.
    host: Option<String>,
}

fn build(block: &Block, tools: &Tools) -> Result<Container, String> {
    let options: Options = block.options()?;
    let named = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if options.container.is_empty() || !options.container.chars().all(named) {
        return Err(format!(
            "container: \"{}\" is no name of a container",
            options.container
        ));
    }
    let host = options.host.as_deref();
    let host = host
        .map(|host| tools.others.named(Some(host)))
        .transpose()?;
    let way = docker_engine::way(
        options.engine.as_deref(),
        options.tls,
        host,
        &tools.engine,
        &tools.directory,
    )?;
    Ok(Container {
        name: tools.name.clone(),
        container: options.container,
        user: options.user,
        engine: Arc::new(Engine::new(way, tools.http.clone())),
        vault: tools.vault.clone(),
    })
}

/// A container, and the engine that has it.
struct Container {
    /// Its name in the config.
    name: String,
    /// Its name at the engine.
    container: String,
    user: Option<String>,
    engine: Arc<Engine>,
    vault: Vault,
}

/// A container as the engine sees it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Seen {
    id: String,
    state: State,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    /// `created`, `running`, `paused`, `restarting`, `exited`, `dead`.
    status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    started_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

impl Container {
    fn out(&self, what: &dyn Display) -> HostError {
        HostError::OutOfReach(self.said(what))
    }

    /// Looks whether something can be run in it.
    async fn look(&self) -> Result<Seen, HostError> {
        let name = &self.container;
        let seen = self.engine.find(&format!("/containers/{name}/json")).await;
        let seen: Option<Seen> = seen.map_err(|no| self.out(&no))?;
        let Some(seen) = seen else {
            return Err(self.out(&format!(
                "the engine at {} has no container of that name; `docker ps --all` says which it has",
                self.engine.way.told()
            )));
        };
        let code = seen.state.exit_code;
        Err(self.out(&match seen.state.status.as_str() {
            "running" => return Ok(seen),
            "paused" => format!("it is paused; `docker unpause {name}` lets it go on"),
            "restarting" => format!(
                "it ended with {code} and is being started again; `docker logs {name}` says why"
            ),
            other => format!(
                "it does not run: it is {other}, and ended with {code}; `docker start {name}` starts it"
            ),
        }))
    }

    /// Has its shell run a line.
    async fn exec(&self, line: &str) -> Result<Exec, HostError> {
        let seen = self.look().await?;
        let mut body = json!({
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": false,
            "Cmd": ["sh", "-c", line],
        });
        if let Some(user) = &self.user {
            body["User"] = json!(user);
        }
        let path = format!("/containers/{}/exec", seen.id);
        let made = self.engine.post(&path, Some(&body), SOON).await;
        let made = made.map_err(|no| self.out(&no))?;
        let made: Created = serde_json::from_slice(&made.body)
            .map_err(|odd| self.out(&format!("the engine's answer was not understood: {odd}")))?;
        let path = format!("/exec/{}/start", made.id);
        let body = json!({ "Detach": false, "Tty": false });
        // Where this is lost nothing was begun: the command would have come through it.
        let wire = self.engine.hijack(&path, &body).await;
        let wire = wire.map_err(|no| self.out(&no))?;
        Ok(Exec::new(Arc::clone(&self.engine), made.id, seen, wire))
    }
}

#[async_trait]
impl Shell for Container {
    fn name(&self) -> &str {
        &self.name
    }

    async fn reach(&self) -> Result<String, HostError> {
        let (line, mark) = posix::question(":");
        let mut asked = Running::begin(self, line, mark, Out::Bytes(Vec::new(), 0)).await?;
        let hearing = async { while asked.hear().await {} };
        let late = tokio::time::timeout(SOON, hearing).await.is_err();
        match asked.not_begun(self) {
            Some(failed) => Err(failed),
            None if late => Err(self.out(&"its shell does not answer")),
            None => Ok(format!("{} at {}", self.container, self.engine.way.told())),
        }
    }

    async fn begin(&self, line: String, _: Seat) -> Result<Box<dyn Talk>, HostError> {
        Ok(Box::new(self.exec(&line).await?))
    }

    async fn connect(&self, to: &Socket) -> Result<Box<dyn Stream>, HostError> {
        sockets::connect(self, to).await
    }

    fn said(&self, what: &dyn Display) -> String {
        let what = what.to_string();
        let what = self.vault.redact(&what);
        format!("{} (container {}): {what}", self.name, self.container)
    }

    fn mute(&self, words: &str) -> String {
        match words.contains("exec failed") {
            true => format!(
                "its image has no shell (`sh`), through which everything is done in it; the engine said: {words}"
            ),
            false => format!("its shell did not run the command; it said: {words}"),
        }
    }
}
