//! A threshold of the config, held against what its source yields.

use std::time::Duration;

use crate::config::check::unknown;
use crate::config::thresholds::{Limit, Mode, Threshold};
use crate::judge::thresholds::{self as judge, Bound, Rule};
use crate::metrics::Ask;
use crate::model::metric::{ERROR_RATE, SUCCESS_RATE, Unit};

use super::Named;

/// How far before its duration a breach is looked for at least, to tell since when it is.
const BEFORE: Duration = Duration::from_secs(3600);

/// A threshold that makes sense.
pub(super) struct Held {
    pub(super) metric: String,
    pub(super) unit: Unit,
    /// Which of the sources is asked.
    pub(super) source: usize,
    pub(super) rule: Rule,
    pub(super) threshold: Threshold,
}

/// What is wrong with a threshold: the key below it (`.above`, or nothing), and why.
type Misfit = (&'static str, String);

impl Held {
    pub(super) fn new(threshold: &Threshold, sources: &[Named]) -> Result<Self, Misfit> {
        let (source, unit) = source(threshold, sources)?;
        let rule = rule(threshold, unit)?;
        let named = &sources[source].source;
        let duration = threshold.duration;
        if let Some(longest) = named.longest()
            && longest < duration.get()
        {
            return Err((
                ".for",
                format!(
                    "{} goes on for {} and can say nothing of {duration}; let its `duration` be as long, or leave it out",
                    named.told(),
                    crate::platform::text::duration(longest)
                ),
            ));
        }
        Ok(Self {
            metric: threshold.metric.clone(),
            unit,
            source,
            rule,
            threshold: threshold.clone(),
        })
    }

    /// What the source is asked for. It goes back so far that a breach before the duration is
    /// seen to be over, and that what has no data is seen to have none.
    pub(super) fn ask(&self) -> Ask {
        let duration = self.threshold.duration.get();
        Ask {
            metric: self.metric.clone(),
            window: self.threshold.window.get(),
            duration,
            back: duration + BEFORE.max(duration).max(self.threshold.no_data_after.get()),
            min_requests: self.threshold.min_requests,
        }
    }

    /// `above 5 %`.
    pub(super) fn told(&self) -> String {
        match self.rule.bound {
            Bound::Above(limit) => format!("above {}", self.unit.told(limit)),
            Bound::Below(limit) => format!("below {}", self.unit.told(limit)),
        }
    }
}

fn source(threshold: &Threshold, sources: &[Named]) -> Result<(usize, Unit), Misfit> {
    let metric = threshold.metric.as_str();
    let mut kinds = sources.iter().map(|named| named.kind.as_str());
    if sources.is_empty() {
        let said = "there is no source of figures; give one, such as `metrics: [{ kind: prober }]` beside `health`";
        return Err((".metric", said.to_owned()));
    }
    if let Some(kind) = &threshold.source
        && !kinds.any(|known| known == kind)
    {
        let kinds = sources.iter().map(|named| named.kind.as_str());
        return Err((".source", unknown("source", kind, kinds)));
    }
    let asked = |named: &Named| threshold.source.as_ref().is_none_or(|it| *it == named.kind);
    let mut names = Vec::new();
    for (i, named) in sources.iter().enumerate().filter(|(_, it)| asked(it)) {
        for (name, unit) in named.source.metrics() {
            if name == metric {
                return Ok((i, unit));
            }
            names.push(name);
        }
    }
    names.sort_unstable();
    names.dedup();
    let said = unknown("metric", metric, names.iter().map(String::as_str));
    Err((".metric", said))
}

fn rule(threshold: &Threshold, unit: Unit) -> Result<Rule, Misfit> {
    let value = |key: &'static str, limit: Limit| {
        limit.value(unit).ok_or_else(|| {
            let said = format!(
                "{} is a {}: write {}, not a {}",
                threshold.metric,
                unit.name(),
                unit.wanted(),
                limit.unit().name()
            );
            (key, said)
        })
    };
    let (bound, clear) = match (threshold.above, threshold.below) {
        (Some(above), None) => {
            if threshold.clear_above.is_some() {
                let said = "goes with `below`; with `above` it is `clear-below`";
                return Err((".clear-above", said.to_owned()));
            }
            let above = value(".above", above)?;
            let clear = threshold.clear_below.map(|it| value(".clear-below", it));
            let clear = clear.transpose()?.unwrap_or(above);
            if clear > above {
                let said = "is above `above`, so a breach would be over while it lasts";
                return Err((".clear-below", said.to_owned()));
            }
            (Bound::Above(above), Bound::Above(clear))
        }
        (None, Some(below)) => {
            if threshold.clear_below.is_some() {
                let said = "goes with `above`; with `below` it is `clear-above`";
                return Err((".clear-below", said.to_owned()));
            }
            let below = value(".below", below)?;
            let clear = threshold.clear_above.map(|it| value(".clear-above", it));
            let clear = clear.transpose()?.unwrap_or(below);
            if clear < below {
                let said = "is below `below`, so a breach would be over while it lasts";
                return Err((".clear-above", said.to_owned()));
            }
            (Bound::Below(below), Bound::Below(clear))
        }
        (Some(_), Some(_)) => {
            let said = "there are both `above` and `below`; write two thresholds";
            return Err(("", said.to_owned()));
        }
        (None, None) => {
            let said = format!(
                "`above` or `below` is missing: {} is the limit for {}",
                unit.wanted(),
                threshold.metric
            );
            return Err(("", said));
        }
    };
    if threshold.window.get() < Duration::from_secs(1) {
        return Err((".window", "is shorter than 1s".to_owned()));
    }
    let ms = |span: crate::config::units::Span| {
        i64::try_from(span.get().as_millis()).unwrap_or(i64::MAX / 4)
    };
    let is_of_requests = matches!(
        (threshold.metric.as_str(), bound),
        (ERROR_RATE, Bound::Above(_)) | (SUCCESS_RATE, Bound::Below(_))
    );
    Ok(Rule {
        bound,
        clear,
        duration: ms(threshold.duration),
        min_requests: f64::from(threshold.min_requests),
        no_data_after: ms(threshold.no_data_after),
        mode: match threshold.mode {
            Mode::Every => judge::Mode::Every,
            Mode::Pooled => judge::Mode::Pooled,
        },
        at_once: threshold.at_once && is_of_requests,
    })
}
