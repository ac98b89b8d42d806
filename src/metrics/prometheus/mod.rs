//! Figures from Prometheus, or from what speaks its query API.
//!
//! A threshold is judged from a range query over its time, so one run sees what a rule of
//! Prometheus's own would have seen. What is wanted is one series for each query; none and
//! several are answers of their own, and so is what is not a number.

mod answer;
mod by_slot;
mod options;
mod past;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use indexmap::IndexMap;
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::Url;

use super::figure::{Measure, Share};
use super::{Ask, BySlot, NoData, Reading, Source, Stretch, Tools, ms, now};
use crate::config::kinds::{Kind, plain_schema};
use crate::model::metric::Unit;
use crate::model::series::{Point, Sample, Series};
use crate::model::slot::{Side, Slots};
use crate::platform::http::{Answer, Http, Look, Manner, below};
use crate::platform::secret::Vault;
use answer::Answered;
use options::{Options, WINDOW, fitting, headers};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Source, Tools> = Kind {
    name: "prometheus",
    about: "Asks Prometheus, or what speaks its query API.",
    schema: plain_schema::<Options>,
    build: |block, tools| Ok(Box::new(Prometheus::new(block.options()?, tools)?)),
};

/// Prometheus answers with at most 11,000 points; so many are enough here.
const MOST_POINTS: u32 = 2000;

struct Prometheus {
    options: Options,
    measures: IndexMap<String, Measure>,
    headers: HeaderMap,
    http: Http,
    vault: Vault,
    slots: Slots,
}

/// The times that are asked for.
#[derive(Clone, Copy)]
enum Times {
    Now,
    /// In milliseconds.
    At(i64),
    /// From, to and step, in milliseconds.
    Range(i64, i64, i64),
}

impl Prometheus {
    fn new(options: Options, tools: &Tools) -> Result<Self, String> {
        match &options.by_slot {
            Some(by_slot) => by_slot.check()?,
            None if options.queries.is_empty() => {
                return Err("queries: there is none, and no `by-slot`".to_owned());
            }
            None => {}
        }
        let mut measures = IndexMap::new();
        for (name, query) in &options.queries {
            let measure = fitting(name, query);
            let measure = measure.map_err(|said| format!("queries.{name}: {said}"))?;
            measures.insert(name.clone(), measure);
        }
        Ok(Self {
            headers: headers(&options, &tools.vault)?,
            measures,
            http: tools.http.clone(),
            vault: tools.vault.clone(),
            slots: tools.slots.clone(),
            options,
        })
    }

    /// Asks one query, whose answer is one series.
    async fn ask(&self, query: &str, ask: &Ask, times: Times) -> Result<Answered, NoData> {
        let query = query.replace(WINDOW, &format!("{}ms", ask.window.as_millis()));
        let answer = self.answer(&query, times).await?;
        answer::read(&answer, &self.asked(&self.told(), &query))
    }

