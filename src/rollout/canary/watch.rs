//! A step of the ladder under watch: both releases are looked at, again and again, until it is
//! clear what follows.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::ladder::Rung;
use crate::judge::canary::Verdict;
use crate::judge::canary::course::{Course, Shown, Terms, course};
use crate::judge::limits;
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::split::{Split, Weight};
use crate::platform::text;
use crate::rollout::anomaly::guard;
use crate::rollout::arms::Arms;
use crate::rollout::felt::Felt;
use crate::rollout::pulse::Pulse;
use crate::rollout::saga::{Made, Step};
use crate::rollout::stage::Stage;

use super::trial::{Found, Limits, Trial};
use super::{Plan, opinion};

/// How often the health checks and the prober's figures are looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the release did is its own; what to do is the same everywhere.
const LOOK_THERE: &str = "the release is in the idle slot again; look at its log there";

/// Seconds from the canary's first traffic on, over all runs that it is on trial in.
pub(super) struct Clock {
    before: f64,
    began: Instant,
}

impl Clock {
    /// One that goes on from so many seconds.
    pub(super) fn since(before: f64) -> Self {
        Self {
            before,
            began: Instant::now(),
        }
    }

    fn now(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }
}

/// What a watch has come to, if the release is not taken back.
pub(super) enum Outcome {
    /// The next step.
    Advance,
    /// Traffic stays, for that reason.
    Hold(Box<Fault>),
}

/// Watches a step.
pub(super) struct WatchStep<'a> {
    pub(super) plan: &'a Plan,
    pub(super) rung: &'a Rung,
    /// Which step it is, from 0.
    pub(super) nth: usize,
    /// How traffic is divided.
    pub(super) split: Split,
    pub(super) arms: Option<&'a Arms<'a>>,
    pub(super) trial: &'a mut Trial,
    pub(super) clock: &'a Clock,
    pub(super) felt: &'a Felt,
}

impl Step for WatchStep<'_> {
    type Value = Outcome;
    const NAME: &'static str = "step";
    const INTERRUPTIBLE: bool = true;

    async fn act(self, stage: &Stage) -> Result<Made<Outcome>, Fault> {
        let ago = Duration::try_from_secs_f64(self.clock.now()).unwrap_or_default();
        let ago = i64::try_from(ago.as_millis()).unwrap_or_default();
        let deployed = jiff::Timestamp::now().as_millisecond() - ago;
        guard(stage, deployed, self.watch(stage)).await
    }
}

impl WatchStep<'_> {
    async fn watch(mut self, stage: &Stage) -> Result<Made<Outcome>, Fault> {
        let settings = &self.plan.settings;
        let every = settings.every.get();
        let began = Instant::now();
        let mut next_look = began + every.min(settings.watch_of(self.rung));
        let mut pulse = Pulse::of(stage);
        let terms = self.terms();
        self.trial.listen_from(self.clock.now());
        loop {
            if let Err(down) = pulse.beat(stage).await {
                return self.alone(stage, down.fault, Some(down.nth)).await;
            }
            if let Err(fault) = self.felt_by_users(stage) {
                return self.alone(stage, fault, None).await;
            }
            let now = Instant::now();
            let watched = now - began;
            if now >= next_look {
                next_look += every.max(Duration::from_millis(1)) * later(now, next_look, every);
                let found = self.look(stage).await;
                let mut shown = shown(&found, watched);
                // The counters come a little late at the end of a step: time is what was waited.
                shown.watched = began.elapsed().as_secs_f64();
                let course = course(&terms, &shown);
                stage.say(Event::Working {
                    step: Self::NAME,
                    said: format!("{}   {}", self.place(watched), found.glance.said),
                });
                match course {
                    Course::Watch => {}
                    Course::Advance => return Ok(self.good(stage, &found, watched)),
                    Course::Hold(reason) => return Ok(self.held(stage, reason, &found, watched)),
                    Course::Back(reason) => return Err(self.bad(stage, reason, &found)),
                }
            }
            let pause = next_look
                .saturating_duration_since(Instant::now())
                .min(TICK);
            tokio::time::sleep(pause).await;
        }
    }
}

