//! The promises of a rollout over members: those that were changed get back what they had, batch by
//! batch; where there is no time for that, or it is not wanted, who is good gets traffic again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::pool::Place;
use crate::model::release::Release;
use crate::platform::retry::Backoff;
use crate::rollout::ledger::{AtWork, Ledger, WayBack};
use crate::rollout::saga::{Undo, Undone};
use crate::rollout::stage::Stage;

use super::course::Course;
use super::rotation::names;
use super::settle::settle;
use super::{Direction, turn};

/// A way back deploys, so it takes as long as it takes; it is not tried for ever.
const TWICE: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(1),
    tries: 2,
    deadline: Duration::MAX,
};

/// Gives members back what they had.
pub(super) struct TakeMembersBack {
    pub(super) course: Arc<Course>,
    /// What stands in the ledger.
    pub(super) note: AtWork,
}

#[async_trait(?Send)]
impl Undo for TakeMembersBack {
    fn name(&self) -> &'static str {
        "back"
    }

    fn way_back(&self) -> Option<WayBack> {
        None
    }

    fn write_down(&self, ledger: &Ledger) -> Result<(), Fault> {
        ledger.takes_out(self.note.clone())
    }

    fn patience(&self) -> Backoff {
        TWICE
    }

    fn was_made(&self) -> bool {
        self.course.has_begun()
    }

    fn by_hand(&self, stage: &Stage) -> String {
        let old = self.course.before.iter().flatten().next();
        command(stage, old.unwrap_or(&self.course.release))
    }

    async fn take_back(&self, stage: &Stage) -> Result<(Undone, String), Fault> {
        // Whoever has the lock now has read the router as it is, and decides.
        if stage.lock.lost_now().await.is_some() {
            let undone = if stage.lock.touched() {
                Undone::Stays
            } else {
                Undone::Untouched
            };
            return Ok((undone, String::new()));
        }
        let course = &self.course;
        if !course.has_begun() {
            return Ok((Undone::Untouched, String::new()));
        }
        let in_time = course.goes_back && !stage.cancelled.is_cancelled();
        let went = match in_time {
            true => self.go_back(stage).await,
            false => Ok(()),
        };
        let settled = settle(stage, course).await;
        let settled = match went {
            // Who cancels in the middle of a way back has what there is time for.
            Err(fault) if !stage.cancelled.is_cancelled() => Err(fault),
            _ => settled,
        };
        // What fails is tried again, and there is one receipt.
        if course.is_taken_back() >= TWICE.tries || settled.is_ok() {
            course.settle(stage).await;
        }
        let settled = settled.map_err(not_as_before)?;
        let (members, _) = stage.pool()?;
        let changed = course.changed();
        if changed.is_empty() && settled.left.is_empty() {
            let said = match settled.back.as_slice() {
                [] => "all members are as they were".to_owned(),
                back => format!(
                    "{} in again; all members are as they were",
                    names(members, back)
                ),
            };
            return Ok((Undone::TakenBack, said));
        }
        let mut said = Vec::new();
        if !changed.is_empty() {
            let changed = names(members, &changed);
            said.push(format!("{changed} not taken back"));
        }
        said.extend(settled.left);
        Ok((Undone::Stays, said.join("; ")))
    }
}

