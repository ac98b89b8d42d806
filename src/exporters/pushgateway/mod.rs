//! A Pushgateway: counters go on from what it holds, also where two runs push at once.
//!
//! A push replaces what was there, so two runs that read, add and push at the same moment would
//! lose one of the two. The gateway has no way to say "only if nothing changed"; what it has is
//! a place for everybody's own words, which all can read. That is enough to stand in line:
//! [`queue`] has the rules.

mod gateway;
mod queue;

use async_trait::async_trait;
use reqwest::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::kinds::{Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::measure::{Labels, Measure};

use super::{ExportError, Exporter, Tools, exposition};
use gateway::{Gateway, Group};
use queue::Place;

/// Its line in the table.
pub(super) const KIND: Kind<dyn Exporter, Tools> = Kind {
    name: "pushgateway",
    about: "A Prometheus Pushgateway; counters go on from what it holds.",
    schema: plain_schema::<Options>,
    build: |block, tools| {
        let options: Options = block.options()?;
        let instance = options
            .instance
            .unwrap_or_else(|| format!("{}/{}", tools.app, tools.environment));
        Ok(Box::new(Pushgateway {
            gateway: Gateway::at(options.url.get(), &tools.http, &tools.vault),
            group: Group {
                job: options.job,
                instance,
            },
        }))
    },
};

/// What the kind takes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Its address, without `/metrics`; a user and a password may be in it.
    url: HttpUrl,
    /// The label `job`. Default cutover.
    #[serde(default = "default_job")]
    #[schemars(length(min = 1))]
    job: String,
    /// The label `instance`. Default: the application and the environment, with a slash between.
    #[schemars(length(min = 1))]
    instance: Option<String>,
}

fn default_job() -> String {
    "cutover".to_owned()
}

struct Pushgateway {
    gateway: Gateway,
    group: Group,
}

#[async_trait]
impl Exporter for Pushgateway {
    fn told(&self) -> String {
        format!("the Pushgateway at {}", self.gateway.told())
    }

    async fn export(&self, measures: &[Measure], labels: &Labels) -> Result<(), ExportError> {
        let place = Place::take(&self.gateway, &self.group).await?;
        let pushed = async {
            let held = place.turn().await?;
            let mut series = held.series;
            series.add(measures, labels);
            let text = exposition::write(&series);
            let path = self.group.path();
            let Err(failed) = self.gateway.send(Method::POST, &path, &text).await else {
                place.clear(&held.tickets).await;
                return Ok(());
            };
            // Lost on the way back, perhaps: nobody else writes before we leave the line.
            match self.gateway.read(&self.group).await {
                Ok(now) if now.series == series => Ok(()),
                _ => Err(failed),
            }
        };
        let pushed = pushed.await;
        place.leave().await;
        pushed
    }
}
