//! The machines that an environment names, made of their blocks.

use super::{Misfit, Tools};
use crate::config::file::Environment;
use crate::platform::host::Hosts;

/// All of them. One that cannot be made is a misfit, and its name is known all the same.
pub(super) fn hosts(environment: &Environment, tools: &Tools, misfits: &mut Vec<Misfit>) -> Hosts {
    let blocks = environment.hosts.iter();
    let blocks = blocks.map(|(name, block)| (name, &block.0));
    let agent = tools.agent.as_deref();
    let (made, wrong) = crate::hosts::all(blocks, &tools.directory, &tools.vault, agent);
    let below = |(name, said)| (format!("hosts.{name}"), said);
    misfits.extend(wrong.into_iter().map(below));
    made
}
