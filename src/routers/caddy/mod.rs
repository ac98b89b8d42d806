//! Caddy as a router, in two forms.
//!
//! With `flags`, Caddy looks for a file at every request and a change is one rename: nothing is
//! reloaded and nothing lost. With `handler`, the upstreams of one `reverse_proxy` handler are
//! changed through the admin API: any weight, and no directory on Caddy's machine, but Caddy
//! restarts its HTTP app at each change, which costs requests. Which form is meant is told by
//! the options that are given.

mod admin;
mod find;
mod handler;
mod lines;
mod upstreams;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use self::admin::Admin;
use self::handler::Dials;
use self::lines::{Dialled, Route};
use self::upstreams::Upstreams;
use super::access_log::Log;
use super::flags::{Busy, Flags, weights};
use super::placed::Placed;
use super::testers::{self, Testers};
use super::{InFlight, Router, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::model::slot::{Side, Slot};

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "caddy",
    about: "Caddy, by a flag file without a reload (`flags`) or by its admin API (`handler`).",
    schema: plain_schema::<Options>,
    build,
};

/// Where Caddy's admin API is where nothing else was said to Caddy.
const USUAL_ADMIN: &str = "http://127.0.0.1:2019";

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The directory whose only file, `w0` to `w100`, is the weight of the second slot.
    flags: Option<String>,
    /// The machine on which Caddy is, one of `hosts`: the directory of `flags` and the `access-log`
    /// are there. Default: this one. The admin API is asked where `admin` says, over a host where one of
    /// the `tunnels` leads there.
    host: Option<String>,
    /// With `flags`: the weights between 0 and 100 that the lines in Caddy have; 10, 25, 50, 75
    /// and 90 if not given.
    #[schemars(inner(range(min = 0, max = 100)))]
    weights: Option<Vec<u8>>,
    /// The `@id` of the `reverse_proxy` handler that users reach, or, beginning with a slash, its
    /// path in Caddy's JSON: `/apps/http/servers/srv0/routes/0/handle/0`.
    handler: Option<String>,
    /// The admin API, such as `unix:/run/caddy/admin.sock`. With `handler` it is
    /// `http://127.0.0.1:2019` if not given; with `flags` a drain asks it for requests in flight.
    admin: Option<String>,
    /// What Caddy dials for each slot. Default: host and port of the slot's URL.
    upstreams: Option<IndexMap<String, String>>,
    /// An access log for Cutover alone, from which it counts what each slot did; the lines that
    /// `cutover router-config` prints have it. Needs Caddy 2.9.
    access_log: Option<String>,
    /// Who is sent to the slot that they name, whatever its weight.
    testers: Option<Testers>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    let dials = dials(options.upstreams.as_ref(), tools)?;
    let secure = |slot: &Slot| slot.url.scheme() == "https";
    let dialled = Dialled {
        dials,
        secure: secure(&tools.slots.first) && secure(&tools.slots.second),
    };
    let placed = |key, path| Placed::of((key, path), options.host.as_deref(), tools);
    let log = options.access_log.as_deref();
    let log = log.map(|log| placed("access-log", log)).transpose()?;
    if let Some(log) = &log {
        quotable("access-log", log.path())?;
    }
    let has_log = log.is_some();
    let log = Log::of_caddy(log, dialled.dials.clone());
    let testers = testers::fitting(options.testers, &tools.slots)?;
    let route = Route {
        testers: testers.as_ref(),
        slots: &tools.slots,
    };
    match (options.flags, options.handler) {
        (Some(directory), None) => {
            let admin = options.admin.as_deref();
            let admin = admin.map(|admin| Admin::at(admin, tools.http.clone()));
            let dials = dialled.dials.clone();
            let directory = placed("flags", &directory)?;
            quotable("flags", directory.path())?;
            let weights = weights(options.weights.as_deref())?;
            Ok(Box::new(Flags {
                kind: "caddy",
                proxy: "Caddy",
                lines: lines::for_flags(directory.path(), &weights, &dialled, &log, &route),
                host: Arc::clone(directory.host()),
                directory: directory.path().to_owned(),
                weights,
                log,
                testers,
                busy: admin
                    .transpose()?
                    .map(|admin| Box::new(Asked { admin, dials }) as Box<dyn Busy>),
                slots: tools.slots.clone(),
            }))
        }
        (None, Some(handler)) => {
            if options.weights.is_some() {
                return Err("`weights` goes with `flags`, which is not given".to_owned());
            }
            if options.host.is_some() && !has_log {
                return Err("`host` goes with `flags` or `access-log`; the admin API is asked where `admin` says, and `tunnels` lead there over a host".to_owned());
            }
            let admin = options.admin.as_deref().unwrap_or(USUAL_ADMIN);
            Ok(Box::new(Upstreams {
                admin: Admin::at(admin, tools.http.clone())?,
                place: place(&handler)?,
                lines: lines::for_handler(&handler, &dialled, &log, &route),
                handler,
                log,
                testers,
                dials: dialled.dials,
                slots: tools.slots.clone(),
            }))
        }
        (Some(_), Some(_)) => Err("`flags` and `handler` are two ways to switch; keep one: `flags` loses no request, `handler` needs no directory on Caddy's machine".to_owned()),
        (None, None) => Err("`flags` (a directory; nothing is reloaded) or `handler` (an `@id`; by the admin API) is missing".to_owned()),
    }
}

