//! The `envoy` kind: the file of a route configuration that Envoy gets by RDS from the file system.
//!
//! The file may hold any routes: what Cutover changes in it is the weights of the two clusters,
//! wherever both share, and the version. Envoy keeps what it had when it does not want a file and
//! says so in its counters alone, so its admin interface is asked after every change.

mod admin;
mod counted;
mod lines;
mod routes;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use self::admin::Admin;
use self::counted::Counted;
use super::placed::Placed;
use super::testers::{self, Testers};
use super::watched::{ByFile, Has, WatchedFile, Watcher, names, plain};
use super::{Confirmed, Counting, InFlight, Router, RouterError, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::platform::text;

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "envoy",
    about: "Envoy, by weighted clusters in a file of routes (RDS) that it watches; no reload.",
    schema: plain_schema::<Options>,
    build,
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The file that `path_config_source` names, `.json`.
    file: String,
    /// The machine on which the file is, one of `hosts`. Default: this one.
    host: Option<String>,
    /// The `route_config_name`; the name of the app if not given.
    route: Option<String>,
    /// The cluster of each slot. Default: named like the slot.
    clusters: Option<IndexMap<String, String>>,
    /// Envoy's admin interface, such as `http://127.0.0.1:9901`.
    admin: HttpUrl,
    /// Who is sent to the slot that they name, whatever its weight.
    testers: Option<Testers>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    let route = options.route.unwrap_or_else(|| tools.app.clone());
    plain("route", &route)?;
    let clusters = names("clusters", options.clusters, &tools.slots)?;
    let placed = Placed::of(("file", &options.file), options.host.as_deref(), tools)?;
    let path = placed.path().to_owned();
    let testers = testers::fitting(options.testers, &tools.slots)?;
    let rules = testers::lines(testers.as_ref(), &tools.slots, |rule| {
        routes::of_tester(rule, &clusters)
    });
    Ok(Box::new(ByFile {
        file: WatchedFile::new(placed, &["json"])?,
        watcher: Envoy {
            lines: lines::of(
                &path,
                &route,
                &clusters,
                &tools.slots,
                options.admin.get(),
                rules,
            ),
            admin: Admin::new(tools.http.clone(), options.admin.get(), &route),
            route,
            clusters,
            testers,
        },
        slots: tools.slots.clone(),
        slowest: AtomicU64::new(0),
    }))
}

/// An Envoy that watches the file.
struct Envoy {
    admin: Admin,
    route: String,
    /// The clusters of the first and the second slot.
    clusters: [String; 2],
    testers: Option<Testers>,
    lines: String,
}

impl Envoy {
    fn told(&self, split: Split) -> String {
        let weight =
            |(name, side): (&String, Side)| format!("{name} {}", split.weight(side).percent());
        let sides = [Side::First, Side::Second];
        let both: Vec<_> = self.clusters.iter().zip(sides).map(weight).collect();
        both.join(", ")
    }
}

#[async_trait]
impl Watcher for Envoy {
    const NAME: &'static str = "Envoy";

    fn counting(&self) -> Counting<'_> {
        Counting::By(Box::new(Counted(self)))
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        counted::in_flight(self, slot).await
    }

    fn split_in(&self, content: &str) -> Result<Split, String> {
        routes::File::read(content, &self.route)?.split(&self.clusters)
    }

    fn followed_by(&self, content: &str, to: Split) -> Result<String, String> {
        let file = routes::File::read(content, &self.route)?;
        file.followed_by(&self.clusters, to)
    }

    async fn refusals(&self) -> u64 {
        // Where they cannot be counted, the version that does not come tells as much, only later.
        self.admin
            .counted()
            .await
            .map_or(u64::MAX, |counted| counted.refused)
    }

    async fn has(&self, content: &str, refusals: u64) -> Option<Has> {
        let wanted = routes::File::read(content, &self.route)
            .and_then(|file| Ok((file.version()?, file.split(&self.clusters)?)));
        let (version, split) = match wanted {
            Ok(wanted) => wanted,
            Err(said) => return Some(Has::Other(said)),
        };
        let counted = match self.admin.counted().await {
            Ok(counted) => counted,
            Err(said) => return Some(Has::Silent(said)),
        };
        // Asked after the counters: what they say was taken is in force here.
        let all = match self.admin.routes().await {
            Ok(all) => all,
            Err(said) => return Some(Has::Silent(said)),
        };
        let other = counted.versions.iter().find(|one| **one != version);
        let found = all.iter().map(|one| routes::split_of(one, &self.clusters));
        let stranger = found.clone().find(|found| *found != Ok(split));
        let said = match (other, stranger) {
            _ if all.is_empty() || counted.versions.is_empty() => {
                format!("it has no routes by the name {}", self.route)
            }
            (None, None) => return Some(Has::This),
            (_, Some(Err(said))) => said,
            (other, stranger) => {
                let has = stranger.and_then(Result::ok).unwrap_or(split);
                let other = text::excerpt(other.unwrap_or(&version), 60);
                format!("it has version \"{other}\", {}", self.told(has))
            }
        };
        Some(if counted.refused > refusals {
            Has::Refused(format!(
                "it refused the file (update_rejected or update_failure went up; its log says why) and {said}"
            ))
        } else {
            Has::Other(said)
        })
    }

    async fn ready_for(&self, to: Split) -> Result<(), RouterError> {
        let known = self
            .admin
            .clusters()
            .await
            .map_err(RouterError::OutOfReach)?;
        for (name, side) in self.clusters.iter().zip([Side::First, Side::Second]) {
            if to.weight(side) > Weight::ZERO && !known.contains(name) {
                return Err(RouterError::Refused(format!(
                    "Envoy has no cluster {name} with a host in it, so its share would be answered with 503"
                )));
            }
        }
        Ok(())
    }

    fn told_taken(&self, content: &str, split: Split) -> Confirmed {
        let version = routes::File::read(content, &self.route).and_then(|file| file.version());
        let version = version.unwrap_or_default();
        let told = self.told(split);
        Confirmed::ByState(format!("Envoy has version {version}: {told}"))
    }

    fn known_loss(&self) -> Option<String> {
        None
    }

    fn held_back(&self, late: Duration) -> Option<String> {
        let late = text::duration(late);
        Some(format!("Envoy took a change {late} late"))
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        self.lines.clone()
    }
}
