//! The steps at the router: members go out, what they still do ends, and they come in again.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::pool::{Place, listed};
use crate::model::slot::Slot;
use crate::platform::text;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::routers::pool::{InFlight, Pool, Rota, Turn};
use crate::routers::{Confirmed, RouterError};

use super::course::Course;

/// How long a member that stays may take to show that it is well.
const WELL: Duration = Duration::from_secs(2);

/// Between two looks at what is in flight, or at what the router's own checks say.
const PAUSE: Duration = Duration::from_millis(100);

/// So often in a row nothing must be in flight: between two requests of a busy client there is
/// nothing, too.
const IN_A_ROW: u32 = 2;

/// The names of some members.
pub(super) fn names(members: &[Slot], some: &[usize]) -> String {
    listed(some.iter().map(|member| members[*member].name.as_str()))
}

/// How many get traffic.
fn within(places: &[Place]) -> usize {
    places.iter().filter(|place| place.is_in()).count()
}

/// That nobody else keeps one of them out: what a person has taken is given back by that person.
fn nobodys(members: &[Slot], rota: &Rota, some: &[usize]) -> Result<(), Fault> {
    for member in some {
        if let Place::Barred(why) = &rota.places[*member] {
            let name = &members[*member].name;
            return Err(Fault::new(
                Reason::ChangedByOthers,
                format!("someone else took {name} out meanwhile: {why}"),
            )
            .next(format!(
                "give {name} back to the router, or take it out of `members`; then run again"
            )));
        }
    }
    Ok(())
}

/// Takes members out of rotation, never the last ones.
pub(super) struct TakeOut<'a> {
    pub(super) course: &'a Course,
    pub(super) members: &'a [usize],
    /// Whether one that stays has to be seen to be well: on the way back from a release that is
    /// bad everywhere, none is.
    pub(super) careful: bool,
}

impl Step for TakeOut<'_> {
    /// Those that had traffic until now.
    type Value = Vec<usize>;
    const NAME: &'static str = "out";
    // Never stop in the middle of a router write.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<Vec<usize>>, Fault> {
        let (members, pool) = stage.pool()?;
        let rota = pool.read().await?;
        let leaving = self.members.iter().copied();
        let leaving: Vec<usize> = leaving
            .filter(|member| rota.places[*member] != Place::Out)
            .collect();
        nobodys(members, &rota, &leaving)?;
        let had: Vec<usize> = leaving
            .iter()
            .copied()
            .filter(|member| rota.places[*member].is_in())
            .collect();
        if !had.is_empty() {
            self.others_stay(stage, members, &rota).await?;
        }
        if leaving.is_empty() {
            let said = format!("{} already", names(members, self.members));
            return Ok(Made { value: had, said });
        }
        let turn = Turn {
            members: leaving,
            come_in: false,
        };
        write(stage, pool, &rota, &turn, self.course).await?;
        pool.confirm(&turn).await?;
        let stay = within(&rota.places) - had.len();
        changed(stage, members.len(), within(&rota.places), stay);
        let said = format!(
            "{}    {stay} of {} stay in",
            names(members, self.members),
            members.len()
        );
        Ok(Made { value: had, said })
    }
}

impl TakeOut<'_> {
    /// Somebody has to be there for users.
    async fn others_stay(&self, stage: &Stage, members: &[Slot], rota: &Rota) -> Result<(), Fault> {
        let staying: Vec<usize> = (0..members.len())
            .filter(|member| rota.places[*member].is_in() && !self.members.contains(member))
            .collect();
        let no = |measured: String| {
            Err(Fault::new(
                Reason::SlotIsActive,
                format!(
                    "without {} nobody would be left for users, so nothing was taken out",
                    names(members, self.members)
                ),
            )
            .measured(measured)
            .wanted("one member at least that is in rotation and well")
            .next("bring the other members up, then run again"))
        };
        if staying.is_empty() {
            return no("no other member is in rotation".to_owned());
        }
        if !self.careful {
            return Ok(());
        }
        let looks = staying
            .iter()
            .map(|member| stage.served_at(&members[*member].url, WELL));
        let looks = join_all(looks).await;
        if looks.iter().any(|served| served.release().is_some()) {
            return Ok(());
        }
        let last = looks.last().map(|served| served.told()).unwrap_or_default();
        no(format!("{}: {last}", names(members, &staying)))
    }
}

/// Waits until members have nothing left to do, for so long at most.
pub(super) struct Drain<'a> {
    pub(super) members: &'a [usize],
    pub(super) within: Duration,
}

