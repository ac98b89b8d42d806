//! What follows from one look more: whether it is otherwise than before, and who should hear.
//!
//! A change is said once, and only where enough looks agree, or enough kinds of evidence in one
//! look. What could not be seen neither counts for nor against. Knows no clock and asks nobody.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::config::clock::{AllGood, Clock, Weekly};
use crate::config::cron::Cron;
use crate::model::vigil::{Act, Incident, Memory, Missed, Past, Seen, Sight, State, Tally};

/// The version of what is remembered.
pub const VERSION: u32 = 1;

/// Missed slots are counted up to here.
const MOST_MISSED: u64 = 10_000;

/// How many incidents of a week are remembered one by one.
const PAST: usize = 20;

/// A clock may be that much ahead of the one that wrote the memory.
const AHEAD: i64 = 300;

/// What is known of the run that looked.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    /// When it looked, in seconds since 1970.
    pub at: i64,
    /// The schedule, where the run was started by one.
    pub schedule: Option<&'a Cron>,
}

/// What follows from a look.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What is to be remembered.
    pub memory: Memory,
    /// What is to be told, in this order.
    pub acts: Vec<Act>,
    /// How many seconds after its slot the run began, where it was started by a schedule.
    pub late: Option<i64>,
    /// The slots since the last run that no run came for.
    pub missed: Missed,
    /// Whether the look speaks against the state, and is not enough to change it.
    pub is_suspect: bool,
}

/// Why a look is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// When a newer look was made.
    pub newer: i64,
}

/// Whether a memory can be true at that time.
///
/// # Errors
/// What cannot be.
pub fn check(memory: &Memory, at: i64) -> Result<(), String> {
    if memory.version != VERSION {
        return Err(format!(
            "it has form {}, and this program writes {VERSION}",
            memory.version
        ));
    }
    let week = &memory.week;
    let past = week.past.iter().flat_map(|past| [past.began, past.until]);
    let times = [memory.begun, memory.at, memory.since, week.from];
    let more = [memory.slot, memory.first_ill, memory.first_well];
    let more = more.into_iter().chain([memory.all_good, memory.weekly]);
    let more = more.chain([memory.incident.as_ref().map(|it| it.began)]);
    let mut all = times.into_iter().chain(more.flatten()).chain(past);
    if all.any(|time| time < 0 || time > at + AHEAD) {
        return Err("it has times that are still to come".to_owned());
    }
    if (memory.state == State::Up) != memory.incident.is_none() {
        return Err(format!(
            "it says {}, and has {} incident",
            memory.state.name(),
            if memory.incident.is_none() {
                "no"
            } else {
                "an"
            }
        ));
    }
    let counted = week.bad.checked_add(week.degraded);
    let counted = counted.and_then(|it| it.checked_add(week.blind));
    if counted.is_none_or(|counted| counted > week.looks) || week.past.len() > PAST {
        return Err("its counts do not add up".to_owned());
    }
    Ok(())
}

/// A memory that begins at a look. An incident that is open already goes on.
pub fn begin(at: i64, open: Option<(State, Incident)>) -> Memory {
    let mut memory = Memory {
        version: VERSION,
        begun: at,
        at: at - 1,
        since: at,
        week: Tally {
            from: at,
            ..Tally::default()
        },
        ..Memory::default()
    };
    if let Some((state, incident)) = open.filter(|(state, _)| *state != State::Up) {
        memory.state = state;
        memory.first_ill = Some(incident.began);
        memory.incident = Some(incident);
    }
    memory
}

