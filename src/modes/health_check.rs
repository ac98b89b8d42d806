//! `health-check`: is the live service well? The health checks and the figures with thresholds,
//! against the public URL, a slot, or (checks alone) any URL without a config.

use std::time::Instant;

use crate::config::thresholds::OnNoData;
use crate::model::assessment::Health;
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact};
use crate::model::fault::Fault;
use crate::model::metric::Unit;
use crate::model::severity::Severity;
use crate::model::vigil::{Seen, Sight};
use crate::platform::text;
use crate::probes::Subject;
use crate::rollout::anomaly::glance;
use crate::rollout::gauges::{Finding, Looked};
use crate::rollout::patience::pass_all;
use crate::rollout::rolling;
use crate::rollout::saga::{Halt, Saga};
use crate::rollout::stage::Stage;
use crate::rollout::steps::side_named;

use super::smoke_test::{self, Checked};

/// What the step with the figures is called.
const FIGURES: &str = "figures";

/// What a look came to, for a run that ends with it and for one that remembers others.
pub struct Look {
    /// How the run ends by this look alone.
    pub ending: Ending,
    /// What it saw; `None` where it did not look to the end.
    pub sight: Option<Sight>,
}

impl Look {
    const fn none(ending: Ending) -> Self {
        Self {
            ending,
            sight: None,
        }
    }
}

/// Runs the environment's health checks and reads its figures, at the public URL or the slot that
/// is named.
pub async fn run(stage: &Stage, slot: Option<&str>) -> Ending {
    look(stage, slot).await.ending
}

/// The same, with what it saw.
pub async fn look(stage: &Stage, slot: Option<&str>) -> Look {
    let subject = match subject(stage, slot) {
        Ok(subject) => subject,
        Err(fault) => {
            let none = async |_: &mut Saga<'_>| Err(Halt::from(fault));
            return Look::none(Saga::tell(stage, none).await);
        }
    };
    let began = Instant::now();
    // At the same time, for one run is one moment; and a load need not wait for checks.
    let both = async {
        tokio::join!(
            async {
                let passed = pass_all(&stage.health, &subject, &stage.say).await;
                (passed, began.elapsed())
            },
            stage.gauges.look(&subject.url, slot),
        )
    };
    let ((passed, took), looked) = tokio::select! {
        biased;
        () = stage.cancelled.cancelled() => return Look::none(smoke_test::from(Fault::cancelled())),
        both = both => both,
    };
    // A source that knows the past knows the environment, and no slot alone.
    if slot.is_none() {
        tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Look::none(smoke_test::from(Fault::cancelled())),
            () = glance(stage) => {}
        }
    }
    let failing = passed.as_ref().err().map(|failed| failed.kinds.clone());
    let failing = failing.unwrap_or_default();
    let all = stage.health.len();
    let ending = if stage.gauges.is_empty() {
        let why = Reason::Unhealthy;
        smoke_test::told_at_its_end(passed, all, why, "health", took, &stage.say)
    } else {
        let checked = (!stage.health.is_empty())
            .then(|| smoke_test::told(passed, all, "health", took, &stage.say));
        tell(stage, &looked, began);
        ended(stage, checked, &looked)
    };
    let sight = sight(failing, &looked, &ending);
    Look {
        ending,
        sight: Some(sight),
    }
}

