//! The figures of a run for those who keep them: counted while it goes on, handed over when it
//! has ended.

use std::time::Duration;

use futures_util::future::join_all;

use crate::cast::{self, Exporters};
use crate::error::Refusal;
use crate::model::event::Event;
use crate::model::measure::{Labels, Measure};
use crate::platform::text;
use crate::report::Shared;
use crate::report::tally::Tally;

use super::choice::Choice;
use super::session::Session;

/// How long one system may take. Runs that push to one gateway at once wait for each other.
const AT_MOST: Duration = Duration::from_secs(20);

/// And when the run was cancelled: the runner waits for nobody.
const AFTER_A_SIGNAL: Duration = Duration::from_secs(2);

/// A run that is being counted.
pub(super) struct Counting {
    tally: Shared<Tally>,
    exporters: Exporters,
    labels: Labels,
}

impl Session {
    /// Begins to count, where the environment says who keeps the figures.
    pub(super) async fn open_telemetry(&self, choice: &Choice) -> Result<(), Refusal> {
        // The post step may finish several runs.
        self.close_telemetry().await;
        let (app, environment) = (&choice.config.file.app, choice.environment());
        let exporters = cast::exporters(app, &choice.name, environment, &self.tools());
        let exporters = exporters.map_err(|misfits| choice.refuse(misfits))?;
        if exporters.is_empty() {
            return Ok(());
        }
        let tally = Shared::new(Tally::default());
        self.journal.add(tally.clone());
        *self.telemetry.borrow_mut() = Some(Counting {
            tally,
            exporters,
            labels: self.labels(choice),
        });
        Ok(())
    }

    /// Hands over what was counted. Whatever goes wrong is a warning.
    pub(super) async fn close_telemetry(&self) {
        let Some(counting) = self.telemetry.take() else {
            return;
        };
        let mut measures = counting.tally.end(Tally::take);
        if measures.is_empty() {
            return;
        }
        for Measure { label, .. } in &mut measures {
            *label = self.vault.redact(label).into_owned();
        }
        let within = if self.cancelled.is_cancelled() {
            AFTER_A_SIGNAL
        } else {
            AT_MOST
        };
        let exports = counting.exporters.iter().map(|(labelled, exporter)| {
            let mut labels = counting.labels.clone();
            labels.retain(|(name, _)| !labelled.labels.contains_key(name));
            labels.extend(labelled.labels.clone());
            for (_, value) in &mut labels {
                *value = self.vault.redact(value).into_owned();
            }
            let measures = &measures;
            async move {
                let export = exporter.export(measures, &labels);
                let exported = tokio::time::timeout(within, export).await;
                let failed = match exported {
                    Ok(Ok(())) => return,
                    Ok(Err(failed)) => failed.to_string(),
                    Err(_) => format!("not done within {}", text::duration(within)),
                };
                (self.say)(Event::Warned(format!(
                    "{} did not take the figures of this run: {failed}",
                    exporter.told()
                )));
            }
        });
        join_all(exports).await;
    }

    /// What all figures of this run are labelled with.
    fn labels(&self, choice: &Choice) -> Labels {
        let context = &self.context;
        [
            ("app", Some(choice.config.file.app.clone())),
            ("environment", Some(choice.name.clone())),
            ("workflow", context.workflow.clone()),
            ("branch", context.ref_name.clone()),
            ("runner_group", context.runner_environment.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()))
        .collect()
    }
}
