//! Which config and which environment of it are meant.

use std::path::{Path, PathBuf};

use crate::cast::{self, Misfit};
use crate::config::file::{self, Config, Environment};
use crate::config::inputs::Inputs;
use crate::config::problem::Problem;
use crate::error::Refusal;
use crate::platform::secret::Vault;
use crate::platform::text::nearest;

use super::Variables;

/// A config, and the environment of it that is meant.
pub(super) struct Choice {
    pub(super) config: Config,
    /// The file's name, as the user gave it.
    pub(super) path: String,
    /// The environment's name.
    pub(super) name: String,
}

impl Choice {
    pub(super) fn environment(&self) -> &Environment {
        &self.config.file.environments[&self.name]
    }

    /// Blocks that could not be built, as problems with their lines.
    pub(super) fn refuse(&self, misfits: Vec<Misfit>) -> Refusal {
        refuse(&self.config, &self.path, &self.name, misfits)
    }
}

/// Blocks of an environment that could not be built, as problems with their lines.
pub(super) fn refuse(config: &Config, path: &str, name: &str, misfits: Vec<Misfit>) -> Refusal {
    let problem = |(at, said): Misfit| config.problem(&format!("environments.{name}.{at}"), said);
    Refusal::of_file(path, misfits.into_iter().map(problem).collect())
}

/// Where the config file is.
pub(super) fn path_of(inputs: &Inputs, workspace: &Path) -> PathBuf {
    workspace.join(&inputs.config)
}

/// Reads the config.
pub(super) fn read(
    inputs: &Inputs,
    workspace: &Path,
    environment: &Variables,
    vault: &Vault,
) -> Result<Config, Refusal> {
    let path = path_of(inputs, workspace);
    let text = match std::fs::metadata(&path) {
        // The size is looked at first: a file of gigabytes is not read to be refused.
        Ok(meta) if meta.len() > crate::config::yaml::CAP as u64 => Err(format!(
            "the file has {} KiB; at most {} KiB are read",
            meta.len() >> 10,
            crate::config::yaml::CAP >> 10
        )),
        _ => std::fs::read_to_string(&path).map_err(|failed| {
            format!(
                "{} could not be read: {failed}; in a workflow, `actions/checkout` comes first",
                path.display()
            )
        }),
    };
    let text = text.map_err(|said| Refusal::of_input("config", said))?;
    parse(&text, &inputs.config, environment, vault)
}

/// Reads a config out of its text.
pub(super) fn parse(
    text: &str,
    path: &str,
    environment: &Variables,
    vault: &Vault,
) -> Result<Config, Refusal> {
    let lookup = |name: &str| {
        let (_, value) = environment.iter().find(|(known, _)| known == name)?;
        value.to_str().map(ToOwned::to_owned)
    };
    file::read(text, &cast::schema(), &lookup, vault)
        .map_err(|problems| Refusal::of_file(path, problems))
}

/// Chooses the environment that is named, or the only one.
pub(super) fn choose(config: Config, inputs: &Inputs) -> Result<Choice, Refusal> {
    let names: Vec<&String> = config.file.environments.keys().collect();
    let list = || {
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let name = match (&inputs.environment, names.as_slice()) {
        (Some(name), _) if names.contains(&name) => name.clone(),
        (Some(name), _) => {
            let near = nearest(name, names.iter().map(|name| name.as_str()));
            let guess = near
                .map(|near| format!(", did you mean {near}?"))
                .unwrap_or_default();
            let said = format!(
                "the config has no such environment{guess} it has: {}",
                list()
            );
            return Err(Refusal::of_input("environment", said));
        }
        (None, [only]) => (*only).clone(),
        (None, _) => {
            let said = format!("the config has several, so one must be named: {}", list());
            return Err(Refusal::of_inputs(vec![Problem::with_input(
                "environment",
                said,
            )]));
        }
    };
    Ok(Choice {
        path: inputs.config.clone(),
        config,
        name,
    })
}
