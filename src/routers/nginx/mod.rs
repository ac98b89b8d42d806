//! nginx as a router, in two forms.
//!
//! With `flags`, nginx looks for a file at every request and a change is one rename: no
//! reload, nothing lost, in force at once. With `include`, a file of directives is written and
//! nginx reloaded: any weight, any nginx, but a reload can cost requests and can be refused in
//! silence, so that form has to be able to ask which generation is in force. Which form is
//! meant is told by the options that are given.

mod command;
mod error_log;
mod generation;
mod include;
mod lines;
mod live_file;
mod loader;
mod pool;

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use self::include::Include;
use self::lines::Site;
use self::loader::Loader;
use super::access_log::Log;
use super::flags::{Flags, weights};
use super::placed::Placed;
use super::pool::{self as pool_seam, Pool, of_members};
use super::testers::{self, Testers};
use super::{Router, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::slot::{Side, Slot};
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "nginx",
    about: "nginx, by a flag file without a reload (`flags`) or by an include file and a reload (`include`).",
    schema: plain_schema::<Options>,
    build,
};

/// The entry in the table of pools.
pub const POOL: Kind<dyn Pool, pool_seam::Tools> = Kind {
    name: "nginx",
    about: "The servers of an upstream of nginx, in an include file; nginx is reloaded.",
    schema: plain_schema::<Options>,
    build: upstream,
};

/// The upstream's name where none is given.
const UPSTREAM: &str = "members";

/// What a request is put on a side by, where nothing else is asked for: each by itself.
const EACH_REQUEST: &str = "$request_id";

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The directory whose only file, `w0` to `w100`, is the weight of the second slot.
    flags: Option<String>,
    /// The machine on which nginx is, one of `hosts`: its files are there, and its commands are run
    /// there. Default: this one.
    host: Option<String>,
    /// With `flags`: the weights between 0 and 100 that the lines in nginx have; 10, 25, 50, 75
    /// and 90 if not given.
    #[schemars(inner(range(min = 0, max = 100)))]
    weights: Option<Vec<u8>>,
    /// The file of directives that is written at every change and that nginx includes.
    include: Option<String>,
    /// With `include`: the command that checks nginx's configuration; `nginx -t` if not given.
    test: Option<String>,
    /// With `include`: the command that reloads nginx; `nginx -s reload` if not given.
    reload: Option<String>,
    /// With `include`: where nginx answers the generation that is in force.
    generation_url: Option<HttpUrl>,
    /// With `include`: nginx's error log, to quote why a reload was refused.
    error_log: Option<String>,
    /// With `members`: the name of their upstream, for `proxy_pass`; `members` if not given.
    upstream: Option<String>,
    /// With `members`: the address of each as nginx reaches it, and what else stands in its line:
    /// `10.0.0.5:8001 weight=2`. Default: host and port of its `url`.
    servers: Option<IndexMap<String, String>>,
    /// An access log for Cutover alone, from which it counts what each slot did; the lines that
    /// `router-config` prints have it then. With `host` it is a file there.
    access_log: Option<String>,
    /// What puts a request on a side: `$request_id` if not given, `$cookie_user` or the like to
    /// keep each user on one side.
    split_by: Option<String>,
    /// Who is sent to the slot that they name, whatever its weight.
    testers: Option<Testers>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    if options.upstream.is_some() || options.servers.is_some() {
        return Err("`upstream` and `servers` are for an environment of `members`".to_owned());
    }
    for side in [Side::First, Side::Second] {
        speakable(tools.slots.name(side))?;
    }
    let placed = |key, path| Placed::of((key, path), options.host.as_deref(), tools);
    let log = options.access_log.as_deref();
    let log = log.map(|log| placed("access-log", log)).transpose()?;
    if let Some(log) = &log {
        quotable("access-log", log.path())?;
    }
    let log = Log::of_nginx(log, &tools.slots);
    let testers = testers::fitting(options.testers.clone(), &tools.slots)?;
    match (&options.flags, &options.include) {
        (Some(directory), None) => {
            only_with("include", &options.of_include())?;
            let directory = placed("flags", directory)?;
            quotable("flags", directory.path())?;
            let weights = weights(options.weights.as_deref())?;
            let split_by = split_by(options.split_by)?;
            Ok(Box::new(Flags {
                kind: "nginx",
                proxy: "nginx",
                lines: lines::for_flags(
                    directory.path(),
                    &weights,
                    &split_by,
                    &Site { slots: &tools.slots, log: &log, testers: testers.as_ref() },
                ),
                host: Arc::clone(directory.host()),
                directory: directory.path().to_owned(),
                weights,
                log,
                busy: None,
                testers,
                slots: tools.slots.clone(),
            }))
        }
        (None, Some(file)) => {
            only_with("flags", &[("weights", options.weights.is_some())])?;
            Ok(Box::new(Include {
                loader: loader(&options, file, &tools.http, (&tools.hosts, &tools.directory, &tools.vault))?,
                split_by: split_by(options.split_by)?,
                log,
                testers,
                slots: tools.slots.clone(),
            }))
        }
        (Some(_), Some(_)) => Err("`flags` and `include` are two ways to switch; keep one: `flags` needs no reload, `include` works with any weight".to_owned()),
        (None, None) => Err("`flags` (a directory; no reload) or `include` (a file; nginx is reloaded) is missing".to_owned()),
    }
}

