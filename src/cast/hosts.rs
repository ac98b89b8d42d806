//! The machines that an environment names, made of their blocks, and the ways that lead over them.

use std::collections::BTreeMap;

use super::{Misfit, Tools};
use crate::config::file::Environment;
use crate::platform::host::Hosts;
use crate::platform::http::Http;

/// All of them. One that cannot be made is a misfit, and its name is known all the same.
pub(super) fn hosts(environment: &Environment, tools: &Tools, misfits: &mut Vec<Misfit>) -> Hosts {
    let blocks = environment.hosts.iter();
    let blocks = blocks.map(|(name, block)| (name, &block.0));
    let with = crate::hosts::Tools {
        name: String::new(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        agent: tools.agent.clone(),
        http: tools.http.clone(),
        engine: tools.engine.clone(),
        others: Hosts::default(),
    };
    let (made, wrong) = crate::hosts::all(blocks, &with);
    let below = |(name, said)| (format!("hosts.{name}"), said);
    misfits.extend(wrong.into_iter().map(below));
    made
}

/// The HTTP clients, which go over a host where an address is reached by that host alone.
pub(super) fn http(
    environment: &Environment,
    hosts: &Hosts,
    tools: &Tools,
    misfits: &mut Vec<Misfit>,
) -> Http {
    if environment.tunnels.is_empty() {
        return tools.http.clone();
    }
    let mut tunnels = BTreeMap::new();
    for (name, addresses) in &environment.tunnels {
        let path = format!("tunnels.{name}");
        let host = match hosts.named(Some(name)) {
            Ok(host) => host,
            Err(said) => {
                misfits.push((path, said));
                continue;
            }
        };
        for (i, address) in addresses.iter().enumerate() {
            let authority = (address.host().to_lowercase(), address.port());
            let before = tunnels.insert(authority, (name, host.clone()));
            if let Some((first, _)) = before {
                let said = format!(
                    "{address} is among those of {first}; a request goes over one host, so keep it with one"
                );
                misfits.push((format!("{path}[{i}]"), said));
            }
        }
    }
    Http::with_tunnels(tunnels.into_iter().map(|(to, (_, host))| (to, host)))
}
