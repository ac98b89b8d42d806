//! After a switch the old slot is let go: when its requests in flight are none, twice in a row, or
//! when a deadline has passed. Then it is kept, stopped or made smaller.
//!
//! All of it comes after the point of no return and changes no verdict. A way back drains nothing.

use std::time::Duration;

use url::Url;

use crate::config::drain::After;
use crate::config::template::{fill, in_url};
use crate::hooks::{Hook, HookError};
use crate::model::ending::Reason;
use crate::model::event::Event;
use crate::model::fault::Fault;
use crate::model::release::{Release, field_of};
use crate::model::slot::Side;
use crate::model::split::Split;
use crate::platform::http::{Look, below};
use crate::platform::text;
use crate::routers::InFlight;
use crate::targets::{Desk, TargetError};

use super::failover;
use super::hooks::{self, acted, measured};
use super::saga::{Halt, Made, Saga, Step};
use super::stage::Stage;
use super::steps::order_for;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// How long a look may take.
const LOOK: Duration = Duration::from_secs(5);

/// What is filled into a URL.
pub const IN_URL: [&str; 1] = ["slot"];

/// When the old slot is let go, and what becomes of it.
pub struct Drain {
    /// How long its requests are waited for.
    pub deadline: Duration,
    /// Who counts them; `None` is the router.
    pub place: Option<Place>,
    /// The field of the answer that is the number.
    pub field: Option<String>,
    /// What becomes of it.
    pub retire: Option<Retire>,
}

/// Where the app itself says how many requests it has in flight.
pub enum Place {
    /// A path on the slot's own address.
    Path(String),
    /// A whole URL, with `{{slot}}` in it.
    Url(String),
}

/// What stops a slot, or makes it smaller.
pub struct Retire {
    /// Which of the two.
    pub after: After,
    /// How long after the drain.
    pub delay: Duration,
    /// What does it; `None` is the target itself.
    pub does: Option<Box<dyn Hook>>,
}

/// Lets the old slot go after the commit: drains it, contracts the data that only it needed, and
/// retires it as the config says. `to` is how traffic is divided now.
///
/// # Errors
/// That a required contract failed; the release stays.
pub async fn let_go(saga: &mut Saga<'_>, from: Split, to: Split) -> Result<(), Halt> {
    let old = to.idle();
    if !lets_go(from, to) {
        return Ok(());
    }
    let drain = saga.stage().drain.as_ref();
    if let Some(drain) = drain {
        saga.afterwards(Await { drain, old }).await;
    }
    hooks::contract(saga).await?;
    if let Some(retire) = drain.and_then(|drain| drain.retire.as_ref()) {
        saga.afterwards(Put { retire, old }).await;
    }
    Ok(())
}

/// To be called before the commit that [`let_go`] comes after: what is due then is written down with it.
pub fn is_about_to_let_go(stage: &Stage, from: Split, to: Split) {
    if lets_go(from, to) {
        hooks::contracts_are_due(stage);
    }
}

/// Whoever still has a part of the traffic is not old, and who had none is not let go now.
fn lets_go(from: Split, to: Split) -> bool {
    to.is_whole() && from.weight(to.idle()).percent() > 0
}

/// Says what would be done.
pub fn planned(stage: &Stage) {
    let Some(drain) = &stage.drain else {
        return;
    };
    let then = match &drain.retire {
        None => "kept".to_owned(),
        Some(retire) => format!(
            "{}{} by {}",
            word(retire.after),
            match retire.delay {
                Duration::ZERO => String::new(),
                delay => format!(" {} later", text::duration(delay)),
            },
            match &retire.does {
                Some(hook) => hook.told(),
                None => stage
                    .target
                    .as_ref()
                    .map_or_else(String::new, |it| it.told()),
            }
        ),
    };
    stage.say(Event::Noticed(format!(
        "the old slot would be drained for {} at most, and then {then}",
        text::duration(drain.deadline)
    )));
}

const fn word(after: After) -> &'static str {
    match after {
        After::Keep => "kept",
        After::Stop => "stopped",
        After::ScaleDown => "scaled down",
    }
}

