//! What the windows since a deployment come to: which metrics are not as they always are, how
//! grave that is, and whether the release is to be taken back for it.
//!
//! Errors and latency are reasons to go back where they are also much worse than expected;
//! processors and memory only warn, but for a leak that has a few minutes left. What began before
//! the deployment is never its fault.

use crate::model::anomaly::{Deviation, Grade};
use crate::model::assessment::Health;
use crate::model::metric::Unit;

use super::sentence;
use super::{Baseline, Course, IN_A_ROW, MINUTE, Part, Rules, Spot, Window};

/// So far before a deployment is compared.
pub const BEFORE: i64 = 15 * MINUTE;

/// So far is looked back where nothing was deployed, and for since when it is so.
pub const BACK: i64 = 30 * MINUTE;

/// Errors: at least so many times what is expected, and so much more of all requests.
const ERRORS: (f64, f64) = (1.5, 0.001);

/// Latency: at least so many times what is expected.
const SLOWER: f64 = 1.3;

/// Requests: below this share of what is expected it is told.
const DRIED_UP: f64 = 0.5;

/// A line is drawn through so much of memory.
const LINE: i64 = 10 * MINUTE;
/// How far that line is drawn.
const AHEAD: i64 = 15 * MINUTE;

/// The sum of weighted excess that makes a severity of 63.
const SCALE: f64 = 10.0;

/// A metric with its baseline, and its newest figures in their order: from half an hour before
/// the deployment at least.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// The metric's name.
    pub metric: &'a str,
    /// What it was like before.
    pub baseline: &'a Baseline,
    /// What it is like.
    pub figures: &'a [Spot],
}

/// A metric, and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The metric's name.
    pub metric: String,
    /// Which part it plays.
    pub part: Part,
    /// Unhealthy is not as it always is; inconclusive is so, and not yet for long enough.
    pub health: Health,
    /// Where it is unhealthy, what there is to know.
    pub deviation: Option<Deviation>,
    /// In a line, with measured and expected values.
    pub said: String,
}

/// What all metrics together come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Each metric.
    pub findings: Vec<Finding>,
    /// From 0 to 100.
    pub severity: f64,
    /// Why the release is to be taken back, if it is.
    pub rollback: Option<String>,
}

impl Verdict {
    /// The severity in a word.
    pub fn grade(&self) -> Grade {
        Grade::of(self.severity)
    }

    /// What is not as it always is.
    pub fn deviations(&self) -> impl Iterator<Item = &Deviation> {
        self.findings.iter().filter_map(|it| it.deviation.as_ref())
    }
}

/// Judges metrics at a time, since a deployment if there was one. All times are in milliseconds
/// since 1970.
pub fn judge(watched: &[Watched<'_>], deployed: Option<i64>, now: i64, rules: &Rules) -> Verdict {
    let mut verdict = Verdict {
        findings: Vec::new(),
        severity: 0.0,
        rollback: None,
    };
    let mut excess = 0.0;
    for one in watched {
        let look = Look::new(one, deployed, now, rules);
        let finding = look.finding();
        if finding.deviation.is_some() {
            excess += look.excess();
        }
        let rollback = look.rollback(&finding);
        verdict.rollback = verdict.rollback.or(rollback);
        verdict.findings.push(finding);
    }
    verdict.severity = severity(excess);
    verdict
}

/// `100 * (1 - exp(-excess / 10))`.
fn severity(excess: f64) -> f64 {
    100.0 * (1.0 - (-excess / SCALE).exp())
}

/// A metric at a time.
struct Look<'a> {
    watched: &'a Watched<'a>,
    rules: &'a Rules,
    deployed: Option<i64>,
    /// The figures that count.
    figures: &'a [Spot],
    /// How many of them are not older than a window.
    recent: usize,
    /// The windows of them, the newest last; empty where the newest is old.
    windows: Vec<Window>,
}

impl<'a> Look<'a> {
    fn new(watched: &'a Watched<'a>, deployed: Option<i64>, now: i64, rules: &'a Rules) -> Self {
        let from = match deployed {
            // A figure stands for the step before it.
            Some(deployed) => (deployed + rules.warm_up + rules.step).max(now - BACK),
            None => now - BACK,
        };
        let all = watched.figures;
        let figures =
            all.partition_point(|it| it.at < from)..all.partition_point(|it| it.at <= now);
        let figures = all.get(figures).unwrap_or_default();
        let mut windows = Course::new(watched.baseline, figures, rules).all();
        if windows.last().is_some_and(|it| it.at < now - rules.window) {
            windows.clear();
        }
        let old = figures.partition_point(|it| it.at <= now - rules.window);
        Self {
            watched,
            rules,
            deployed,
            figures,
            recent: figures.len() - old,
            windows,
        }
    }

    const fn part(&self) -> Part {
        self.watched.baseline.part()
    }

    /// Whether a window is unusual in a way that is told.
    fn is_unusual(&self, window: &Window) -> bool {
        let enough = match self.part() {
            Part::Rps => window.measured < DRIED_UP * window.expected,
            _ => true,
        };
        window.z > self.watched.baseline.threshold() && enough
    }

    /// How many of the newest windows in a row are so.
    fn in_a_row(&self, is_so: impl Fn(&Window) -> bool) -> usize {
        self.windows.iter().rev().take_while(|it| is_so(it)).count()
    }

