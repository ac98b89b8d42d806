//! What the engine says of itself, of containers and of images; only what is read here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::wanted::RESTART;

/// The engine as a whole.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info {
    /// Where its images and containers are.
    #[serde(default)]
    pub docker_root_dir: String,
}

/// A container in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    pub id: String,
    /// With a slash in front.
    pub names: Vec<String>,
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// In seconds since 1970.
    pub created: i64,
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub ports: Vec<Published>,
}

impl Row {
    pub(super) fn name(&self) -> &str {
        let name = self.names.first().map_or("", String::as_str);
        name.trim_start_matches('/')
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// A port in a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Published {
    #[serde(default, rename = "IP")]
    pub ip: String,
    pub public_port: Option<u16>,
    #[serde(default, rename = "Type")]
    pub kind: String,
}

/// A container by itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Container {
    pub id: String,
    #[serde(default)]
    pub restart_count: u64,
    pub state: State,
    pub config: Config,
    #[serde(default)]
    host_config: HostConfig,
}

/// What the engine does with a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    restart_policy: Policy,
}

/// When the engine starts it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    #[serde(default)]
    name: String,
}

impl Container {
    /// Whether it is not started by the engine, and would be if nobody had laid it down.
    pub(super) fn is_laid_down(&self) -> bool {
        let never = |word: &str| matches!(word, "" | "no");
        never(&self.host_config.restart_policy.name) && !self.label(RESTART).is_none_or(never)
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }
}

/// How a container is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    /// `created`, `running`, `restarting`, `exited`, `dead`, `paused`.
    pub status: String,
    #[serde(default)]
    pub running: bool,
    #[serde(default)]
    pub restarting: bool,
    #[serde(default, rename = "OOMKilled")]
    pub oom_killed: bool,
    #[serde(default)]
    pub exit_code: i64,
    #[serde(default)]
    pub started_at: String,
    pub health: Option<Health>,
}

/// What the engine's own look at it says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    /// `starting`, `healthy`, `unhealthy`, `none`.
    pub status: String,
    #[serde(default)]
    pub failing_streak: u64,
    #[serde(default)]
    pub log: Option<Vec<Looked>>,
}

/// One look.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Looked {
    pub exit_code: i64,
    #[serde(default)]
    pub output: String,
}

/// What a container was made with.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(default)]
    pub labels: Option<BTreeMap<String, String>>,
}

/// A container that was just made.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created {
    pub id: String,
}

/// An image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Picture {
    pub id: String,
    /// `name@digest`, where it came from a registry.
    #[serde(default)]
    pub repo_digests: Option<Vec<String>>,
}

/// What a registry says of an image.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Distribution {
    pub descriptor: Descriptor,
}

/// What a tag stands for.
#[derive(Deserialize)]
pub(super) struct Descriptor {
    pub digest: String,
}
