//! Whether an instant lies within the times at which one may deploy, and when the next one does.
//!
//! Clocks decide, not spans: at 02:30 of a local clock a window from 02:00 to 03:00 is open,
//! in the night in which that hour comes twice both times, and where it is left out not at all.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

use crate::config::calendar::{ClockTime, Days, Zone};
use crate::config::preflight::{Freeze, Guardrails, Window};

/// How far ahead the next opening is looked for.
const AHEAD: i64 = 400;

/// Whether an instant is inside of a window that begins on `days` at `from` and ends at `to`, on
/// the next day where `to` is not after `from`. The day counts on which it began.
pub fn inside(days: &Days, from: ClockTime, to: ClockTime, zone: &TimeZone, at: Timestamp) -> bool {
    let local = zone.to_datetime(at);
    let minute = local.hour() as u16 * 60 + local.minute() as u16;
    let today: Weekday = local.weekday();
    let (from, to) = (from.minutes(), to.minutes());
    if from < to {
        return days.has(today) && (from..to).contains(&minute);
    }
    (days.has(today) && minute >= from) || (days.has(today.previous()) && minute < to)
}

/// What stands in the way of a deployment at some instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// What was looked at: `window`, `holiday` or `freeze`.
    pub name: &'static str,
    /// The instant, in the zone that counts: `Sat 2026-11-21 10:24 Europe/Berlin`.
    pub measured: String,
    /// What it should have been.
    pub wanted: String,
}

/// What stands in the way at `now`; nothing, if it may be. Also the lines of what does not.
pub fn judge(guardrails: &Guardrails, now: Timestamp) -> (Vec<Shut>, Vec<(&'static str, String)>) {
    let zone = guardrails.zone();
    let today = zone.get().to_datetime(now).date();
    let (mut shut, mut open) = (Vec::new(), Vec::new());
    if !guardrails.windows.is_empty() {
        let inside = guardrails
            .windows
            .iter()
            .find(|one| is_inside(one, &zone, now));
        match inside {
            Some(window) => {
                let of = window.zone.as_ref().unwrap_or(&zone);
                let said = format!("{}, inside of {}", told(now, of), name(window, &zone));
                open.push(("window", said));
            }
            None => shut.push(Shut {
                name: "window",
                measured: told(now, &zone),
                wanted: one_of(guardrails, &zone),
            }),
        }
    }
    if !guardrails.holidays.is_empty() {
        match guardrails.holidays.iter().find(|day| day.get() == today) {
            Some(day) => shut.push(Shut {
                name: "holiday",
                measured: format!("{day} is a holiday"),
                wanted: "another day".to_owned(),
            }),
            None => open.push(("holiday", format!("{today} is none"))),
        }
    }
    if !guardrails.freeze.is_empty() {
        match guardrails.freeze.iter().find(|one| is_in(one, today)) {
            Some(freeze) => shut.push(Shut {
                name: "freeze",
                measured: format!("{today} is in the freeze {}", range(freeze)),
                wanted: "a day outside of it".to_owned(),
            }),
            None => open.push(("freeze", format!("{today} is in none"))),
        }
    }
    (shut, open)
}

/// The next instant after `now` at which one may deploy, in words; `None` where there is none
/// within a year.
pub fn next_opening(guardrails: &Guardrails, now: Timestamp) -> Option<String> {
    let zone = guardrails.zone();
    let mut candidates = Vec::new();
    for ahead in 0..AHEAD {
        candidates.clear();
        let mut add = |of: &Zone, from: Time| {
            let today = of.get().to_datetime(now).date();
            let day = today.checked_add(Span::new().days(ahead)).ok();
            let start = day.and_then(|day| day.to_datetime(from).to_zoned(of.get().clone()).ok());
            candidates.extend(start.map(|it| it.timestamp()));
        };
        // A day that is over may end a holiday or a freeze in the middle of a window.
        add(&zone, Time::midnight());
        for window in &guardrails.windows {
            let of = window.zone.as_ref().unwrap_or(&zone);
            let from = window.from.minutes();
            let clock = Time::new((from / 60) as i8, (from % 60) as i8, 0, 0);
            if let Ok(clock) = clock {
                add(of, clock);
            }
        }
        let fitting = candidates.iter().copied();
        if let Some(at) = fitting
            .filter(|at| *at > now && judge(guardrails, *at).0.is_empty())
            .min()
        {
            return Some(told(at, &zone));
        }
    }
    None
}

fn is_inside(window: &Window, zone: &Zone, at: Timestamp) -> bool {
    let of = window.zone.as_ref().unwrap_or(zone);
    inside(&window.days, window.from, window.to, of.get(), at)
}

fn is_in(freeze: &Freeze, day: jiff::civil::Date) -> bool {
    (freeze.from.get()..=freeze.to.get()).contains(&day)
}

fn one_of(guardrails: &Guardrails, zone: &Zone) -> String {
    let names: Vec<String> = guardrails
        .windows
        .iter()
        .map(|window| name(window, zone))
        .collect();
    names.join(" or ")
}

/// `mon-fri 02:00-16:00 Europe/Berlin`.
fn name(window: &Window, zone: &Zone) -> String {
    let of = window.zone.as_ref().unwrap_or(zone);
    format!("{} {}-{} {of}", window.days, window.from, window.to)
}

/// `2026-12-20 to 2027-01-02 (year's end)`.
fn range(freeze: &Freeze) -> String {
    let reason = freeze.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{} to {}{reason}", freeze.from, freeze.to)
}

fn told(at: Timestamp, zone: &Zone) -> String {
    let local: Zoned = at.to_zoned(zone.get().clone());
    format!("{} {zone}", local.strftime("%a %Y-%m-%d %H:%M"))
}
