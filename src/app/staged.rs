//! The modes that act on a configured environment: what each needs is checked and built here.

use tokio::sync::oneshot;

use crate::cast;
use crate::config::check::unknown;
use crate::config::file::Strategy;
use crate::config::inputs::Inputs;
use crate::config::lock::{Lock, OnConflict};
use crate::config::preflight::Migration;
use crate::error::Refusal;
use crate::model::ending::{Decision, Ending};
use crate::model::event::{Event, Fact, Headline};
use crate::model::release::Release;
use crate::modes::{
    deploy_slot, health_check, preflight, rollback, rollout, smoke_test, switch_traffic,
};
use crate::rollout::canary::Kept;
use crate::rollout::hooks;
use crate::rollout::preflight::Circumstances;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;

use super::approvals::Matter;
use super::choice::Choice;
use super::session::Session;
use super::way_back;

/// What the lock says of a rollback that nobody asked for.
const BY_ITSELF: &str = "rollback by a health check";

impl Session {
    /// The modes that act on a configured environment.
    pub(super) async fn staged(
        &self,
        mode: &'static str,
        inputs: &Inputs,
    ) -> Result<Ending, Refusal> {
        if mode == "health-check" {
            let choice = self.choice(inputs)?;
            if let Some(clock) = self.clock(&choice, inputs) {
                return self.vigil(inputs, &choice, clock).await;
            }
        }
        self.staged_as(mode, inputs, false).await
    }

    /// The same where no memory is wanted. `by_itself` is a part of another run, which nobody has
    /// asked for: it waits for nobody and comes between nobody, and its caller says the last word.
    pub(super) async fn staged_as(
        &self,
        mode: &'static str,
        inputs: &Inputs,
        by_itself: bool,
    ) -> Result<Ending, Refusal> {
        let choice = self.choice(inputs)?;
        self.open_audit(mode, &choice, true).await;
        let release = self.release(mode, inputs)?;
        let strategy = strategy(&choice, inputs)?;
        let mut stage = self.stage(&choice, mode, inputs)?;
        let needed = needed(mode, inputs.migration, release.is_some());
        let not_needed = needed.map(|(needed, why)| (stage.hooks.need(needed), why));
        let migration = inputs.migration.unwrap_or(choice.environment().migration);
        let inputs = &Inputs {
            migration: Some(stage.hooks.migration(migration)),
            ..inputs.clone()
        };
        let notify = &choice.environment().notify;
        let audience = cast::audience(notify, &self.notifier_tools(inputs));
        let audience = audience.map_err(|misfits| choice.refuse(misfits))?;
        let audience = if by_itself { Vec::new() } else { audience };
        let only_looks = inputs.dry_run || (mode == "rollout" && strategy.observes());
        let changes_something = !only_looks
            && matches!(
                mode,
                "deploy-slot" | "switch-traffic" | "rollout" | "rollback"
            );
        self.open_telemetry(&choice).await?;
        let records = choice.environment().records;
        let archive = self.archive(inputs, records);
        let (told, survey) = oneshot::channel();
        let mut lock_is_left = false;
        let mut agreed = None;
        let stays = self.watch_for_standing();
        // The first word is a part of it: the record and the news are about what it says.
        let act = async {
            self.begin(Headline {
                mode,
                environment: Some(choice.name.clone()),
                app: Some(stage.app.clone()),
                release: release.as_ref().map(|release| release.as_str().to_owned()),
                strategy: (mode == "rollout").then(|| strategy.name().to_owned()),
            });
            stage.learned(Fact::Environment(choice.name.clone()));
            stage.learned(Fact::EnvironmentUrl(stage.url.to_string()));
            if let Some(release) = &release {
                stage.learned(Fact::Version(release.as_str().to_owned()));
            }
            let (hooks, why) = not_needed.unwrap_or_default();
            for hook in hooks {
                (self.say)(Event::Noticed(format!("hook {hook} is left out: {why}")));
            }
            if inputs.dry_run {
                self.would_ask(&choice, mode);
            }
            if changes_something {
                stage.ledger = self.open_ledger(mode, &choice.name, inputs);
                let matter = Matter {
                    choice: &choice,
                    inputs,
                    strategy: &strategy,
                    release: release.as_ref(),
                    audience: &audience,
                    archive: &archive,
                };
                match self.agreed(&mut stage, mode, &matter).await {
                    Ok(all) => agreed = all,
                    Err(ending) => {
                        self.ended(&ending);
                        return ending;
                    }
                }
                let lock = match by_itself {
                    true => Lock {
                        on_conflict: OnConflict::Fail,
                        ..choice.environment().lock
                    },
                    false => choice.environment().lock,
                };
                let what = if by_itself { BY_ITSELF } else { mode };
                let of = release.as_ref().map(Release::as_str);
                match self
                    .take_lock(&stage, what, of, &lock, inputs, &audience)
                    .await
                {
                    Ok(keeper) => stage.lock = keeper,
                    Err(not_taken) => {
                        lock_is_left = not_taken.left.is_some();
                        let none = async |_: &mut Saga<'_>| Err(Halt::from(not_taken.fault));
                        let ending = Saga::tell(&stage, none).await;
                        self.ended(&ending);
                        return ending;
                    }
                }
            }
            // A way back from a divided environment has to be known; any other is asked for nothing.
            let divided = mode == "rollback"
                && stage
                    .split_now()
                    .await
                    .is_some_and(|split| !split.is_whole());
            // Read when the lock is ours: the run before this one may have left it a moment ago.
            let (recorded, survey) = self
                .last_record((mode, divided), &choice.name, inputs, &archive, told)
                .await;
            stage.recorded = recorded;
            let kept = match mode {
                "rollout" | "rollback" => self.kept(&choice, survey.as_deref()),
                _ => None,
            };
            let checked =
                self.circumstances(&choice, mode, inputs, release.as_ref(), (&archive, survey));
            if changes_something {
                stage.is_about(None, release.as_ref(), None);
            }
            let act = async {
                if let Some(agreed) = &agreed
                    && let Some(ending) = agreed.is_outdated(&stage).await
                {
                    return ending;
                }
                match &checked {
                    Some(circumstances) if mode == "preflight" => {
                        preflight::run(&stage, circumstances).await
                    }
                    checked => {
                        let known = (checked.as_ref(), kept);
                        let act = self.act(&stage, mode, inputs, &strategy, release, known);
                        let ending = match (by_itself, act.await) {
                            (true, ending) => way_back::by_itself(ending),
                            (false, ending) => ending,
                        };
                        if changes_something {
                            let went_back = hooks::went_back(mode, &ending);
                            hooks::at_the_end(&stage, &stage.ledger, &ending, went_back).await;
                        }
                        ending
                    }
                }
            };
            let ending = tokio::select! {
                biased;
                ending = act => ending,
                never = stage.lock.keep(&stage) => match never {},
            };
            lock_is_left = !self.release_lock(&stage, &ending).await;
            self.ended(&ending);
            ending
        };
        let (ending, is_recorded) = match (changes_something, inputs.dry_run) {
            (true, _) => {
                self.recorded(inputs, records, &archive, survey, &audience, act)
                    .await
            }
            (false, true) => (act.await, true),
            (false, false) => (self.told(&audience, act).await, true),
        };
        if changes_something {
            self.remember(&choice, &stays, &ending);
        }
        // A run that is stuck is tried again by the post step.
        match ending.decision {
            Decision::Stuck => stage.ledger.is_stuck(),
            _ if lock_is_left || !is_recorded || stage.ledger.is_asking() => {
                stage.ledger.is_over(ending.is_good());
            }
            _ => stage.ledger.close(),
        }
        Ok(ending)
    }

