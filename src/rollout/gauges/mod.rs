//! The gauges of an environment: sources of figures, and the thresholds that they are held
//! against. Who reads them gets an assessment of each figure, and decides what follows.

mod rule;
mod words;

use std::time::Duration;

use futures_util::future::join_all;
use url::Url;

use crate::config::thresholds::{OnNoData, Threshold};
use crate::judge::thresholds::judge;
use crate::metrics::{Ask, NoData, Reading, Source};
use crate::model::assessment::{Assessment, Bound, Health};
use crate::model::metric::Unit;
use crate::model::severity::Severity;
use crate::platform::text;

use rule::Held;

/// The time that a figure looks back on where no threshold says another.
const WINDOW: Duration = Duration::from_secs(60);

/// A source of an environment, with the kind that the config calls it.
pub struct Named {
    /// The word after `kind:`.
    pub kind: String,
    /// The source.
    pub source: Box<dyn Source>,
}

/// Sources, and the thresholds on what they yield.
#[derive(Default)]
pub struct Gauges {
    sources: Vec<Named>,
    held: Vec<Held>,
}

/// What a look at all gauges found.
#[derive(Default)]
pub struct Looked {
    /// Each figure, those with a threshold first.
    pub all: Vec<Finding>,
    /// What the sources warn of.
    pub warnings: Vec<String>,
    /// What was not looked at, and why.
    pub notices: Vec<String>,
}

/// A figure, with what follows where nothing is known of it.
pub struct Finding {
    /// What it came to.
    pub assessment: Assessment,
    /// The kind of its source: which kind of evidence it is.
    pub kind: String,
    /// What follows when nothing is known; `None` for a figure without a threshold.
    pub on_no_data: Option<OnNoData>,
    /// Whether its source could not be asked.
    pub out_of_reach: bool,
}

impl Finding {
    /// Whether it is past a bound of that severity.
    pub fn is_past(&self, severity: Severity) -> bool {
        let bound = self.assessment.bound.as_ref();
        self.assessment.health == Health::Unhealthy
            && bound.is_some_and(|bound| bound.severity == severity)
    }

    /// Whether it has a threshold of which nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.assessment.health == Health::Unknown && self.on_no_data.is_some()
    }
}

/// What is asked of one source: for each ask the threshold that it is for, if there is one.
struct Errand<'a> {
    named: &'a Named,
    asks: Vec<Ask>,
    held: Vec<Option<&'a Held>>,
    units: Vec<Unit>,
}

impl Gauges {
    /// Holds thresholds against what the sources yield.
    ///
    /// # Errors
    /// What of the thresholds makes no sense: paths below `health`, and why.
    pub fn new(
        sources: Vec<Named>,
        thresholds: &[Threshold],
    ) -> Result<Self, Vec<(String, String)>> {
        let (mut held, mut misfits) = (Vec::new(), Vec::new());
        for (i, threshold) in thresholds.iter().enumerate() {
            match Held::new(threshold, &sources) {
                Ok(one) => held.push(one),
                Err((key, said)) => misfits.push((format!("thresholds[{i}]{key}"), said)),
            }
        }
        if misfits.is_empty() {
            Ok(Self { sources, held })
        } else {
            Err(misfits)
        }
    }

