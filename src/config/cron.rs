//! A schedule as GitHub takes it: five fields of POSIX cron, in UTC, and the slots that it makes.
//!
//! What is not taken by GitHub is not taken here: no seconds, no `@hourly`, no `L` or `#`. Where
//! both the day of the month and the day of the week are restricted, either is enough. Nobody
//! here knows what time it is.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The names of the months and days that GitHub knows, in order; the first month is 1.
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// GitHub runs nothing more often than this, in minutes.
const CLOSEST: u32 = 5;

/// Days that are gone through for a slot: the 29th of February is eight years away at most.
const DAYS: u32 = 366 * 8;

/// A schedule: `*/15 * * * *`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cron {
    text: String,
    /// Bit n is value n.
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
    /// Whether either kind of day is enough.
    either: bool,
}

/// The slots of a schedule between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// How many there are, up to the number that was asked for.
    pub many: u64,
    /// The first of them, in seconds since 1970.
    pub first: Option<i64>,
    /// The last of them that was counted.
    pub last: Option<i64>,
}

impl Cron {
    /// The newest slot that is not after `at`. Both are seconds since 1970.
    pub fn slot_of(&self, at: i64) -> Option<i64> {
        let (mut day, minute) = civil(at)?;
        let mut until = minute;
        for _ in 0..DAYS {
            if self.has(day)
                && let Some(found) = (0..=until).rev().find(|minute| self.at(*minute))
            {
                return stamp(day, found);
            }
            day = day.checked_sub(1.day()).ok()?;
            until = 24 * 60 - 1;
        }
        None
    }

    /// The first slot after `at`.
    pub fn next(&self, at: i64) -> Option<i64> {
        let (mut day, minute) = civil(at)?;
        let mut from = minute + 1;
        for _ in 0..DAYS {
            if self.has(day)
                && let Some(found) = (from..24 * 60).find(|minute| self.at(*minute))
            {
                return stamp(day, found);
            }
            day = day.checked_add(1.day()).ok()?;
            from = 0;
        }
        None
    }

    /// The slots after `from` and before `until`, counted up to `most`.
    pub fn between(&self, from: i64, until: i64, most: u64) -> Slots {
        let mut slots = Slots::default();
        let mut at = from;
        while slots.many < most
            && let Some(slot) = self.next(at).filter(|slot| *slot < until)
        {
            slots.many += 1;
            slots.first.get_or_insert(slot);
            slots.last = Some(slot);
            at = slot;
        }
        slots
    }

    fn at(&self, minute: u32) -> bool {
        self.minutes >> (minute % 60) & 1 == 1 && self.hours >> (minute / 60) & 1 == 1
    }

    fn has(&self, day: Date) -> bool {
        let bit = |bits: u64, at: i8| bits >> at.unsigned_abs() & 1 == 1;
        let of_month = bit(self.days, day.day());
        let of_week = bit(self.weekdays, day.weekday().to_sunday_zero_offset());
        let fits = if self.either {
            of_month || of_week
        } else {
            of_month && of_week
        };
        fits && bit(self.months, day.month())
    }

    /// The fewest minutes between two slots of a day, or across midnight.
    fn closest(&self) -> u32 {
        let all: Vec<u32> = (0..24 * 60).filter(|minute| self.at(*minute)).collect();
        let next = all.iter().skip(1).copied();
        let next = next.chain(all.first().map(|first| first + 24 * 60));
        let gaps = all.iter().zip(next).map(|(one, next)| next - one);
        gaps.min().unwrap_or(24 * 60)
    }
}

/// The day of a moment, and its minute of that day.
fn civil(at: i64) -> Option<(Date, u32)> {
    let at = Timestamp::from_second(at)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    let minute = u32::try_from(i32::from(at.hour()) * 60 + i32::from(at.minute())).ok()?;
    Some((at.date(), minute))
}

fn stamp(day: Date, minute: u32) -> Option<i64> {
    let (hour, minute) = (
        i8::try_from(minute / 60).ok()?,
        i8::try_from(minute % 60).ok()?,
    );
    let at = day.at(hour, minute, 0, 0).to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_second())
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fields: Vec<&str> = text.split(' ').collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "\"{text}\" is not a schedule; write five fields as in `on: schedule`, such as */15 * * * *"
            ));
        };
        let cron = Self {
            minutes: field("minute", minutes, 0, 59, &[])?,
            hours: field("hour", hours, 0, 23, &[])?,
            days: field("day of the month", days, 1, 31, &[])?,
            months: field("month", months, 1, 12, &MONTHS)?,
            weekdays: field("day of the week", weekdays, 0, 6, &WEEKDAYS)?,
            either: !days.starts_with('*') && !weekdays.starts_with('*'),
            text: text.clone(),
        };
        let closest = cron.closest();
        if closest < CLOSEST {
            return Err(format!(
                "\"{text}\" is every {closest} m at its closest; GitHub runs nothing more often than every {CLOSEST} m"
            ));
        }
        // 2024 has a 29th of February.
        if cron.next(stamp(date(2023, 1, 1), 0).unwrap_or(0)).is_none() {
            return Err(format!("\"{text}\" is on no day at all"));
        }
        Ok(cron)
    }
}

