//! Thresholds with durations: is a figure past its bound, and for how long?
//!
//! As Prometheus's `for`, on pooled counts. A point counts towards the duration when it is past
//! the bound; one that is within begins the count anew. Points without data or with too few
//! requests do neither. No data for a while is unknown, too few requests are inconclusive.

use crate::model::assessment::Health;
use crate::model::series::{Sample, Series};

use super::evidence::{BAR, evidence};

/// So many points in a row must be within the bound until a breach is over.
const CLEAN: u32 = 2;

/// Of a pooled duration so much must be past the bound, point by point.
const POOLED: f64 = 0.8;

/// Where it is too much, or too little.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Above this is a breach.
    Above(f64),
    /// Below this is a breach.
    Below(f64),
}

impl Bound {
    const fn is_passed(self, value: f64) -> bool {
        match self {
            Self::Above(limit) => value > limit,
            Self::Below(limit) => value < limit,
        }
    }

    /// The largest share of failed requests that the bound lets pass, for shares of requests.
    const fn most_failed(self) -> f64 {
        match self {
            Self::Above(limit) => limit,
            Self::Below(limit) => 1.0 - limit,
        }
    }
}

/// What must be past the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every point of the duration.
    #[default]
    Every,
    /// The whole duration taken together, and 80 % of its points.
    Pooled,
}

/// A threshold. Times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Where it is too much or too little.
    pub bound: Bound,
    /// Where a breach is over again; the bound itself, if nothing else was said.
    pub clear: Bound,
    /// For how long.
    pub duration: i64,
    /// Points with fewer requests than this decide nothing.
    pub min_requests: f64,
    /// After so long without data nothing is known any more.
    pub no_data_after: i64,
    /// What must be past the bound.
    pub mode: Mode,
    /// Whether proof from few requests is enough before the duration is over. For shares of
    /// requests that were counted.
    pub at_once: bool,
}

/// Why it was judged so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Within the bound.
    Within,
    /// Past the bound for as long as it takes.
    Held,
    /// Past the bound beyond doubt, before the duration is over.
    Gross,
    /// Past the bound, and not yet for long enough.
    Pending,
    /// Too few requests.
    TooFew,
    /// No data.
    NoData,
}

/// What a series says about a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// Why.
    pub why: Why,
    /// Since when the figure is past its bound, in milliseconds since 1970.
    pub since: Option<i64>,
    /// For how long the points say so, in milliseconds.
    pub held: i64,
    /// The figure: pooled over the breach, or over the duration, where requests were counted;
    /// else the newest.
    pub value: Option<f64>,
    /// How many requests failed, and of how many, where that was counted.
    pub failed: Option<f64>,
    /// How many requests there were, where that was counted.
    pub requests: Option<f64>,
}

impl Judgement {
    /// In one of four words.
    pub const fn health(&self) -> Health {
        match self.why {
            Why::Within => Health::Healthy,
            Why::Held | Why::Gross => Health::Unhealthy,
            Why::Pending | Why::TooFew => Health::Inconclusive,
            Why::NoData => Health::Unknown,
        }
    }
}

/// Where the walk along the points stands.
#[derive(Clone, Copy, Default)]
struct Walk {
    /// Since when points are past the bound, and for how much time they stand.
    since: Option<i64>,
    held: i64,
    /// Why it is firing, if it is.
    firing: Option<Why>,
    clean: u32,
    /// When a breach was last over: what was before it is no evidence.
    over: Option<i64>,
    /// The newest point with any data, and the newest with enough.
    heard: Option<i64>,
    judged: Option<i64>,
}

/// Judges a series by a rule.
pub fn judge(rule: &Rule, series: &Series) -> Judgement {
    let mut walk = Walk::default();
    for point in &series.points {
        let gap = |last: Option<i64>| last.is_some_and(|last| point.at - last > rule.no_data_after);
        let Some(sample) = point.sample else { continue };
        if gap(walk.heard) {
            walk = Walk::default();
        }
        walk.heard = Some(point.at);
        let few = sample.requests.is_some_and(|all| all < rule.min_requests);
        if !few {
            walk.judged = Some(point.at);
            walk.step(rule, series, point.at, sample);
        }
        let is_past = rule.bound.is_passed(sample.value);
        let proved = || gross(rule, series, point.at, walk.over);
        match walk.firing {
            None if is_past && proved() => {
                walk.firing = Some(Why::Gross);
                walk.since.get_or_insert(point.at - series.step);
                walk.clean = 0;
            }
            // What so few requests have proved, so few can take back.
            Some(Why::Gross) if few && !is_past && !proved() => walk.well(point.at),
            _ => {}
        }
    }
    conclude(rule, series, &walk)
}