/// Waits until a slot has no request in flight.
struct Await<'a> {
    drain: &'a Drain,
    old: Side,
}

/// How a wait ended.
enum Waited {
    /// Nothing was in flight, twice in a row.
    Empty,
    /// The deadline passed.
    Late,
    /// The run was cancelled.
    Cancelled,
}

impl Step for Await<'_> {
    type Value = ();
    const NAME: &'static str = "drain";
    // It watches for the end of the run itself, to say what was left.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let slot = stage.slots.name(self.old);
        let mut last = InFlight::Unknown("nobody was asked".to_owned());
        let mut most = 0;
        let waiting = async {
            let mut none = 0;
            loop {
                let asked = tokio::time::timeout(LOOK, self.look(stage)).await;
                last = asked.unwrap_or_else(|_| InFlight::Unknown("no answer".to_owned()));
                match &last {
                    InFlight::Requests(0) if none == 1 => return,
                    InFlight::Requests(0) => none += 1,
                    InFlight::Requests(some) => {
                        if most == 0 {
                            let limit = text::duration(self.drain.deadline);
                            stage.say(Event::Noticed(format!(
                                "drain: {slot} has {}, and has {limit} at most",
                                told(&last)
                            )));
                        }
                        none = 0;
                        most = most.max(*some);
                    }
                    InFlight::Unknown(_) => none = 0,
                    InFlight::NotCounted(why) => {
                        stage.say(Event::Warned(format!(
                            "drain: {why}, so {slot} gets the whole deadline of {}; with `drain.path` or `drain.url` the app itself can say it",
                            text::duration(self.drain.deadline)
                        )));
                        return std::future::pending().await;
                    }
                }
                stage.say(Event::Working {
                    step: Self::NAME,
                    said: format!("{slot}: {}", told(&last)),
                });
                tokio::time::sleep(EVERY).await;
            }
        };
        let waited = tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => Waited::Cancelled,
            () = waiting => Waited::Empty,
            () = tokio::time::sleep(self.drain.deadline) => Waited::Late,
        };
        let left = told(&last);
        let said = match waited {
            Waited::Empty if most == 0 => {
                format!("{slot} has no request in flight, twice in a row")
            }
            Waited::Empty => format!(
                "{slot} has no request in flight, twice in a row; it had {}",
                text::count(most, "request")
            ),
            Waited::Late => {
                let limit = text::duration(self.drain.deadline);
                if !matches!(last, InFlight::Requests(0) | InFlight::NotCounted(_)) {
                    stage.say(Event::Warned(format!(
                        "drain: {slot} was let go after {limit} with {left}"
                    )));
                }
                format!("{slot} let go after {limit}, {left}")
            }
            Waited::Cancelled => {
                stage.say(Event::Warned(format!(
                    "drain: cut short, because the run was cancelled; {slot} was left with {left}"
                )));
                String::new()
            }
        };
        Ok(Made { value: (), said })
    }
}

impl Await<'_> {
    async fn look(&self, stage: &Stage) -> InFlight {
        match &self.drain.place {
            None => match stage.router() {
                Ok(router) => router.in_flight(self.old).await,
                Err(_) => InFlight::NotCounted("there is no router"),
            },
            Some(place) => {
                let number = self.number(stage, place).await;
                number.map_or_else(InFlight::Unknown, InFlight::Requests)
            }
        }
    }

    async fn number(&self, stage: &Stage, place: &Place) -> Result<u64, String> {
        let slot = stage.slots.on(self.old);
        let url = match place {
            Place::Path(path) => below(&slot.url, path),
            Place::Url(url) => {
                let filled = fill(url, &IN_URL, |name| in_url(name, &slot.name))?;
                filled.parse::<Url>().map_err(|failed| failed.to_string())?
            }
        };
        let answer = stage.http.look(&Look::at(url, LOOK)).await;
        let answer = answer.map_err(|none| none.to_string())?;
        if answer.status != 200 {
            return Err(format!("status {}", answer.status));
        }
        let none = || "an answer that has no number".to_owned();
        let said = answer.text();
        let value: serde_json::Value = serde_json::from_str(said.trim()).map_err(|_| none())?;
        let value = match &self.drain.field {
            Some(field) => field_of(&value, field).ok_or_else(none)?,
            None => &value,
        };
        value.as_u64().ok_or_else(none)
    }
}

