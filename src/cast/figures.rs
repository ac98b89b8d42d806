//! Where figures come from, and what is held against limits and against the days before.

use super::{Misfit, Tools, fitting};
use crate::config::file::Environment;
use crate::config::kinds::{MetricBlock, build};
use crate::metrics;
use crate::model::slot::Slots;
use crate::rollout::anomaly::Sentry;
use crate::rollout::gauges::{Gauges, Named};

/// What is held against limits, and where its figures come from.
pub(super) fn gauges(
    environment: &Environment,
    slots: Option<&Slots>,
    tools: &Tools,
    misfits: &mut Vec<Misfit>,
) -> Gauges {
    let Some(slots) = slots else {
        return Gauges::default();
    };
    let with = metrics::Tools {
        http: tools.http.clone(),
        vault: tools.vault.clone(),
        slots: slots.clone(),
    };
    let named = |(i, block): (usize, &MetricBlock)| {
        let built = build(metrics::KINDS, &block.0, &with);
        let source = fitting(&format!("metrics[{i}]"), built, misfits)?;
        let kind = block.0.kind.clone();
        Some(Named { kind, source })
    };
    let blocks = environment.metrics.iter().enumerate();
    let sources: Vec<Named> = blocks.filter_map(named).collect();
    // What a source that could not be built yields is not known, so nothing is said of it.
    if sources.len() < environment.metrics.len() {
        return Gauges::default();
    }
    let gauges = Gauges::new(sources, &environment.health.thresholds);
    gauges.unwrap_or_else(|wrong| {
        let below = |(path, said)| (format!("health.{path}"), said);
        misfits.extend(wrong.into_iter().map(below));
        Gauges::default()
    })
}

/// What is held against the days before. Of sources that could not be built nothing is said.
pub(super) fn sentry(
    environment: &Environment,
    tools: &Tools,
    gauges: &Gauges,
    misfits: &mut Vec<Misfit>,
) -> Option<Sentry> {
    let block = environment.anomaly.as_ref()?;
    if gauges.is_empty() && !environment.metrics.is_empty() {
        return None;
    }
    let sentry = Sentry::new(block, &tools.directory, gauges);
    let below = |(path, said): (String, String)| match path.as_str() {
        "" => ("anomaly".to_owned(), said),
        path => (format!("anomaly.{path}"), said),
    };
    sentry.map_err(|wrong| misfits.push(below(wrong))).ok()
}
