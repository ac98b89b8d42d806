//! The `haproxy` kind: HAProxy 2.4 and later, changed through its stats socket, without a reload.
//!
//! Two forms, told apart by their options: one entry of a map file (`map`, `key`) whose value is
//! the weight of the second slot, or the weights of two servers of one backend (`backend`). The
//! map is the better one: one value, changed at once, with compare-and-swap. What is only in
//! HAProxy's memory is gone after a reload, so both forms keep a file that a reload reads.

mod cli;
mod counted;
mod entries;
mod lines;
mod map;
mod pair;
mod pool;
mod state_file;
mod table;
mod weights;

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::pool::{self as pool_seam, Pool, of_members};
use super::testers::{self, Testers};
use super::{Router, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::model::slot::Side;
use cli::{Address, Cli, plain};
use map::MapEntry;
use state_file::StateFile;
use weights::ServerWeights;

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "haproxy",
    about: "HAProxy through its stats socket, by a map file or by server weights; no reload.",
    schema: || plain_schema::<Options>(),
    build,
};

/// The entry in the table of pools.
pub const POOL: Kind<dyn Pool, pool_seam::Tools> = Kind {
    name: "haproxy",
    about: "The servers of a backend of HAProxy, by drain and ready; no reload.",
    schema: || plain_schema::<Options>(),
    build: servers,
};

/// What `state-file` says when there is none.
const NO_FILE: &str = "none";

/// The options; `map` and `key`, or `backend` and `servers`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The stats socket: `unix:/run/haproxy/admin.sock` or `tcp:127.0.0.1:9999`.
    #[schemars(length(min = 1))]
    pub address: String,
    /// The machine on which HAProxy is, one of `hosts`. Default: this one.
    pub host: Option<String>,
    /// The map file, as haproxy.cfg names it.
    pub map: Option<String>,
    /// The key of the map's one entry; its value is the weight of the second slot.
    pub key: Option<String>,
    /// With `map`: the backend of each slot, for what it counts. Default: named like the slot.
    pub backends: Option<IndexMap<String, String>>,
    /// The backend whose two servers are the slots, or whose servers are the members.
    pub backend: Option<String>,
    /// The server of each slot or member. Default: named like it.
    pub servers: Option<IndexMap<String, String>>,
    /// With `map`: where the map file is on that machine, or `none` if it is out of reach;
    /// default: the path in `map`. With `backend`: the `server-state-file` of haproxy.cfg.
    pub state_file: Option<String>,
    /// Who is sent to the slot that they name, whatever its weight.
    pub testers: Option<Testers>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    let cli = Cli {
        address: options.address.parse::<Address>()?,
        host: tools.hosts.named(options.host.as_deref())?,
    };
    let by_map = options.map.is_some() || options.key.is_some() || options.backends.is_some();
    let by_weights = options.backend.is_some() || options.servers.is_some();
    match (by_map, by_weights) {
        (true, true) => Err(
            "`map` and `key` are one way, `backend` and `servers` another; take one of them"
                .to_owned(),
        ),
        (false, false) => Err(
            "say `map` and `key` (one entry of a map file), or `backend` (the weights of two servers)"
                .to_owned(),
        ),
        (true, false) => Ok(Box::new(map_entry(options, cli, tools)?)),
        (false, true) => Ok(Box::new(server_weights(options, cli, tools)?)),
    }
}

fn map_entry(options: Options, cli: Cli, tools: &Tools) -> Result<MapEntry, String> {
    let (Some(map), Some(key)) = (options.map, options.key) else {
        return Err("`map` and `key` belong together; one of them is missing".to_owned());
    };
    plain("map", &map)?;
    plain("key", &key)?;
    if map.starts_with('#') || key.starts_with('#') {
        return Err("neither `map` nor `key` can begin with #".to_owned());
    }
    let file = match options.state_file.as_deref() {
        Some(NO_FILE) => None,
        Some(path) => Some(state_file(path, &cli, &tools.directory)?),
        None if Path::new(&map).is_absolute() => Some(state_file(&map, &cli, &tools.directory)?),
        None => {
            return Err(format!(
                "`map` is not an absolute path, so say in `state-file` where {map} is on this machine, or `none`"
            ));
        }
    };
    let testers = testers::fitting(options.testers, &tools.slots)?;
    Ok(MapEntry {
        lines: lines::for_map(&cli.address, &map, &key, &tools.slots, testers.as_ref()),
        cli,
        map,
        key,
        file,
        backends: of_slots("backends", options.backends, tools)?,
        testers,
    })
}

fn server_weights(options: Options, cli: Cli, tools: &Tools) -> Result<ServerWeights, String> {
    let backend = options
        .backend
        .ok_or("`servers` without `backend`: which backend are they in?")?;
    plain("backend", &backend)?;
    let servers = of_slots("servers", options.servers, tools)?;
    let file = match options.state_file.as_deref() {
        Some(NO_FILE) | None => None,
        Some(path) => Some(state_file(path, &cli, &tools.directory)?),
    };
    Ok(ServerWeights {
        cli,
        backend,
        servers,
        file,
        testers: testers::fitting(options.testers, &tools.slots)?,
        slots: tools.slots.clone(),
    })
}

