//! The lock beside a mode that changes something: taken before, kept while, released after.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::cast::Audience;
use crate::config::inputs::Inputs;
use crate::config::lock::{Lock, OnConflict};
use crate::github::GithubError;
use crate::github::lock_ref::{Found, LockRef, Tips};
use crate::model::claim::{Claim, State};
use crate::model::ending::{Decision, Ending};
use crate::model::event::Event;
use crate::model::news::News;
use crate::model::queue::Queue;
use crate::model::severity::Severity;
use crate::rollout::ledger::Note;
use crate::rollout::lock::keeper::Keeper;
use crate::rollout::lock::taking::{self, Conflict, NotTaken, Taken};
use crate::rollout::lock::traces::Traces;
use crate::rollout::lock::{self, Draft, Seen, Slate, SlateError};
use crate::rollout::stage::Stage;

use super::session::Session;

/// What to do where nobody can lock.
const OTHERWISE: &str = "`concurrency:` in the workflow is the other way to keep two runs apart";

#[async_trait]
impl Slate for LockRef {
    fn told(&self) -> String {
        self.name()
    }

    async fn read(&self) -> Result<Option<Seen>, SlateError> {
        match self.tips().await? {
            Some(tips) => seen(self, &tips).await.map(Some),
            None => Ok(None),
        }
    }

    async fn glance(&self) -> Result<Option<Seen>, SlateError> {
        match self.tips().await? {
            Some(tips) if tips.is_free() => Ok(Some(Seen {
                mark: tips.sha,
                claim: None,
                at: 0,
                is_free: true,
            })),
            Some(tips) => seen(self, &tips).await.map(Some),
            None => Ok(None),
        }
    }

    async fn mark(&self) -> Result<Option<String>, SlateError> {
        Ok(match self.tips().await? {
            Some(tips) if !was_given_up(self, &tips).await? => Some(tips.sha),
            _ => None,
        })
    }

    async fn draft(&self, over: Option<&str>, claim: &Claim) -> Result<Draft, SlateError> {
        let loose = Self::draft(self, over, &claim.message()).await?;
        Ok(Draft {
            mark: loose.sha,
            at: loose.at,
        })
    }

    async fn place(&self, is_new: bool, draft: &Draft) -> Result<bool, SlateError> {
        Ok(Self::place(self, is_new, &draft.mark).await?)
    }

    async fn give_up(&self, mark: &str) -> Result<bool, SlateError> {
        Ok(Self::give_up(self, mark).await?)
    }
}

/// What is written there, given up or not.
async fn seen(slate: &LockRef, tips: &Tips) -> Result<Seen, SlateError> {
    let found = slate.read(tips).await?;
    let mut claim = found.message.as_deref().and_then(Claim::read);
    // Who joins the queue leaves the owner's time as it was; nobody makes it later.
    let owners = claim.as_ref().and_then(|claim| claim.at);
    let mut at = owners.map_or(found.at, |at| at.min(found.at));
    if let Some(held) = &claim
        && held.state == State::Held
        && was_given_up(slate, tips).await?
    {
        // When is not said. It was alive then, so its lease was not over.
        at = at.saturating_add(i64::try_from(held.lease().as_secs()).unwrap_or(i64::MAX));
        claim = Some(held.released());
    }
    Ok(Seen {
        is_free: claim
            .as_ref()
            .is_some_and(|claim| claim.state == State::Released),
        mark: found.sha,
        claim,
        at,
    })
}

/// Whether the claim was given up, perhaps before it was renewed by a request that came late.
async fn was_given_up(slate: &LockRef, tips: &Tips) -> Result<bool, SlateError> {
    let Some(given_up) = &tips.given_up else {
        return Ok(false);
    };
    if tips.is_free() {
        return Ok(true);
    }
    if slate.is_of_others(given_up) {
        return Ok(false);
    }
    let id = |found: Found| Some(Claim::read(found.message.as_deref()?)?.id);
    let last = id(slate.commit(given_up).await?);
    Ok(last.is_some() && last == id(slate.read(tips).await?))
}

