//! The steps before users' eyes: the release answers through the public URL, and goes on well.
//!
//! In the middle of a rollout both releases answer, so an old one is no failure there. What the
//! members of a batch say of themselves is watched beside the figures of all: one bad server of
//! many is few of all requests.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::judge::limits::{Verdict, judge};
use crate::judge::streak::{State, Streak};
use crate::model::ending::Reason;
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::figures::Figures;
use crate::platform::text;
use crate::rollout::anomaly::guard;
use crate::rollout::pulse::Pulse;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;
use crate::rollout::steps::LOOK;

use super::course::Course;

/// How often everything is looked at.
const TICK: Duration = Duration::from_secs(1);

/// How long a member may take to say what it serves, under traffic.
const SAYS: Duration = Duration::from_secs(5);

/// So often in a row a member may fail to say it.
const MISSES: u32 = 2;

/// The pause between two answers of the old release.
const PAUSE: Duration = Duration::from_millis(10);

/// Proves that users get the release: some of them, or all.
pub(super) struct ProveServed<'a> {
    pub(super) course: &'a Course,
    /// Whether every member serves it by now.
    pub(super) everywhere: bool,
}

impl Step for ProveServed<'_> {
    type Value = ();
    const NAME: &'static str = "proved";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let (release, within) = (&self.course.release, stage.proof.within.get());
        if self.everywhere {
            let said = stage.prove(release, within).await?;
            self.course.is_proved();
            return Ok(Made { value: (), said });
        }
        let until = Instant::now() + within;
        let mut asked = 0_u64;
        loop {
            let served = stage.served_to_users(LOOK.min(within)).await;
            asked += 1;
            if served.release().is_some_and(|served| served.is(release)) {
                stage.learned(Fact::ServedVersion(release.as_str().to_owned()));
                let said = format!(
                    "{release} came through the public URL, by answer {}",
                    text::thousands(asked)
                );
                return Ok(Made { value: (), said });
            }
            if Instant::now() >= until {
                return Err(Fault::new(
                    Reason::NotProved,
                    "the public URL never answered with the release",
                )
                .measured(format!(
                    "{} of {} new connections to {}, the last: {}",
                    0,
                    text::thousands(asked),
                    stage.url_to_show(),
                    served.told()
                ))
                .wanted(format!("{release} within {}", text::duration(within)))
                .next("does the public URL go through this router, does something cache that path, and does the balance let this machine reach every member?"));
            }
            sleep(PAUSE).await;
        }
    }
}

/// Watches what users feel, and what the members of a batch say.
pub(super) struct Watch<'a> {
    pub(super) course: &'a Course,
    /// Those that came in last.
    pub(super) members: &'a [usize],
    pub(super) length: Duration,
    /// Whether every member serves the release by now, so that nothing else may answer.
    pub(super) everywhere: bool,
}

impl Step for Watch<'_> {
    type Value = ();
    const NAME: &'static str = "watch";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        if self.length.is_zero() {
            return Ok(Made {
                value: (),
                said: String::new(),
            });
        }
        let deployed = jiff::Timestamp::now().as_millisecond();
        guard(stage, deployed, self.watch(stage)).await
    }
}

impl Watch<'_> {
    async fn watch(&self, stage: &Stage) -> Result<Made<()>, Fault> {
        let began = Instant::now();
        let end = began + self.length;
        let mut pulse = Pulse::of(stage);
        let mut missed: Vec<Streak> = self
            .members
            .iter()
            .map(|_| Streak::new(1, MISSES))
            .collect();
        loop {
            let now = Instant::now();
            pulse.beat(stage).await.map_err(|down| Fault {
                next: Some("look at the log of the members that were changed".to_owned()),
                ..down.fault
            })?;
            self.ask_members(stage, &mut missed).await?;
            let verdict = self.verdict(stage, began)?;
            if now >= end {
                self.judged(stage, &verdict, began);
                return Ok(Made {
                    value: (),
                    said: self.told(stage, verdict),
                });
            }
            let left = end - now;
            stage.say(Event::Working {
                step: Self::NAME,
                said: format!(
                    "{} to go   {}",
                    text::duration(Duration::from_secs(left.as_secs() + 1)),
                    of(&verdict)
                ),
            });
            sleep(left.min(TICK)).await;
        }
    }

    /// Each member still serves the release, by itself.
    async fn ask_members(&self, stage: &Stage, missed: &mut [Streak]) -> Result<(), Fault> {
        let (members, _) = stage.pool()?;
        let release = &self.course.release;
        let looks = self
            .members
            .iter()
            .map(|member| stage.served_at(&members[*member].url, SAYS));
        let looks = join_all(looks).await;
        for ((member, served), streak) in self.members.iter().zip(looks).zip(missed) {
            let good = served.release().is_some_and(|served| served.is(release));
            if streak.add(good) == State::Down {
                let name = &members[*member].name;
                return Err(Fault::new(
                    Reason::Unhealthy,
                    format!("{name} went bad under traffic"),
                )
                .measured(format!(
                    "{name}: {} ({MISSES} times in a row)",
                    served.told()
                ))
                .wanted(format!("{release} in {}", stage.mark.told()))
                .next(format!("look at the log of {name}")));
            }
        }
        Ok(())
    }

    fn verdict(&self, stage: &Stage, began: Instant) -> Result<Verdict, Fault> {
        let release = &self.course.release;
        if self.everywhere
            && let Some(other) = self.course.other_since(began)
        {
            return Err(Fault::new(
                Reason::NotProved,
                "another release answered after all members were changed",
            )
            .measured(format!("an answer that says {other}"))
            .wanted(format!("{release} in every answer"))
            .next(
                "is there a server in the router's backend that is no member, or a cache in front?",
            ));
        }
        let figures = self.course.felt_since(began).unwrap_or_default();
        let verdict = judge(&figures, &self.course.settings.limits());
        if matches!(verdict, Verdict::Unhealthy { .. }) {
            self.judged(stage, &verdict, began);
        }
        match verdict {
            Verdict::Unhealthy { measured, limit } => Err(Fault::new(
                Reason::LimitPassed,
                "the release passed its limits under traffic",
            )
            .measured(measured)
            .wanted(limit)
            .next("look at the log of the members that were changed")),
            fine => Ok(fine),
        }
    }

    /// Says what was decided, and by which figures.
    fn judged(&self, stage: &Stage, verdict: &Verdict, began: Instant) {
        let said = match verdict {
            Verdict::Unhealthy { measured, limit } => format!("{measured}; {limit}"),
            fine => of(fine).to_owned(),
        };
        let figures: Figures = self.course.felt_since(began).unwrap_or_default();
        stage.say(Event::Judged {
            step: Self::NAME,
            verdict: verdict.name(),
            said,
            figures: figures.summary(),
        });
    }

    fn told(&self, stage: &Stage, verdict: Verdict) -> String {
        let length = text::duration(self.length);
        match verdict {
            Verdict::Healthy(told) => format!("{length}   {told}"),
            Verdict::Inconclusive(told) => {
                // Said once, of the whole.
                if self.everywhere {
                    stage.say(Event::Warned(format!("the watch was inconclusive: {told}")));
                }
                format!("{length}   inconclusive: {told}")
            }
            _ => format!(
                "{length}   {} passed, no figures",
                text::count(stage.health.len() as u64, "health check")
            ),
        }
    }
}

fn of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Healthy(told) | Verdict::Inconclusive(told) => told,
        Verdict::Unhealthy { measured, .. } => measured,
        Verdict::Unknown => "no figures yet",
    }
}