impl Step for Drain<'_> {
    type Value = ();
    const NAME: &'static str = "drained";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let (members, pool) = stage.pool()?;
        let done = |said: String| Ok(Made { value: (), said });
        if self.members.is_empty() {
            return done(String::new());
        }
        let names = names(members, self.members);
        let began = Instant::now();
        let mut quiet = 0;
        loop {
            let left = self.within.saturating_sub(began.elapsed());
            let in_flight = match pool.in_flight(self.members).await {
                Ok(InFlight::Known(number)) => Ok(number),
                Ok(InFlight::Untold(why)) => {
                    sleep(left).await;
                    return done(format!(
                        "{names} for {}: {why}",
                        text::duration(self.within)
                    ));
                }
                Err(failed) => Err(failed),
            };
            match in_flight {
                Ok(0) => quiet += 1,
                _ => quiet = 0,
            }
            if quiet >= IN_A_ROW {
                return done(format!("{names}: nothing in flight"));
            }
            if left.is_zero() {
                let number = in_flight?;
                let said = format!(
                    "{} in flight on {names} after {}",
                    text::count(number, "request"),
                    text::duration(self.within)
                );
                if number > 0 {
                    stage.say(Event::Warned(format!(
                        "{said}: the deployment ends what is left of them"
                    )));
                }
                return done(said);
            }
            if let Ok(number) = in_flight {
                stage.say(Event::Working {
                    step: Self::NAME,
                    said: format!("{names}: {number} in flight"),
                });
            }
            sleep(PAUSE.min(left)).await;
        }
    }
}

/// Puts members in again, and waits until the router gives them traffic.
pub(super) struct PutIn<'a> {
    pub(super) course: &'a Course,
    pub(super) members: &'a [usize],
    /// How long the router's own checks may take.
    pub(super) within: Duration,
}

impl Step for PutIn<'_> {
    type Value = ();
    const NAME: &'static str = "in";
    // Never stop in the middle of a router write; what waits watches for the end of the run.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let (members, pool) = stage.pool()?;
        let rota = pool.read().await?;
        nobodys(members, &rota, self.members)?;
        let turn = Turn {
            members: self.members.to_vec(),
            come_in: true,
        };
        write(stage, pool, &rota, &turn, self.course).await?;
        let confirmed = tokio::select! {
            biased;
            confirmed = confirm(pool, &turn, self.within) => confirmed,
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
        };
        let (Confirmed::ByDataPlane(what) | Confirmed::ByState(what)) =
            confirmed.map_err(|failed| self.not_in(members, failed))?;
        let before = within(&rota.places);
        let now = within(&pool.read().await?.places);
        changed(stage, members.len(), before, now);
        let said = format!(
            "{}    {now} of {} in rotation, {what}",
            names(members, self.members),
            members.len()
        );
        Ok(Made { value: (), said })
    }
}

impl PutIn<'_> {
    fn not_in(&self, members: &[Slot], failed: RouterError) -> Fault {
        match failed {
            RouterError::NotTaken(said) => Fault::new(
                Reason::Unhealthy,
                format!(
                    "the router gives {} no traffic",
                    names(members, self.members)
                ),
            )
            .measured(said)
            .wanted(format!(
                "in rotation within {}",
                text::duration(self.within)
            ))
            .next("what does the router check there, and does the release answer it?"),
            other => other.into(),
        }
    }
}

/// Polls until the router's own checks have let the members in.
async fn confirm(pool: &dyn Pool, turn: &Turn, within: Duration) -> Result<Confirmed, RouterError> {
    let began = Instant::now();
    loop {
        match pool.confirm(turn).await {
            Err(RouterError::NotTaken(_)) if began.elapsed() < within => sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Writes the router, if the lock is still ours.
async fn write(
    stage: &Stage,
    pool: &dyn Pool,
    from: &Rota,
    turn: &Turn,
    course: &Course,
) -> Result<(), Fault> {
    stage.lock.ours().await?;
    stage.lock.touch();
    let at = Instant::now();
    let applied = pool.apply(from, turn).await;
    // Of what was refused nothing is there.
    if let Ok(()) | Err(RouterError::Lost(_) | RouterError::Drifted { .. }) = applied {
        course.turned(at);
    }
    match applied {
        // The effect may be there without the answer; reading back tells.
        Ok(()) | Err(RouterError::Lost(_)) => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

fn changed(stage: &Stage, all: usize, before: usize, after: usize) {
    if before != after {
        stage.say(Event::Changed {
            what: "members in rotation".to_owned(),
            before: Some(format!("{before} of {all}")),
            after: format!("{after} of {all}"),
        });
    }
}
