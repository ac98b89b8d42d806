//! A release gets into a slot as a container of a Docker engine, asked at its own API.
//!
//! The image is there, the wanted container is made, and all that can be refused is refused,
//! before the slot's old container is stopped. If the new one does not get well, the old one is
//! put back. The same order again changes nothing. No `docker` command is needed here.

mod exchange;
mod health;
mod image;
mod options;
mod parts;
mod prune;
mod pull;
mod seen;
mod stock;
mod wanted;

use std::path::Path;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::config::docker_engine;
use crate::config::kinds::{Kind, plain_schema};
use crate::platform::docker::{Engine, No, Way};
use crate::platform::secret::Vault;
use crate::platform::{machine, remote_machine, text};
use crate::targets::{Desk, Order, Stops, Target, TargetError, Tools};

use exchange::Exchange;
use options::Options;
use pull::Errand;
use seen::Info;
use stock::Stock;
use wanted::{CONFIG, Names, PULLED, Wanted, wanted};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "docker",
    about: "Runs the release as a container of a Docker engine: pull, check, exchange, wait, prune.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let mut options: Options = block.options()?;
        options.fit_together()?;
        let named = options.engine.take();
        let tls = options.tls.take();
        let host = options.host.take();
        let host = host
            .map(|host| tools.hosts.named(Some(&host)))
            .transpose()?;
        let (engine, directory) = (&tools.engine, &tools.directory);
        let way = docker_engine::way(named.as_deref(), tls, host, engine, directory)?;
        let told = format!("docker {}", options.image);
        Ok(Box::new(Docker {
            told: text::excerpt(&tools.vault.redact(&told), 80),
            engine: Engine::new(way, tools.http.clone()),
            vault: tools.vault.clone(),
            options,
        }))
    },
};

struct Docker {
    options: Options,
    engine: Engine,
    told: String,
    vault: Vault,
}

/// The wanted container.
enum Made {
    /// It is the slot's own.
    Same(String),
    /// It is not started.
    New(String),
}

#[async_trait]
impl Target for Docker {
    fn told(&self) -> String {
        self.told.clone()
    }

    fn ends_what_it_begins(&self) -> bool {
        true
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        let names = Names::of(&self.options, order)?;
        let stock = Stock::look(&self.engine, &names.container, order).await?;
        stock.has_networks(&names.networks).await?;
        stock.has_ports(&names.ports).await?;
        self.has_room().await.map(drop)
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        if desk.cancelled.is_cancelled() {
            return Err(TargetError::Cancelled);
        }
        let timeout = self.options.timeout;
        let enough = desk.cancelled.child_token();
        let mut putting = Box::pin(self.put(order, desk, &enough));
        if let Ok(ended) = tokio::time::timeout(timeout.get(), &mut putting).await {
            return ended;
        }
        enough.cancel();
        match putting.await {
            Err(TargetError::Cancelled) if !desk.cancelled.is_cancelled() => {
                Err(TargetError::TimedOut {
                    said: format!("{} was ended after its timeout of {timeout}", self.told),
                    after: timeout.get(),
                    last_words: Vec::new(),
                })
            }
            ended => ended,
        }
    }

    fn stops(&self) -> Option<&dyn Stops> {
        Some(self)
    }
}

#[async_trait]
impl Stops for Docker {
    async fn stop(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let name = wanted::name(&self.options, order)?;
        let stock = Stock::look(&self.engine, &name, order).await?;
        let Some(row) = stock.ours(stock.name) else {
            return Err(failed(format!("there is no {name} of ours")));
        };
        tokio::select! {
            biased;
            () = desk.cancelled.cancelled() => return Err(TargetError::Cancelled),
            stopped = stock.stop(&row.id, self.options.stop_timeout.get()) => stopped?,
        }
        Ok(format!("{name} is stopped"))
    }
}