/// What a look saw, for whoever remembers others. What is known to be bad beats what is not known.
fn sight(failing: Vec<String>, looked: &Looked, ending: &Ending) -> Sight {
    let past = |severity| looked.all.iter().filter(move |it| it.is_past(severity));
    let mut kinds = failing;
    for finding in past(Severity::Critical) {
        // Its load is requests of ours, as those of a check are.
        let kind = match finding.kind.as_str() {
            "prober" => "http",
            kind => kind,
        };
        if !kinds.iter().any(|known| known == kind) {
            kinds.push(kind.to_owned());
        }
    }
    let warned: Vec<String> = past(Severity::Warning).map(line).collect();
    let seen = match (kinds.is_empty(), warned.is_empty()) {
        (false, _) => Seen::Bad,
        (true, false) => Seen::Degraded,
        (true, true) if ending.is_good() => Seen::Well,
        (true, true) => Seen::Nothing,
    };
    let said = match (seen, &ending.account.measured) {
        (Seen::Degraded, _) => warned.join("; "),
        (_, Some(measured)) => format!("{}: {measured}", ending.said),
        (_, None) => ending.said.clone(),
    };
    let latency = |name| {
        let found = looked.all.iter().find(|it| it.assessment.metric == name)?;
        let found = &found.assessment;
        let seconds = found.value.filter(|_| found.unit == Unit::Duration)?;
        Some((name, seconds * 1000.0))
    };
    Sight {
        seen,
        kinds,
        said,
        figures: ["p50", "p95", "p99"]
            .into_iter()
            .filter_map(latency)
            .collect(),
    }
}

fn subject(stage: &Stage, slot: Option<&str>) -> Result<Subject, Fault> {
    if stage.health.is_empty() && stage.gauges.is_empty() {
        let said = format!("environments.{}.health.checks is empty", stage.environment);
        return Err(Fault::new(Reason::NoData, said)
            .next("add checks to the config, or give them with `checks:`"));
    }
    let Some(name) = slot else {
        return Ok(stage.public());
    };
    if stage.crew.is_some() {
        let (_, member) = rolling::member_named(stage, slot)?;
        stage.learned(Fact::Slot(name.to_owned()));
        return Ok(stage.subject_of(member, None));
    }
    let side = side_named(stage, "slot", name)?;
    stage.learned(Fact::Slot(name.to_owned()));
    Ok(stage.subject(side, None))
}

/// Says each figure, and the step that they are.
fn tell(stage: &Stage, looked: &Looked, began: Instant) {
    for finding in &looked.all {
        stage.say(Event::Assessed(finding.assessment.clone()));
    }
    for said in &looked.notices {
        stage.say(Event::Noticed(said.clone()));
    }
    for said in &looked.warnings {
        stage.say(Event::Warned(said.clone()));
    }
    let said = counted(looked);
    let took = began.elapsed();
    let critical = looked.all.iter().any(|it| it.is_past(Severity::Critical));
    stage.say(match critical {
        true => Event::Failed {
            step: FIGURES,
            said,
            took,
        },
        false => Event::Done {
            step: FIGURES,
            said,
            took,
        },
    });
}

/// `2 of 4 within their limits, 1 past it, 1 unknown`.
fn counted(looked: &Looked) -> String {
    let of = |health: Health| {
        let held = looked.all.iter().filter(|it| it.on_no_data.is_some());
        held.filter(|it| it.assessment.health == health).count()
    };
    let all = looked.all.iter().filter(|it| it.on_no_data.is_some());
    let all = all.count();
    if all == 0 {
        return format!("{}, no limits", looked.all.len());
    }
    let mut said = format!("{} of {all} within their limits", of(Health::Healthy));
    for health in [Health::Unhealthy, Health::Inconclusive, Health::Unknown] {
        match of(health) {
            0 => {}
            n => said.push_str(&format!(", {n} {}", health.name())),
        }
    }
    said
}