impl From<GithubError> for SlateError {
    fn from(failed: GithubError) -> Self {
        let said = failed.to_string();
        match failed {
            GithubError::NoAccess { .. } => Self::Refused(failed.told()),
            GithubError::Refused {
                status: 401 | 403 | 404,
                wait: None,
                ..
            } => Self::NotAllowed(said),
            GithubError::Refused {
                status, wait: None, ..
            } if status < 500 && status != 409 => Self::Refused(said),
            _ => Self::OutOfReach(said),
        }
    }
}

impl Session {
    /// The slate of an environment's lock; `None` without a token.
    pub(super) fn slate(
        &self,
        environment: &str,
        inputs: &Inputs,
    ) -> Result<Option<Arc<LockRef>>, String> {
        let Some(access) = self.access(inputs)? else {
            return Ok(None);
        };
        let repository = self
            .repository()
            .ok_or("GITHUB_REPOSITORY is not an owner and a name, so nothing is locked")?;
        let made = LockRef::new(&self.http, &access, &repository, environment);
        made.map(|made| Some(Arc::new(made.telling(self.say.clone()))))
            .map_err(|failed| failed.to_string())
    }

    /// Takes the lock of the stage's environment, or waits for it.
    pub(super) async fn take_lock(
        &self,
        stage: &Stage,
        mode: &str,
        release: Option<&str>,
        lock: &Lock,
        inputs: &Inputs,
        audience: &Audience,
    ) -> Result<Keeper, NotTaken> {
        let environment = &stage.environment;
        let slate = match self.slate(environment, inputs) {
            Ok(Some(slate)) => slate,
            Ok(None) => {
                // At a terminal nobody expects a lock.
                if self.context.in_workflow {
                    (self.say)(Event::Noticed(format!(
                        "no token: {environment} is not locked against other runs; {OTHERWISE}"
                    )));
                }
                return Ok(Keeper::default());
            }
            Err(said) => {
                (self.say)(Event::Warned(said));
                return Ok(Keeper::default());
            }
        };
        let conflict = match (mode, lock.on_conflict) {
            ("rollback", _) => Conflict::GoOn,
            (_, OnConflict::Fail) => Conflict::Fail,
            (_, OnConflict::Wait) => Conflict::Wait(lock.wait_limit.get()),
        };
        let reason = match release {
            Some(release) => format!("{mode} of {release}"),
            None => mode.to_owned(),
        };
        let claim = self.claim(reason, lock.lease.get());
        // On disk before it is made: the post step releases what a killed run leaves behind.
        let _ = stage.ledger.claims(Some(&claim.id));
        let limit = usize::try_from(lock.queue_alert).unwrap_or(usize::MAX);
        let (crowd, crowds) = mpsc::unbounded_channel();
        // Each run makes the queue longer by one, so exactly one of them passes the limit.
        let joined = |queue: &Queue| {
            if queue.depth() == limit.saturating_add(1) {
                let _ = crowd.send(self.news_of_queue(stage, queue, limit));
            }
        };
        let taken = self.telling_midway(crowds, audience, async {
            taking::take(stage, slate, claim, conflict, joined).await
        });
        let taken = taken.await;
        match taken {
            Ok(Taken::Ours(keeper)) => return Ok(*keeper),
            Ok(Taken::NotAllowed(said)) => {
                let _ = stage.ledger.claims(None);
                (self.say)(Event::Noticed(format!(
                    "{environment} is not locked against other runs ({said}): give the job `permissions: {{ contents: write }}`; {OTHERWISE}"
                )));
                let passed = self.pass_others(stage, inputs, conflict).await;
                passed.map_err(|fault| NotTaken { fault, left: None })?;
            }
            Ok(Taken::Passed(said, keeper)) => {
                stage.ledger.leaves_claim(keeper.left());
                (self.say)(Event::Warned(format!(
                    "{said}; a way back waits for nobody, so it goes on without the lock"
                )));
                return Ok(*keeper);
            }
            Err(not_taken) => {
                let left = not_taken.left.as_ref();
                stage.ledger.leaves_claim(left.map(|(id, _)| id.as_str()));
                if let Some((_, said)) = left {
                    (self.say)(Event::Warned(said.clone()));
                }
                return Err(not_taken);
            }
        }
        Ok(Keeper::default())
    }

