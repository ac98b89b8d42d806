//! Hooks: what the user has us run before and after the steps, and at the end.
//!
//! Each is a step of the story. A required one that fails is a fault like any other, so the saga
//! takes back what must not stay; another is a warning. A contract takes away what the old release
//! needs, so it waits until nobody will go back. Those of a run's end are in `end`.

mod end;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::config::preflight::Migration;
use crate::hooks::{self, Call, Desk, HookError};
use crate::model::ending::{Ending, Reason};
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::hook::{About, Moment};
use crate::model::release::Release;
use crate::model::slot::Side;
use crate::platform::text;

use super::faults::quoting;
use super::saga::{Halt, Made, Saga, Step};
use super::stage::Stage;

pub use end::{at_the_end, went_back};

/// The name of the step.
const STEP: &str = "hook";

/// A hook, and what its failure means.
pub struct Hook {
    /// When it is run.
    pub moment: Moment,
    /// What people call it.
    pub name: String,
    /// Whether the run stops when it fails.
    pub required: bool,
    /// What it does to data that the old release uses, too.
    pub migration: Migration,
    /// What is run.
    pub does: Box<dyn hooks::Hook>,
}

impl Hook {
    /// Whether it is run when the release is final, and not before.
    fn is_last(&self) -> bool {
        self.moment == Moment::AfterSwitch && self.migration == Migration::Contract
    }

    fn told(&self) -> String {
        format!("{} {}", self.moment.name(), self.name)
    }
}

/// The hooks of an environment, and what they are told.
#[derive(Default)]
pub struct Hooks {
    all: Vec<Hook>,
    about: Mutex<About>,
}

/// What is to be done about a contract that was not run.
pub const BY_HAND: &str = "do by hand what it does when the old release has ended; the release is live, so a further rollout of it passes over its hooks";

impl Hooks {
    /// In the order of the config.
    pub fn new(all: Vec<Hook>) -> Self {
        Self {
            all,
            about: Mutex::default(),
        }
    }

    /// Leaves out the migrations that a release does not need: those beyond `needed`. Returns what
    /// is left out, for people to know.
    pub fn need(&mut self, needed: Migration) -> Vec<String> {
        let beyond = self.all.extract_if(.., |hook| hook.migration > needed);
        beyond.map(|hook| hook.told()).collect()
    }

    /// What a release does to data, given what was said of it: a contract before the deployment has
    /// no way back, and one that is left for the end keeps it until then.
    pub fn migration(&self, said: Migration) -> Migration {
        let first = self.all.iter().filter(|hook| !hook.is_last());
        let first = first.map(|hook| hook.migration).max().unwrap_or_default();
        if self.all.iter().any(Hook::is_last) {
            return first.max(said.min(Migration::Expand));
        }
        first.max(said)
    }

    /// Whether any is run at that moment.
    pub fn any_at(&self, moment: Moment) -> bool {
        self.all.iter().any(|hook| hook.moment == moment)
    }

    fn about(&self) -> MutexGuard<'_, About> {
        self.about.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells them what a run was about that has ended without them.
    pub fn tell(&self, about: About) {
        *self.about() = about;
    }
}

impl Stage {
    /// Tells hooks what the run is about, as far as it has found out, and writes it down for the
    /// post step.
    pub fn is_about(
        &self,
        slot: Option<Side>,
        release: Option<&Release>,
        previous: Option<&Release>,
    ) {
        let text = |release: &Release| release.as_str().to_owned();
        let about = About {
            slot: slot.map(|slot| self.slots.name(slot).to_owned()),
            version: release.map(text),
            previous: previous.map(text),
        };
        self.hooks.tell(about.clone());
        if self.hooks.all.iter().any(|hook| hook.moment.is_the_end()) {
            self.ledger.owes(about);
        }
    }

    /// What a hook is told now; `ending` is for those at the end.
    pub(super) fn call(&self, hook: &str, ending: Option<&Ending>) -> Call {
        let about = self.hooks.about().clone();
        let side = about.slot.as_ref();
        let side = side.and_then(|name| self.slots.side_of(name));
        let url = side.map(|side| self.slots.on(side).url.to_string());
        Call {
            hook: hook.to_owned(),
            app: self.app.clone(),
            environment: self.environment.clone(),
            slot: about.slot.unwrap_or_default(),
            slot_url: url.unwrap_or_default(),
            version: about.version.unwrap_or_default(),
            previous_version: about.previous.unwrap_or_default(),
            fence: self.lock.fence().unwrap_or_default(),
            decision: ending.map_or_else(String::new, |it| it.decision.to_string()),
            reason: ending.map_or_else(String::new, |it| it.reason.to_string()),
        }
    }
}

/// Says which hooks would be run at these moments, and runs none.
pub fn planned(stage: &Stage, moments: &[Moment]) {
    let all = stage.hooks.all.iter();
    for hook in all.filter(|hook| moments.contains(&hook.moment)) {
        let mut terms = vec![format!("{} at most", text::duration(hook.does.timeout()))];
        if hook.required {
            terms.push("required".to_owned());
        }
        match hook.migration {
            Migration::None => {}
            Migration::Expand => terms.push("expand".to_owned()),
            Migration::Contract if hook.is_last() => {
                terms.push("contract, when the release is final".to_owned());
            }
            Migration::Contract => terms.push("contract".to_owned()),
        }
        let told = hook.does.told();
        let does = if hook.name == told {
            String::new()
        } else {
            format!(": {told}")
        };
        stage.say(Event::Noticed(format!(
            "hook {}{does} would be run ({})",
            hook.told(),
            terms.join(", ")
        )));
    }
}