    /// The sources, in their order.
    pub fn sources(&self) -> &[Named] {
        &self.sources
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Looks at all of them, at the public URL or at a slot's own.
    pub async fn look(&self, at: &Url, slot: Option<&str>) -> Looked {
        let mut looked = Looked::default();
        let errands = self.errands(slot, &mut looked.notices);
        let read = errands
            .iter()
            .map(|errand| errand.named.source.read(&errand.asks, at));
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for (errand, readings) in errands.iter().zip(join_all(read).await) {
            for (i, reading) in readings.into_iter().enumerate() {
                if let Ok(reading) = &reading {
                    looked.warnings.extend(reading.warnings.iter().cloned());
                }
                match errand.held[i] {
                    Some(held) => with.push(errand.judged(i, held, reading)),
                    None => without.push(errand.told(i, reading)),
                }
            }
        }
        looked.warnings.dedup();
        looked.all = with;
        looked.all.append(&mut without);
        looked
    }

    fn errands(&self, slot: Option<&str>, notices: &mut Vec<String>) -> Vec<Errand<'_>> {
        let mut errands = Vec::new();
        let mut known: Vec<String> = self.held.iter().map(|it| it.metric.clone()).collect();
        for (i, named) in self.sources.iter().enumerate() {
            let mut errand = Errand {
                named,
                asks: Vec::new(),
                held: Vec::new(),
                units: Vec::new(),
            };
            if let Some(slot) = slot.filter(|_| !named.source.follows_the_address()) {
                notices.push(format!(
                    "{} was not asked: it knows the environment, and not {slot} alone",
                    named.source.told()
                ));
                continue;
            }
            for held in self.held.iter().filter(|held| held.source == i) {
                errand.asks.push(held.ask());
                errand.held.push(Some(held));
                errand.units.push(held.unit);
            }
            for (metric, unit) in named.source.metrics() {
                if known.contains(&metric) {
                    continue;
                }
                known.push(metric.clone());
                errand.asks.push(Ask {
                    metric,
                    window: WINDOW,
                    duration: Duration::ZERO,
                    back: Duration::ZERO,
                    min_requests: 1,
                });
                errand.held.push(None);
                errand.units.push(unit);
            }
            errands.push(errand);
        }
        errands
    }
}

impl Errand<'_> {
    fn assessment(&self, i: usize) -> Assessment {
        Assessment {
            metric: self.asks[i].metric.clone(),
            source: self.named.source.told(),
            unit: self.units[i],
            value: None,
            failed: None,
            requests: None,
            bound: None,
            health: Health::Unknown,
            lasted: String::new(),
            said: String::new(),
        }
    }

    /// A figure that is held against a threshold.
    fn judged(&self, i: usize, held: &Held, reading: Result<Reading, NoData>) -> Finding {
        let bound = Bound {
            told: held.told(),
            duration: match held.threshold.duration.get() {
                Duration::ZERO => String::new(),
                duration => text::duration(duration),
            },
            severity: held.threshold.severity,
        };
        let mut assessment = Assessment {
            bound: Some(bound.clone()),
            ..self.assessment(i)
        };
        let mut out_of_reach = false;
        match reading {
            Ok(reading) => {
                let judgement = judge(&held.rule, &reading.series);
                let whole = |n: Option<f64>| n.map(|n| n.round() as u64);
                assessment.value = judgement.value;
                assessment.failed = whole(judgement.failed);
                assessment.requests = whole(judgement.requests);
                assessment.health = judgement.health();
                assessment.lasted = words::lasted(&judgement);
                assessment.said = words::judged(held, &bound, &judgement, &reading.note);
            }
            Err(none) => {
                out_of_reach = none.out_of_reach;
                assessment.said = format!("{} (limit: {})", none.said, bound.whole());
            }
        }
        Finding {
            assessment,
            kind: self.named.kind.clone(),
            on_no_data: Some(held.threshold.on_no_data),
            out_of_reach,
        }
    }

    /// A figure that nobody has set a threshold on.
    fn told(&self, i: usize, reading: Result<Reading, NoData>) -> Finding {
        let mut assessment = self.assessment(i);
        let mut out_of_reach = false;
        match reading {
            Ok(reading) => {
                let sample = reading.series.last();
                let whole = |n: Option<f64>| n.map(|n| n.round() as u64);
                assessment.requests = whole(sample.and_then(|it| it.requests));
                assessment.failed = whole(sample.and_then(|it| it.failed));
                let counted = assessment.requests != Some(0);
                assessment.value = sample.filter(|_| counted).map(|it| it.value);
                assessment.said = words::plain(&assessment, &reading.note);
                if assessment.value.is_some() {
                    assessment.health = Health::Healthy;
                }
            }
            Err(none) => {
                out_of_reach = none.out_of_reach;
                assessment.said = none.said;
            }
        }
        Finding {
            assessment,
            kind: self.named.kind.clone(),
            on_no_data: None,
            out_of_reach,
        }
    }
}