/// The servers that are the members.
fn servers(block: &Block, tools: &pool_seam::Tools) -> Result<Box<dyn Pool>, String> {
    let options: Options = block.options()?;
    let by_map = options.map.is_some() || options.key.is_some() || options.backends.is_some();
    let backend = match options.backend {
        Some(backend) if !by_map => backend,
        _ => {
            return Err("with `members`, say `backend`: the one whose servers they are; a map divides traffic between two slots only".to_owned());
        }
    };
    plain("backend", &backend)?;
    let named = |member: &crate::model::slot::Slot| member.name.clone();
    let servers = of_members("servers", options.servers.as_ref(), &tools.members, named)?;
    for name in &servers {
        plain("servers", name)?;
    }
    let cli = Cli {
        host: tools.hosts.named(options.host.as_deref())?,
        address: options.address.parse::<Address>()?,
    };
    let file = match options.state_file.as_deref() {
        Some(NO_FILE) | None => None,
        Some(path) => Some(state_file(path, &cli, &tools.directory)?),
    };
    Ok(Box::new(pool::Servers {
        cli,
        backend,
        servers,
        file,
        members: tools.members.clone(),
    }))
}

/// The server or backend of each slot, named like the slot where nothing is given.
fn of_slots(
    key: &str,
    given: Option<IndexMap<String, String>>,
    tools: &Tools,
) -> Result<[String; 2], String> {
    let (slots, given) = (&tools.slots, given.unwrap_or_default());
    if let Some(stranger) = given.keys().find(|name| slots.side_of(name).is_none()) {
        return Err(format!(
            "{key}: there is no slot \"{stranger}\"; the slots are {} and {}",
            slots.first.name, slots.second.name
        ));
    }
    let one = |side: Side| {
        let name = given.get(slots.name(side)).cloned();
        name.unwrap_or_else(|| slots.name(side).to_owned())
    };
    let both = [one(Side::First), one(Side::Second)];
    for name in &both {
        plain(key, name)?;
    }
    if both[0] == both[1] {
        return Err(format!("{key}: both slots are {}", both[0]));
    }
    Ok(both)
}

fn state_file(path: &str, cli: &Cli, directory: &Path) -> Result<StateFile, String> {
    let path = match cli.host.name() {
        None => directory.join(path),
        Some(_) => path.into(),
    };
    plain("state-file", &path.to_string_lossy())?;
    Ok(StateFile {
        host: Arc::clone(&cli.host),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kinds;
    use crate::model::slot::{Slot, Slots};
    use serde_json::{Value, json};

    fn made(mut options: Value) -> Result<String, String> {
        options["kind"] = "haproxy".into();
        let block: Block = serde_json::from_value(options).unwrap();
        let slot = |name: &str| Slot {
            name: name.to_owned(),
            url: format!("http://{name}.test").parse().unwrap(),
        };
        let tools = Tools {
            hosts: crate::platform::host::Hosts::default(),
            vault: crate::platform::secret::Vault::default(),
            http: crate::platform::http::Http::default(),
            app: "shop".to_owned(),
            environment: "production".to_owned(),
            slots: Slots {
                first: slot("blue"),
                second: slot("green"),
            },
            directory: "/srv/shop".into(),
        };
        kinds::build(&[KIND], &block, &tools).map(|router| router.told())
    }

    #[test]
    fn the_options_tell_the_form() {
        let map = json!({"address": "/a.sock", "map": "/w.map", "key": "w"});
        assert_eq!(made(map).unwrap(), "haproxy map /w.map w at unix:/a.sock");
        let weights = json!({"address": "h:99", "backend": "shop", "servers": {"green": "g2"}});
        assert_eq!(
            made(weights).unwrap(),
            "haproxy weights shop/blue shop/g2 at tcp:h:99"
        );
    }

    #[test]
    fn wrong_options_are_named() {
        for (options, word) in [
            (
                json!({"map": "/w", "key": "w", "backend": "shop"}),
                "one way",
            ),
            (json!({}), "`map` and `key`"),
            (json!({"map": "/w"}), "belong together"),
            (json!({"map": "w", "key": "w"}), "state-file"),
            (json!({"map": "/w", "key": "a;b"}), "key:"),
            (
                json!({"map": "/w", "key": "w", "backends": {"red": "r"}}),
                "backends: there is no slot",
            ),
            (json!({"servers": {"blue": "b"}}), "`backend`"),
            (json!({"backend": "b", "servers": {"red": "r"}}), "red"),
            (
                json!({"backend": "b", "servers": {"blue": "green"}}),
                "both",
            ),
            (json!({"map": "/w", "key": "w", "nope": 1}), "nope"),
            (
                json!({"address": "nope", "map": "/w", "key": "w"}),
                "address",
            ),
        ] {
            let mut full = json!({"address": "/a.sock"});
            for (key, value) in options.as_object().unwrap() {
                full[key] = value.clone();
            }
            let said = made(full).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
    }
}