/// The bits of a field.
fn field(noun: &str, text: &str, least: u32, most: u32, names: &[&str]) -> Result<u64, String> {
    let wrong = || {
        format!(
            "\"{text}\" is not a {noun} of a schedule: {least} to {most}, as *, 1,2, 1-3 or */2"
        )
    };
    let number = |text: &str| {
        let name = text.to_ascii_lowercase();
        let named = names.iter().position(|known| *known == name);
        let named = named.and_then(|at| u32::try_from(at).ok());
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = named.map(|at| at + least);
        let number = number.or_else(|| text.parse().ok().filter(|_| plain));
        number.filter(|it| (least..=most).contains(it))
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((first, last))) => (
                number(first).ok_or_else(wrong)?,
                number(last).ok_or_else(wrong)?,
            ),
            (one, None) => {
                let one = number(one).ok_or_else(wrong)?;
                (one, if step.is_some() { most } else { one })
            }
        };
        let step = match step {
            None => 1,
            Some(step) => step.parse().ok().filter(|it| *it > 0).ok_or_else(wrong)?,
        };
        if first > last {
            return Err(wrong());
        }
        bits = (first..=last)
            .step_by(step)
            .fold(bits, |bits, value| bits | 1_u64 << value);
    }
    Ok(bits)
}

impl TryFrom<String> for Cron {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl JsonSchema for Cron {
    fn schema_name() -> Cow<'static, str> {
        "Cron".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "cron", "examples": ["*/15 * * * *", "0 6 * * mon-fri"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn told(at: Option<i64>) -> String {
        Timestamp::from_second(at.unwrap()).unwrap().to_string()
    }

    #[test]
    fn slots_are_where_github_has_them() {
        let now = at("2026-03-02T10:07:31Z");
        for (text, slot, next) in [
            (
                "*/15 * * * *",
                "2026-03-02T10:00:00Z",
                "2026-03-02T10:15:00Z",
            ),
            ("7 * * * *", "2026-03-02T10:07:00Z", "2026-03-02T11:07:00Z"),
            (
                "30 6 * * mon-fri",
                "2026-03-02T06:30:00Z",
                "2026-03-03T06:30:00Z",
            ),
            ("0 0 * * 0", "2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z"),
            (
                "0 12 29 feb *",
                "2024-02-29T12:00:00Z",
                "2028-02-29T12:00:00Z",
            ),
            (
                "10/20 10 * * *",
                "2026-03-01T10:50:00Z",
                "2026-03-02T10:10:00Z",
            ),
            // Either kind of day is enough.
            (
                "0 0 13 * FRI",
                "2026-02-27T00:00:00Z",
                "2026-03-06T00:00:00Z",
            ),
            (
                "0 0 */2 * 1",
                "2026-02-23T00:00:00Z",
                "2026-03-09T00:00:00Z",
            ),
        ] {
            let cron: Cron = text.parse().unwrap();
            assert_eq!(told(cron.slot_of(now)), slot, "{text}");
            assert_eq!(told(cron.next(now)), next, "{text}");
        }
        let quarter: Cron = "*/15 * * * *".parse().unwrap();
        let sharp = at("2026-03-02T10:15:00Z");
        assert_eq!(quarter.slot_of(sharp), Some(sharp));
        let missed = quarter.between(sharp - 900, sharp + 1800, 10_000);
        assert_eq!((missed.many, missed.first), (2, Some(sharp)));
        assert_eq!(quarter.between(sharp, sharp + 900, 10), Slots::default());
        assert_eq!(quarter.between(0, sharp, 50).many, 50);
    }

    #[test]
    fn what_github_would_not_run_is_refused() {
        for (text, why) in [
            ("", "five fields"),
            ("@hourly", "five fields"),
            ("* * * * * *", "five fields"),
            ("60 * * * *", "minute"),
            ("*/0 * * * *", "minute"),
            ("5-1 * * * *", "minute"),
            ("+5 * * * *", "minute"),
            ("0 24 * * *", "hour"),
            ("0 0 0 * *", "day of the month"),
            ("0 0 * 13 *", "month"),
            ("0 0 * * 7", "day of the week"),
            ("0 0 * * L", "day of the week"),
            ("0 0 31 feb *", "no day"),
            ("* * * * *", "every 1 m"),
            ("58,0 * * * *", "every 2 m"),
        ] {
            let said = text.parse::<Cron>().unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn a_slot_is_its_own_and_nothing_lies_between(step in 5_u32..59, hour in 0_u32..24, now in 1_600_000_000_i64..2_000_000_000) {
            let Ok(cron) = format!("*/{step} {hour} * * *").parse::<Cron>() else {
                return Ok(());
            };
            let (slot, next) = (cron.slot_of(now).unwrap(), cron.next(now).unwrap());
            prop_assert!(slot <= now && now < next);
            prop_assert_eq!(cron.slot_of(slot), Some(slot));
            prop_assert_eq!(cron.next(slot), Some(next));
            prop_assert_eq!(cron.slot_of(next - 1), Some(slot));
        }
    }
}
