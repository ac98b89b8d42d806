//! A health check on a clock: it looks, remembers, tells what changed, and may put traffic back.
//!
//! Where nothing can be remembered it is a health check like any other, and says why.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cast::{self, Audience};
use crate::config::clock::Clock;
use crate::config::cron::Cron;
use crate::config::inputs::Inputs;
use crate::error::Refusal;
use crate::github::diary::Diary as Issues;
use crate::judge::vigil::{Round, Verdict};
use crate::model::ending::{Decision, Ending, Reason};
use crate::model::event::{Event, Fact, Headline};
use crate::model::vigil::{Act, Figure, Seen, Sight, State};
use crate::modes::health_check::{self, Look};
use crate::platform::text;
use crate::report::vigil::Place;
use crate::report::{news, telling};
use crate::rollout::vigil::{Outcome, moment, remember};

use super::choice::Choice;
use super::diary::{IssueDiary, Speaker, told};
use super::records::Archive;
use super::session::Session;

/// The events that start a run for its own sake. In any other a health check is a gate in
/// somebody's workflow, and its verdict is that of its own look.
const OF_A_CLOCK: [&str; 3] = ["schedule", "workflow_dispatch", "repository_dispatch"];

impl Session {
    /// The clock of a health check, where it is to remember. A gate, a slot, checks of its own
    /// and a dry run are looks by themselves.
    pub(super) fn clock<'c>(&self, choice: &'c Choice, inputs: &Inputs) -> Option<&'c Clock> {
        let clock = choice.environment().health.clock.as_ref()?;
        let event = self.context.event.as_deref();
        let of_a_clock = event.is_some_and(|event| OF_A_CLOCK.contains(&event));
        let plain = inputs.slot.is_none() && inputs.checks.is_none() && !inputs.dry_run;
        (of_a_clock && plain).then_some(clock)
    }

    /// Looks, and does what follows from it and from what is remembered.
    pub(super) async fn vigil(
        &self,
        inputs: &Inputs,
        choice: &Choice,
        clock: &Clock,
    ) -> Result<Ending, Refusal> {
        self.open_audit("health-check", choice, true).await;
        let stage = self.stage(choice, "health-check", inputs)?;
        let notify = &choice.environment().notify;
        let audience = cast::audience(notify, &self.notifier_tools(inputs));
        let audience = audience.map_err(|misfits| choice.refuse(misfits))?;
        self.open_telemetry(choice).await?;
        let at = jiff::Timestamp::now().as_second();
        // What is told of this look alone waits until it is known whether others are remembered.
        let (outbox, mut inbox) = telling::boxes();
        let context = &self.context;
        let (listener, closer) =
            news::reporter(outbox, context.run_url.clone(), context.actor.clone());
        self.journal.add(listener);
        self.begin(Headline {
            mode: "health-check",
            environment: Some(choice.name.clone()),
            app: Some(stage.app.clone()),
            ..Headline::default()
        });
        stage.learned(Fact::Environment(choice.name.clone()));
        stage.learned(Fact::EnvironmentUrl(stage.url.to_string()));
        let Look { ending, sight } = health_check::look(&stage, None).await;
        let Some(sight) = sight else {
            // Cancelled: it saw nothing, and whatever it was about goes on.
            self.ended(&ending);
            closer.close();
            return Ok(ending);
        };
        let schedule = self.schedule(clock);
        let place = self.place(choice, clock, schedule.as_ref(), &audience);
        let later = |channel: &telling::Channel| {
            clock.calls_later(channel.0.name.as_deref(), &channel.0.kind)
        };
        let (later, soon): (Audience, Audience) = audience.into_iter().partition(later);
        let archive = self.archive(inputs, choice.environment().records);
        let speaker = Speaker {
            soon: self.teller(&soon),
            later: self.teller(&later),
            place: &place,
            repository_url: self.repository_url(),
            deployments: match &archive {
                Archive::Kept(deployments) => Some(deployments.clone()),
                _ => None,
            },
        };
        let by_schedule = context.event.as_deref() == Some("schedule");
        let round = Round {
            at,
            schedule: schedule.as_ref().filter(|_| by_schedule),
        };
        let began = Instant::now();
        let diary = self.diary(inputs, &place);
        let outcome = match &diary {
            Ok(diary) => remember(diary, &speaker, &sight, &round, clock, &self.say).await,
            Err(said) => Err(said.clone()),
        };
        let (verdict, went_down) = match outcome {
            Ok(Outcome::Judged { verdict, went_down }) => (verdict, went_down),
            Ok(Outcome::Stale(stale)) => {
                (self.say)(Event::Noticed(format!(
                    "a newer look is remembered already, of {}: this one changes nothing",
                    moment(stale.newer)
                )));
                self.ended(&ending);
                closer.close();
                return Ok(ending);
            }
            Err(said) => {
                (self.say)(Event::Warned(format!(
                    "it has no memory, and tells what this look saw: {said}"
                )));
                self.ended(&ending);
                closer.close();
                // Nobody can be called later by a look that knows of no other.
                while let Ok(news) = inbox.try_recv() {
                    tokio::join!(speaker.soon.tell(&news), speaker.later.tell(&news));
                }
                return Ok(ending);
            }
        };
        // It was told already what changed.
        drop(inbox);
        let figure = figure(&verdict);
        (self.say)(Event::Done {
            step: "memory",
            said: said(&figure),
            took: began.elapsed(),
        });
        stage.learned(Fact::Clock(figure));
        let ending = ended(&verdict, &sight, ending, clock);
        let issue = verdict.memory.incident.as_ref().and_then(|it| it.issue);
        let ending = match (went_down, &diary) {
            (true, Ok(diary)) => {
                let back = self.goes_back(inputs, choice, clock, &stage, &archive, at);
                let (said, ending) = match back.await? {
                    Ok(back) => back,
                    Err(said) => {
                        (self.say)(Event::Warned(said.clone()));
                        self.ended(&ending);
                        (said, ending)
                    }
                };
                if let Some(issue) = issue
                    && let Err(failed) = diary.add_on_traffic(issue, &said, at).await
                {
                    (self.say)(Event::Warned(failed));
                }
                let title = match ending.decision {
                    Decision::RolledBack => "rolled back",
                    Decision::Stuck => "stuck on the way back",
                    _ => "not rolled back",
                };
                let news = place.news_of_traffic(title, &said, speaker.page(issue));
                tokio::join!(speaker.soon.tell(&news), speaker.later.tell(&news));
                ending
            }
            _ => {
                self.ended(&ending);
                ending
            }
        };
        closer.close();
        Ok(ending)
    }

    /// The schedule of the config, or else the one that the event names.
    fn schedule(&self, clock: &Clock) -> Option<Cron> {
        let of_event = self.event_schedule();
        match (&clock.schedule, of_event) {
            (Some(ours), of_event) => {
                let text = ours.to_string();
                if let Some(other) = of_event.filter(|it| it.split_whitespace().ne(text.split(' ')))
                {
                    (self.say)(Event::Noticed(format!(
                        "the workflow was started by `{}`, and `health.clock.schedule` is `{text}`: that one counts",
                        text::excerpt(&other, 100)
                    )));
                }
                Some(ours.clone())
            }
            (None, Some(other)) => match other.parse() {
                Ok(cron) => Some(cron),
                Err(said) => {
                    (self.say)(Event::Warned(said));
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// The line of `on: schedule` that started the run.
    fn event_schedule(&self) -> Option<String> {
        let event = self.event()?;
        event
            .get("schedule")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    }

    fn place(
        &self,
        choice: &Choice,
        clock: &Clock,
        schedule: Option<&Cron>,
        audience: &Audience,
    ) -> Place {
        let run = self.run_name();
        let later = audience.iter().map(|(routing, _)| routing);
        let later = later.filter(|it| clock.calls_later(it.name.as_deref(), &it.kind));
        Place {
            app: choice.config.file.app.clone(),
            environment: choice.name.clone(),
            run_url: self.context.run_url.clone(),
            run: match run.is_empty() {
                true => uuid::Uuid::new_v4().to_string(),
                false => run,
            },
            schedule: schedule.map(ToString::to_string),
            label: clock.label.clone(),
            later: later
                .map(|it| it.name.clone().unwrap_or_else(|| it.kind.clone()))
                .collect(),
        }
    }

    fn diary(&self, inputs: &Inputs, place: &Place) -> Result<IssueDiary, String> {
        let access = self.access(inputs)?.ok_or("there is no token")?;
        let repository = self
            .repository()
            .ok_or("GITHUB_REPOSITORY is not an owner and a name")?;
        let issues = Issues::new(&self.http, &access, &repository).map_err(|it| told(&it))?;
        Ok(IssueDiary::new(issues, place.clone(), self.vault.clone()))
    }
}

fn figure(verdict: &Verdict) -> Figure {
    let memory = &verdict.memory;
    Figure {
        state: memory.state,
        since: moment(memory.since),
        changed: verdict
            .acts
            .iter()
            .any(|act| matches!(act, Act::Changed { .. })),
        late_s: verdict.late,
        missed: verdict.missed.many,
        issue: memory.incident.as_ref().and_then(|it| it.issue),
    }
}

/// `down since 2026-03-02 10:15Z, #12; 40 s after its time`.
fn said(figure: &Figure) -> String {
    let mut said = format!("{} since {}", figure.state.name(), figure.since);
    if let Some(issue) = figure.issue {
        said.push_str(&format!(", #{issue}"));
    }
    if let Some(late) = figure.late_s {
        let late = Duration::from_secs(late.unsigned_abs());
        said.push_str(&format!("; {} after its time", text::long(late)));
    }
    said
}

/// How a run ends that remembers others: as the state is, and not as its own look.
fn ended(verdict: &Verdict, sight: &Sight, look: Ending, clock: &Clock) -> Ending {
    let memory = &verdict.memory;
    let since = moment(memory.since);
    let passed = |reason, said| Ending::good(Decision::Passed, reason, said);
    let of = |many: u32, wanted: u32| format!("{many} of {wanted} in a row that it takes");
    match (memory.state, sight.seen) {
        (State::Up, Seen::Well) | (State::Unknown, Seen::Nothing) => look,
        (State::Up, Seen::Nothing) => {
            let said = format!("up since {since}; this look saw nothing: {}", sight.said);
            passed(Reason::NoData, said)
        }
        (State::Up, Seen::Bad | Seen::Degraded) => {
            let many = of(memory.bad.max(memory.ill), clock.fall);
            let said = format!("up since {since}; this look is bad, {many}: {}", sight.said);
            passed(Reason::Suspected, said)
        }
        (State::Degraded, _) => passed(
            Reason::Degraded,
            format!("degraded since {since}: {}", sight.said),
        ),
        (State::Unknown, _) => {
            let many = of(memory.well.max(memory.ill), clock.rise);
            let said = format!(
                "unknown since {since}; this look saw something, {many}: {}",
                sight.said
            );
            passed(Reason::Suspected, said)
        }
        (State::Down, Seen::Bad) => Ending {
            said: format!("down since {since}: {}", look.said),
            ..look
        },
        (State::Down, _) => Ending {
            decision: Decision::Failed,
            reason: Reason::Unhealthy,
            said: match sight.seen {
                Seen::Well => format!(
                    "down since {since}; this look is good, {}",
                    of(memory.well, clock.rise)
                ),
                _ => format!("down since {since}; this look: {}", sight.said),
            },
            account: look.account,
        },
    }
}

/// Traffic that is to go back: why it does not, or how that ended.
pub(super) type Back = Result<(String, Ending), String>;
