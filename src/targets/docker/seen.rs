//! What the engine says of itself, of containers and of images; only what is read here.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Why it says no.
#[derive(Deserialize)]
pub(super) struct Said {
    pub message: String,
}

/// Which forms of its API it knows.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    api_version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
}

impl Version {
    /// The form that both know, `wanted` if the engine does.
    pub(super) fn spoken(&self, wanted: (u32, u32)) -> String {
        let read = |text: &str| {
            let (major, minor) = text.split_once('.')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        };
        let newest = read(&self.api_version).unwrap_or(wanted);
        let oldest = read(&self.min_api_version).unwrap_or((1, 0));
        let (major, minor) = wanted.max(oldest).min(newest);
        format!("{major}.{minor}")
    }
}

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
}

impl Container {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_know_the_form_that_is_spoken() {
        let spoken = |newest: &str, oldest: &str| {
            let version = Version {
                api_version: newest.to_owned(),
                min_api_version: oldest.to_owned(),
            };
            version.spoken((1, 41))
        };
        assert_eq!(spoken("1.41", "1.12"), "1.41");
        assert_eq!(spoken("1.52", "1.44"), "1.44");
        assert_eq!(spoken("1.40", "1.12"), "1.40");
        assert_eq!(spoken("1.41", ""), "1.41");
    }
}
