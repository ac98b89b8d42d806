//! Rolling: the release goes over the members batch by batch. A batch is taken out of rotation,
//! drained, deployed to, tested, put in again and watched under traffic; then comes the next one.
//!
//! A member that gets traffic is never deployed to, and somebody always stays in. Where a batch
//! fails, what was changed is taken back in the same careful way, or the rollout stops there.

mod back;
mod census;
mod course;
mod deploy;
mod one;
mod rotation;
mod settle;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::config::preflight::Migration;
use crate::config::rolling::{OnFailure, Rolling};
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::pool::Place;
use crate::model::release::Release;
use crate::platform::text;

use super::saga::{Halt, Saga, take};
use super::stage::Stage;
use super::watch::felt_in_all;

pub use back::PutMembersIn;
pub use census::{Census, PrepareWayBack, TakeCensus};
pub use one::{deploy_to, member_named, smoke_test};

use back::{TakeMembersBack, command};
use course::{Course, MEMBERS};
use deploy::{AwaitServed, DeployTo, SmokeTest, Wanted};
use rotation::{Drain, PutIn, TakeOut, names};
use watch::{ProveServed, Watch};

/// Said before anything is changed.
const NO_WAY_BACK: &str = "migration: contract: the old release does not fit the data afterwards, so there is no automatic way back: where a batch fails, the rollout stops there";

/// What a rollout over members needs to know.
pub struct Plan {
    /// The release.
    pub release: Release,
    /// What the release does to data that the old one uses, too.
    pub migration: Migration,
    /// The strategy's settings.
    pub settings: Rolling,
}

impl Plan {
    /// Whether members get their old release again where the rollout stops.
    fn goes_back(&self) -> bool {
        self.migration != Migration::Contract && self.settings.on_failure == OnFailure::Rollback
    }
}

/// Which way a batch is turned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// To the new release.
    Forth,
    /// To what each member had.
    Back,
}

/// The whole story.
///
/// # Errors
/// What stopped it; the saga takes back what must not stay.
pub async fn rolling(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let (stage, release) = (saga.stage(), &plan.release);
    stage.learned(Fact::Slot(MEMBERS.to_owned()));
    let census = saga.step(TakeCensus).await?;
    let to_do = census.to_do(release);
    if to_do.is_empty() {
        let said = format!("{release} is on all members already; nothing was changed");
        return Ok(Ending::good(Decision::Skipped, Reason::AlreadyThere, said));
    }
    told_who_is_out(stage, &census)?;
    if plan.migration == Migration::Contract {
        stage.say(Event::Warned(NO_WAY_BACK.to_owned()));
    }
    let before = saga
        .step(PrepareWayBack {
            census: &census,
            to_do: &to_do,
            release,
            wanted: plan.goes_back(),
        })
        .await?;
    let all = before.len();
    // Who is down by the router's own checks alone was to be in.
    let places = census.rota.places.iter();
    let was_in = places.map(|place| *place != Place::Out).collect();
    let mut course = Course::begin(
        stage,
        release.clone(),
        plan.settings.clone(),
        before,
        was_in,
    );
    course.goes_back = plan.goes_back();
    course.live = census.is_live();
    course.served_before = all - to_do.len();
    let course = Arc::new(course);
    let batches = census.batches(&to_do, course.batch);
    match batch_by_batch(saga, &course, &batches).await {
        Ok(()) => {}
        Err(mut fault) => {
            if let Some(next) = next(stage, &course, &fault) {
                fault.next = Some(next);
            }
            return Err(fault.into());
        }
    }

    saga.commit();
    course.settle(stage).await;
    let said = text::sentence(
        &format!("{release} on {}", text::count(all as u64, "member")),
        &felt_in_all(course.felt().as_ref()),
    );
    Ok(Ending::good(Decision::Promoted, Reason::Done, said))
}

async fn batch_by_batch(
    saga: &mut Saga<'_>,
    course: &Arc<Course>,
    batches: &[Vec<usize>],
) -> Result<(), Fault> {
    let stage = saga.stage();
    for (nth, batch) in batches.iter().enumerate() {
        if stage.cancelled.is_cancelled() {
            return Err(Fault::cancelled());
        }
        let last = nth + 1 == batches.len();
        course.works_on(batch);
        let promise = TakeMembersBack {
            course: Arc::clone(course),
            note: course.note(stage),
        };
        saga.undo_anew_with(promise).map_err(Halt::into_fault)?;
        turn(stage, course, batch, Direction::Forth).await?;
        let under_traffic = async {
            let proof = ProveServed {
                course,
                everywhere: last,
            };
            take(stage, proof).await?;
            let settings = &course.settings;
            let watch = Watch {
                course,
                members: batch,
                length: match last {
                    true => settings.watch.get(),
                    false if course.live => settings.pause.get(),
                    // The others answer nothing yet.
                    false => Duration::ZERO,
                },
                everywhere: last,
            };
            take(stage, watch).await
        };
        let watched = under_traffic.await;
        if let Err(fault) = watched {
            if fault.reason != Reason::Cancelled {
                course.condemn();
            }
            return Err(fault);
        }
        if !last {
            course.is_done_with(batch);
        }
    }
    Ok(())
}

