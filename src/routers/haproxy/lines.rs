//! What haproxy.cfg needs once, for each form. A test starts HAProxy with these very lines.

use std::fmt::Write as _;

use url::{Host, Url};

use super::cli::Address;
use super::state_file::StateFile;
use crate::model::slot::{Side, Slot, Slots};
use crate::routers::testers::{self, Rule, Sent, Testers};

/// Stands where the user's own `bind` lines are.
const BINDS: &str = "    # your own `bind` lines stay here";

/// A `server` line, without a weight.
fn server(name: &str, url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let mut line = format!("    server {name} {host}:{port}");
    if url.scheme() == "https" {
        line.push_str(" ssl verify required ca-file @system-ca");
        // A check of the certificate needs the name, and so does a server with several names.
        if matches!(url.host(), Some(Host::Domain(_))) {
            let _ = write!(line, " sni str({host}) verifyhost {host}");
        }
    }
    line
}

fn backend_of(slot: &Slot) -> String {
    format!(
        "backend {name}\n    mode http\n{server}\n",
        name = slot.name,
        server = server(&slot.name, &slot.url)
    )
}

/// The first of them counts. They are indented by what they stand in.
fn for_testers<'a>(
    testers: Option<&'a Testers>,
    slots: &'a Slots,
    mut what: impl FnMut(Rule<'a>) -> String,
) -> String {
    let lines = testers::lines(testers, slots, |rule| {
        let fetch = match rule.by {
            Sent::Header(name) => format!("req.hdr({name})"),
            Sent::Cookie(name) => format!("req.cook({name})"),
        };
        format!("{} if {{ {fetch} -m str {} }}\n    ", what(rule), rule.slot)
    });
    match lines.is_empty() {
        true => String::new(),
        false => format!(
            "# For testers: they get the slot that they name.\n    {}",
            lines.concat()
        ),
    }
}

/// For one entry of a map.
pub(super) fn for_map(
    address: &Address,
    map: &str,
    key: &str,
    slots: &Slots,
    testers: Option<&Testers>,
) -> String {
    let testers = for_testers(testers, slots, |rule| format!("use_backend {}", rule.slot));
    format!(
        "# 1. The map file {map}, before HAProxy is reloaded; its only line is:
#    {key} 0
# 2. In haproxy.cfg:
global
    {socket}

frontend cutover
    mode http
{BINDS}
    {testers}http-request set-var(txn.cutover_weight) str({key}),map_str_int({map},0)
    http-request set-var(txn.cutover_draw) rand(100)
    use_backend {second} if {{ var(txn.cutover_draw),sub(txn.cutover_weight) lt 0 }}
    default_backend {first}

{first_backend}
{second_backend}",
        socket = address.one_time_line(),
        first = slots.first.name,
        second = slots.second.name,
        first_backend = backend_of(&slots.first),
        second_backend = backend_of(&slots.second),
    )
}

/// For the weights of two servers.
pub(super) fn for_weights(
    address: &Address,
    backend: &str,
    servers: &[String; 2],
    file: Option<&StateFile>,
    slots: &Slots,
    testers: Option<&Testers>,
) -> String {
    let testers = for_testers(testers, slots, |rule| {
        let server = &servers[usize::from(rule.side == Side::Second)];
        format!("use-server {server}")
    });
    let testers = match testers.as_str() {
        "" => String::new(),
        some => format!("    {}\n", some.trim_end()),
    };
    let (global, load) = match file {
        Some(file) => (
            format!("\n    server-state-file {}", file.path.display()),
            "\n    load-server-state-from-file global",
        ),
        None => (String::new(), ""),
    };
    format!(
        "# In haproxy.cfg:
global
    {socket}{global}

frontend cutover
    mode http
{BINDS}
    default_backend {backend}

backend {backend}
    mode http
    balance roundrobin{load}
{testers}{first} weight 100
{second} weight 0
",
        socket = address.one_time_line(),
        first = server(&servers[0], &slots.first.url),
        second = server(&servers[1], &slots.second.url),
    )
}