impl Walk {
    fn step(&mut self, rule: &Rule, series: &Series, at: i64, sample: Sample) {
        if rule.bound.is_passed(sample.value) {
            self.clean = 0;
            self.since.get_or_insert(at - series.step);
            self.held += series.step;
            let is_held = match rule.mode {
                Mode::Every => self.held >= rule.duration,
                Mode::Pooled => pooled_is_past(rule, series, at),
            };
            if is_held {
                self.firing = Some(Why::Held);
            }
        } else if self.firing.is_none() {
            self.begin_anew();
        } else if rule.clear.is_passed(sample.value) {
            self.clean = 0;
        } else {
            self.well(at);
        }
    }

    /// A point that is well while a breach lasts; after several in a row it is over.
    const fn well(&mut self, at: i64) {
        self.clean += 1;
        if self.clean >= CLEAN {
            self.begin_anew();
            self.firing = None;
            self.over = Some(at);
        }
    }

    const fn begin_anew(&mut self) {
        self.since = None;
        self.held = 0;
        self.clean = 0;
    }
}

/// Whether the duration that ends at `at` is past the bound as a whole, and nearly all along.
fn pooled_is_past(rule: &Rule, series: &Series, at: i64) -> bool {
    let from = at - rule.duration.max(series.step);
    let mut past = 0;
    for point in &series.points {
        let enough = |sample: &Sample| {
            let few = sample.requests.is_some_and(|all| all < rule.min_requests);
            !few && rule.bound.is_passed(sample.value)
        };
        if point.at > from && point.at <= at && point.sample.as_ref().is_some_and(enough) {
            past += series.step;
        }
    }
    let value = pooled(series, from, at).value;
    past as f64 >= POOLED * rule.duration as f64
        && value.is_some_and(|value| rule.bound.is_passed(value))
}

/// Whether the requests of the duration that ends at `at` prove a breach by themselves.
fn gross(rule: &Rule, series: &Series, at: i64, over: Option<i64>) -> bool {
    if !rule.at_once {
        return false;
    }
    let from = at - rule.duration.max(series.window);
    let from = over.map_or(from, |over| over.max(from));
    let all = pooled(series, from, at);
    match (all.failed, all.requests) {
        (Some(failed), Some(requests)) => {
            evidence(failed, requests, rule.bound.most_failed()) >= BAR
        }
        _ => false,
    }
}

struct Pooled {
    value: Option<f64>,
    failed: Option<f64>,
    requests: Option<f64>,
}

/// The samples of a stretch taken together: counts are added up, other values averaged.
fn pooled(series: &Series, from: i64, until: i64) -> Pooled {
    let (mut failed, mut requests, mut sum, mut n) = (Some(0.0), Some(0.0), 0.0, 0.0);
    for sample in series.apart(from, until) {
        let add = |to: Option<f64>, more: Option<f64>| Some(to? + more?);
        failed = add(failed, sample.failed);
        requests = add(requests, sample.requests);
        sum += sample.value;
        n += 1.0;
    }
    if n == 0.0 {
        return Pooled {
            value: None,
            failed: None,
            requests: None,
        };
    }
    let share = match (failed, requests) {
        (Some(failed), Some(all)) if all > 0.0 => Some(failed / all),
        _ => None,
    };
    let value = match share {
        Some(share) if series.is_of_good => 1.0 - share,
        Some(share) => share,
        None => sum / n,
    };
    Pooled {
        value: Some(value),
        failed,
        requests,
    }
}

fn conclude(rule: &Rule, series: &Series, walk: &Walk) -> Judgement {
    let old = |last: Option<i64>| last.is_none_or(|last| series.end - last > rule.no_data_after);
    let why = match walk.firing {
        _ if old(walk.heard) => Why::NoData,
        Some(Why::Gross) => Why::Gross,
        _ if old(walk.judged) => Why::TooFew,
        Some(why) => why,
        None if walk.since.is_some() => Why::Pending,
        None => Why::Within,
    };
    let is_past = matches!(why, Why::Held | Why::Gross | Why::Pending);
    let since = walk.since.filter(|_| is_past);
    let from = since.unwrap_or(series.end - rule.duration.max(series.window));
    // What fires of few requests fires by all that were counted.
    let from = match why {
        Why::Gross => from.min(series.end - rule.duration.max(series.window)),
        _ => from,
    };
    let all = pooled(series, from, series.end);
    let counted = all.failed.is_some() && why != Why::NoData;
    let newest = series.last().map(|sample| sample.value);
    Judgement {
        why,
        since,
        held: if is_past { walk.held } else { 0 },
        value: match (why, counted) {
            (Why::NoData, _) => None,
            (_, true) => all.value,
            (_, false) => newest,
        },
        failed: all.failed.filter(|_| counted),
        requests: all.requests.filter(|_| why != Why::NoData),
    }
}