/// The servers that are the members.
fn upstream(block: &Block, tools: &pool_seam::Tools) -> Result<Box<dyn Pool>, String> {
    let options: Options = block.options()?;
    let Some(file) = &options.include else {
        return Err("with `members`, say `include`: the file in which their upstream stands; flags divide traffic between two slots only".to_owned());
    };
    for (key, given) in [
        ("flags", options.flags.is_some()),
        ("weights", options.weights.is_some()),
        ("split-by", options.split_by.is_some()),
        ("access-log", options.access_log.is_some()),
    ] {
        if given {
            return Err(format!(
                "`{key}` goes with `flags`, and so with two slots; there are members"
            ));
        }
    }
    let name = options.upstream.as_deref().unwrap_or(UPSTREAM);
    speakable(name).map_err(|_| {
        format!("upstream: \"{name}\" is no name in nginx, which takes letters, digits, `-`, `_` and `.`")
    })?;
    let host = |member: &Slot| {
        let host = member.url.host_str().unwrap_or("127.0.0.1");
        let port = member.url.port_or_known_default().unwrap_or(80);
        format!("{host}:{port}")
    };
    let servers = of_members("servers", options.servers.as_ref(), &tools.members, host)?;
    for server in &servers {
        let known = |c: char| c.is_ascii_alphanumeric() || "_-.:/[]= ".contains(c);
        if server.trim() != server || !server.chars().all(known) || server.ends_with(" down") {
            return Err(format!(
                "servers: \"{server}\" is not the address of a server in nginx's own words, without `down` and `;`"
            ));
        }
    }
    Ok(Box::new(pool::Upstream {
        loader: loader(
            &options,
            file,
            &tools.http,
            (&tools.hosts, &tools.directory, &tools.vault),
        )?,
        name: name.to_owned(),
        servers,
        members: tools.members.clone(),
    }))
}

/// How an include file is put in force.
fn loader(
    options: &Options,
    file: &str,
    http: &Http,
    with: (&Hosts, &Path, &Vault),
) -> Result<Loader, String> {
    let placed = |key, path| Placed::new((key, path), options.host.as_deref(), with);
    let file = placed("include", file)?;
    quotable("include", file.path())?;
    let Some(generation_url) = &options.generation_url else {
        return Err("`generation-url` is missing: `nginx -t` and the reload can both end with 0 while nginx keeps its old configuration, and only nginx's own answer shows it; `cutover router-config` prints the location to add".to_owned());
    };
    let nginx = |command: &Option<String>, usual: &str| {
        let line = command.as_deref().unwrap_or(usual);
        command::Shell::new(file.host(), line, with.1, with.2)
    };
    let log = options.error_log.as_deref();
    let log = log.map(|log| placed("error-log", log)).transpose()?;
    Ok(Loader {
        test: nginx(&options.test, "nginx -t"),
        reload: nginx(&options.reload, "nginx -s reload"),
        file,
        generations: generation::Asked::new(http.clone(), generation_url.get()),
        error_log: error_log::ErrorLog::new(log),
    })
}

impl Options {
    /// The keys that mean something with `include` only, and whether they are given.
    const fn of_include(&self) -> [(&'static str, bool); 4] {
        [
            ("test", self.test.is_some()),
            ("reload", self.reload.is_some()),
            ("generation-url", self.generation_url.is_some()),
            ("error-log", self.error_log.is_some()),
        ]
    }
}

fn only_with(form: &str, keys: &[(&str, bool)]) -> Result<(), String> {
    match keys.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(format!("`{key}` goes with `{form}`, which is not given")),
        None => Ok(()),
    }
}

fn split_by(given: Option<String>) -> Result<String, String> {
    let key = given.unwrap_or_else(|| EACH_REQUEST.to_owned());
    let known = |c: char| c.is_ascii_alphanumeric() || "$_-.".contains(c);
    if key.contains('$') && key.chars().all(known) {
        Ok(key)
    } else {
        Err(format!(
            "split-by: \"{key}\" is not made of nginx's variables; write it as $request_id or $cookie_user"
        ))
    }
}

/// Whether a slot's name can be an upstream's.
fn speakable(name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !name.is_empty() && name.chars().all(known) {
        Ok(())
    } else {
        Err(format!(
            "the slot \"{name}\" would be the name of an upstream in nginx, which takes letters, digits, `-`, `_` and `.`"
        ))
    }
}

/// Whether a path can stand between quotes in nginx's configuration.
fn quotable(key: &str, path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(text) if !text.contains(['"', '$', '\\']) && !text.contains(char::is_control) => {
            Ok(())
        }
        _ => Err(format!(
            "{key}: the path {} cannot be written in nginx's configuration; choose one without `\"`, `$` and `\\`",
            path.display()
        )),
    }
}
