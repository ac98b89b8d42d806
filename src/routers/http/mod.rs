//! The `http` kind: a service that decides about traffic and is asked through HTTP.
//!
//! By itself it speaks the contract that Cutover publishes (see [`CONTRACT`]): weights, a version
//! and an ETag. With a `template` it speaks somebody else's API. After a lost answer it never
//! guesses: it looks, and compares, before anything is repeated.

mod service;
mod template;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use reqwest::header::HeaderValue;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError, Tools};
use crate::config::kinds::{Block, Kind, plain_schema};
use crate::config::units::HttpUrl;
use crate::model::slot::Side;
use crate::model::split::{Split, Weight};
use crate::platform::secret::Secret;
use crate::platform::text::excerpt;
use service::Service;
use template::Filling;
pub use template::{Read, Template};

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "http",
    about: "A service that keeps the weights and is asked through HTTP.",
    schema: || plain_schema::<Options>(),
    build,
};

/// The published contract.
pub const CONTRACT: &str = r#"# Nothing goes into a proxy's configuration; the service at `url` keeps this contract:
#   GET -> 200, ETag: "41"
#     {"weights":{"FIRST":100,"SECOND":0},"version":41,"applied":41}
#   PUT, If-Match: "41", Idempotency-Key: <uuid>, Authorization: Bearer <token>
#     {"weights":{"FIRST":75,"SECOND":25},"reason":"..."}
#     -> 200 applied; 202 accepted, GET has `applied` >= `version` when it is in force;
#        412 changed by someone else; 428 If-Match is wanted; 409 locked; 422 wrong weights
#   The same Idempotency-Key again has no second effect.
"#;

/// How often a restore begins anew when somebody else changes something in between.
const RESTORES: u32 = 5;

/// The options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The service's address.
    pub url: HttpUrl,
    /// Sent as `Authorization: Bearer`.
    pub token: Option<Secret>,
    /// For a service that does not keep the contract.
    pub template: Option<Template>,
}

fn build(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let options: Options = block.options()?;
    let url = options.url.get().clone();
    let token = match options.token {
        Some(token) => {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value =
                value.map_err(|_| "token: it has characters that no header can carry")?;
            value.set_sensitive(true);
            Some(value)
        }
        None => None,
    };
    let template = options
        .template
        .map(|template| Filling::new(template, &url, &tools.slots));
    Ok(Box::new(Service {
        http: tools.http.clone(),
        slots: tools.slots.clone(),
        url,
        token,
        template: template.transpose()?,
        run: uuid::Uuid::new_v4(),
        changes: AtomicU64::new(0),
        no_etag: AtomicBool::new(false),
    }))
}

impl Service {
    /// Whether such a split can be asked for at all.
    fn can_do(&self, to: Split) -> Result<(), RouterError> {
        match &self.template {
            Some(template) if !to.is_whole() && !template.has_weights() => {
                Err(RouterError::Refused(format!(
                    "the template has no {{{{weight}}}}, so {} cannot be asked for",
                    to.told(&self.slots)
                )))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Router for Service {
    fn told(&self) -> String {
        format!("http {}", self.place())
    }

    fn known_loss(&self) -> Option<String> {
        // Known after the first read, which comes before every change.
        self.no_etag.load(Ordering::Relaxed).then(|| {
            "no compare-and-swap: a writer between the last look and the change is overwritten"
                .to_owned()
        })
    }

    fn one_time_lines(&self) -> String {
        match self.template {
            Some(_) => "# Nothing: the service is driven by the template as it is.\n".to_owned(),
            None => CONTRACT
                .replace("FIRST", &self.slots.first.name)
                .replace("SECOND", &self.slots.second.name),
        }
    }

    fn counting(&self) -> Counting<'_> {
        Counting::Not("a service that keeps weights says nothing of requests")
    }

    async fn in_flight(&self, _: Side) -> InFlight {
        InFlight::NotCounted("a service that keeps weights says nothing of requests")
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        let state = self.settled().await?;
        Ok(Reading {
            split: state.split,
            apart: Vec::new(),
            revision: state.revision,
            saved: state.split.second.percent().to_string(),
        })
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        self.can_do(change.to)?;
        let from = self.expect(change).await?;
        self.request(&from, change.to, &change.reason).map(drop)
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        self.can_do(change.to)?;
        let from = self.expect(change).await?;
        if from.split == change.to {
            return Ok(());
        }
        self.change(&from, change.to, &change.reason).await
    }

    async fn forestall(&self) -> Result<(), RouterError> {
        let now = self.state().await?;
        // Whatever was on its way names the tag that was there before.
        if !now.is_tied() {
            return Ok(());
        }
        self.change(
            &now,
            now.split,
            "as it is: an earlier change whose answer was lost comes too late now",
        )
        .await
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let now = self.settled().await?;
        let said = now.split.told(&self.slots);
        if now.split == split {
            Ok(Confirmed::ByState(format!("it says {said}")))
        } else {
            Err(RouterError::NotTaken(format!(
                "it says {said}, wanted {}",
                split.told(&self.slots)
            )))
        }
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let second = saved.saved.parse().ok().and_then(Weight::new);
        let to = second.map(|second| Split { second }).ok_or_else(|| {
            RouterError::Refused(format!(
                "\"{}\" is not a saved weight",
                excerpt(&saved.saved, 40)
            ))
        })?;
        let mut tried = 1;
        loop {
            // Not `settled`: what is stuck on its way to another weight is the reason to be here.
            let now = self.state().await?;
            if now.split == to && now.pending.is_none() {
                return Ok(());
            }
            match self.change(&now, to, "put back").await {
                Err(RouterError::Conflict { .. }) if tried < RESTORES => tried += 1,
                outcome => return outcome,
            }
        }
    }
}
