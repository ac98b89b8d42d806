//! Figures of our own requests: a load at a set rate against a URL, measured as users feel it.
//!
//! All figures of a run come from the same requests. Latencies count from when a request was due,
//! percentiles are exact, failures are counted by what they were. What could not be sent from
//! this machine is told and counts for nothing.

mod both;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::figure::{Measure, Share};
use super::load::{HttpGun, Load, Outcome, Pace, Shot};
use super::{Ask, BySlot, NoData, Reading, Source, Tools, ms, now};
use crate::config::kinds::{Kind, plain_schema};
use crate::config::request::Headers;
use crate::config::units::{HttpUrl, Span};
use crate::model::figures::Figures;
use crate::model::metric::{ERROR_RATE, P50, P95, P99, SUCCESS_RATE, Unit, unit_of};
use crate::model::series::{Point, Sample, Series};
use crate::model::slot::{Side, Slots};
use crate::platform::http::{Answer, Http, Look, Manner, below};
use crate::platform::text;
use both::Both;

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Source, Tools> = Kind {
    name: "prober",
    about: "Sends requests of its own at a set rate, and measures what they feel.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Prober::new(block.options()?, tools)?)),
};

/// What it yields.
const METRICS: [&str; 5] = [ERROR_RATE, SUCCESS_RATE, P50, P95, P99];

/// For how long it sends where nothing asks for more.
const SHORTEST: Duration = Duration::from_secs(10);

/// A request that this machine came to so late is told: its latency is partly our own.
const LATE: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// A path on what is looked at. Default /. Either this or `url`.
    path: Option<String>,
    /// A whole URL, for something else. Either this or `path`.
    url: Option<HttpUrl>,
    /// Requests a second; to each slot so many, where they are compared. Default 50.
    #[serde(default = "fifty")]
    #[schemars(range(min = 1, max = 1000))]
    rate: u32,
    /// How long it sends. Default: as long as the longest threshold on it, and 10s at least.
    duration: Option<Span>,
    /// From when a request was due to the end of its answer; what takes longer has failed. Default 5s.
    #[serde(default = "five_seconds")]
    timeout: Span,
    /// Headers of the requests.
    #[serde(default)]
    headers: Headers,
    /// Keep connections for the next request, instead of a new one for each. Default false.
    #[serde(default)]
    keep_alive: bool,
    /// Check the server's certificate. Default true.
    #[serde(default = "yes")]
    verify_tls: bool,
}

const fn fifty() -> u32 {
    50
}

fn five_seconds() -> Span {
    Span::secs(5)
}

const fn yes() -> bool {
    true
}

struct Prober {
    options: Options,
    http: Http,
    slots: Slots,
}

impl Prober {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        if options.path.is_some() && options.url.is_some() {
            return Err("there are both `path` and `url`; keep one".to_owned());
        }
        if options.path.as_ref().is_some_and(|it| !it.starts_with('/')) {
            return Err("path: a path begins with /".to_owned());
        }
        if options.duration.is_some_and(|it| it < Span::secs(1)) {
            return Err("duration: at least 1s".to_owned());
        }
        Ok(Self {
            options,
            http: tools.http.clone(),
            slots: tools.slots.clone(),
        })
    }

    fn look(&self, at: &Url) -> Look {
        let options = &self.options;
        let url = match (&options.url, &options.path) {
            (Some(url), _) => url.get().clone(),
            (None, path) => below(at, path.as_deref().unwrap_or("/")),
        };
        Look {
            headers: options.headers.get().clone(),
            manner: Manner {
                keep_alive: options.keep_alive,
                verify: options.verify_tls,
                ..Manner::PROBE
            },
            ..Look::at(url, options.timeout.get())
        }
    }

    /// Begins to send: so many requests, or until it is dropped.
    fn load(&self, at: &Url, requests: Option<u64>) -> Load<()> {
        let gun = HttpGun {
            look: self.look(at),
            http: self.http.clone(),
            read: |_: &Answer| (),
        };
        let pace = Pace {
            rate: self.options.rate,
            timeout: self.options.timeout.get(),
            requests,
        };
        Load::begin(gun, pace)
    }

    /// How long it has to send for all that is asked: the first samples need their requests, too.
    fn duration(&self, asks: &[Ask]) -> Duration {
        let of = |ask: &Ask| {
            ask.duration + Duration::from_secs(u64::from(ask.min_requests)) / self.options.rate
        };
        let asked = asks.iter().map(of).max().unwrap_or_default();
        let own = self.options.duration.map_or(SHORTEST, Span::get);
        asked.max(own)
    }
}

#[async_trait]
impl Source for Prober {
    fn told(&self) -> String {
        format!("prober, {} a second", self.options.rate)
    }

    fn metrics(&self) -> Vec<(String, Unit)> {
        let unit = |name: &&str| unit_of(name).unwrap_or(Unit::Number);
        METRICS
            .iter()
            .map(|name| ((*name).to_owned(), unit(name)))
            .collect()
    }

    fn longest(&self) -> Option<Duration> {
        self.options.duration.map(Span::get)
    }

    fn follows_the_address(&self) -> bool {
        self.options.url.is_none()
    }