/// One batch, from rotation back into rotation.
async fn turn(
    stage: &Stage,
    course: &Course,
    batch: &[usize],
    direction: Direction,
) -> Result<(), Fault> {
    let settings = &course.settings;
    let forth = direction == Direction::Forth;
    let had = take(
        stage,
        TakeOut {
            course,
            members: batch,
            careful: forth && course.live,
        },
    )
    .await?;
    take(
        stage,
        Drain {
            members: &had,
            within: settings.drain.get(),
        },
    )
    .await?;
    let to = |member: usize| match direction {
        Direction::Forth => Some(course.release.clone()),
        Direction::Back => course.before[member].clone(),
    };
    let wanted = batch.iter().copied();
    let wanted: Wanted = wanted
        .filter_map(|member| Some((member, to(member)?)))
        .collect();
    let open = without(stage, &wanted, forth).await?;
    take(
        stage,
        DeployTo {
            course: Some(course),
            wanted: &open,
        },
    )
    .await?;
    take(
        stage,
        AwaitServed {
            wanted: &wanted,
            within: settings.wait.get(),
        },
    )
    .await?;
    take(stage, SmokeTest { wanted: &wanted }).await?;
    // Who was out before the run, and has nothing new, stays out.
    let come = batch.iter().copied();
    let come: Vec<usize> = come
        .filter(|member| forth || course.was_in[*member])
        .collect();
    if come.is_empty() {
        return Ok(());
    }
    take(
        stage,
        PutIn {
            course,
            members: &come,
            within: settings.wait.get(),
        },
    )
    .await
}

/// Those that do not serve what they are to serve. On the way back everybody is deployed to: a
/// deployment that failed half way may say the old name.
async fn without(stage: &Stage, wanted: &Wanted, forth: bool) -> Result<Wanted, Fault> {
    if !forth {
        return Ok(wanted.clone());
    }
    let (members, _) = stage.pool()?;
    let looks = wanted
        .iter()
        .map(|(member, _)| stage.served_at(&members[*member].url, LAST_LOOK));
    let looks = join_all(looks).await;
    let open = wanted.iter().zip(looks).filter(|((_, release), served)| {
        !served.release().is_some_and(|served| served.is(release))
    });
    Ok(open.map(|(wanted, _)| wanted.clone()).collect())
}

/// How long a member may take to say that it has the release already.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Members that get no traffic are no surprise afterwards.
fn told_who_is_out(stage: &Stage, census: &Census) -> Result<(), Fault> {
    let (members, _) = stage.pool()?;
    for (member, place) in members.iter().zip(&census.rota.places) {
        if let Place::Out | Place::Down(_) = place {
            stage.say(Event::Warned(format!(
                "{} gets no traffic ({}): the rollout begins with it, and puts it in",
                member.name,
                place.told()
            )));
        }
    }
    Ok(())
}

/// What to do next, where members are left as they are.
fn next(stage: &Stage, course: &Course, fault: &Fault) -> Option<String> {
    let cancelled = fault.reason == Reason::Cancelled;
    if course.changed().is_empty() || (course.goes_back && !cancelled) {
        return None;
    }
    let old = course.before.iter().flatten().next();
    let back = old.map_or_else(String::new, |old| {
        format!("; back by `{}`", command(stage, old))
    });
    let cause = fault.next.as_deref().filter(|_| !cancelled);
    let cause = cause.map_or_else(String::new, |cause| format!("; {cause}"));
    Some(format!(
        "go on by `{}`, which passes over members that have it{back}{cause}",
        command(stage, &course.release)
    ))
}

/// What a rollout would do.
///
/// # Errors
/// Why it could not.
pub async fn planned(saga: &mut Saga<'_>, plan: &Plan) -> Result<Ending, Halt> {
    let (stage, release) = (saga.stage(), &plan.release);
    let census = saga.step(TakeCensus).await?;
    let to_do = census.to_do(release);
    if to_do.is_empty() {
        let said = format!("{release} is on all members already");
        return Ok(Ending::good(Decision::Planned, Reason::DryRun, said));
    }
    told_who_is_out(stage, &census)?;
    saga.step(PrepareWayBack {
        census: &census,
        to_do: &to_do,
        release,
        wanted: plan.goes_back(),
    })
    .await?;
    let (members, _) = stage.pool()?;
    let batches = census.batches(&to_do, plan.settings.batch.of(members.len()));
    let told: Vec<String> = batches.iter().map(|batch| names(members, batch)).collect();
    let said = format!(
        "{release} would go to {} by {}, each batch out of rotation meanwhile and watched for {} afterwards; then a watch of {}",
        told.join(", then "),
        stage.target()?.told(),
        plan.settings.pause,
        plan.settings.watch,
    );
    Ok(Ending::good(Decision::Planned, Reason::DryRun, said))
}

/// Where traffic is now: each member's release and place, for the account of a failure.
pub(super) async fn told_now(stage: &Stage, within: Duration) -> String {
    let Ok((members, pool)) = stage.pool() else {
        return "unknown: the config has no router".to_owned();
    };
    let served = members
        .iter()
        .map(|member| stage.served_at(&member.url, within));
    let (rota, served) = tokio::join!(tokio::time::timeout(within, pool.read()), join_all(served));
    match rota {
        Ok(Ok(rota)) => format!(
            "{}, say the router and the members",
            census::told(members, &rota.places, &served)
        ),
        Ok(Err(failed)) => format!("unknown: {failed}"),
        Err(_) => "unknown: the router does not answer".to_owned(),
    }
}