/// Judges a look.
///
/// # Errors
/// Where a newer look is remembered: then this one has nothing to say.
pub fn judge(
    before: &Memory,
    sight: &Sight,
    round: &Round<'_>,
    clock: &Clock,
) -> Result<Verdict, Stale> {
    let at = round.at;
    if before.at >= at {
        return Err(Stale { newer: before.at });
    }
    let mut memory = before.clone();
    let mut acts = Vec::new();
    let slot = round.schedule.and_then(|schedule| schedule.slot_of(at));
    let missed = match (round.schedule, slot, before.slot) {
        (Some(schedule), Some(slot), Some(last)) => missed(schedule, last, slot),
        _ => Missed::default(),
    };
    let late = slot.map(|slot| at - slot);
    memory.slot = slot.or(before.slot);
    memory.at = at;
    count(&mut memory, sight, missed, late);
    if missed.many >= u64::from(clock.missed_alert) {
        acts.push(Act::Missed(missed));
    }
    let state = next(&memory, sight, clock);
    if state == memory.state {
        // A good look may be the beginning of its end.
        if sight.seen != Seen::Well {
            acts.extend(escalation(&mut memory, clock));
        }
    } else {
        acts.push(change(&mut memory, state));
    }
    if state == State::Up && sight.seen == Seen::Well {
        memory.first_ill = None;
        acts.extend(all_good(&mut memory, before, clock));
    }
    acts.extend(week(&mut memory, clock.weekly.as_ref()));
    let against = match state {
        State::Up => sight.seen != Seen::Well,
        State::Degraded => sight.seen != Seen::Degraded,
        State::Down => sight.seen != Seen::Bad,
        State::Unknown => sight.seen != Seen::Nothing,
    };
    Ok(Verdict {
        is_suspect: against,
        memory,
        acts,
        late,
        missed,
    })
}

fn missed(schedule: &Cron, last: i64, slot: i64) -> Missed {
    let slots = schedule.between(last, slot, MOST_MISSED);
    Missed {
        many: slots.many,
        first: slots.first.unwrap_or_default(),
        last: slots.last.unwrap_or_default(),
    }
}

/// Adds a look to the streaks and to the week.
fn count(memory: &mut Memory, sight: &Sight, missed: Missed, late: Option<i64>) {
    let at = memory.at;
    let more = |n: &mut u32| *n = n.saturating_add(1);
    let week = &mut memory.week;
    week.looks = week.looks.saturating_add(1);
    week.missed = week.missed.saturating_add(missed.many);
    week.latest = week.latest.max(late.unwrap_or_default());
    if sight.seen != Seen::Well {
        memory.first_ill.get_or_insert(at);
    }
    if sight.seen == Seen::Nothing {
        // It decides nothing, and takes nothing back.
        week.blind = week.blind.saturating_add(1);
        more(&mut memory.blind);
        return;
    }
    memory.blind = 0;
    match sight.seen {
        Seen::Well => {
            memory.first_well.get_or_insert(at);
            more(&mut memory.well);
            more(&mut memory.calm);
            (memory.bad, memory.ill) = (0, 0);
        }
        Seen::Degraded => {
            week.degraded = week.degraded.saturating_add(1);
            more(&mut memory.ill);
            more(&mut memory.calm);
            (memory.bad, memory.well, memory.first_well) = (0, 0, None);
        }
        Seen::Bad | Seen::Nothing => {
            week.bad = week.bad.saturating_add(1);
            more(&mut memory.ill);
            more(&mut memory.bad);
            (memory.calm, memory.well, memory.first_well) = (0, 0, None);
        }
    }
    for (name, value) in &sight.figures {
        week.figures
            .entry((*name).to_owned())
            .or_default()
            .add(*value);
    }
}

/// How it is, by the streaks.
fn next(memory: &Memory, sight: &Sight, clock: &Clock) -> State {
    let agreed = u32::try_from(sight.kinds.len()).unwrap_or(u32::MAX) >= clock.evidence;
    match (memory.state, sight.seen) {
        (state, Seen::Nothing) if memory.blind < clock.fall => state,
        (_, Seen::Nothing) => State::Unknown,
        (_, Seen::Bad) if agreed || memory.bad >= clock.fall => State::Down,
        (State::Up | State::Unknown, Seen::Bad | Seen::Degraded) if memory.ill >= clock.fall => {
            State::Degraded
        }
        (State::Down, Seen::Degraded) if memory.calm >= clock.rise => State::Degraded,
        (_, Seen::Well) if memory.well >= clock.rise => State::Up,
        (state, _) => state,
    }
}

