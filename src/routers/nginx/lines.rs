//! The lines that nginx's own configuration needs once, for both forms.
//!
//! They are complete: written where the comments say, they start. The order of the `if`s is
//! not a matter of taste. nginx looks for one flag after the other, and a rename may fall
//! between two looks. With rising weights a move upwards never misses both names, and a move
//! downwards that does falls through to the first slot, which has traffic after that move.

use std::path::Path;

use super::live_file::Live;
use crate::model::slot::{Side, Slot, Slots};
use crate::model::split::Weight;
use crate::platform::text::shell_word;
use crate::routers::access_log::Log;
use crate::routers::flags::flag;
use crate::routers::testers::{self, Sent, Testers};

/// What both forms have in the server that users reach.
pub(super) struct Site<'a> {
    pub(super) slots: &'a Slots,
    pub(super) log: &'a Log,
    pub(super) testers: Option<&'a Testers>,
}

/// Both forms begin with this.
const ABOUT_ADDRESSES: &str =
    "# The servers are the slots' own URLs; change them if nginx reaches the slots elsewhere.\n";

pub(super) fn for_flags(
    directory: &Path,
    weights: &[Weight],
    split_by: &str,
    site: &Site<'_>,
) -> String {
    let Site { slots, log, .. } = *site;
    let [a, b] = [Side::First, Side::Second].map(|side| slots.name(side));
    let share = |weight: Weight| format!("{}_at_{}", variable(b), weight.percent());
    let mut out = format!(
        "# 1. In http {{ }}, once.\n{ABOUT_ADDRESSES}{}{}",
        upstreams(slots),
        log.format_line()
    );
    for weight in weights {
        let percent = weight.percent();
        out += &format!(
            "split_clients \"{split_by}\" ${} {{ {percent}% \"{b}\"; * \"{a}\"; }}\n",
            share(*weight)
        );
    }
    out += &format!(
        "\n# 2. In the server {{ }} that users reach. With open_file_cache a flag would go stale.\n\
         open_file_cache off;\n\
         set $live_slot \"{a}\";\n"
    );
    let file = |weight: Weight| directory.join(flag(weight));
    for weight in weights {
        out += &format!(
            "if (-f \"{}\") {{ set $live_slot ${}; }}\n",
            file(*weight).display(),
            share(*weight)
        );
    }
    out += &format!(
        "if (-f \"{}\") {{ set $live_slot \"{b}\"; }}\n{}",
        file(Weight::ALL).display(),
        location(site)
    );
    let word = |path: &Path| shell_word(&path.to_string_lossy()).into_owned();
    out += &format!(
        "\n# 3. On nginx's host, before the lines above are loaded. nginx's workers must be able to\n\
         #    look into the directory (check every directory above it), and it must survive a reboot.\n\
         #    mkdir -p {0} && chmod 755 {0} && touch {1}\n",
        word(directory),
        word(&file(Weight::ZERO))
    );
    out
}

pub(super) fn for_include(
    file: &Path,
    generation_path: &str,
    split_by: &str,
    site: &Site<'_>,
) -> String {
    let Site { slots, log, .. } = *site;
    format!(
        "# 1. In http {{ }}, once.\n{ABOUT_ADDRESSES}{}{}\
         include \"{file}\";\n\
         \n# 2. In the server {{ }} that users reach; the first location in the one of `generation-url`.\n\
         location = \"{generation_path}\" {{\n    \
             access_log off;\n    \
             default_type text/plain;\n    \
             add_header Cache-Control no-store;\n    \
             return 200 \"$cutover_generation\\n\";\n\
         }}\n{}\
         \n# 3. The file {file} as it is at first, before the lines above are loaded:\n{}",
        upstreams(slots),
        log.format_line(),
        location(site),
        Live::at_first().written(slots, split_by),
        file = file.display(),
    )
}

fn upstreams(slots: &Slots) -> String {
    let upstream = |slot: &Slot| {
        let host = slot.url.host_str().unwrap_or("127.0.0.1");
        let port = slot.url.port_or_known_default().unwrap_or(80);
        let name = &slot.name;
        format!("upstream {name} {{ server {host}:{port}; keepalive 32; }}\n")
    };
    upstream(&slots.first) + &upstream(&slots.second)
}

/// The location that passes requests on. Without `Host` the slot would see its upstream's name.
fn location(site: &Site<'_>) -> String {
    let Site { slots, log, .. } = *site;
    let secure = |slot: &Slot| slot.url.scheme() == "https";
    let (scheme, more) = if secure(&slots.first) && secure(&slots.second) {
        (
            "https",
            "    proxy_ssl_server_name on;\n    proxy_ssl_name $host;\n",
        )
    } else {
        ("http", "")
    };
    format!(
        "{testers}location / {{\n    \
             proxy_http_version 1.1;\n    \
             proxy_set_header Connection \"\";\n    \
             proxy_set_header Host $host;\n{more}{log}    \
             proxy_pass {scheme}://$live_slot;\n\
         }}\n",
        log = log.location_line(),
        testers = for_testers(site)
    )
}

/// The last of them counts, so the header's lines come after the cookie's.
fn for_testers(site: &Site<'_>) -> String {
    let mut lines = testers::lines(site.testers, site.slots, |rule| {
        let variable = match rule.by {
            Sent::Header(name) => format!("http_{}", variable(&name.to_ascii_lowercase())),
            Sent::Cookie(name) => format!("cookie_{name}"),
        };
        let slot = rule.slot;
        format!("if (${variable} = \"{slot}\") {{ set $live_slot \"{slot}\"; }}\n")
    });
    lines.reverse();
    match lines.is_empty() {
        true => String::new(),
        false => format!(
            "# For testers: they get the slot that they name.\n{}",
            lines.concat()
        ),
    }
}

/// A slot's name as a part of a variable's.
fn variable(name: &str) -> String {
    name.replace(['-', '.'], "_")
}
