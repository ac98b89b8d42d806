//! What Traefik needs once. A test starts Traefik with these very lines.

use super::Traefik;
use super::live_file::Live;
use crate::model::slot::Side;
use crate::platform::atomic_file::directory_of;
use crate::routers::testers::{self, Sent};

pub(super) fn of(traefik: &Traefik) -> String {
    let Traefik {
        path,
        service,
        children,
        slots,
        ..
    } = traefik;
    // Its defaults: labels of services, and these edges.
    let metrics = match traefik.metrics {
        Some(_) => {
            "# For `metrics`; on the entry point `traefik`, which is port 8080 where none is called so.\n\
             metrics: { prometheus: {} }\n"
        }
        None => "",
    };
    let mut nth = 0;
    let routes = testers::lines(traefik.testers.as_ref(), slots, |rule| {
        nth += 1;
        let (slot, child) = (rule.slot, &children[usize::from(rule.side == Side::Second)]);
        let by = match rule.by {
            Sent::Header(name) => format!("Header(`{name}`, `{slot}`)"),
            // Traefik has no rule for a cookie.
            Sent::Cookie(name) => format!("HeaderRegexp(`Cookie`, `(^|; *){name}={slot}(;|$)`)"),
        };
        let priority = 1000 - nth;
        format!(
            "    {service}-tester{nth}: {{ rule: \"PathPrefix(`/`) && {by}\", service: \"{child}\", priority: {priority} }}\n"
        )
    });
    let routes = match routes.is_empty() {
        true => String::new(),
        false => format!(
            "    # For testers: they get the slot that they name. The rules begin like your own.\n{}",
            routes.concat()
        ),
    };
    let server = |(child, side): (&String, Side)| {
        let url = slots.on(side).url.as_str();
        // A service of another provider is configured there.
        match child.contains('@') {
            true => String::new(),
            false => {
                format!("    {child}: {{ loadBalancer: {{ servers: [{{ url: \"{url}\" }}] }} }}\n")
            }
        }
    };
    let sides = [Side::First, Side::Second];
    let servers: String = children.iter().zip(sides).map(server).collect();
    let servers = match servers.as_str() {
        "" => String::new(),
        some => format!("  services:\n{some}"),
    };
    format!(
        "# 1. In Traefik's static configuration. Where changes are held back (the default is 2s), a way\n\
         #    back right after a switch waits. The API is for `api`; keep it from strangers.\n\
         providers:\n  \
           providersThrottleDuration: 0s\n  \
           file:\n    \
             directory: \"{directory}\"\n    \
             watch: true\n\
         api: {{}}\n\
         {metrics}\
         \n\
         # 2. In another file of that directory, a router of yours that points to {service}:\n\
         http:\n  \
           routers:\n    \
             {service}: {{ rule: \"PathPrefix(`/`)\", service: {service} }}\n{routes}{servers}\
         \n\
         # 3. The file {file} as it is at first; `sticky` can go beside `services`, and stays:\n{first}",
        directory = directory_of(path).display(),
        file = path.display(),
        first = Live::at_first(children).written(service),
    )
}
