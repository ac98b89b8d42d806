//! The release under real traffic: figures and health checks, again and again, until the
//! watch is over or something is wrong.

use std::time::Duration;

use tokio::time::Instant;

use crate::judge::limits::{Limits, Verdict, judge};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::figures::Figures;
use crate::model::release::Release;
use crate::platform::text;

use super::anomaly::guard;
use super::felt::Felt;
use super::pulse::Pulse;
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
        let mut pulse = Pulse::of(stage);
        loop {
            let now = Instant::now();
            pulse.beat(stage).await.map_err(|down| down.fault)?;
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