    fn by_slot(&self, _: Side) -> BySlot<'_> {
        if self.options.url.is_some() {
            return BySlot::Whole("leave its `url` out: with `path` it looks at each slot's own");
        }
        BySlot::Counted(Box::new(Both::new(self)))
    }

    async fn read(&self, asks: &[Ask], at: &Url) -> Vec<Result<Reading, NoData>> {
        let duration = self.duration(asks);
        let requests = duration.as_secs_f64() * f64::from(self.options.rate);
        let began = now();
        let load = self.load(at, Some(requests.round() as u64));
        load.finished().await;
        let shots = load.shots();
        let felt = Felt::of(&shots, began, duration);
        asks.iter().map(|ask| felt.reading(ask)).collect()
    }
}

/// What the requests of a run felt like.
struct Felt {
    /// When each was due, how long it took and whether it failed, in the order of being due.
    all: Vec<(Duration, Duration, bool)>,
    began: i64,
    duration: Duration,
    kinds: BTreeMap<&'static str, u64>,
    unsent: u64,
    latest: Duration,
}

impl Felt {
    fn of(shots: &[Shot<()>], began: i64, duration: Duration) -> Self {
        let first = shots.iter().map(|shot| shot.due).min();
        let after = |shot: &Shot<()>| first.map_or(Duration::ZERO, |first| shot.due - first);
        let mut felt = Self {
            all: Vec::with_capacity(shots.len()),
            began,
            duration,
            kinds: BTreeMap::new(),
            unsent: 0,
            latest: Duration::ZERO,
        };
        for shot in shots {
            felt.latest = felt.latest.max(shot.begun - shot.due);
            if !shot.is_sent() {
                felt.unsent += 1;
                continue;
            }
            let failed = shot.outcome.is_failure();
            felt.all.push((after(shot), shot.latency(), failed));
            if shot.outcome != Outcome::Status(200) {
                *felt.kinds.entry(shot.outcome.name()).or_default() += 1;
            }
        }
        felt.all.sort_unstable();
        felt
    }

    fn reading(&self, ask: &Ask) -> Result<Reading, NoData> {
        let all = self.all.len() as u64;
        if all == 0 {
            return Err(NoData::out_of_reach(format!(
                "none of {} could be sent: this machine has no more ports, files or memory for it",
                text::count(self.unsent, "request")
            )));
        }
        let measure = Measure::of(&ask.metric, None).map_err(NoData::because)?;
        Ok(Reading {
            series: self.series(ask, measure),
            note: self.note(measure),
            warnings: self.warnings(),
        })
    }

    /// Samples from the end backwards, so that the last one is full.
    fn series(&self, ask: &Ask, measure: Measure) -> Series {
        let quarter = ask.window.max(Duration::from_millis(4)) / 4;
        let step = match ask.duration {
            Duration::ZERO => quarter.min(self.duration),
            duration => duration / duration.div_duration_f64(quarter).ceil().max(1.0) as u32,
        };
        let mut points = Vec::new();
        let mut at = self.duration;
        loop {
            points.push(Point {
                at: self.began + ms(at),
                sample: self.sample(&ask.metric, at.saturating_sub(ask.window), at),
            });
            match at.checked_sub(step) {
                Some(before) if before >= step && !step.is_zero() => at = before,
                _ => break,
            }
        }
        points.reverse();
        Series {
            step: ms(step),
            window: ms(ask.window),
            end: self.began + ms(self.duration),
            is_of_good: measure.share == Some(Share::Good),
            points,
        }
    }

    /// The figure of the requests that were due from `from` until before `until`.
    fn sample(&self, metric: &str, from: Duration, until: Duration) -> Option<Sample> {
        let range = |limit| self.all.partition_point(|(due, _, _)| *due < limit);
        let mut figures = Figures::default();
        for (_, took, failed) in &self.all[range(from)..range(until)] {
            figures.add(*took, *failed);
        }
        let rate = figures.error_rate()?;
        let seconds = |share| figures.percentile(share).map(|it| it.as_secs_f64());
        let value = match metric {
            ERROR_RATE => rate,
            SUCCESS_RATE => 1.0 - rate,
            P50 => seconds(0.50)?,
            P95 => seconds(0.95)?,
            _ => seconds(0.99)?,
        };
        Some(Sample {
            value,
            requests: Some(figures.sent() as f64),
            failed: matches!(metric, ERROR_RATE | SUCCESS_RATE).then_some(figures.failed() as f64),
        })
    }

    /// The kinds of answers other than 200, for a share of requests: `180 5xx, 3 timeout`.
    fn note(&self, measure: Measure) -> String {
        if measure.share.is_none() {
            return String::new();
        }
        let kinds = self.kinds.iter();
        let kinds: Vec<String> = kinds
            .map(|(name, n)| format!("{} {name}", text::thousands(*n)))
            .collect();
        kinds.join(", ")
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.unsent > 0 {
            warnings.push(format!(
                "{} could not be sent and count for nothing: this machine has no more ports, files or memory for them; lower `rate`, or set `keep-alive: true`",
                text::count(self.unsent, "request")
            ));
        }
        if self.latest > LATE {
            warnings.push(format!(
                "this machine sent up to {} late, and latencies include that; lower `rate`",
                text::duration(self.latest)
            ));
        }
        warnings
    }
}
