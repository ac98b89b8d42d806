//! The health checks under traffic, again and again: whether each of them is still up.

use futures_util::future::join_all;

use crate::judge::streak::{State, Streak};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;

use super::stage::Stage;

/// How all health checks have gone so far.
pub struct Pulse(Vec<Course>);

/// How a check has gone so far.
struct Course {
    streak: Streak,
    last: Option<bool>,
    /// Whether it was said that it could not be looked at.
    unseen: bool,
}

/// A check that is down.
pub struct Down {
    /// Which of the stage's.
    pub nth: usize,
    /// What it saw.
    pub fault: Fault,
}

impl Pulse {
    /// Of a stage's health checks, none of which has been looked at.
    pub fn of(stage: &Stage) -> Self {
        let course = |check: &super::patience::Check| Course {
            streak: Streak::new(1, check.patience.fall),
            last: None,
            unseen: false,
        };
        Self(stage.health.iter().map(course).collect())
    }

    /// Looks at all of them.
    ///
    /// # Errors
    /// The first that has failed as often in a row as it may.
    pub async fn beat(&mut self, stage: &Stage) -> Result<(), Down> {
        let subject = stage.public();
        let looks = join_all(stage.health.iter().map(|check| check.look(&subject))).await;
        let all = stage.health.iter().zip(looks).zip(&mut self.0);
        for (nth, ((check, look), course)) in all.enumerate() {
            let look = look.map(|pulse| pulse.said);
            if let Err(ailment) = &look
                && ailment.unseen
            {
                // It was neither well nor ill; said once, for what is missing may be so for long.
                if !std::mem::replace(&mut course.unseen, true) {
                    let check = check.probe.told();
                    stage.say(Event::Warned(format!("{check}: {ailment}")));
                }
                continue;
            }
            // Hundreds of looks that agree are one result.
            if course.last.replace(look.is_ok()) != Some(look.is_ok()) {
                stage.say(check.result(&look));
            }
            let state = course.streak.add(look.is_ok());
            if let (State::Down, Err(ailment)) = (state, look) {
                let fault = Fault::new(
                    Reason::Unhealthy,
                    format!("{} failed under traffic", check.probe.told()),
                )
                .measured(format!(
                    "{} ({} times in a row)",
                    ailment.measured, check.patience.fall
                ))
                .wanted(ailment.wanted)
                .next("the release is in the idle slot again; look at its log there");
                return Err(Down { nth, fault });
            }
        }
        Ok(())
    }
}
