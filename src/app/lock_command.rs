//! `cutover lock`: who has the lock; `hold` it by hand, with a reason; `release` it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::inputs::Inputs;
use crate::config::units::Span;
use crate::error::Refusal;
use crate::github::lock_ref::LockRef;
use crate::model::claim::Claim;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Headline};
use crate::model::fault::Fault;
use crate::rollout::lock::keeper::Keeper;
use crate::rollout::lock::taking::{Conflict, NotTaken, Taken, take};
use crate::rollout::lock::{Seen, Slate, SlateError, queue, unreadable};
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;

use super::session::Session;

/// How long a person's hold lasts where no other time is given.
const BY_HAND: Duration = Duration::from_secs(24 * 3600);

/// What is asked for.
enum Wish {
    Show,
    Hold(Duration),
    Release(Option<String>),
    Check(String),
}

impl Session {
    /// The command.
    pub(super) async fn lock_command(&self, inputs: &Inputs) -> Result<Ending, Refusal> {
        let wish = wish(&inputs.operands)?;
        let choice = self.choice(inputs)?;
        let stage = self.stage(&choice, "lock", inputs)?;
        let slate = self.slate(&choice.name, inputs);
        let slate = slate.map_err(|said| Refusal::of_input("lock", said))?;
        let missing = "is missing, and the lock is kept in the repository on GitHub";
        let slate = slate.ok_or_else(|| Refusal::of_input("token", missing))?;
        self.begin(Headline {
            mode: "lock",
            environment: Some(choice.name.clone()),
            app: Some(stage.app.clone()),
            ..Headline::default()
        });
        let done = match wish {
            Wish::Show => show(&stage, &slate).await,
            Wish::Hold(lease) => {
                let reason = inputs.reason.clone();
                let reason = reason.unwrap_or_else(|| "held by hand".to_owned());
                hold(&stage, slate, self.claim(reason, lease)).await
            }
            Wish::Check(fence) => check(&stage, &slate, &fence).await,
            Wish::Release(id) => {
                let ours = (self.owner(), self.run_name());
                release(&stage, slate, id.as_deref(), &ours).await
            }
        };
        let ending = match done {
            Ok(said) => Ending::good(Decision::Passed, Reason::Done, said),
            Err(fault) => Saga::tell(&stage, async |_: &mut Saga<'_>| Err(Halt::from(fault))).await,
        };
        self.ended(&ending);
        Ok(ending)
    }
}

fn wish(operands: &[String]) -> Result<Wish, Refusal> {
    let words: Vec<&str> = operands.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["show"] => Ok(Wish::Show),
        ["hold"] => Ok(Wish::Hold(BY_HAND)),
        ["hold", length] => match length.parse::<Span>() {
            Ok(length) if length >= crate::config::lock::SHORTEST_LEASE => {
                Ok(Wish::Hold(length.get()))
            }
            Ok(_) => Err(Refusal::of_input("lock hold", "the time is too short")),
            Err(said) => Err(Refusal::of_input("lock hold", said)),
        },
        ["release"] => Ok(Wish::Release(None)),
        ["release", id] => Ok(Wish::Release(Some((*id).to_owned()))),
        ["check", ""] => Err(Refusal::of_input(
            "lock check",
            "has an empty fence: the run has no lock, or FENCE did not get here; where deploying without a lock is right, write `[ -z \"$FENCE\" ] || cutover lock check \"$FENCE\"`",
        )),
        ["check", fence] => Ok(Wish::Check((*fence).to_owned())),
        _ => Err(Refusal::of_input(
            "lock",
            "is followed by `show`, `hold`, `hold 8h`, `release`, `release CLAIM` or `check FENCE`, or by nothing",
        )),
    }
}

/// The claim that holds, and its writing.
async fn held(stage: &Stage, slate: &LockRef) -> Result<Option<(Seen, Claim)>, Fault> {
    let Some(seen) = Slate::read(slate).await.map_err(failed)? else {
        return Ok(None);
    };
    if seen.claim.is_none() {
        return Err(unreadable(&stage.environment, slate));
    }
    let claim = seen.held().cloned();
    Ok(claim.map(|claim| (seen, claim)))
}