impl TakeMembersBack {
    /// First those that are out anyway, then the others in the reverse order.
    async fn go_back(&self, stage: &Stage) -> Result<(), Fault> {
        let course = &self.course;
        let (at_work, mut changed) = (course.at_work(), course.changed());
        if changed.is_empty() {
            return Ok(());
        }
        changed.reverse();
        let (first, rest): (Vec<usize>, Vec<usize>) = changed
            .into_iter()
            .partition(|member| at_work.contains(member));
        let (members, pool) = stage.pool()?;
        let order: Vec<usize> = first.iter().chain(&rest).copied().collect();
        stage.say(Event::Noticed(format!(
            "the way back goes over {}",
            names(members, &order)
        )));
        let batches = [first.as_slice()].into_iter();
        for batch in batches.chain(rest.chunks(course.batch)) {
            let places = pool.read().await?.places;
            let theirs = |member: &usize| matches!(places[*member], Place::Barred(_));
            // Whom a person has taken meanwhile is left to them, and named at the end.
            let (theirs, ours): (Vec<usize>, Vec<usize>) = batch.iter().partition(|it| theirs(it));
            course.works_on(&theirs);
            // Of a member that had nothing there is nothing to give back.
            let known = ours.into_iter();
            let known: Vec<usize> = known
                .filter(|member| course.before[*member].is_some())
                .collect();
            if known.is_empty() {
                continue;
            }
            course.works_on(&known);
            stage.ledger.takes_out(course.note(stage))?;
            turn(stage, course, &known, Direction::Back).await?;
            for member in &known {
                course.is_as_before(*member);
            }
            course.is_done_with(&known);
        }
        if let Some(old) = self.only_old() {
            stage.prove(old, stage.proof.within.get()).await?;
        }
        Ok(())
    }

    /// The release that all members had, if it was one.
    fn only_old(&self) -> Option<&Release> {
        let before = &self.course.before;
        let old = before.first()?.as_ref()?;
        let same = |release: &Option<Release>| release.as_ref().is_some_and(|it| it.is(old));
        (self.course.served_before == 0 && before.iter().all(same)).then_some(old)
    }
}

/// Whoever changed what: members are not as they were, so it is tried again, and somebody has to know.
fn not_as_before(mut fault: Fault) -> Fault {
    if fault.reason == Reason::ChangedByOthers {
        fault.reason = Reason::NoWayBack;
        fault.next = None;
    }
    fault
}

/// The command that brings all members to a release.
pub(super) fn command(stage: &Stage, release: &Release) -> String {
    format!(
        "cutover rollout --environment {} --version {}",
        stage.environment,
        release.as_str()
    )
}

/// Puts in again whom a run left out that was killed.
pub struct PutMembersIn {
    course: Course,
    note: AtWork,
}

impl PutMembersIn {
    /// As the run wrote it down. Members that are none any more are passed over.
    ///
    /// # Errors
    /// When the environment has no members.
    pub fn new(stage: &Stage, note: AtWork) -> Result<Self, Fault> {
        let (members, _) = stage.pool()?;
        Ok(Self {
            course: Course::resumed(members, &note),
            note,
        })
    }

    /// What a person does next, where somebody has to stay out.
    pub fn fault(&self, stage: &Stage, mode: &str) -> Fault {
        Fault::new(
            Reason::Cancelled,
            format!("{mode} was cut off while members were out"),
        )
        .next(format!("go on: `{}`", command(stage, &self.note.release)))
    }
}

#[async_trait(?Send)]
impl Undo for PutMembersIn {
    fn name(&self) -> &'static str {
        "back"
    }

    fn way_back(&self) -> Option<WayBack> {
        None
    }

    fn write_down(&self, ledger: &Ledger) -> Result<(), Fault> {
        ledger.takes_out(self.note.clone())
    }

    fn by_hand(&self, stage: &Stage) -> String {
        command(stage, &self.note.release)
    }

    async fn take_back(&self, stage: &Stage) -> Result<(Undone, String), Fault> {
        if stage.lock.lost_now().await.is_some() {
            return Ok((Undone::Untouched, String::new()));
        }
        let settled = settle(stage, &self.course).await;
        let settled = settled.map_err(not_as_before)?;
        let (members, pool) = stage.pool()?;
        // Of a write that was cut off, what a reload of the router reads may be missing.
        if let Err(failed) = pool.reconcile().await {
            stage.say(Event::Warned(failed.to_string()));
        }
        if !settled.left.is_empty() {
            return Ok((Undone::Stays, settled.left.join("; ")));
        }
        Ok(match settled.back.as_slice() {
            [] => (Undone::Untouched, String::new()),
            back => (
                Undone::TakenBack,
                format!("{} in again", names(members, back)),
            ),
        })
    }
}
