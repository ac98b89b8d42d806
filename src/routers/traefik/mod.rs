//! The `traefik` kind: a file of the file provider that holds one weighted service.
//!
//! The file is ours as a whole; routers, middlewares and the slots' own services are in other
//! files of the same directory. With `api` the running Traefik is asked which weights it has,
//! which also shows when it holds changes back (`providersThrottleDuration`).

mod api;
mod counted;
mod lines;
mod live_file;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use self::api::Api;
use self::counted::{Counted, Metrics};
use self::live_file::{Live, Told};
use super::placed::Placed;
use super::testers::{self, Testers};
use super::watched::{ByFile, Has, WatchedFile, Watcher, names, plain};
use super::{Confirmed, Counting, InFlight, Router, RouterError, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::text;

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "traefik",
    about: "Traefik, by a weighted service in a file that it watches; no reload.",
    schema: plain_schema::<Options>,
    build,
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The file that Cutover writes, `.yml` or `.yaml`, in the directory of Traefik's file provider.
    file: String,
    /// The machine on which the file is, one of `hosts`. Default: this one.
    host: Option<String>,
    /// The weighted service in it, to which routers point; the name of the app if not given.
    service: Option<String>,
    /// The service of each slot, such as `shop-blue@docker`. Default: named like the slot.
    services: Option<IndexMap<String, String>>,
    /// Where Traefik's API answers, such as `http://127.0.0.1:8080`.
    api: Option<HttpUrl>,
    /// Where Traefik answers with its metrics, such as `http://127.0.0.1:8080/metrics`: what it
    /// counts for each slot is for `metrics: [{ kind: router }]`.
    metrics: Option<HttpUrl>,
    /// Who is sent to the slot that they name, whatever its weight.
    testers: Option<Testers>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    let service = options.service.unwrap_or_else(|| tools.app.clone());
    plain("service", &service)?;
    if service.contains('@') {
        return Err(format!(
            "service: \"{service}\" names a provider; the file is the file provider's, so leave out what is after the @"
        ));
    }
    let children = names("services", options.services, &tools.slots)?;
    if children.contains(&service) {
        return Err(format!(
            "service: \"{service}\" is the service of a slot too; the one that divides traffic needs a name of its own"
        ));
    }
    let api = options
        .api
        .map(|url| Api::new(tools.http.clone(), url.get(), &service));
    let placed = Placed::of(("file", &options.file), options.host.as_deref(), tools)?;
    let path = placed.path().to_owned();
    let file = WatchedFile::new(placed, &["yml", "yaml"])?;
    Ok(Box::new(ByFile {
        file,
        watcher: Traefik {
            path,
            service,
            children,
            api: api.transpose()?,
            metrics: options.metrics.map(|url| Metrics {
                http: tools.http.clone(),
                url: url.get().clone(),
            }),
            testers: testers::fitting(options.testers, &tools.slots)?,
            slots: tools.slots.clone(),
            sticky: AtomicBool::new(false),
        },
        slots: tools.slots.clone(),
        slowest: AtomicU64::new(0),
    }))
}

/// A Traefik that watches the file.
struct Traefik {
    path: PathBuf,
    service: String,
    /// The services of the first and the second slot.
    children: [String; 2],
    api: Option<Api>,
    metrics: Option<Metrics>,
    testers: Option<Testers>,
    slots: Slots,
    /// Whether the last file that was read keeps clients by a cookie.
    sticky: AtomicBool,
}

impl Traefik {
    fn live(&self, content: &str) -> Result<Live, String> {
        let live = Live::read(content, &self.service)?;
        self.sticky.store(live.is_sticky(), Ordering::Relaxed);
        Ok(live)
    }
}

#[async_trait]
impl Watcher for Traefik {
    const NAME: &'static str = "Traefik";

    fn counting(&self) -> Counting<'_> {
        match &self.metrics {
            Some(metrics) => Counting::By(Box::new(Counted {
                metrics,
                children: &self.children,
            })),
            None => Counting::Not(
                "Traefik counts for its metrics only; give it `metrics:`, and Traefik the line that `cutover router-config` prints then",
            ),
        }
    }

    async fn in_flight(&self, _: Side) -> InFlight {
        InFlight::NotCounted("Traefik counts what is in flight by entry point, and not by service")
    }

    fn split_in(&self, content: &str) -> Result<Split, String> {
        self.live(content)?.split(&self.children)
    }

    fn followed_by(&self, content: &str, to: Split) -> Result<String, String> {
        let next = self.live(content)?.followed_by(&self.children, to);
        Ok(next.written(&self.service))
    }

    async fn has(&self, content: &str, _refusals: u64) -> Option<Has> {
        let api = self.api.as_ref()?;
        let wanted = match self.live(content) {
            Ok(live) => live.weights,
            Err(said) => return Some(Has::Other(said)),
        };
        Some(match api.ask().await {
            Ok(weights) if weights == wanted => Has::This,
            Ok(weights) => Has::Other(format!("it has {}", Told(&weights))),
            Err(answered) => answered,
        })
    }

    async fn ready_for(&self, _to: Split) -> Result<(), RouterError> {
        Ok(())
    }

    fn told_taken(&self, content: &str, split: Split) -> Confirmed {
        let told = match self.live(content) {
            Ok(live) => Told(&live.weights).to_string(),
            Err(_) => split.told(&self.slots),
        };
        match self.api {
            Some(_) => Confirmed::ByDataPlane(format!("Traefik has {told}")),
            None => Confirmed::ByState(format!("{} has {told}", self.path.display())),
        }
    }

    fn known_loss(&self) -> Option<String> {
        let mut all = Vec::new();
        if self.api.is_none() {
            all.push("without `api` nobody asks Traefik whether it has taken a file; where `providersThrottleDuration` is not 0s (2s is its default) the way back from a change can be that much later");
        }
        if self.sticky.load(Ordering::Relaxed) {
            all.push("the service is sticky: clients with its cookie stay on their slot until its weight is 0, so a weight divides new clients only");
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn held_back(&self, late: Duration) -> Option<String> {
        Some(format!(
            "Traefik took a change {} late: unless `providersThrottleDuration` is 0s it holds changes back, and so a way back right after a switch",
            text::duration(late)
        ))
    }

    fn testers(&self) -> Option<&Testers> {
        self.testers.as_ref()
    }

    fn one_time_lines(&self) -> String {
        lines::of(self)
    }
}