    async fn act(
        &self,
        stage: &Stage,
        mode: &str,
        inputs: &Inputs,
        strategy: &Strategy,
        release: Option<Release>,
        (checked, kept): (Option<&Circumstances>, Option<Kept>),
    ) -> Ending {
        match (mode, release) {
            ("rollout", Some(release)) => {
                rollout::run(stage, inputs, strategy, release, checked, kept).await
            }
            ("deploy-slot", Some(release)) => {
                deploy_slot::run(stage, inputs, &release, strategy.wait()).await
            }
            ("rollback", _) => rollback::run(stage, inputs, kept.as_ref()).await,
            ("smoke-test", _) => smoke_test::on_slot(stage, inputs.slot.as_deref()).await,
            ("health-check", _) => health_check::run(stage, inputs.slot.as_deref()).await,
            (_, release) => switch_traffic::run(stage, inputs, release).await,
        }
    }

    fn release(&self, mode: &str, inputs: &Inputs) -> Result<Option<Release>, Refusal> {
        match mode {
            "deploy-slot" | "rollout" => {
                let version = inputs.version.as_ref().or(self.context.sha.as_ref());
                let said =
                    "is missing: there is no commit SHA outside of a workflow; give `--version`";
                version
                    .map(Release::new)
                    .map(Some)
                    .ok_or_else(|| Refusal::of_input("version", said))
            }
            "preflight" => {
                let version = inputs.version.as_ref().or(self.context.sha.as_ref());
                Ok(version.map(Release::new))
            }
            // The commit is no word on what was deployed before: only what the user says counts.
            "switch-traffic" => Ok(inputs.version.as_ref().map(Release::new)),
            _ => Ok(None),
        }
    }

