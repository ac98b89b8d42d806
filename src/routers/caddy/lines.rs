//! The lines that Caddy's own configuration needs once, for both forms.
//!
//! The order of the routes is not a matter of taste. Caddy looks for one flag after the other,
//! and a rename may fall between two looks. With rising weights a move upwards never misses
//! both names, and a move downwards that does falls through to the first slot, which has
//! traffic after that move.

use std::path::Path;

use serde_json::{Value, json};

use super::handler::{Dials, Pieces, dial, pieces_for, with};
use crate::model::slot::{Side, Slots};
use crate::model::split::{Split, Weight};
use crate::platform::text::shell_word;
use crate::routers::access_log::Log;
use crate::routers::flags::flag;
use crate::routers::testers::{self, Rule, Sent, Testers};

/// What Caddy is to dial, and how.
pub(super) struct Dialled {
    pub(super) dials: Dials,
    /// By TLS, both.
    pub(super) secure: bool,
}

/// The route for testers, where there is one.
pub(super) struct Route<'a> {
    pub(super) testers: Option<&'a Testers>,
    pub(super) slots: &'a Slots,
}

impl Dialled {
    fn of(&self, side: Side) -> &str {
        &self.dials[usize::from(side == Side::Second)]
    }
}

/// Both forms begin with this.
const ABOUT_ADDRESSES: &str =
    "# The addresses are those of the slots' own URLs, unless `upstreams` says others.\n";

/// What a handler with all traffic on the first slot is made of.
fn at_first(dials: &Dials) -> Pieces {
    Pieces {
        upstreams: vec![json!({ "dial": dials[0] })],
        weights: Some(vec![1]),
        mark: None,
    }
}

pub(super) fn for_flags(
    directory: &Path,
    weights: &[Weight],
    dialled: &Dialled,
    log: &Log,
    route: &Route<'_>,
) -> String {
    let scheme = if dialled.secure { "https://" } else { "" };
    // A Caddyfile writes a socket as it is dialled, and takes no scheme there.
    let address = |dial: &str| match dial.starts_with("unix/") {
        true => dial.to_owned(),
        false => format!("{scheme}{dial}"),
    };
    let mut out = format!(
        "# 1. In the block of the site that users reach. The order is part of it. Shares need Caddy 2.7.\n\
         {ABOUT_ADDRESSES}{}route {{\n",
        log.site_lines()
    );
    out += &in_a_caddyfile(route, |side| address(dialled.of(side)));
    for weight in weights.iter().chain([&Weight::ALL]) {
        let percent = weight.percent();
        let split = Split { second: *weight };
        let pieces = pieces_for(split, &at_first(&dialled.dials), &dialled.dials, true, "");
        let upstreams: Vec<_> = pieces
            .upstreams
            .iter()
            .map(|one| address(dial(one)))
            .collect();
        out += &format!(
            "\t@weight{percent} file {{\n\t\troot \"{}\"\n\t\ttry_files /{}\n\t}}\n\
             \treverse_proxy @weight{percent} {}",
            directory.display(),
            flag(*weight),
            upstreams.join(" ")
        );
        match pieces.weights.as_deref() {
            Some([one, other]) => {
                out += &format!(" {{\n\t\tlb_policy weighted_round_robin {one} {other}\n\t}}\n");
            }
            _ => out.push('\n'),
        }
    }
    let word = |path: &Path| shell_word(&path.to_string_lossy()).into_owned();
    out += &format!(
        "\treverse_proxy {}\n}}\n\
         \n# 2. On Caddy's host, before the lines above are loaded. Caddy must be able to look into the\n\
         #    directory (check every directory above it), and it must survive a reboot.\n\
         #    mkdir -p {1} && chmod 755 {1} && touch {2}\n",
        address(&dialled.dials[0]),
        word(directory),
        word(&directory.join(flag(Weight::ZERO)))
    );
    out
}

pub(super) fn for_handler(
    handler: &str,
    dialled: &Dialled,
    log: &Log,
    route: &Route<'_>,
) -> String {
    let mut json = json!({ "handler": "reverse_proxy" });
    if dialled.secure {
        json["transport"] = json!({ "protocol": "http", "tls": {} });
    }
    json = with(&json, &at_first(&dialled.dials));
    let mut out = String::from(
        "# 1. The handler of the route that users reach, in Caddy's JSON, with all traffic on the first slot.\n",
    );
    out += ABOUT_ADDRESSES;
    if handler.starts_with('/') {
        out += &format!(
            "#    Its path in the JSON is {handler}.\n\
             #    A path counts places in lists, so it changes with what stands before it; an `@id` does not.\n"
        );
    } else {
        let mut named = json!({ "@id": handler });
        merge(&mut named, json);
        json = named;
        out += "#    A Caddyfile has no `@id`: give the handler's path in the JSON instead.\n";
    }
    out += &format!(
        "{json:#}\n\
         \n# 2. Caddy keeps a change over a restart only when it is started with `caddy run --resume`; without\n\
         #    that, and at every `caddy reload`, it goes back to what its own file says.\n"
    );
    out += &in_json(route, dialled);
    let log = log.site_lines();
    if !log.is_empty() {
        out += &format!(
            "\n# For `access-log`, in the block of the site; `caddy adapt` says how it is in JSON.\n{log}"
        );
    }
    out
}

fn merge(into: &mut Value, from: Value) {
    if let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) {
        into.extend(from);
    }
}

/// The first of them counts.
fn in_a_caddyfile(route: &Route<'_>, address: impl Fn(Side) -> String) -> String {
    let mut nth = 0;
    let lines = testers::lines(route.testers, route.slots, |rule| {
        nth += 1;
        let by = match rule.by {
            Sent::Header(name) => format!("header {name}"),
            Sent::Cookie(name) => format!("vars {{http.request.cookie.{name}}}"),
        };
        format!(
            "\t@tester{nth} {by} {}\n\treverse_proxy @tester{nth} {}\n",
            rule.slot,
            address(rule.side)
        )
    });
    match lines.is_empty() {
        true => String::new(),
        false => format!(
            "\t# For testers: they get the slot that they name.\n{}",
            lines.concat()
        ),
    }
}

/// Routes of their own, for the handler of everybody else is changed by Cutover.
fn in_json(route: &Route<'_>, dialled: &Dialled) -> String {
    let one = |rule: Rule<'_>| {
        let by = match rule.by {
            Sent::Header(name) => json!({ "header": { name: [rule.slot] } }),
            Sent::Cookie(name) => {
                json!({ "vars": { format!("{{http.request.cookie.{name}}}"): [rule.slot] } })
            }
        };
        let mut handler = json!({ "handler": "reverse_proxy" });
        if dialled.secure {
            handler["transport"] = json!({ "protocol": "http", "tls": {} });
        }
        handler["upstreams"] = json!([{ "dial": dialled.of(rule.side) }]);
        json!({ "match": [by], "handle": [handler], "terminal": true }).to_string()
    };
    let routes = testers::lines(route.testers, route.slots, one);
    match routes.is_empty() {
        true => String::new(),
        false => format!(
            "\n# For testers: routes of the server, before the one of the handler. They count in a handler's path.\n[{}]\n",
            routes.join(",\n ")
        ),
    }
}