    fn finding(&self) -> Finding {
        let row = self.in_a_row(|it| self.is_unusual(it));
        let newest = self.windows.last();
        let health = match (newest, row) {
            (None, _) => Health::Unknown,
            (_, 0) => Health::Healthy,
            (_, IN_A_ROW..) => Health::Unhealthy,
            _ => Health::Inconclusive,
        };
        let first = self.windows.len().checked_sub(row);
        let first = first.and_then(|first| self.windows.get(first));
        let deviation = newest.zip(first).filter(|_| health == Health::Unhealthy);
        let deviation = deviation.map(|(newest, first)| self.deviation(newest, first.at));
        let said = match (&deviation, newest) {
            (Some(deviation), _) => deviation.said.clone(),
            (None, Some(newest)) => {
                sentence::usual(self.watched.baseline, self.unit(), newest, row)
            }
            (None, None) => sentence::unknown(self.recent, self.rules),
        };
        Finding {
            metric: self.watched.metric.to_owned(),
            part: self.part(),
            health,
            deviation,
            said,
        }
    }

    fn unit(&self) -> Unit {
        self.part().unit()
    }

    fn deviation(&self, newest: &Window, since: i64) -> Deviation {
        let mut deviation = Deviation {
            metric: self.watched.metric.to_owned(),
            unit: self.unit(),
            measured: newest.measured,
            expected: newest.expected,
            limit: newest.limit,
            p_value: self.watched.baseline.p_value(newest.z),
            severity: severity(self.excess()),
            since,
            before: self.began_before(),
            said: String::new(),
        };
        deviation.said = sentence::unusual(self.watched.baseline, &deviation);
        deviation
    }

    /// How far it is past its threshold, by its weight.
    fn excess(&self) -> f64 {
        let threshold = self.watched.baseline.threshold();
        let past = self.windows.last().map_or(0.0, |it| it.z - threshold);
        self.part().weight() * past.max(0.0)
    }

    /// Whether it was so already in the quarter of an hour before the deployment: in most of its
    /// windows, in its last one, or in the last two figures.
    fn began_before(&self) -> bool {
        let Some(deployed) = self.deployed else {
            return false;
        };
        let (baseline, all) = (self.watched.baseline, self.watched.figures);
        let until = all.partition_point(|it| it.at <= deployed);
        let from = all.partition_point(|it| it.at <= deployed - BEFORE - self.rules.window);
        let before = all.get(from..until).unwrap_or_default();
        let windows = Course::new(baseline, before, self.rules).all();
        let windows: Vec<&Window> = windows
            .iter()
            .filter(|it| it.at > deployed - BEFORE)
            .collect();
        let unusual = windows.iter().filter(|it| self.is_unusual(it)).count();
        let mut last = before.iter().rev().take(2).map(|it| baseline.z(*it));
        let is_past = |z: Option<f64>| z.is_some_and(|z| z > baseline.threshold());
        unusual * 2 > windows.len()
            || windows.last().is_some_and(|it| self.is_unusual(it))
            || (before.len() >= 2 && last.all(is_past))
    }

    /// Why the release is to be taken back for this metric.
    fn rollback(&self, finding: &Finding) -> Option<String> {
        let deviation = finding.deviation.as_ref().filter(|it| !it.before)?;
        let is_reason = |window: &Window| {
            let Window {
                measured, expected, ..
            } = *window;
            self.is_unusual(window)
                && match self.part() {
                    Part::ErrorRate => {
                        measured >= ERRORS.0 * expected && measured >= expected + ERRORS.1
                    }
                    Part::P95 => measured >= SLOWER * expected,
                    Part::Memory => true,
                    Part::Cpu | Part::Rps => false,
                }
        };
        if self.in_a_row(is_reason) < IN_A_ROW {
            return None;
        }
        let more = match self.part() {
            Part::Memory => sentence::leak(self.minutes_left()?, self.rules.memory_limit),
            _ => sentence::times(deviation),
        };
        Some(format!("{} {}; {more}", finding.metric, deviation.said))
    }

    /// When the line through the last ten minutes is at the limit, in minutes from now; `None`
    /// where that is far or never.
    fn minutes_left(&self) -> Option<f64> {
        let newest = self.figures.last()?.at;
        let from = self.figures.partition_point(|it| it.at <= newest - LINE);
        let line: Vec<(f64, f64)> = self.figures[from..]
            .iter()
            .map(|it| ((it.at - newest) as f64 / MINUTE as f64, it.value))
            .collect();
        if line.len() < self.rules.enough() {
            return None;
        }
        let (slope, level) = slope_and_level(&line)?;
        let left = (self.rules.memory_limit - level) / slope;
        (slope > 0.0 && left <= AHEAD as f64 / MINUTE as f64).then_some(left.max(0.0))
    }
}

/// The line of least squares: its slope, and its value at 0.
fn slope_and_level(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let (sum_x, sum_y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut along, mut across) = (0.0, 0.0);
    for (x, y) in points {
        along += (x - mean_x) * (x - mean_x);
        across += (x - mean_x) * (y - mean_y);
    }
    let slope = across / along;
    slope
        .is_finite()
        .then_some((slope, mean_y - slope * mean_x))
}
