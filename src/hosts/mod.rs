//! The seam: where commands run and files live, when that is not this machine.
//!
//! The verbs are `platform::host`, so that targets, routers and probes know them without knowing
//! who is behind them. To add a kind: write its file, add its `mod` line and its `KIND` to
//! [`KINDS`].

mod docker_exec;
mod posix;
mod shell;
mod ssh;
mod tar;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::docker_host::Engine;
use crate::config::kinds::{Block, Kind, build};
use crate::platform::host::{Host, Hosts, Local};
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Host, Tools>] = &[docker_exec::KIND, ssh::KIND];

/// The keys that name the host over which the way to another leads.
const OVER: [&str; 2] = ["jump", "host"];

/// What a host is built with.
#[derive(Clone)]
pub struct Tools {
    /// Its name in the config.
    pub name: String,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// What must not be shown.
    pub vault: Vault,
    /// Where the ssh agent listens, if there is one.
    pub agent: Option<PathBuf>,
    /// The HTTP clients.
    pub http: Http,
    /// The Docker engine, as the environment names it.
    pub engine: Engine,
    /// The hosts that were built before this one, for a way that leads over another.
    pub others: Hosts,
}

/// Builds all hosts of a config, those first over which the way to others leads. A host's own name
/// and the others are put into what it is built `with`.
///
/// The second of what is returned is what is wrong with some: the name, and why. Their names are
/// known all the same, so that who names one of them is not refused for it.
pub fn all<'a>(
    blocks: impl Iterator<Item = (&'a String, &'a Block)>,
    with: &Tools,
) -> (Hosts, Vec<(String, String)>) {
    let mut open: Vec<(&String, &Block)> = blocks.collect();
    let names: Vec<String> = open.iter().map(|(name, _)| (*name).clone()).collect();
    let mut made: BTreeMap<String, Arc<dyn Host>> = BTreeMap::new();
    let mut wrong = Vec::new();
    loop {
        // A way over a host that is still to come has to wait for it. One over a host that nobody
        // has comes last, when all names are known.
        let over = |block: &Block| {
            let named = OVER.iter().find_map(|key| block.options.get(*key));
            named.and_then(|it| it.as_str()).map(ToOwned::to_owned)
        };
        let ready = |block: &Block| over(block).is_none_or(|over| made.contains_key(&over));
        let lost = |block: &Block| over(block).is_some_and(|over| !names.contains(&over));
        let next = open.iter().position(|(_, block)| ready(block));
        let next = next.or_else(|| open.iter().position(|(_, block)| lost(block)));
        let Some(at) = next else {
            break;
        };
        let (name, block) = open.remove(at);
        let tools = Tools {
            name: name.clone(),
            others: Hosts::new(made.clone()),
            ..with.clone()
        };
        match build(KINDS, block, &tools) {
            Ok(host) => drop(made.insert(name.clone(), Arc::from(host))),
            Err(said) => {
                made.insert(name.clone(), Arc::new(Local));
                wrong.push((name.clone(), said));
            }
        }
    }
    for (name, _) in open {
        made.insert(name.clone(), Arc::new(Local));
        let said = "the way leads over hosts that lead back here".to_owned();
        wrong.push((name.clone(), said));
    }
    (Hosts::new(made), wrong)
}
