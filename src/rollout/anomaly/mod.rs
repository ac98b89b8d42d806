//! The anomaly rule at work: a baseline is learnt from a source's past, and the newest figures
//! are held against it, in a watch after a switch or once.
//!
//! What is unusual is `judge::anomaly`'s matter. No data is no anomaly: where nothing is known,
//! that is said, and nothing is taken back.

mod guard;

use std::path::{Path, PathBuf};

use crate::config::anomaly::Anomaly;
use crate::config::check::unknown;
use crate::judge::anomaly::second::Second;
use crate::judge::anomaly::{
    BACK, BEFORE, Baseline, MINUTE, Part, Rules, Spot, Verdict, Watched, counted, judge,
};
use crate::metrics::recording::{self, Recorded};
use crate::metrics::{Source, Stretch};

use super::gauges::{Gauges, Named};

pub use guard::{glance, guard};

/// A config's `anomaly`, made to act.
pub struct Sentry {
    config: Anomaly,
    rules: Rules,
    /// Which of the sources.
    source: usize,
    /// The parts, each with its metric.
    metrics: Vec<(Part, String)>,
    recording: Option<PathBuf>,
}

/// What was learnt of the time before.
struct Learnt {
    /// The metrics of which something is known.
    metrics: Vec<Known>,
    second: Option<Second>,
    /// What is not known, and why.
    missing: Vec<String>,
}

struct Known {
    metric: String,
    baseline: Baseline,
    /// The figures right before the deployment.
    before: Vec<Spot>,
}

/// What is to be learnt of a metric.
struct Lesson {
    part: Part,
    metric: String,
    figures: Vec<Spot>,
    right_before: Vec<Spot>,
}

impl Learnt {
    /// Nothing, and why.
    fn nothing(said: String) -> Self {
        Self {
            metrics: Vec::new(),
            second: None,
            missing: vec![said],
        }
    }

    fn of(
        lessons: Vec<Lesson>,
        mut missing: Vec<String>,
        before: i64,
        excluded: &[(i64, i64)],
        rules: &Rules,
        with_forest: bool,
    ) -> Self {
        let (mut metrics, mut used) = (Vec::new(), Vec::new());
        for lesson in lessons {
            let metric = lesson.metric;
            let figures = counted(&lesson.figures, before, excluded, rules);
            match Baseline::learn(lesson.part, &figures, before, &[], rules) {
                Ok(baseline) => {
                    metrics.push(Known {
                        metric,
                        baseline,
                        before: lesson.right_before,
                    });
                    used.push(figures);
                }
                Err(too_little) => missing.push(format!("{metric}: {too_little}")),
            }
        }
        let mut second = None;
        if with_forest && !metrics.is_empty() {
            let baselines = metrics.iter().map(|it| &it.baseline);
            let all = baselines.zip(used.iter().map(Vec::as_slice));
            match Second::grow(&all.collect::<Vec<_>>()) {
                Ok(grown) => second = Some(grown),
                Err(said) => missing.push(said),
            }
        }
        Self {
            metrics,
            second,
            missing,
        }
    }
}

/// What a look saw.
pub struct Seen {
    /// What the rule says.
    pub verdict: Verdict,
    /// What the forest says, if it has something to say.
    pub opinion: Option<String>,
    /// What could not be read, and why.
    pub missing: Vec<String>,
}

impl Sentry {
    /// Makes the block of a config act, on the sources that there are.
    ///
    /// # Errors
    /// What makes no sense: the path below the block, and why.
    pub fn new(
        config: &Anomaly,
        directory: &Path,
        gauges: &Gauges,
    ) -> Result<Self, (String, String)> {
        let source = source(config, gauges.sources())?;
        let named = gauges.sources().get(source);
        let metrics = named.map_or_else(|| Ok(Vec::new()), |it| metrics(config, &*it.source))?;
        Ok(Self {
            config: config.clone(),
            rules: config.rules(),
            source,
            metrics,
            recording: config.recording.as_ref().map(|file| directory.join(file)),
        })
    }

    /// Learns what was before a time.
    async fn learn(&self, gauges: &Gauges, before: i64, deployed: bool) -> Learnt {
        let mut missing = Vec::new();
        let mut recorded = match self.recorded().await {
            None => None,
            Some(Ok(recorded)) => Some(recorded),
            Some(Err(said)) => return Learnt::nothing(said),
        };
        let length = i64::try_from(self.config.baseline.get().as_millis()).unwrap_or(i64::MAX / 8);
        let mut lessons = Vec::new();
        for (part, metric) in &self.metrics {
            let figures = match &mut recorded {
                Some(recorded) => Ok(newest(recorded.remove(metric), before, length)),
                None => self.read(gauges, metric, before - length, before).await,
            };
            let figures = match figures {
                Ok(figures) => figures,
                Err(said) => {
                    missing.push(format!("{metric}: {said}"));
                    continue;
                }
            };
            let from = before - BEFORE - self.rules.window;
            let right_before = match deployed {
                true => self.read(gauges, metric, from, before).await,
                false => Ok(Vec::new()),
            };
            lessons.push(Lesson {
                part: *part,
                metric: metric.clone(),
                figures,
                right_before: right_before.unwrap_or_default(),
            });
        }
        let (rules, excluded) = (self.rules, self.config.excluded());
        let with_forest = self.config.isolation_forest;
        // It takes a moment, in which the prober must not stand still.
        let learnt = tokio::task::spawn_blocking(move || {
            Learnt::of(lessons, missing, before, &excluded, &rules, with_forest)
        });
        let learnt = learnt.await;
        learnt.unwrap_or_else(|failed| Learnt::nothing(failed.to_string()))
    }

