//! The release under real traffic: figures and health checks, again and again, until the
//! watch is over or something is wrong.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::judge::limits::{Limits, Verdict, judge};
use crate::judge::streak::{State, Streak};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::figures::Figures;
use crate::model::release::Release;
use crate::platform::text;

use super::anomaly::guard;
use super::felt::Felt;
use super::saga::{Made, Step};
use super::stage::Stage;

/// How often the figures and the checks are looked at.
const TICK: Duration = Duration::from_secs(1);

/// Watches a release under traffic.
pub struct Watch<'a> {
    /// What must not come back: anything but this.
    pub release: &'a Release,
    /// For how long.
    pub length: Duration,
    /// What is too much.
    pub limits: Limits,
    /// What users feel.
    pub felt: &'a Felt,
}

/// How a check has gone so far.
struct Course {
    streak: Streak,
    last: Option<bool>,
    /// Whether it was said that it could not be looked at.
    unseen: bool,
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
        let ago = self.felt.since_write().unwrap_or_default();
        let ago = i64::try_from(ago.as_millis()).unwrap_or_default();
        let deployed = jiff::Timestamp::now().as_millisecond() - ago;
        guard(stage, deployed, self.watch(stage)).await
    }
}

impl Watch<'_> {
    async fn watch(&self, stage: &Stage) -> Result<Made<()>, Fault> {
        let end = Instant::now() + self.length;
        let mut courses: Vec<Course> = stage
            .health
            .iter()
            .map(|check| Course {
                streak: Streak::new(1, check.patience.fall),
                last: None,
                unseen: false,
            })
            .collect();
        loop {
            let now = Instant::now();
            self.health(stage, &mut courses).await?;
            let verdict = self.verdict(stage)?;
            if now >= end {
                self.judged(stage, &verdict);
                return Ok(Made {
                    value: (),
                    said: self.told(stage, verdict),
                });
            }
            let left = end - now;
            stage.say(Event::Working {
                step: "watch",
                said: format!(
                    "{} to go   {}",
                    text::duration(Duration::from_secs(left.as_secs() + 1)),
                    of(&verdict)
                ),
            });
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    async fn health(&self, stage: &Stage, courses: &mut [Course]) -> Result<(), Fault> {
        let subject = stage.public();
        let looks = join_all(stage.health.iter().map(|check| check.look(&subject))).await;
        for ((check, look), course) in stage.health.iter().zip(looks).zip(courses) {
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
                return Err(Fault::new(
                    Reason::Unhealthy,
                    format!("{} failed under traffic", check.probe.told()),
                )
                .measured(format!(
                    "{} ({} times in a row)",
                    ailment.measured, check.patience.fall
                ))
                .wanted(ailment.wanted)
                .next("the release is in the idle slot again; look at its log there"));
            }
        }
        Ok(())
    }

    fn verdict(&self, stage: &Stage) -> Result<Verdict, Fault> {
        if let Some(other) = self.felt.other_since_proof() {
            return Err(Fault::new(
                Reason::NotProved,
                "another release answered after the switch was proved",
            )
            .measured(format!("an answer that says {other}"))
            .wanted(format!("{} in every answer", self.release))
            .next("is there a second proxy, or a cache, in front?"));
        }
        let figures = self.felt.since_proof().unwrap_or_default();
        let verdict = judge(&figures, &self.limits);
        if matches!(verdict, Verdict::Unhealthy { .. }) {
            self.judged(stage, &verdict);
        }
        match verdict {
            Verdict::Unhealthy { measured, limit } => Err(Fault::new(
                Reason::LimitPassed,
                "the release passed its limits under traffic",
            )
            .measured(measured)
            .wanted(limit)
            .next("the release is in the idle slot again; look at its log there")),
            fine => Ok(fine),
        }
    }

    /// Says what was decided, and by which figures.
    fn judged(&self, stage: &Stage, verdict: &Verdict) {
        let said = match verdict {
            Verdict::Unhealthy { measured, limit } => format!("{measured}; {limit}"),
            fine => of(fine).to_owned(),
        };
        stage.say(Event::Judged {
            step: Self::NAME,
            verdict: verdict.name(),
            said,
            figures: self.felt.since_proof().unwrap_or_default().summary(),
        });
    }

    fn told(&self, stage: &Stage, verdict: Verdict) -> String {
        let length = text::duration(self.length);
        match verdict {
            Verdict::Healthy(told) => format!("{length}   {told}"),
            Verdict::Inconclusive(told) => {
                stage.say(Event::Warned(format!("the watch was inconclusive: {told}")));
                format!("{length}   inconclusive: {told}")
            }
            _ => {
                if stage.health.is_empty() {
                    let said = "the watch measured nothing: the prober is off and there are no health checks";
                    stage.say(Event::Warned(said.to_owned()));
                }
                format!(
                    "{length}   {} passed, no figures",
                    text::count(stage.health.len() as u64, "health check")
                )
            }
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

/// The line that ends a good rollout: what users felt of it.
pub fn felt_in_all(figures: Option<&Figures>) -> String {
    match figures.map(|figures| (figures, figures.slowest())) {
        Some((figures, Some(slowest))) => format!(
            "{} of {} failed, slowest {}",
            text::thousands(figures.failed()),
            text::count(figures.sent(), "request"),
            text::duration(slowest)
        ),
        _ => "the prober was off".to_owned(),
    }
}