fn told(seen: &InFlight) -> String {
    match seen {
        InFlight::Requests(0) => "no request in flight".to_owned(),
        InFlight::Requests(some) => format!("{} in flight", text::count(*some, "request")),
        InFlight::Unknown(said) => format!("an unknown number of requests ({said})"),
        InFlight::NotCounted(_) => "requests that nobody counts".to_owned(),
    }
}

/// Stops a slot, or makes it smaller.
struct Put<'a> {
    retire: &'a Retire,
    old: Side,
}

impl Step for Put<'_> {
    type Value = ();
    const NAME: &'static str = "retire";
    // The hook watches for the end of the run itself, and ends what it began.
    const INTERRUPTIBLE: bool = false;

    async fn act(self, stage: &Stage) -> Result<Made<()>, Fault> {
        let slot = stage.slots.name(self.old);
        let (retire, did) = (self.retire, word(self.retire.after));
        if retire.delay > Duration::ZERO {
            let delay = text::duration(retire.delay);
            stage.say(Event::Noticed(format!("{slot} is {did} in {delay}")));
        }
        tokio::select! {
            biased;
            () = stage.cancelled.cancelled() => return Err(Fault::cancelled()),
            () = tokio::time::sleep(retire.delay) => {}
        }
        stage.lock.ours().await?;
        // Somebody may have gone back meanwhile, by hand.
        let weight = stage.router()?.read().await?.split.weight(self.old);
        if weight.percent() > 0 {
            stage.say(Event::Warned(format!(
                "{slot} receives {weight} of traffic again, so it is not {did}"
            )));
            return Ok(Made {
                value: (),
                said: String::new(),
            });
        }
        let name = stage.slots.name(self.old).to_owned();
        let mut call = stage.call("retire", None);
        call.version = std::mem::take(&mut call.previous_version);
        call.slot_url = stage.slots.on(self.old).url.to_string();
        call.slot = name;
        let done = match &retire.does {
            Some(does) => acted(stage, Self::NAME, slot.to_owned(), does.as_ref(), &call).await,
            None => self.by_target(stage, &call.version).await,
        };
        let done = done.map_err(|failed| match failed {
            HookError::Cancelled => Fault::cancelled(),
            failed => Fault::new(
                Reason::HookFailed,
                format!("{slot} was not {did}, as far as is known"),
            )
            .measured(measured(&failed)),
        })?;
        stage.say(Event::Changed {
            what: format!("slot {slot}"),
            before: Some(call.version).filter(|version| !version.is_empty()),
            after: did.to_owned(),
        });
        if retire.after == After::Stop {
            stage.say(Event::Noticed(format!(
                "{slot} is stopped, so a way back needs it up again first"
            )));
        }
        Ok(Made {
            value: (),
            said: format!("{slot} {did}      {done}"),
        })
    }
}

impl Put<'_> {
    /// Has the target stop what it has put there.
    async fn by_target(&self, stage: &Stage, version: &str) -> Result<String, HookError> {
        let stops = stage.target.as_ref().and_then(|target| target.stops());
        let stops = stops.ok_or_else(|| HookError::OutOfReach("nobody can stop it".to_owned()))?;
        let order = order_for(stage, stage.slots.on(self.old), &Release::new(version));
        let say = |line: String| stage.say(Event::Line(line));
        let went = |went| stage.say(failover::row(went));
        let desk = Desk {
            say: &say,
            went: &went,
            cancelled: &stage.cancelled,
            run: &stage.cancelled,
        };
        stops
            .stop(&order, &desk)
            .await
            .map_err(|failed| match failed {
                TargetError::Cancelled => HookError::Cancelled,
                TargetError::OutOfReach(said) => HookError::OutOfReach(said),
                TargetError::Failed { said, last_words }
                | TargetError::TimedOut {
                    said, last_words, ..
                }
                | TargetError::Vanished { said, last_words }
                | TargetError::Lost { said, last_words } => HookError::Failed { said, last_words },
            })
    }
}
