//! Putting things right in seconds: who serves something good gets traffic, who does not is named.
//!
//! Nothing is deployed here, so a cancelled run has the time for it, and so has the post step of
//! one that was killed.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::pool::Place;
use crate::model::release::Release;
use crate::platform::text;
use crate::rollout::looks::Served;
use crate::rollout::saga::Step as _;
use crate::rollout::stage::Stage;
use crate::rollout::steps::smoke;
use crate::routers::RouterError;

use super::course::Course;
use super::rotation::{PutIn, TakeOut, names};

/// How long a member may take to say what it serves, and how long its smoke checks may take.
const LOOK: Duration = Duration::from_secs(2);

/// How long the router's own checks are waited for.
const COMES_IN: Duration = Duration::from_secs(1);

/// What became of the members that were at work.
#[derive(Default)]
pub(super) struct Settled {
    /// Put in again.
    pub(super) back: Vec<usize>,
    /// Left out, each with the line that says why.
    pub(super) left: Vec<String>,
}

/// Looks at each member that is at work, and puts it in or leaves it out.
///
/// # Errors
/// When the router cannot be asked or written.
pub(super) async fn settle(stage: &Stage, course: &Course) -> Result<Settled, Fault> {
    let (members, pool) = stage.pool()?;
    let at_work = course.at_work();
    let places = match pool.read().await {
        // A run that was killed in the middle of a write has left it half done.
        Err(RouterError::Drifted { .. }) => {
            pool.reconcile().await?;
            pool.read().await?.places
        }
        read => read?.places,
    };
    let mut settled = Settled::default();
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    // All at once: there are seconds.
    let looks = join_all(at_work.iter().map(async |member| {
        let place = &places[*member];
        if let Place::Barred(why) = place {
            return Worth::Bad(format!("someone else keeps it out ({why})"));
        }
        let served = stage.served_at(&members[*member].url, LOOK).await;
        worth(stage, course, (*member, place), &served).await
    }));
    for (member, worth) in at_work.iter().copied().zip(looks.await) {
        match worth {
            Worth::Good => good.push(member),
            // It was out before, and is no worse than it was.
            Worth::AsBefore => {}
            Worth::Bad(why) => bad.push((member, why)),
        }
    }
    let come: Vec<usize> = good
        .into_iter()
        .filter(|member| !places[*member].is_in())
        .collect();
    if !come.is_empty() {
        let put = PutIn {
            course,
            members: &come,
            within: COMES_IN,
        };
        match put.act(stage).await {
            Ok(made) => stage.say(Event::Noticed(format!("put in again: {}", made.said))),
            // The router was told; its own checks let it in when they pass, run or no run.
            Err(_) if set_in(stage, &come).await => {
                let said = format!("put in again: {}", names(members, &come));
                stage.say(Event::Noticed(said));
            }
            Err(fault) => return Err(fault),
        }
        settled.back = come;
    }
    for (member, why) in bad {
        let name = &members[member].name;
        let mut said = format!("{name} stays out of rotation: {why}");
        if places[member].is_in() {
            let out = TakeOut {
                course,
                members: &[member],
                careful: true,
            };
            if let Err(fault) = out.act(stage).await {
                said = format!("{name} stays in rotation although {why}: {}", fault.said);
            }
        }
        stage.say(Event::Warned(said.clone()));
        settled.left.push(said);
    }
    Ok(settled)
}

/// Whether the router has members set to be in, whatever its own checks say.
async fn set_in(stage: &Stage, some: &[usize]) -> bool {
    let Ok((_, pool)) = stage.pool() else {
        return false;
    };
    let is_set = |place: &Place| matches!(place, Place::In | Place::Down(_));
    match pool.read().await {
        Ok(rota) => some.iter().all(|member| is_set(&rota.places[*member])),
        Err(_) => false,
    }
}

enum Worth {
    Good,
    AsBefore,
    Bad(String),
}

/// Whether users may get what a member serves.
async fn worth(
    stage: &Stage,
    course: &Course,
    (member, place): (usize, &Place),
    served: &Served,
) -> Worth {
    let (was_in, is_in) = (course.was_in[member], place.is_in());
    let is_changed = course.changed().contains(&member);
    let before = course.before[member].as_ref();
    match served {
        Served::Release(release) if release.is(&course.release) => {
            if course.is_condemned() {
                return Worth::Bad(format!("{release} was bad there under traffic"));
            }
            match passes(stage, member, release).await {
                Ok(()) => Worth::Good,
                Err(why) => Worth::Bad(why),
            }
        }
        Served::Release(release) if before.is_some_and(|it| it.is(release)) => {
            // A deployment that failed half way may say the old name. Who gets traffic was tested.
            let in_doubt = is_changed || (was_in && course.is_resumed);
            if !is_in
                && in_doubt
                && let Err(why) = passes(stage, member, release).await
            {
                return Worth::Bad(why);
            }
            course.is_as_before(member);
            match was_in {
                true => Worth::Good,
                false => Worth::AsBefore,
            }
        }
        other if !was_in && !is_in && !is_changed => {
            if let Ok((members, _)) = stage.pool() {
                let name = &members[member].name;
                let said = format!("{name} was out before and stays out: {}", told(other));
                stage.say(Event::Noticed(said));
            }
            Worth::AsBefore
        }
        other => Worth::Bad(told(other)),
    }
}

fn told(served: &Served) -> String {
    match served {
        Served::Release(other) => format!("it serves {other}"),
        mute => format!("it does not say what it serves ({})", mute.told()),
    }
}

/// Runs the smoke checks against a member, within a moment.
async fn passes(stage: &Stage, member: usize, release: &Release) -> Result<(), String> {
    let said = |fault: Fault| format!("it serves {release}, and {}", fault.said);
    let (members, _) = stage.pool().map_err(said)?;
    match timeout(LOOK, smoke(stage, &members[member], Some(release))).await {
        Ok(passed) => passed.map_err(said),
        Err(_) => Err(format!(
            "it serves {release}, and its smoke checks took longer than {}",
            text::duration(LOOK)
        )),
    }
}
