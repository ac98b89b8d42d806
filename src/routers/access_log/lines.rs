//! The log that a config has, or has not: the lines that nginx and Caddy need for it, and who
//! counts by it. The lines have no more of a request than what is counted.

use super::{AccessLog, CADDY, Form, NGINX};
use crate::model::slot::{Side, Slots};
use crate::routers::Counting;
use crate::routers::placed::Placed;

/// What a line is made of: the slot that answered, the status, and how long it took in seconds.
const FORMAT: &str =
    "log_format cutover '$msec slot=$live_slot status=$status time=$request_time';";

/// The log of an environment, where the config has one.
pub(in crate::routers) struct Log {
    place: Option<Placed>,
    form: Form,
    names: [String; 2],
}

impl Log {
    /// That of an nginx, whose lines name the slots.
    pub(in crate::routers) fn of_nginx(place: Option<Placed>, slots: &Slots) -> Self {
        Self {
            place,
            form: NGINX,
            names: [Side::First, Side::Second].map(|side| slots.name(side).to_owned()),
        }
    }

    /// That of a Caddy, whose lines say what it dialled.
    pub(in crate::routers) const fn of_caddy(place: Option<Placed>, dials: [String; 2]) -> Self {
        Self {
            place,
            form: CADDY,
            names: dials,
        }
    }

    /// Who counts by it.
    pub(in crate::routers) fn counting(&self) -> Counting<'_> {
        match (&self.place, self.form.proxy) {
            (Some(place), _) => Counting::By(Box::new(AccessLog::new(
                place,
                self.form,
                self.names.clone(),
            ))),
            (None, "nginx") => Counting::Not(
                "stub_status has one counter for all; give it `access-log:`, and nginx the lines that `cutover router-config` prints then",
            ),
            (None, _) => Counting::Not(
                "Caddy's metrics count by server and handler, and not by upstream; give it `access-log:`, and Caddy the lines that `cutover router-config` prints then",
            ),
        }
    }

    /// The lines of a Caddyfile's site that it needs, if any. What people send stays out of it.
    pub(in crate::routers) fn site_lines(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| {
            format!(
                "log cutover {{\n\toutput file \"{}\" {{\n\t\tmode 0644\n\t}}\n\tformat filter {{\n\t\twrap json\n\t\tfields {{\n\t\t\trequest delete\n\t\t\tresp_headers delete\n\t\t}}\n\t}}\n}}\n\
                 log_append upstream {{http.reverse_proxy.upstream.address}}\n",
                place.path().display()
            )
        })
    }

    /// The line of `http { }` that it needs.
    pub(in crate::routers) fn format_line(&self) -> String {
        self.place
            .as_ref()
            .map_or_else(String::new, |_| format!("{FORMAT}\n"))
    }

    /// The line of the location that it needs.
    pub(in crate::routers) fn location_line(&self) -> String {
        self.place.as_ref().map_or_else(String::new, |place| {
            format!(
                "    # Repeat your own access_log here: this one takes the place of those outside.\n    access_log \"{}\" cutover;\n",
                place.path().display()
            )
        })
    }
}