/// What follows from the checks and the figures together. What is bad beats what is unclear.
fn ended(stage: &Stage, checked: Option<Checked>, looked: &Looked) -> Ending {
    let all = looked.all.iter();
    let past = |severity| move |it: &&Finding| it.is_past(severity);
    let critical: Vec<&Finding> = all.clone().filter(past(Severity::Critical)).collect();
    let unknown: Vec<&Finding> = all.clone().filter(|it| it.is_unknown()).collect();
    // Checks for which this machine had no files or ports say nothing about the service.
    let unseen = matches!(&checked, Some(Err(fault)) if fault.reason == Reason::NoData);
    let checks_failed = matches!(checked, Some(Err(_))) && !unseen;
    // An ending has room for one; the others are annotations of their own.
    let rest = critical.iter().skip(usize::from(!checks_failed));
    for finding in rest {
        stage.say(Event::Warned(line(finding)));
    }
    for finding in all.clone().filter(past(Severity::Warning)) {
        stage.say(Event::Warned(line(finding)));
    }
    for finding in all.clone().filter(past(Severity::Info)) {
        stage.say(Event::Noticed(line(finding)));
    }
    let fatal = |it: &&&Finding| it.on_no_data == Some(OnNoData::Fail);
    let nothing = checked.is_none() && looked.all.iter().all(is_unmeasured);
    let stops = unknown.iter().find(fatal).copied();
    let stops = stops.or_else(|| looked.all.first().filter(|_| nothing));
    let stops = stops.filter(|_| !checks_failed && critical.is_empty());
    for finding in &unknown {
        if stops.is_none_or(|stops| !std::ptr::eq(stops, *finding)) {
            stage.say(Event::Warned(line(finding)));
        }
    }
    let ill = checks_failed
        || looked
            .all
            .iter()
            .any(|it| it.assessment.health == Health::Unhealthy);
    let clear = looked
        .all
        .iter()
        .all(|it| it.assessment.bound.is_none() || it.assessment.health == Health::Healthy);
    if ill || (clear && stops.is_none() && !unseen) {
        stage.learned(Fact::Healthy(!ill));
    }
    let fault = match (checked, critical.first(), stops) {
        (Some(Err(fault)), critical, _) if checks_failed || critical.is_none() => fault,
        (_, Some(finding), _) => limit_passed(finding, critical.len()),
        (_, None, Some(finding)) => no_data(finding),
        (None, None, None) if looked.all.is_empty() => {
            Fault::new(Reason::NoData, "nothing was looked at")
                .next("add checks to the config, or a `prober` to its metrics")
        }
        (checked, None, None) => return passed(checked, looked),
    };
    smoke_test::from(fault)
}

fn is_unmeasured(finding: &Finding) -> bool {
    finding.assessment.value.is_none()
}

fn passed(checked: Option<Checked>, looked: &Looked) -> Ending {
    let checks = match checked {
        Some(Ok(said)) => format!("{said}, "),
        _ => String::new(),
    };
    let said = format!("{checks}figures: {}", counted(looked));
    let is_degraded = looked.all.iter().any(|it| it.is_past(Severity::Warning));
    let reason = if is_degraded {
        Reason::Degraded
    } else {
        Reason::Done
    };
    Ending::good(Decision::Passed, reason, said)
}

/// `error-rate 7.3 % (above 5 % for 5 m since 10:02Z; 183 of 2,507 requests)`.
fn line(finding: &Finding) -> String {
    let assessment = &finding.assessment;
    let word = match assessment.health {
        Health::Unknown => " is unknown:",
        _ => "",
    };
    format!("{}{word} {}", assessment.metric, assessment.said)
}

fn limit_passed(finding: &Finding, many: usize) -> Fault {
    let metric = &finding.assessment.metric;
    let said = match many {
        1 => format!("{metric} is past its limit"),
        many => format!(
            "{} are past their limits",
            text::count(many as u64, "figure")
        ),
    };
    let bound = finding.assessment.bound.as_ref();
    let wanted = bound.map(|bound| format!("{metric} not {}", bound.whole()));
    Fault::new(Reason::LimitPassed, said)
        .measured(line(finding))
        .wanted(wanted.unwrap_or_default())
        .next("look at what the service logs since then; `cutover rollback` puts traffic on the previous slot")
}

fn no_data(finding: &Finding) -> Fault {
    let assessment = &finding.assessment;
    let (reason, next) = match finding.out_of_reach {
        true => (
            Reason::OutOfReach,
            "is the source up, and its address right?",
        ),
        false => (
            Reason::NoData,
            "no data is not zero: repair the source, or the query",
        ),
    };
    Fault::new(reason, format!("nothing is known of {}", assessment.metric))
        .measured(assessment.said.clone())
        .wanted(format!("figures from {}", assessment.source))
        .next(next)
}