    /// What was asked, for messages.
    fn asked<'a>(&'a self, told: &'a str, query: &'a str) -> answer::Asked<'a> {
        answer::Asked {
            told,
            query,
            allow_partial: self.options.allow_partial,
            vault: &self.vault,
        }
    }

    async fn answer(&self, query: &str, times: Times) -> Result<Answer, NoData> {
        let (path, form) = self.form(query, times);
        let look = Look {
            method: Method::POST,
            url: below(self.options.url.get(), path),
            headers: self.headers.clone(),
            body: Some(form.into_bytes()),
            timeout: self.options.timeout.get(),
            manner: Manner {
                verify: self.options.verify_tls,
                ..Manner::API
            },
        };
        let answer = self.http.look(&look).await;
        answer.map_err(|failed| NoData::out_of_reach(format!("{}: {failed}", self.told())))
    }

    /// Where a query goes, and the form with it.
    fn form(&self, query: &str, times: Times) -> (&'static str, String) {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let timeout = format!("{}ms", self.options.timeout.get().as_millis());
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query);
        form.append_pair("timeout", &timeout);
        if !self.options.allow_partial {
            // What asks several stores fails then, instead of leaving some of them out.
            form.append_pair("partial_response", "false");
        }
        let path = match times {
            Times::Now => "/api/v1/query",
            Times::At(time) => {
                form.append_pair("time", &seconds(time));
                "/api/v1/query"
            }
            Times::Range(from, to, step) => {
                form.append_pair("start", &seconds(from));
                form.append_pair("end", &seconds(to));
                form.append_pair("step", &seconds(step));
                "/api/v1/query_range"
            }
        };
        (path, form.finish())
    }

    async fn reading(&self, ask: &Ask) -> Result<Reading, NoData> {
        let end = now();
        let step = step(ask);
        let points = (ask.back.as_millis() / step.as_millis().max(1)) as i64;
        let step = ms(step);
        let times = match points {
            0 => Times::Now,
            points => Times::Range(end - (points - 1) * step, end, step),
        };
        self.reading_of(ask, times, end).await
    }

    /// Reads a metric at the times that are given; `end` is where there are none.
    async fn reading_of(&self, ask: &Ask, times: Times, end: i64) -> Result<Reading, NoData> {
        let unknown = || NoData::because(format!("{} has no {}", self.told(), ask.metric));
        let query = self.options.queries.get(&ask.metric).ok_or_else(unknown)?;
        let measure = *self.measures.get(&ask.metric).ok_or_else(unknown)?;
        let asked = [
            Some(&query.query),
            query.of.as_ref(),
            query.requests.as_ref(),
        ];
        let asked = asked.map(async |query| match query {
            Some(query) => self.ask(query, ask, times).await.map(Some),
            None => Ok(None),
        });
        let all = join_all(asked).await;
        let mut all = all.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut next = || all.next().flatten();
        let (part, of, requests) = (next().unwrap_or_default(), next(), next());
        if let (true, Some(of)) = (part.points.is_empty(), &of)
            && !of.points.is_empty()
        {
            return Err(NoData::because(format!(
                "{}, while `of` has values; if no series means none, write `… or vector(0)`",
                part.why_empty
            )));
        }
        for one in [Some(&part), of.as_ref(), requests.as_ref()]
            .into_iter()
            .flatten()
        {
            if one.points.is_empty() {
                return Err(NoData::because(one.why_empty.clone()));
            }
        }
        let grid: Vec<i64> = match times {
            Times::Now | Times::At(_) => vec![part.points.first().map_or(end, |(at, _)| *at)],
            Times::Range(from, to, step) => (0..=(to - from) / step.max(1))
                .map(|i| from + i * step)
                .collect(),
        };
        let step = match times {
            Times::Now | Times::At(_) => ms(step(ask)),
            Times::Range(.., step) => step,
        };
        let sample = |at: i64| {
            let near = step / 2;
            let requests = match &requests {
                Some(all) => Some(all.at(at, near)?),
                None => None,
            };
            let part = part.at(at, near)?;
            let Some(of) = &of else {
                return Some(Sample {
                    requests,
                    ..Sample::of(measure.value(part))
                });
            };
            sample_of(measure, part, of.at(at, near)?, requests)
        };
        let points: Vec<Point> = grid
            .iter()
            .map(|at| Point {
                at: *at,
                sample: sample(*at),
            })
            .collect();
        if points.iter().all(|point| point.sample.is_none()) {
            return Err(NoData::because(format!(
                "the queries of {} have no value at the same time, or divide by zero",
                ask.metric
            )));
        }
        let mut warnings = part.warnings;
        warnings.extend(of.into_iter().chain(requests).flat_map(|it| it.warnings));
        warnings.dedup();
        Ok(Reading {
            series: Series {
                step,
                window: ms(ask.window),
                end: grid.last().copied().unwrap_or(end),
                is_of_good: measure.share == Some(Share::Good),
                points,
            },
            note: String::new(),
            warnings,
        })
    }
}

/// A part of something: of requests, counted; of anything else, a ratio.
fn sample_of(measure: Measure, part: f64, of: f64, requests: Option<f64>) -> Option<Sample> {
    let failed = measure.share.map(|share| match share {
        Share::Failed => part,
        Share::Good => of - part,
    });
    match failed {
        // Of no requests none has failed, and none was good: too few to tell.
        Some(failed) => Some(Sample {
            value: if of > 0.0 { part / of } else { 0.0 },
            requests: Some(of),
            failed: Some(failed.max(0.0)),
        }),
        None if of > 0.0 => Some(Sample {
            requests,
            ..Sample::of(part / of)
        }),
        None => None,
    }
}

/// Four samples to a window, and not more than a server has to compute.
fn step(ask: &Ask) -> Duration {
    let most = ask.back / MOST_POINTS;
    let step = (ask.window / 4).max(most).max(Duration::from_secs(1));
    Duration::from_millis(step.as_millis() as u64)
}

#[async_trait]
impl Source for Prometheus {
    fn told(&self) -> String {
        let url = self.options.url.get();
        let told = format!("Prometheus at {}", url.origin().ascii_serialization());
        self.vault.redact(&told).into_owned()
    }

    fn metrics(&self) -> Vec<(String, Unit)> {
        let all = self.measures.iter();
        all.map(|(name, measure)| (name.clone(), measure.unit))
            .collect()
    }

    fn longest(&self) -> Option<Duration> {
        None
    }

    fn follows_the_address(&self) -> bool {
        false
    }

    fn by_slot(&self, _: Side) -> BySlot<'_> {
        match &self.options.by_slot {
            Some(queries) => BySlot::Counted(Box::new(by_slot::Slotwise::new(self, queries))),
            None => BySlot::Whole("give it `by-slot:` with the queries `requests` and `errors`"),
        }
    }

    fn remembers(&self) -> bool {
        true
    }

    async fn past(&self, stretch: &Stretch) -> Result<Vec<(i64, f64)>, NoData> {
        self.pieces(stretch).await
    }

    async fn read(&self, asks: &[Ask], _: &Url) -> Vec<Result<Reading, NoData>> {
        join_all(asks.iter().map(|ask| self.reading(ask))).await
    }
}