/// What Caddy dials for a slot.
const fn dial_of(dials: &Dials, slot: Side) -> &String {
    let [first, second] = dials;
    match slot {
        Side::First => first,
        Side::Second => second,
    }
}

/// An admin API that is asked for requests in flight and nothing else.
struct Asked {
    admin: Admin,
    dials: Dials,
}

#[async_trait]
impl Busy for Asked {
    async fn in_flight(&self, slot: Side) -> InFlight {
        let dial = dial_of(&self.dials, slot);
        match self.admin.in_flight(dial).await {
            Ok(Some(some)) => InFlight::Requests(some),
            Ok(None) => InFlight::Unknown(format!(
                "Caddy has no upstream {dial}; `upstreams` says what it dials"
            )),
            Err(said) => InFlight::Unknown(said),
        }
    }
}

/// The handler's place in the admin API.
fn place(handler: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "/_-.:@".contains(c);
    if handler.trim_matches('/').is_empty() || !handler.chars().all(known) {
        return Err(format!(
            "handler: \"{handler}\" is neither an `@id` (letters, digits, `_`, `-`, `.`, `:`) nor a path such as /apps/http/servers/srv0/routes/0/handle/0"
        ));
    }
    Ok(if handler.starts_with('/') {
        format!("/config{handler}")
    } else {
        format!("/id/{handler}")
    })
}

/// What Caddy dials, given or by the slots' URLs.
fn dials(given: Option<&IndexMap<String, String>>, tools: &Tools) -> Result<Dials, String> {
    let slots = &tools.slots;
    let mut names = given.into_iter().flat_map(IndexMap::keys);
    if let Some(stranger) = names.find(|name| slots.side_of(name).is_none()) {
        return Err(format!(
            "upstreams: there is no slot \"{stranger}\"; the slots are {} and {}",
            slots.first.name, slots.second.name
        ));
    }
    let dial = |slot: &Slot| match given.and_then(|given| given.get(&slot.name)) {
        Some(dial) => dialable(dial).map(|()| dial.clone()),
        None => {
            let host = slot.url.host_str().unwrap_or("127.0.0.1");
            let port = slot.url.port_or_known_default().unwrap_or(80);
            Ok(format!("{host}:{port}"))
        }
    };
    let dials = [dial(&slots.first)?, dial(&slots.second)?];
    if dials[0] == dials[1] {
        return Err(format!(
            "upstreams: Caddy would dial {} for both slots; say in `upstreams` what it dials for {} and for {}",
            dials[0],
            slots.name(Side::First),
            slots.name(Side::Second)
        ));
    }
    Ok(dials)
}

/// Caddy takes any address and fails at the requests, so it is looked at here.
fn dialable(dial: &str) -> Result<(), String> {
    let port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    let plain = |c: char| c.is_ascii_graphic() && !"\"{}`\\".contains(c);
    let good = match dial.strip_prefix("unix/") {
        Some(path) => path.starts_with('/'),
        None => dial
            .rsplit_once(':')
            .is_some_and(|(host, number)| !host.is_empty() && !host.contains('/') && port(number)),
    };
    if good && dial.chars().all(plain) {
        return Ok(());
    }
    Err(format!(
        "upstreams: \"{dial}\" is nothing that Caddy can dial; write it as 10.0.0.5:8080 or unix//run/app.sock"
    ))
}

/// Whether a path can stand between quotes in a Caddyfile. Caddy takes `*`, `?` and `[` in
/// it for a pattern and braces for a placeholder.
fn quotable(key: &str, path: &Path) -> Result<(), String> {
    let wrong = |c: char| c.is_control() || "\"\\{}*?[]`".contains(c);
    match path.to_str() {
        Some(text) if !text.contains(wrong) => Ok(()),
        _ => Err(format!(
            "{key}: the path {} cannot be written in a Caddyfile; choose one without quotes, brackets, `\\`, `*` and `?`",
            path.display()
        )),
    }
}