/// Runs the hooks of a moment, one after the other.
///
/// # Errors
/// That a required one failed, the lock is lost, or the run was cancelled.
pub async fn run(saga: &mut Saga<'_>, moment: Moment) -> Result<(), Halt> {
    let stage = saga.stage();
    let all = stage.hooks.all.iter();
    for hook in all.filter(|hook| hook.moment == moment && !hook.is_last()) {
        if hook.migration == Migration::Contract {
            stage.say(Event::Warned(format!(
                "hook {}: the old release has the traffic while its data are contracted; under `after-switch` that would wait until the new one is final",
                hook.told()
            )));
        }
        saga.step(RunHook(hook)).await?;
    }
    Ok(())
}

/// Runs the contracts that have waited until the release is final. From then on there is no way
/// back by itself.
///
/// # Errors
/// That a required one failed, the lock is lost, or the run was cancelled; the release stays.
pub async fn contract(saga: &mut Saga<'_>) -> Result<(), Halt> {
    let stage = saga.stage();
    for hook in stage.hooks.all.iter().filter(|hook| hook.is_last()) {
        let mut done = Ok(());
        if hook.required {
            done = saga.step(RunHook(hook)).await;
        } else if stage.cancelled.is_cancelled() {
            stage.say(Event::Warned(format!(
                "hook {} was not run, for the run was cancelled: {BY_HAND}",
                hook.told()
            )));
        } else {
            saga.afterwards(RunHook(hook)).await;
        }
        stage.ledger.has_contracted(&hook.told());
        done?;
    }
    Ok(())
}

/// Remembers the contracts that are due when the release is final, for the post step of a run that is
/// killed before they are done.
pub fn contracts_are_due(stage: &Stage) {
    let last = stage.hooks.all.iter().filter(|hook| hook.is_last());
    stage.ledger.contracts_are_due(last.map(Hook::told));
}

/// Runs a hook.
struct RunHook<'a>(&'a Hook);

impl Step for RunHook<'_> {
    type Value = ();
    const NAME: &'static str = STEP;
    // The hook watches for the end of the run itself, and ends what it began.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let hook = self.0;
        stage.lock.ours().await?;
        let call = stage.call(hook.moment.name(), None);
        let does = hook.does.as_ref();
        let said = match acted(stage, STEP, hook.told(), does, &call).await {
            Ok(did) => done(hook, &did),
            Err(HookError::Cancelled) => return Err(Fault::cancelled()),
            Err(failed) if hook.required => return Err(fault(hook, &failed)),
            Err(failed) => {
                let said = measured(&failed);
                stage.say(Event::Warned(format!(
                    "hook {} failed, and is not required: {said}",
                    hook.told()
                )));
                String::new()
            }
        };
        Ok(Made { value: (), said })
    }
}

/// Runs what a hook does within a step, until it is over or the run is cancelled.
pub(super) async fn acted(
    stage: &Stage,
    step: &'static str,
    said: String,
    does: &dyn hooks::Hook,
    call: &Call,
) -> Result<String, HookError> {
    acted_until(&stage.cancelled, stage, (step, said), does, call).await
}

async fn acted_until(
    enough: &CancellationToken,
    stage: &Stage,
    (step, said): (&'static str, String),
    does: &dyn hooks::Hook,
    call: &Call,
) -> Result<String, HookError> {
    stage.say(Event::Working { step, said });
    let say = |line: String| stage.say(Event::Line(line));
    let desk = Desk {
        say: &say,
        cancelled: enough,
    };
    does.run(call, &desk).await
}

fn done(hook: &Hook, did: &str) -> String {
    if hook.name == hook.does.told() {
        return format!("{}      {did}", hook.moment.name());
    }
    format!("{}      {did}", hook.told())
}

/// What a failure saw.
pub(super) fn measured(failed: &HookError) -> String {
    match failed {
        HookError::Failed { said, last_words } => quoting(said, last_words),
        other => other.to_string(),
    }
}

fn fault(hook: &Hook, failed: &HookError) -> Fault {
    let reason = match failed {
        HookError::OutOfReach(_) => Reason::OutOfReach,
        HookError::Failed { .. } | HookError::Cancelled => Reason::HookFailed,
    };
    let next = match hook.migration {
        Migration::None => {
            "correct it and run again; with `required: false` its failure is a warning".to_owned()
        }
        // The release has everything by then: a further run finds nothing to do.
        _ if hook.is_last() => format!(
            "see what {} has done to the data, and end that by hand: the release is live, so a further rollout of it passes over its hooks",
            hook.name
        ),
        _ => format!(
            "see what {} has done to the data, for nothing of that was taken back; then run again",
            hook.name
        ),
    };
    Fault::new(reason, format!("the hook {} failed", hook.told()))
        .measured(measured(failed))
        .wanted("its success, for it is required")
        .next(next)
}