/// Takes a memory to another state.
fn change(memory: &mut Memory, to: State) -> Act {
    let (from, at) = (memory.state, memory.at);
    memory.state = to;
    memory.since = at;
    memory.changes = memory.changes.saturating_add(1);
    let mut incident = memory.incident.take().unwrap_or_else(|| Incident {
        began: memory.first_ill.unwrap_or(at),
        ..Incident::default()
    });
    incident.worst = incident.worst.worse(to);
    let mut ended = None;
    if to == State::Up {
        let past = Past {
            issue: incident.issue,
            began: incident.began,
            until: memory.first_well.unwrap_or(at),
            worst: incident.worst,
        };
        memory.week.incidents = memory.week.incidents.saturating_add(1);
        memory.week.past.push(past.clone());
        if memory.week.past.len() > PAST {
            memory.week.past.remove(0);
        }
        ended = Some(past);
    } else {
        // A good look of before is not the end of this.
        memory.first_well = None;
        memory.incident = Some(incident.clone());
    }
    Act::Changed {
        from,
        to,
        incident,
        ended,
    }
}

fn escalation(memory: &mut Memory, clock: &Clock) -> Option<Act> {
    let after = memory.at - memory.since;
    let is_long = after >= seconds(clock.escalate_after.get());
    let incident = memory.incident.as_mut()?;
    if memory.state != State::Down || incident.escalated || !is_long {
        return None;
    }
    incident.escalated = true;
    Some(Act::Escalated { after })
}

/// Says that all is well once in a period of the clock. That it is up again says it, too.
fn all_good(memory: &mut Memory, before: &Memory, clock: &Clock) -> Option<Act> {
    let period = match clock.all_good {
        AllGood::Off => return None,
        AllGood::Hourly => 3600,
        AllGood::Daily => 86_400,
    };
    let at = memory.at;
    let is_due = memory
        .all_good
        .is_none_or(|last| last.div_euclid(period) != at.div_euclid(period));
    if !is_due {
        return None;
    }
    memory.all_good = Some(at);
    (before.state == State::Up).then_some(Act::AllGood)
}

/// Sums the week up when it is time. Without the setting a week is a week all the same, and
/// nobody is told.
fn week(memory: &mut Memory, weekly: Option<&Weekly>) -> Option<Act> {
    let due = due(memory.at, weekly)?;
    let last = memory.weekly.replace(due);
    // A memory that has just begun has no week behind it.
    if last.is_none_or(|last| last >= due) {
        return None;
    }
    let fresh = Tally {
        from: memory.at,
        ..Tally::default()
    };
    let over = std::mem::replace(&mut memory.week, fresh);
    weekly.map(|_| Act::Week(over))
}

/// The newest moment at which a week was to be summed up.
fn due(at: i64, weekly: Option<&Weekly>) -> Option<i64> {
    let zone = weekly.map_or(TimeZone::UTC, |weekly| weekly.zone.get().clone());
    let minutes = weekly.map_or(0, |weekly| weekly.at.minutes());
    let is_day = |day: jiff::civil::Weekday| match weekly {
        Some(weekly) => weekly.day.has(day),
        None => day == jiff::civil::Weekday::Monday,
    };
    let now = Timestamp::from_second(at).ok()?.to_zoned(zone.clone());
    let (hour, minute) = (
        i8::try_from(minutes / 60).ok()?,
        i8::try_from(minutes % 60).ok()?,
    );
    let mut day = now.date();
    for _ in 0..=7 {
        if is_day(day.weekday()) {
            let moment = day.at(hour, minute, 0, 0).to_zoned(zone.clone()).ok()?;
            let moment = moment.timestamp().as_second();
            if moment <= at {
                return Some(moment);
            }
        }
        day = day.yesterday().ok()?;
    }
    None
}

fn seconds(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
