//! The seam: what do the numbers say?
//!
//! A source yields figures over time and judges none of them; `judge::thresholds` does. To add a
//! kind: write its file, add its `mod` line and its `KIND` to [`KINDS`].

mod figure;
mod json;
pub mod load;
mod prober;
mod prometheus;
pub mod recording;
mod router;

use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use crate::config::kinds::Kind;
use crate::model::arms::{Rated, Stand};
use crate::model::metric::Unit;
use crate::model::series::Series;
use crate::model::slot::{Side, Slots};
use crate::platform::http::Http;
use crate::platform::secret::Vault;

/// All kinds, by name.
pub const KINDS: &[Kind<dyn Source, Tools>] =
    &[prometheus::KIND, json::KIND, prober::KIND, router::KIND];

/// What a source is built with.
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// What must not be shown: text is cleaned before it is cut, for half a secret is not
    /// known as one.
    pub vault: Vault,
    /// The two slots, for what knows them apart.
    pub slots: Slots,
}

/// What is asked of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The metric; one of [`Source::metrics`].
    pub metric: String,
    /// The time that a single sample looks back on.
    pub window: Duration,
    /// The duration that is judged. A source that only knows the present looks for so long.
    pub duration: Duration,
    /// How far a source with a memory goes back; zero where the present is enough.
    pub back: Duration,
    /// Samples with fewer requests than this decide nothing.
    pub min_requests: u32,
}

/// A figure over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// The samples; at least one.
    pub series: Series,
    /// What else is to be known of it, in a few words: `180 5xx, 3 timeout`.
    pub note: String,
    /// What the source itself warns of.
    pub warnings: Vec<String>,
}

/// A stretch of the past, at each multiple of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// The metric; one of [`Source::metrics`].
    pub metric: String,
    /// After this, in milliseconds since 1970.
    pub from: i64,
    /// Up to this.
    pub to: i64,
    /// From figure to figure, which is also what each looks back on.
    pub step: Duration,
}

/// Why there is no figure. That is no zero, and no failure of what was to be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct NoData {
    /// In a line: `no series for up{job="shop"}`.
    pub said: String,
    /// Whether the source could not be asked at all.
    pub out_of_reach: bool,
}

impl NoData {
    /// The source was asked, and has nothing that could be judged.
    pub fn because(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            out_of_reach: false,
        }
    }

    /// The source could not be asked.
    pub fn out_of_reach(said: impl Into<String>) -> Self {
        Self {
            said: said.into(),
            out_of_reach: true,
        }
    }
}

/// Where figures come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// What it is, in a few words and without secrets: `Prometheus at http://10.0.0.9:9090`.
    fn told(&self) -> String;

    /// The metrics that it yields, with what their values are.
    fn metrics(&self) -> Vec<(String, Unit)>;

    /// The longest duration that it can judge, if there is one.
    fn longest(&self) -> Option<Duration>;

    /// Whether it looks at the address that it is given, and so at one slot where that is asked
    /// for; else it knows the environment as a whole.
    fn follows_the_address(&self) -> bool;

    /// What it knows of each slot apart. Where its documents speak of a canary and not of slots,
    /// `canary` says which one that is.
    fn by_slot(&self, canary: Side) -> BySlot<'_>;

    /// Whether it knows the past, so that [`Self::past`] can be asked.
    fn remembers(&self) -> bool {
        false
    }

    /// What a metric was like: times in milliseconds since 1970 with values, in their order.
    /// Where there is no data, or where nobody has asked for anything, there is a gap.
    async fn past(&self, stretch: &Stretch) -> Result<Vec<(i64, f64)>, NoData> {
        let _ = stretch;
        Err(NoData::because(format!(
            "{} does not know the past",
            self.told()
        )))
    }

    /// Reads several metrics. There is an answer for each ask, in their order.
    async fn read(&self, asks: &[Ask], at: &Url) -> Vec<Result<Reading, NoData>>;
}

/// What a source knows of each slot apart.
pub enum BySlot<'a> {
    /// It counts, from the first look on and for as long as the counter lives.
    Counted(Box<dyn Counter + 'a>),
    /// It says shares, and keeps the counts to itself.
    Rated(Box<dyn Rater + 'a>),
    /// The environment's router is to be asked.
    Router,
    /// It knows the environment as a whole; with what would change that.
    Whole(&'static str),
}

/// Who counts what each slot does, so that two releases can be compared over the same time.
#[async_trait]
pub trait Counter: Send + Sync {
    /// Where the counters of both slots stand now, at one and the same instant.
    ///
    /// # Errors
    /// When nothing is known of a slot. That is no zero.
    async fn now(&self) -> Result<Stand, NoData>;

    /// Where they stood before, the oldest first and so far apart; empty for a source without a
    /// memory. A slot that was not seen for a while stands where it was seen last, or next;
    /// one that was never seen stands at zero.
    ///
    /// # Errors
    /// When the source has a memory, and could not be asked for it.
    async fn before(&self, back: Duration, every: Duration) -> Result<Vec<Stand>, NoData>;
}

/// Who says how each slot is doing, without a count.
#[async_trait]
pub trait Rater: Send + Sync {
    /// What is said of both slots now, in one answer.
    ///
    /// # Errors
    /// When nothing is said of a slot. That is no zero.
    async fn now(&self) -> Result<Rated, NoData>;
}

/// The time now, in milliseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A duration in whole milliseconds.
fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
