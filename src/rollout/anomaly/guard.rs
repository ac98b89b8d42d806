//! Standing guard while something else watches: looks at each step, tells of each metric that
//! is not as it always is, and ends the watch where the release is to blame and the config says
//! so. Every strategy can call it around its own watch.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::anomaly::Follows;
use crate::judge::anomaly::{BACK, Verdict};
use crate::model::assessment::Health;
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::platform::text;
use crate::rollout::stage::Stage;

use super::{Seen, Sentry};

/// The step's short name.
const NAME: &str = "anomaly";

/// What was seen and told so far.
#[derive(Default)]
struct Told {
    last: Option<Seen>,
    metrics: BTreeSet<String>,
    opinion: bool,
    missing: BTreeSet<String>,
}

impl Told {
    /// Tells what is new, once.
    fn tell(&mut self, stage: &Stage, seen: Seen) {
        for deviation in seen.verdict.deviations() {
            if self.metrics.insert(deviation.metric.clone()) {
                stage.say(Event::Deviated(deviation.clone()));
            }
        }
        if let Some(opinion) = seen.opinion.as_ref().filter(|_| !self.opinion) {
            self.opinion = true;
            stage.say(Event::Noticed(opinion.clone()));
        }
        for said in &seen.missing {
            if self.missing.insert(said.clone()) {
                stage.say(Event::Warned(format!("{NAME}: {said}")));
            }
        }
        self.last = Some(seen);
    }

    /// The row at the end.
    fn conclude(&self, stage: &Stage, began: Instant, waited_for: Option<Duration>) {
        let said = match &self.last {
            Some(seen) if is_known(&seen.verdict) => counted(&seen.verdict),
            _ => {
                let why = waited_for.map_or_else(String::new, |least| {
                    format!(
                        ": the rule needs {} after a switch to say anything",
                        text::duration(least)
                    )
                });
                return stage.say(Event::Warned(format!("{NAME}: nothing was judged{why}")));
            }
        };
        stage.say(Event::Done {
            step: NAME,
            said,
            took: began.elapsed(),
        });
    }
}

fn is_known(verdict: &Verdict) -> bool {
    let mut all = verdict.findings.iter();
    all.any(|it| it.health != Health::Unknown)
}

/// `4 of 5 metrics as always at this time, 1 not: severity 63 (high)`.
fn counted(verdict: &Verdict) -> String {
    let of = |health: Health| {
        let all = verdict.findings.iter();
        all.filter(|it| it.health == health).count()
    };
    let mut said = format!(
        "{} of {} as expected",
        of(Health::Healthy),
        text::count(verdict.findings.len() as u64, "metric")
    );
    match of(Health::Unhealthy) {
        0 => {}
        n => said.push_str(&format!(
            ", {n} not: severity {:.0} ({})",
            verdict.severity,
            verdict.grade()
        )),
    }
    for (health, word) in [
        (Health::Inconclusive, "unusual, and not for long"),
        (Health::Unknown, "unknown"),
    ] {
        match of(health) {
            0 => {}
            n => said.push_str(&format!(", {n} {word}")),
        }
    }
    said
}

impl Sentry {
    /// Looks at each step until a look is a reason to take the release back.
    async fn stand(&self, stage: &Stage, deployed: i64, told: &mut Told) -> Fault {
        let learnt = self.learn(&stage.gauges, deployed, true).await;
        let step = self.config.step.get().max(Duration::from_secs(1));
        let mut clock = tokio::time::interval(step);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let seen = self
                .look(&stage.gauges, &learnt, Some(deployed), now())
                .await;
            let why = seen.verdict.rollback.clone();
            told.tell(stage, seen);
            if let Some(why) = why.filter(|_| self.config.on == Follows::Rollback) {
                return Fault::new(
                    Reason::Anomaly,
                    "the release is not as the service always is at this time",
                )
                .measured(why)
                .wanted("figures as in the days before")
                .next("the release is in the idle slot again; look at its log there");
            }
        }
    }
}

/// Does some work under guard: it is ended where the release deployed at a time (in milliseconds
/// since 1970) is to be taken back for what the figures say. Without `anomaly` in the config it
/// is the work alone.
///
/// # Errors
/// Those of the work, and [`Reason::Anomaly`].
pub async fn guard<T>(
    stage: &Stage,
    deployed: i64,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let Some(sentry) = &stage.anomaly else {
        return work.await;
    };
    let began = Instant::now();
    let mut told = Told::default();
    let done = tokio::select! {
        biased;
        done = work => done,
        fault = sentry.stand(stage, deployed, &mut told) => return Err(fault),
    };
    if done.is_ok() {
        let least = Duration::from_millis(sentry.rules.shortest().unsigned_abs());
        let too_short = (began.elapsed() < least).then_some(least);
        told.conclude(stage, began, too_short);
    }
    done
}

/// Looks once at an environment to which nothing was deployed just now. It only tells.
pub async fn glance(stage: &Stage) {
    let Some(sentry) = &stage.anomaly else {
        return;
    };
    let began = Instant::now();
    let now = now();
    let learnt = sentry.learn(&stage.gauges, now - BACK, false).await;
    let mut told = Told::default();
    told.tell(stage, sentry.look(&stage.gauges, &learnt, None, now).await);
    told.conclude(stage, began, None);
}

/// The time now, in milliseconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