    fn news_of_queue(&self, stage: &Stage, queue: &Queue, limit: usize) -> News {
        let environment = &stage.environment;
        News {
            severity: Severity::Warning,
            title: format!("{} runs wait for {environment}", queue.depth()),
            message: format!(
                "{}\nalert above: {limit}\nnext: `cutover lock show --environment {environment}` shows who has it",
                lock::queue::told(queue).unwrap_or_default()
            ),
            facts: vec![
                ("app".to_owned(), stage.app.clone()),
                ("environment".to_owned(), environment.clone()),
            ],
            run_url: self.context.run_url.clone(),
            ..News::default()
        }
    }

    /// Releases the lock of a run that has ended; `false` where it is left for the post step.
    pub(super) async fn release_lock(&self, stage: &Stage, ending: &Ending) -> bool {
        // Nobody else is to come between a run that is stuck and the post step, which tries again.
        if ending.decision == Decision::Stuck && self.context.in_workflow && stage.lock.is_held() {
            return false;
        }
        match stage.lock.release().await {
            Ok(()) => {
                stage.ledger.leaves_claim(None);
                true
            }
            Err(said) => {
                (self.say)(Event::Warned(said));
                false
            }
        }
    }

    /// Takes up the lock of a run that was killed.
    pub(super) async fn resume_lock(&self, note: &Note, inputs: &Inputs) -> Keeper {
        let Some(id) = note.claim.as_ref().or(note.left.as_ref()) else {
            return Keeper::default();
        };
        let resumed = match self.slate(&note.environment, inputs) {
            Ok(Some(slate)) if note.claim.is_none() => {
                let claim = Claim {
                    id: id.clone(),
                    ..self.claim("finish".to_owned(), Duration::ZERO)
                };
                Ok(Keeper::of_traces(slate, claim, Traces::of_another_run()))
            }
            Ok(Some(slate)) => Keeper::resume(slate, id)
                .await
                .map_err(|failed| failed.to_string()),
            Ok(None) => Err("there is no token".to_owned()),
            Err(said) => Err(said),
        };
        resumed.unwrap_or_else(|said| {
            (self.say)(Event::Warned(format!(
                "whose lock it is now is unknown: {said}"
            )));
            Keeper::default()
        })
    }

    /// A claim of this run, or of the person at the terminal.
    pub(super) fn claim(&self, reason: String, lease: Duration) -> Claim {
        let url = self.context.run_url.clone();
        taking::claim(self.owner(), self.run_name(), url, reason, lease)
    }

    /// The run as its id, attempt and job; empty at a terminal.
    pub(super) fn run_name(&self) -> String {
        let run = self.run();
        if run.id.is_empty() {
            return String::new();
        }
        format!("{}-{}-{}", run.id, run.attempt, run.job)
    }

    /// Who caused this run, or who is at the terminal, and where.
    pub(super) fn owner(&self) -> String {
        let actor = &self.context.triggering_actor;
        if let Some(actor) = actor.as_ref().or(self.context.actor.as_ref()) {
            return actor.clone();
        }
        let user = self.environment.iter().find(|(name, _)| name == "USER");
        let user = user
            .and_then(|(_, user)| user.to_str())
            .unwrap_or("someone");
        match std::fs::read_to_string("/proc/sys/kernel/hostname") {
            Ok(host) => format!("{user}@{}", host.trim()),
            Err(_) => user.to_owned(),
        }
    }
}