    pub(super) fn stage(
        &self,
        choice: &Choice,
        mode: &str,
        inputs: &Inputs,
    ) -> Result<Stage, Refusal> {
        let tools = self.tools();
        let (app, environment) = (&choice.config.file.app, choice.environment());
        let mut stage = cast::stage(app, &choice.name, environment, &tools)
            .map_err(|misfits| choice.refuse(misfits))?;
        let crew = stage.crew.as_ref();
        let router = crew.map_or(stage.router.is_some(), |crew| crew.pool.is_some());
        if crew.is_some() && matches!(mode, "switch-traffic" | "rollback") {
            return Err(Refusal::of_input("mode", no_slots(mode, &choice.name)));
        }
        let needs: &[(&str, bool)] = match mode {
            "rollout" => &[("router", router), ("target", stage.target.is_some())],
            "switch-traffic" | "rollback" | "router-config" => &[("router", router)],
            "deploy-slot" if crew.is_some() => {
                &[("router", router), ("target", stage.target.is_some())]
            }
            "deploy-slot" => &[("target", stage.target.is_some())],
            _ => &[],
        };
        let missing = needs.iter().filter(|(_, there)| !there);
        let missing: Vec<_> = missing
            .map(|(block, _)| {
                (
                    String::new(),
                    format!("`{block}` is missing, and {mode} needs it"),
                )
            })
            .collect();
        if !missing.is_empty() {
            return Err(choice.refuse(missing));
        }
        if inputs.failover_now {
            by_hand(&mut stage, mode)?;
        }
        if let Some(text) = &inputs.checks {
            let http = stage.http.clone();
            let checks = cast::inline_checks(text, &cast::Tools { http, ..tools });
            let checks = checks.map_err(Refusal::of_inputs)?;
            match mode {
                "smoke-test" => stage.smoke = checks,
                "health-check" => stage.health = checks,
                _ => {
                    return Err(Refusal::of_input(
                        "checks",
                        "is for smoke-test and health-check; a rollout's checks are in the config",
                    ));
                }
            }
        }
        Ok(stage)
    }
}

/// Why a mode that is about slots has nothing to do where there are members.
fn no_slots(mode: &str, environment: &str) -> String {
    let instead = match mode {
        "rollback" => "the old release goes back over them by",
        _ => "a release goes over them by",
    };
    format!(
        "{mode} moves traffic between two slots, and {environment} has members: {instead} `cutover rollout --environment {environment} --version VERSION`"
    )
}

/// Gives the deployment to the secondary target at once.
fn by_hand(stage: &mut Stage, mode: &str) -> Result<(), Refusal> {
    let said = match (mode, &mut stage.failover) {
        ("rollout" | "deploy-slot", Some(failover)) => {
            failover.by_hand = true;
            return Ok(());
        }
        ("rollout" | "deploy-slot", None) => "the environment has no `failover:` block",
        _ => "is for deploy-slot and rollout, which deploy",
    };
    Err(Refusal::of_input("failover", said))
}

/// How far a release's migrations go, where somebody has said so, and the words for what is beyond.
///
/// A switch without a version may be a way back, over which a contract takes away what is needed.
fn needed(
    mode: &str,
    said: Option<Migration>,
    has_release: bool,
) -> Option<(Migration, &'static str)> {
    match said {
        Some(needed) => Some((
            needed,
            "the input `migration` says that this release does not need it",
        )),
        None if mode == "switch-traffic" && !has_release => Some((
            Migration::Expand,
            "this may be a way back; give `version` where a release goes out",
        )),
        None => None,
    }
}

/// The strategy of the config, or another one that the input names: that has its defaults then.
fn strategy(choice: &Choice, inputs: &Inputs) -> Result<Strategy, Refusal> {
    let environment = choice.environment();
    let strategy = environment.strategy.clone();
    let Some(name) = inputs
        .strategy
        .as_deref()
        .filter(|name| *name != strategy.name())
    else {
        return Ok(strategy);
    };
    let other = Strategy::named(name)
        .ok_or_else(|| Refusal::of_input("strategy", unknown("strategy", name, Strategy::NAMES)))?;
    let has_members = !environment.members.is_empty();
    match (has_members, matches!(other, Strategy::Rolling(_))) {
        (true, false) => Err(Refusal::of_input(
            "strategy",
            format!(
                "{name} needs two slots, and {} has members: leave it out, or say rolling",
                choice.name
            ),
        )),
        (false, true) => Err(Refusal::of_input(
            "strategy",
            format!(
                "rolling goes over `members`, and {} has two slots: use blue-green or canary",
                choice.name
            ),
        )),
        _ => Ok(other),
    }
}