async fn show(stage: &Stage, slate: &LockRef) -> Result<String, Fault> {
    let environment = &stage.environment;
    let Some(seen) = Slate::read(slate).await.map_err(failed)? else {
        return Ok(format!("{environment} is free"));
    };
    let Some(last) = &seen.claim else {
        return Err(unreadable(environment, slate));
    };
    for (place, ticket) in last.queue.tickets().iter().enumerate() {
        let url = ticket.run_url.as_ref().map(|url| format!(", {url}"));
        stage.say(Event::Noticed(format!(
            "{}. in the queue: {} ({}{}), since {}",
            place + 1,
            ticket.owner,
            ticket.reason,
            url.unwrap_or_default(),
            ticket.since
        )));
    }
    let waiting = queue::told(&last.queue).map(|told| format!("; {told}"));
    let waiting = waiting.unwrap_or_default();
    Ok(match seen.held() {
        None => format!("{environment} is free{waiting}"),
        Some(claim) => format!(
            "{environment} is locked by {}; its lease is until {}; claim {}{waiting}",
            claim.told(),
            seen.until(),
            claim.id
        ),
    })
}

async fn hold(stage: &Stage, slate: Arc<LockRef>, claim: Claim) -> Result<String, Fault> {
    let (id, lease) = (claim.id.clone(), claim.lease());
    match take(stage, slate, claim, Conflict::AtOnce, |_| {}).await {
        Ok(Taken::Ours(_)) => Ok(format!(
            "{} is locked for {}, or until `cutover lock release`; claim {id}",
            stage.environment,
            crate::platform::text::duration(lease)
        )),
        Ok(Taken::NotAllowed(said) | Taken::Passed(said, _)) => {
            Err(failed(SlateError::NotAllowed(said)))
        }
        Err(NotTaken { fault, left }) => {
            if let Some((_, said)) = left {
                stage.say(Event::Warned(said));
            }
            Err(fault)
        }
    }
}

/// Releases the claim with that id, or one's own.
async fn release(
    stage: &Stage,
    slate: Arc<LockRef>,
    id: Option<&str>,
    ours: &(String, String),
) -> Result<String, Fault> {
    let Some((seen, claim)) = held(stage, &slate).await? else {
        return Ok(format!("{} is free", stage.environment));
    };
    let may = match id {
        Some(id) => claim.id == id,
        None => (&claim.owner, &claim.run) == (&ours.0, &ours.1),
    };
    if !may {
        return Err(
            Fault::new(Reason::Locked, "the lock is somebody else's, and stays")
                .measured(claim.told())
                .wanted(id.map_or_else(
                    || format!("a claim of {}", ours.0),
                    |id| format!("claim {id}"),
                ))
                .next(format!(
                    "if you are sure that nobody is at work: `cutover lock release {}`",
                    claim.id
                )),
        );
    }
    let told = claim.told();
    let keeper = Keeper::of(slate, claim, seen.mark, tokio::time::Instant::now());
    keeper
        .release()
        .await
        .map_err(|said| failed(SlateError::OutOfReach(said)))?;
    Ok(format!("{} is free; it was {told}", stage.environment))
}

/// Whether it is still the turn of whoever was given that fence.
async fn check(stage: &Stage, slate: &LockRef, fence: &str) -> Result<String, Fault> {
    let now = held(stage, slate).await?;
    let now = now.map(|(_, claim)| claim.fence());
    if now.as_deref() == Some(fence) {
        return Ok(format!("{fence} has the turn in {}", stage.environment));
    }
    let now = now.unwrap_or_else(|| "nobody".to_owned());
    Err(Fault::new(
        Reason::LockLost,
        "the turn is over: change nothing any more",
    )
    .measured(format!("{now} has the turn in {}", stage.environment))
    .wanted(fence)
    .next("end here; the run that has the turn does the rest"))
}

fn failed(why: SlateError) -> Fault {
    Fault::new(Reason::OutOfReach, "the lock could not be read or written")
        .measured(why.to_string())
        .next("the token needs `contents: write`; `GITHUB_REPOSITORY` names the repository")
}
