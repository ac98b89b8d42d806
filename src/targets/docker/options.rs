//! What a config says of a slot's container, as types that hold only what makes sense.
//!
//! Texts may say `$APP`, `$ENVIRONMENT`, `$SLOT` and `$VERSION`; an order fills those in. The container's
//! name is the slot's, whatever the version.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::script::Variables;
use crate::config::units::{Size, Span};
use crate::platform::docker::Tls;
use crate::platform::secret::Secret;
use crate::targets::of_every_version;

use super::parts::{Command, Mount, Ports};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Options {
    /// The image, such as `registry.example.com/shop`. Without a tag or a digest of its own its
    /// tag is the version. `$APP`, `$ENVIRONMENT`, `$SLOT` and `$VERSION` are filled in here and in
    /// the values of `env`, `labels`, `mounts` and `networks`.
    #[schemars(length(min = 1))]
    pub image: String,
    /// The digest that the image's tag must have in the registry: `sha256:…`. Another one is refused
    /// before anything is stopped.
    pub digest: Option<String>,
    /// When the image is pulled. Default always; one that is named by its digest and is there is not
    /// pulled again.
    #[serde(default)]
    pub pull: Pull,
    /// Who we are to the registry. Default: nobody; what `docker login` has stored is not read.
    pub registry: Option<Registry>,
    /// The container's name, the same for every version. `$APP`, `$ENVIRONMENT` and `$SLOT` are filled
    /// in. Default `$APP-$SLOT`.
    #[serde(default = "app_and_slot")]
    pub container: String,
    /// The slot's ports, by its name: `{ blue: "127.0.0.1:8001:8080" }`, one or a list.
    #[serde(default)]
    pub ports: BTreeMap<String, Ports>,
    /// The container's variables. Whoever may ask the engine can read them.
    #[serde(default)]
    pub env: Variables,
    /// What is mounted: `/srv/uploads:/uploads:ro`, or a volume as `data:/data`.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// The networks that it is in; they have to be there. Default: the engine's own.
    #[serde(default)]
    pub networks: Vec<String>,
    /// More labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How the engine looks whether the container is well. Default: as the image says.
    pub health: Option<Health>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// When the engine starts it again by itself. Default unless-stopped.
    #[serde(default)]
    pub restart: Restart,
    /// How long it may take until it is healthy. Default 60s.
    #[serde(default = "a_minute")]
    pub wait: Span,
    /// How long a container without a health check has to run without a restart. Default 5s.
    #[serde(default = "five_seconds")]
    pub steady: Span,
    /// How long a container has to end by itself when it is stopped. Default 10s.
    #[serde(default = "ten_seconds")]
    pub stop_timeout: Span,
    /// How many containers of a slot are kept, the new one included, with their images; older ones
    /// are removed, and images that were pulled for them. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub keep: usize,
    /// How much must be free on the engine's disk, where that can be seen. Default 1GB.
    #[serde(default = "a_gigabyte")]
    pub disk: Size,
    /// How long all of it may take. Default 10m.
    #[serde(default = "ten_minutes")]
    pub timeout: Span,
    /// The engine: `unix:///var/run/docker.sock` or `tcp://host:2376`. Default: as `DOCKER_HOST`
    /// says, else the usual socket.
    pub engine: Option<String>,
    /// The host whose engine it is, one of the environment's `hosts`; `engine` is a socket there.
    pub host: Option<String>,
    /// The certificates for an engine behind TLS.
    pub tls: Option<Tls>,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pull {
    /// Each time.
    #[default]
    Always,
    /// Where the engine does not have it.
    Missing,
    /// Never: it was built on the engine.
    Never,
}

/// Who we are to a registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Registry {
    /// The user.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

/// The engine's own look at a container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Health {
    /// The command, for the container's own shell; as a list it needs none.
    pub command: Command,
    /// From the end of one look to the next. Default 5s.
    #[serde(default = "five_seconds")]
    pub interval: Span,
    /// How long a look may take. Default 5s.
    #[serde(default = "five_seconds")]
    pub timeout: Span,
    /// So many bad looks in a row make it unhealthy. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub retries: usize,
    /// How long bad looks do not count at the beginning. Default 0s.
    #[serde(default)]
    pub start_period: Span,
}

/// What a container may use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Limits {
    /// Memory; a container that wants more is killed.
    pub memory: Option<Size>,
    /// Processors, such as `1.5`.
    #[schemars(range(min = 0.01))]
    pub cpus: Option<f64>,
    /// Processes and threads.
    #[schemars(range(min = 1))]
    pub pids: Option<i64>,
}

/// When a container is started again.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Restart {
    /// Never.
    No,
    /// When it ended badly.
    OnFailure,
    /// When it ended, until somebody stops it.
    #[default]
    UnlessStopped,
    /// When it ended, and when the engine starts.
    Always,
}

impl Restart {
    /// The engine's word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure => "on-failure",
            Self::UnlessStopped => "unless-stopped",
            Self::Always => "always",
        }
    }
}

fn app_and_slot() -> String {
    "$APP-$SLOT".to_owned()
}

fn a_minute() -> Span {
    Span::secs(60)
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

fn five_seconds() -> Span {
    Span::secs(5)
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn three() -> usize {
    3
}

fn a_gigabyte() -> Size {
    Size::gigabytes(1)
}

impl Options {
    /// What a schema cannot say.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub(super) fn fit_together(&self) -> Result<(), String> {
        if self.image.trim().is_empty() {
            return Err("image: there is none".to_owned());
        }
        if !self.container.contains("$SLOT") {
            return Err(format!(
                "container: \"{}\" is the same for both slots; put $SLOT into it",
                self.container
            ));
        }
        of_every_version("container", &self.container)?;
        if self.keep == 0 {
            return Err("keep: 0 is too small: 1 is the least".to_owned());
        }
        if self.steady > self.wait {
            return Err(format!(
                "steady: {} is longer than wait, which is {}",
                self.steady, self.wait
            ));
        }
        if let Some(digest) = &self.digest
            && !super::image::is_digest(digest)
        {
            return Err("digest: this is none; write it as sha256: and 64 digits".to_owned());
        }
        if self.digest.is_some() && self.image.contains('@') {
            return Err("digest: the image has one already".to_owned());
        }
        if let Some(name) = self.labels.keys().find(|name| name.starts_with("cutover.")) {
            return Err(format!("labels.{name}: what begins with cutover. is ours"));
        }
        if self
            .limits
            .cpus
            .is_some_and(|cpus| !(0.01..=10_000.0).contains(&cpus))
        {
            return Err("limits.cpus: wanted at least 0.01".to_owned());
        }
        if let Some(health) = &self.health {
            if health.command.is_empty() {
                return Err("health.command: there is none".to_owned());
            }
            if health.retries == 0 {
                return Err("health.retries: 0 is too small: 1 is the least".to_owned());
            }
        }
        self.ports_differ()
    }

    /// One address cannot be two slots'.
    fn ports_differ(&self) -> Result<(), String> {
        let mut taken: Vec<(&str, &super::parts::Port)> = Vec::new();
        for (slot, ports) in &self.ports {
            for port in ports.all() {
                let meets = taken.iter().find(|(_, other)| other.meets(port));
                if let Some((other, _)) = meets {
                    return Err(format!(
                        "ports.{slot}: {} is taken by {other}, too; both slots run at once",
                        port.outside()
                    ));
                }
                taken.push((slot, port));
            }
        }
        Ok(())
    }
}