/// How many looks were missed, at least the one that is due.
fn later(now: Instant, due: Instant, every: Duration) -> u32 {
    let missed = (now - due).as_secs_f64() / every.as_secs_f64().max(0.001);
    (missed as u32).saturating_add(1)
}

fn shown(found: &Found, watched: Duration) -> Shown {
    Shown {
        verdict: found.verdict,
        watched: watched.as_secs_f64(),
        silent: found.silent,
        within_limits: found.within_limits,
        incident: found.incident,
        beyond: found.beyond.is_some(),
    }
}

impl WatchStep<'_> {
    /// Whether nobody beside the canary has any traffic.
    fn has_all(&self) -> bool {
        self.split.weight(self.trial.canary()) == Weight::ALL
    }

    fn terms(&self) -> Terms {
        let settings = &self.plan.settings;
        let is_last = self.has_all();
        let watch = settings.watch_of(self.rung).as_secs_f64();
        Terms {
            watch,
            at_most: settings.at_most_of(self.rung).as_secs_f64(),
            no_data_after: settings.no_data_after.get().as_secs_f64(),
            on_inconclusive: settings.on_inconclusive,
            on_warn: settings.on_warn,
            on_no_data: settings.on_no_data,
            // All traffic is on the release: nobody is left to compare it with.
            compares: self.arms.is_some() && !is_last,
        }
    }

    /// `2/5   25 %   5 m`.
    fn place(&self, watched: Duration) -> String {
        let steps = self.plan.settings.steps.len();
        let whole = Duration::from_secs(watched.as_secs());
        let watched = if whole.is_zero() { watched } else { whole };
        format!(
            "{}/{steps}   {}   {}",
            self.nth + 1,
            self.rung.weight,
            text::duration(watched)
        )
    }

    async fn look(&mut self, stage: &Stage) -> Found {
        let settings = &self.plan.settings;
        let limits = Limits {
            error_rate: settings.max_error_rate.share(),
            p95: settings.max_p95.map(|limit| limit.get().as_secs_f64()),
        };
        if self.has_all() {
            self.trial.stands_alone();
        }
        let Some(arms) = self.arms else {
            return self.trial.blind(self.clock.now());
        };
        let stand = arms.now().await.map_err(|none| none.to_string());
        let mut found = self.trial.look(self.clock.now(), stand, &limits);
        let glance = &mut found.glance;
        glance.step = u32::try_from(self.nth + 1).unwrap_or(u32::MAX);
        glance.steps = u32::try_from(settings.steps.len()).unwrap_or(u32::MAX);
        glance.weight = self.rung.weight.percent();
        stage.say(Event::Glanced(Box::new(glance.clone())));
        found
    }

    /// What the program's own requests through the public URL say.
    fn felt_by_users(&self, stage: &Stage) -> Result<(), Fault> {
        if self.has_all()
            && let Some(other) = self.felt.other_since_proof()
        {
            return Err(Fault::new(
                Reason::NotProved,
                "another release answered after the step was proved",
            )
            .measured(format!("an answer that says {other}"))
            .wanted(format!("{} in every answer", self.plan.release))
            .next("is there a second proxy, or a cache, in front?"));
        }
        let figures = self.felt.since_proof().unwrap_or_default();
        match limits::judge(&figures, &self.limits()) {
            limits::Verdict::Unhealthy { measured, limit } => {
                stage.say(Event::Judged {
                    step: Self::NAME,
                    verdict: "unhealthy",
                    said: format!("{measured}; {limit}"),
                    figures: figures.summary(),
                });
                Err(
                    Fault::new(Reason::LimitPassed, "users felt more than the limits allow")
                        .measured(measured)
                        .wanted(limit)
                        .next(LOOK_THERE),
                )
            }
            _ => Ok(()),
        }
    }

    fn limits(&self) -> limits::Limits {
        let settings = &self.plan.settings;
        limits::Limits {
            error_rate: settings.max_error_rate.share(),
            p95: settings.max_p95.map(|limit| limit.get()),
            min_requests: u64::from(settings.min_requests),
        }
    }

    /// What a check or the prober has against the release is held against the old one, too.
    async fn alone(
        &mut self,
        stage: &Stage,
        fault: Fault,
        check: Option<usize>,
    ) -> Result<Made<Outcome>, Fault> {
        if fault.reason == Reason::NotProved {
            return Err(fault);
        }
        let stable = self.trial.canary().other();
        let too = match check.and_then(|nth| stage.health.get(nth)) {
            // It has the same answer for whatever is asked for: who has all of the traffic gives it.
            Some(check) if self.has_all() && opinion::asks_as_users_do(stage, check) => None,
            Some(check) => opinion::fails_too(stage, stable, check).await,
            None => opinion::is_beyond_too(stage, stable, &self.limits()).await,
        };
        let Some(too) = too else {
            return Err(fault);
        };
        let measured = fault.measured.unwrap_or(fault.said);
        let shared = Fault::new(Reason::SharedIncident, SHARED)
            .measured(format!("{measured}; {too}"))
            .wanted(fault.wanted.unwrap_or_default());
        stage.say(Event::Warned(format!("{SHARED}: {too}")));
        Ok(Made {
            value: Outcome::Hold(Box::new(shared)),
            said: self.place(Duration::ZERO),
        })
    }

    fn judged(&self, stage: &Stage, verdict: &'static str, said: &str) {
        stage.say(Event::Judged {
            step: Self::NAME,
            verdict,
            said: said.to_owned(),
            figures: self.felt.since_proof().unwrap_or_default().summary(),
        });
    }

    fn good(&self, stage: &Stage, found: &Found, watched: Duration) -> Made<Outcome> {
        let verdict = match found.verdict {
            Verdict::Safe => "healthy",
            _ if self.arms.is_none() => "unknown",
            _ => "inconclusive",
        };
        self.judged(stage, verdict, &found.glance.said);
        let told = match (self.arms, self.has_all()) {
            (None, _) => format!(
                "{} passed",
                text::count(stage.health.len() as u64, "health check")
            ),
            (Some(_), true) => self.trial.alone(),
            (Some(_), false) => format!("{}   {}", self.trial.told(), found.verdict.name()),
        };
        Made {
            value: Outcome::Advance,
            said: format!("{}   {told}", self.place(watched)),
        }
    }

    fn held(
        &self,
        stage: &Stage,
        reason: Reason,
        found: &Found,
        watched: Duration,
    ) -> Made<Outcome> {
        let said = &found.glance.said;
        let (verdict, why, wanted) = match reason {
            Reason::NoData => (
                "unknown",
                "nothing is known of the canary",
                "counters of both releases",
            ),
            Reason::SharedIncident => {
                ("inconclusive", SHARED, "a stable release within the limits")
            }
            Reason::Worse => (
                "unhealthy",
                "the canary is worse than the stable release, and within the limits",
                "a canary that is not worse",
            ),
            _ => (
                "inconclusive",
                "nothing was proved of the canary in time",
                "proof that it is within the limits, or that it is not",
            ),
        };
        self.judged(stage, verdict, said);
        let measured = match &found.beyond {
            Some([measured, _]) => format!("{measured}; {said}"),
            None => said.clone(),
        };
        Made {
            value: Outcome::Hold(Box::new(
                Fault::new(reason, why).measured(measured).wanted(wanted),
            )),
            said: format!("{}   {}   held", self.place(watched), self.trial.told()),
        }
    }

    fn bad(&self, stage: &Stage, reason: Reason, found: &Found) -> Fault {
        self.judged(stage, "unhealthy", &found.glance.said);
        let settings = &self.plan.settings;
        let said = found.glance.said.clone();
        match (reason, &found.beyond) {
            (Reason::LimitPassed, Some([measured, limit])) => {
                Fault::new(reason, "the canary passed its limits")
                    .measured(measured)
                    .wanted(limit)
            }
            (Reason::Inconclusive, _) => {
                Fault::new(reason, "nothing was proved of the canary in time")
                    .measured(said)
                    .wanted("proof that it is within the limits")
            }
            (Reason::NoData, _) => Fault::new(reason, "nothing is known of the canary")
                .measured(said)
                .wanted("counters of both releases"),
            _ => Fault::new(reason, "the canary is worse than the stable release")
                .measured(said)
                .wanted(format!(
                    "less than {} times its error rate, and {} times its p95",
                    settings.max_error_ratio, settings.max_p95_ratio
                )),
        }
        .next(LOOK_THERE)
    }
}

/// Both are bad.
const SHARED: &str = "the stable release fails as well, so going back would not help";