    /// What is in the file, where the config names one.
    async fn recorded(&self) -> Option<Result<Recorded, String>> {
        let path = self.recording.clone()?;
        let names: Vec<String> = self.metrics.iter().map(|(_, name)| name.clone()).collect();
        let read = tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            recording::read(&path, &names)
        });
        let read = read.await.unwrap_or_else(|failed| Err(failed.to_string()));
        let file = self.config.recording.as_deref().unwrap_or_default();
        Some(read.map_err(|said| format!("{file}: {said}")))
    }

    async fn read(
        &self,
        gauges: &Gauges,
        metric: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<Spot>, String> {
        let Some(named) = gauges.sources().get(self.source) else {
            return Err("there is no source".to_owned());
        };
        let stretch = Stretch {
            metric: metric.to_owned(),
            from,
            to,
            step: self.config.step.get(),
        };
        let past = named.source.past(&stretch).await;
        let figures = past.map_err(|none| none.said)?;
        Ok(figures.iter().map(spot).collect())
    }

    /// Holds the newest figures against what was learnt.
    async fn look(
        &self,
        gauges: &Gauges,
        learnt: &Learnt,
        deployed: Option<i64>,
        now: i64,
    ) -> Seen {
        let from = deployed.map_or(now - BACK, |it| it.max(now - BACK));
        let mut missing = learnt.missing.clone();
        let mut all: Vec<(&Known, Vec<Spot>)> = Vec::new();
        for known in &learnt.metrics {
            let mut figures = known.before.clone();
            match self.read(gauges, &known.metric, from, now).await {
                Ok(newest) => {
                    let last = figures.last().map_or(i64::MIN, |it| it.at);
                    figures.extend(newest.into_iter().filter(|it| it.at > last));
                }
                Err(said) => missing.push(format!("{}: {said}", known.metric)),
            }
            all.push((known, figures));
        }
        let watched: Vec<Watched<'_>> = all
            .iter()
            .map(|(known, figures)| Watched {
                metric: &known.metric,
                baseline: &known.baseline,
                figures,
            })
            .collect();
        let counted_from =
            deployed.map_or(from, |it| it + self.rules.warm_up + self.rules.step - 1);
        let second = learnt.second.as_ref();
        Seen {
            verdict: judge(&watched, deployed, now, &self.rules),
            opinion: second.and_then(|it| it.opinion(&watched, counted_from.max(now - 5 * MINUTE))),
            missing,
        }
    }
}

/// The last so many milliseconds of a recording that ends before a time, or long ago.
fn newest(figures: Option<Vec<(i64, f64)>>, before: i64, length: i64) -> Vec<Spot> {
    let figures = figures.unwrap_or_default();
    let end = figures.last().map_or(before, |(at, _)| *at).min(before);
    let within = figures
        .iter()
        .filter(|(at, _)| *at > end - length && *at <= end);
    within.map(spot).collect()
}

fn spot((at, value): &(i64, f64)) -> Spot {
    Spot {
        at: *at,
        value: *value,
    }
}

/// Which source is asked.
fn source(config: &Anomaly, sources: &[Named]) -> Result<usize, (String, String)> {
    let remembers = |it: &Named| it.source.remembers();
    match &config.source {
        None => sources.iter().position(remembers).ok_or_else(|| {
            let said = "needs a source that knows the past, such as a `prometheus` in `metrics`";
            (String::new(), said.to_owned())
        }),
        Some(kind) => {
            let at = || "source".to_owned();
            let of_kind = |it: &Named| it.kind == *kind;
            match sources.iter().find(|it| of_kind(it)) {
                None => {
                    let kinds = sources.iter().map(|it| it.kind.as_str());
                    Err((at(), unknown("source", kind, kinds)))
                }
                Some(named) if !remembers(named) => Err((
                    at(),
                    format!("a {kind} does not know the past; a prometheus does"),
                )),
                Some(_) => Ok(sources.iter().position(of_kind).unwrap_or_default()),
            }
        }
    }
}

/// Which of its metrics play which part.
fn metrics(config: &Anomaly, source: &dyn Source) -> Result<Vec<(Part, String)>, (String, String)> {
    let there = source.metrics();
    let found = |part: Part, metric: &str| {
        let unit = there.iter().find(|(name, _)| name == metric);
        unit.map(|(_, unit)| *unit == part.unit())
    };
    let mut metrics = Vec::new();
    let Some(parts) = &config.metrics else {
        for part in Part::ALL {
            if found(part, part.name()).is_some() {
                metrics.push((part, part.name().to_owned()));
            }
        }
        if metrics.iter().all(|(part, _)| *part == Part::Rps) {
            let said = format!(
                "{} has none of error-rate, p95, cpu and memory; say with `metrics` which of its figures play these parts",
                source.told()
            );
            return Err((String::new(), said));
        }
        return Ok(metrics);
    };
    for (part, metric) in parts.named() {
        let at = || format!("metrics.{}", part.name());
        match found(part, metric) {
            Some(true) => metrics.push((part, metric.to_owned())),
            Some(false) => {
                let said = format!("{metric} is no {}; say so with `in`", part.unit().name());
                return Err((at(), said));
            }
            None => {
                let names = there.iter().map(|(name, _)| name.as_str());
                return Err((at(), unknown("metric", metric, names)));
            }
        }
    }
    if metrics.iter().all(|(part, _)| *part == Part::Rps) {
        let said = "one of error-rate, p95, cpu and memory is needed; rps only explains";
        return Err(("metrics".to_owned(), said.to_owned()));
    }
    Ok(metrics)
}
