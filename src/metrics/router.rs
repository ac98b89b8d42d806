//! The `router` kind: what the environment's own router counts for each slot.
//!
//! The router is made from its own block and belongs to another seam, so all that is said here is
//! that it is to be asked. It has no figures for thresholds.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Ask, BySlot, NoData, Reading, Source, Tools};
use crate::config::kinds::{Kind, plain_schema};
use crate::model::metric::Unit;
use crate::model::slot::Side;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Source, Tools> = Kind {
    name: "router",
    about: "What the router itself counts for each slot, for a canary.",
    schema: plain_schema::<Options>,
    build: |block, _| {
        block.options::<Options>()?;
        Ok(Box::new(OfRouter))
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

struct OfRouter;

#[async_trait]
impl Source for OfRouter {
    fn told(&self) -> String {
        "the router's own counters".to_owned()
    }

    fn metrics(&self) -> Vec<(String, Unit)> {
        Vec::new()
    }

    fn longest(&self) -> Option<Duration> {
        None
    }

    fn follows_the_address(&self) -> bool {
        false
    }

    fn by_slot(&self, _: Side) -> BySlot<'_> {
        BySlot::Router
    }

    async fn read(&self, asks: &[Ask], _: &Url) -> Vec<Result<Reading, NoData>> {
        let none = |ask: &Ask| Err(NoData::because(format!("the router has no {}", ask.metric)));
        asks.iter().map(none).collect()
    }
}
