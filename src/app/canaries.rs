//! Where a canary that stays where it is, is remembered: in a GitHub Deployment, and where there
//! is none, in a file beside the ledgers.
//!
//! The router is the truth about traffic. What is remembered is only what was proved so far, so
//! that the next run need not begin anew.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::cast::Misfit;
use crate::config::file::{Environment, Strategy};
use crate::github::survey::Survey;
use crate::model::canary::Standing;
use crate::model::ending::{Decision, Ending};
use crate::model::event::Event;
use crate::platform::atomic_file;
use crate::report::{Listener, Shared};
use crate::rollout::canary::{self, Kept};
use crate::rollout::stage::Stage;

use super::choice::Choice;
use super::ledgers::{directory, file_name};
use super::session::Session;

/// Why a strategy of the config could not judge anything, and where that is written.
pub(super) fn unjudged(stage: &Stage, environment: &Environment) -> Option<Misfit> {
    let settings = match &environment.strategy {
        Strategy::Canary(settings) => (**settings).clone(),
        Strategy::BlueGreen(settings) => settings.judged()?,
    };
    let fault = canary::can_be_judged(stage, &settings).err()?;
    let next = fault
        .next
        .map_or_else(String::new, |next| format!("; {next}"));
    Some(("strategy".to_owned(), format!("{}{next}", fault.said)))
}

/// Hears whether a canary stays where it is.
#[derive(Default)]
pub(super) struct Stays(Option<Box<Standing>>);

impl Listener for Stays {
    fn hear(&mut self, event: &Event) {
        if let Event::Stands(standing) = event {
            self.0 = Some(standing.clone());
        }
    }
}

impl Session {
    /// What an earlier run has left of a canary. GitHub's word comes first: it knows all runs, and
    /// this machine's file only those that were here.
    pub(super) fn kept(&self, choice: &Choice, survey: Option<&Survey>) -> Option<Kept> {
        let record = survey.and_then(|survey| survey.canary.as_ref());
        let state = record.and_then(|record| record.content.canary.as_ref());
        if let Some(kept) = state.and_then(Kept::read) {
            return Some(kept);
        }
        let text = fs::read_to_string(self.canary_file(choice)).ok()?;
        Kept::read(&serde_json::from_str::<Value>(&text).ok()?)
    }

    /// Listens for one that stays where it is.
    pub(super) fn watch_for_standing(&self) -> Shared<Stays> {
        let stays = Shared::new(Stays::default());
        self.journal.add(stays.clone());
        stays
    }

    /// Writes down where one stays, or that none does any more.
    pub(super) fn remember(&self, choice: &Choice, stays: &Shared<Stays>, ending: &Ending) {
        let place = self.canary_file(choice);
        let state = stays.with(|stays| stays.0.as_ref().map(|it| it.state.to_string()));
        match (state, ending.decision) {
            (Some(state), _) => {
                if let Err(failed) = atomic_file::replace(&place, state.as_bytes()) {
                    (self.say)(Event::Warned(format!(
                        "{} cannot be written ({failed}), so the next run judges the canary anew",
                        place.display()
                    )));
                }
            }
            (None, Decision::Promoted | Decision::RolledBack) => self.forget(choice),
            (None, _) => {}
        }
    }

    /// Forgets what was kept of one: none stays where it was any more.
    pub(super) fn forget(&self, choice: &Choice) {
        let _ = fs::remove_file(self.canary_file(choice));
    }

    fn canary_file(&self, choice: &Choice) -> PathBuf {
        let [app, environment] = [&choice.config.file.app, &choice.name].map(|it| file_name(it));
        let name = format!("cutover-canary-{app}-{environment}.json");
        directory(&self.context).join(name)
    }
}