impl Docker {
    async fn put(
        &self,
        order: &Order,
        desk: &Desk<'_>,
        enough: &CancellationToken,
    ) -> Result<String, TargetError> {
        let options = &self.options;
        let names = Names::of(options, order)?;
        let name = names.container.as_str();
        let stock = Stock::look(&self.engine, name, order).await?;
        stock.has_networks(&names.networks).await?;
        stock.has_ports(&names.ports).await?;
        if let Some(unseen) = self.has_room().await? {
            (desk.say)(unseen);
        }
        let errand = Errand {
            engine: &self.engine,
            image: &names.image,
            digest: options.digest.as_deref(),
            pull: options.pull,
            registry: options.registry.as_ref(),
        };
        let brought = errand.run(desk.say, enough).await?;
        let known = |row: &seen::Row| row.image_id == brought.id && row.label(PULLED).is_some();
        let pulled = brought.is_new || stock.all.iter().any(known);
        let wanted = wanted(options, order, &names, &brought, pulled);
        let told = pull::told(&brought.named);
        let exchange = Exchange {
            stock: &stock,
            options,
            ports: &names.ports,
            vault: &self.vault,
            desk,
            enough,
        };
        let new = match self.made(&exchange, &wanted, &names).await {
            Ok(Made::New(new)) => new,
            Ok(Made::Same(same)) => {
                let well = exchange.go_on(&same).await?;
                return Ok(format!(
                    "{name} runs {told} already, {well}; nothing was changed"
                ));
            }
            Err(why) => {
                if brought.is_new {
                    prune::unneeded(&stock, &brought, desk.say).await;
                }
                return Err(why);
            }
        };
        let well = exchange.run(&new).await?;
        match Stock::look(&self.engine, name, order).await {
            Ok(now) => prune::prune(&now, options.keep, desk.say).await,
            Err(failed) => (desk.say)(format!("nothing was pruned: {failed}")),
        }
        Ok(format!("{name} runs {told}, {well}"))
    }

    /// Has the wanted container, which is new unless the slot's own is that already.
    async fn made(
        &self,
        exchange: &Exchange<'_>,
        wanted: &Wanted,
        names: &Names,
    ) -> Result<Made, TargetError> {
        if let Some(same) = self.same(exchange.stock, wanted).await? {
            return Ok(Made::Same(same));
        }
        exchange.mend().await?;
        let new = exchange.make(&wanted.body, &names.networks).await?;
        Ok(Made::New(new))
    }

    /// The slot's container, if it is the wanted one and lives.
    async fn same(
        &self,
        stock: &Stock<'_>,
        wanted: &Wanted,
    ) -> Result<Option<String>, TargetError> {
        let Some(row) = stock.ours(stock.name) else {
            return Ok(None);
        };
        let Some(found) = stock.inspect(&row.id).await? else {
            return Ok(None);
        };
        let health = found.state.health.as_ref();
        let ill =
            health.is_some_and(|health| health.status == "unhealthy" && health.failing_streak > 0);
        let same = found.label(CONFIG) == Some(&wanted.fingerprint);
        let lives = found.state.running && !found.state.restarting && !ill && !found.is_laid_down();
        Ok((same && lives && found.restart_count == 0).then_some(found.id))
    }

    /// Whether there is room on the engine's disk; a line where that cannot be seen.
    async fn has_room(&self) -> Result<Option<String>, TargetError> {
        let info: Result<Info, No> = self.engine.get("/info").await;
        let info = info.map_err(|no| unread("the engine was not asked for its disk", &no))?;
        let root = Path::new(&info.docker_root_dir);
        let free = match &self.engine.way {
            Way::Socket(_) if root.is_dir() => machine::free_disk(root).ok(),
            Way::Host(host, _) => remote_machine::free_disk(&**host, root).await,
            _ => None,
        };
        let Some(free) = free else {
            return Ok(Some(format!(
                "the engine's folder {} cannot be seen from here, so nobody looked how much is free there",
                root.display()
            )));
        };
        let wanted = self.options.disk;
        if free >= wanted.bytes() {
            return Ok(None);
        }
        Err(TargetError::OutOfReach(format!(
            "{} are free in {}, wanted {wanted}; nothing was stopped. `docker system df` says what uses it",
            text::bytes(free),
            root.display()
        )))
    }
}

/// It was tried and failed, and there is nothing to quote.
fn failed(said: String) -> TargetError {
    TargetError::Failed {
        said,
        last_words: Vec::new(),
    }
}

/// A question without an answer; nothing was changed by it.
fn unread(what: &str, no: &No) -> TargetError {
    match no {
        No::Said(..) => failed(format!("{what}: {no}")),
        _ => TargetError::OutOfReach(format!("{what}: {no}")),
    }
}
