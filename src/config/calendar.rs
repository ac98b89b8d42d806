//! Days, hours, dates and time zones as a person writes them in the config: `mon-fri`, `16:00`,
//! `2026-12-25`, `Europe/Berlin`. What time it is, nobody here knows; zones come from the
//! database that is built in, so that an image without one is no worse.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The days of the week as they are written, Monday first.
const NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Days of the week: `mon-fri`, `sat,sun`, `fri-mon`, `daily`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Days {
    text: String,
    /// Monday first.
    set: [bool; 7],
}

impl Days {
    /// One day alone.
    pub fn one(day: Weekday) -> Self {
        let at = usize::from(day.to_monday_zero_offset().unsigned_abs());
        Self {
            text: NAMES
                .get(at)
                .map_or_else(String::new, |name| (*name).to_owned()),
            set: std::array::from_fn(|i| i == at),
        }
    }

    /// Whether a day is one of them.
    pub fn has(&self, day: Weekday) -> bool {
        self.set[usize::from(day.to_monday_zero_offset().unsigned_abs())]
    }
}

impl Default for Days {
    fn default() -> Self {
        Self {
            text: "daily".to_owned(),
            set: [true; 7],
        }
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("\"{text}\" is not days of the week; write them as mon-fri, sat,sun or daily")
        };
        let index = |name: &str| {
            let name = name.trim().to_lowercase();
            NAMES.iter().position(|known| *known == name)
        };
        let text = text.trim();
        if text.eq_ignore_ascii_case("daily") {
            return Ok(Self::default());
        }
        let mut set = [false; 7];
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (
                index(first).ok_or_else(wrong)?,
                index(last).ok_or_else(wrong)?,
            );
            let length = (last + 7 - first) % 7;
            for day in first..=first + length {
                set[day % 7] = true;
            }
        }
        Ok(Self {
            text: text.to_owned(),
            set,
        })
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An hour and a minute on the clock, from `00:00` to `24:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct ClockTime(u16);

impl ClockTime {
    /// Minutes since midnight, 0 to 1440.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl FromStr for ClockTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a time of day; write it as 02:00, up to 24:00");
        let (hours, minutes) = text.trim().split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str| {
            let plain = matches!(digits.len(), 1 | 2) && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u16>().ok().filter(|_| plain)
        };
        let (hours, minutes) = (
            number(hours).ok_or_else(wrong)?,
            number(minutes).ok_or_else(wrong)?,
        );
        let total = hours * 60 + minutes;
        if minutes < 60 && total <= 24 * 60 {
            Ok(Self(total))
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A date: `2026-12-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Day(Date);

impl Day {
    /// The date.
    pub const fn get(self) -> Date {
        self.0
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a date; write it as 2026-12-25");
        // Nothing but the date: jiff would also read one with a time, and pass over the time.
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match text.parse::<Date>() {
            Ok(date) if plain => Ok(Self(date)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time zone by its name in the IANA database: `Europe/Berlin`, `UTC`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// The time zone.
    pub const fn get(&self) -> &TimeZone {
        &self.zone
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match TimeZone::get(text.trim()) {
            Ok(zone) => Ok(Self {
                name: zone.iana_name().unwrap_or(text.trim()).to_owned(),
                zone,
            }),
            Err(_) => Err(format!(
                "\"{text}\" is not a time zone; write it as Europe/Berlin or UTC"
            )),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Makes a type that is read from a text a part of the schema.
macro_rules! written {
    ($type:ident, $format:literal, $examples:tt) => {
        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "examples": $examples })
            }

            fn inline_schema() -> bool {
                true
            }
        }
    };
}

written!(Days, "weekdays", ["mon-fri", "sat,sun", "daily"]);
written!(ClockTime, "time-of-day", ["02:00", "24:00"]);
written!(Day, "date", ["2026-12-25"]);
written!(Zone, "time-zone", ["Europe/Berlin", "UTC"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_ranges_and_lists() {
        let days = |text: &str| {
            let days: Days = text.parse().unwrap();
            let all = NAMES.iter().zip(days.set).filter(|(_, has)| *has);
            all.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(days("mon-fri"), "mon tue wed thu fri");
        assert_eq!(days("Fri - Mon"), "mon fri sat sun");
        assert_eq!(days("sat,sun"), "sat sun");
        assert_eq!(days("wed-wed"), "wed");
        assert_eq!(days("daily"), "mon tue wed thu fri sat sun");
        for text in ["", "mo", "mon-", "mon;tue", "weekdays"] {
            assert!(text.parse::<Days>().is_err(), "{text}");
        }
    }

    #[test]
    fn clocks_dates_and_zones_are_strict() {
        assert_eq!("24:00".parse::<ClockTime>().unwrap().minutes(), 1440);
        assert_eq!("2:05".parse::<ClockTime>().unwrap().to_string(), "02:05");
        for text in ["24:01", "12:60", "12", "12:00:00", "+1:00", "noon"] {
            assert!(text.parse::<ClockTime>().is_err(), "{text}");
        }
        assert_eq!(
            "2026-12-25".parse::<Day>().unwrap().to_string(),
            "2026-12-25"
        );
        for text in ["2026-02-30", "26-12-25", "2026-12-25T10:00", "25.12.2026"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(
            "europe/berlin".parse::<Zone>().unwrap().to_string(),
            "Europe/Berlin"
        );
        for text in ["Berlin", "", "+01:00"] {
            assert!(text.parse::<Zone>().is_err(), "{text}");
        }
    }
}
