//! What a number of a source stands for: its name, and its unit there and here.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::model::metric::{ERROR_RATE, SUCCESS_RATE, Unit, unit_of};

/// The longest name of a metric.
const LONGEST_NAME: usize = 40;

/// What a source's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum In {
    /// A share of 1.
    Ratio,
    /// A share of 100.
    Percent,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// A plain number.
    Number,
}

/// How a source's number becomes a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measure {
    /// What the values are.
    pub(super) unit: Unit,
    /// Whether it is the share of failed requests, or of good ones.
    pub(super) share: Option<Share>,
    factor: f64,
}

/// What the requests of a share are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Failed ones.
    Failed,
    /// Good ones.
    Good,
}

impl Measure {
    /// The measure of a metric. Shares are ratios and durations seconds where nothing is said.
    pub(super) fn of(name: &str, written: Option<In>) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            return Err(format!(
                "\"{name}\" is not a name for a metric: up to {LONGEST_NAME} letters, digits and -_.: make one"
            ));
        }
        let known = unit_of(name);
        let (unit, factor) = match written {
            None => (known.unwrap_or(Unit::Number), 1.0),
            Some(In::Ratio) => (Unit::Percent, 1.0),
            Some(In::Percent) => (Unit::Percent, 0.01),
            Some(In::Seconds) => (Unit::Duration, 1.0),
            Some(In::Milliseconds) => (Unit::Duration, 0.001),
            Some(In::Number) => (Unit::Number, 1.0),
        };
        if let Some(known) = known.filter(|known| *known != unit) {
            let fitting = match known {
                Unit::Percent => "ratio or percent",
                Unit::Duration => "seconds or milliseconds",
                Unit::Number => "number",
            };
            return Err(format!(
                "{name} is a {}, so it can be in: {fitting}",
                known.name()
            ));
        }
        let share = match name {
            ERROR_RATE => Some(Share::Failed),
            SUCCESS_RATE => Some(Share::Good),
            _ => None,
        };
        Ok(Self {
            unit,
            share,
            factor,
        })
    }

    /// The measure of a metric that may be a part of something: what it is then a ratio.
    pub(super) fn of_part(name: &str, written: Option<In>, is_part: bool) -> Result<Self, String> {
        match (written, is_part) {
            (Some(_), true) => {
                Err("there are both `of` and `in`; a part of something is a ratio".to_owned())
            }
            (None, true) => Self::of(name, Some(In::Ratio)),
            (written, false) => Self::of(name, written),
        }
    }

    /// The value that a number of the source is.
    pub(super) fn value(self, number: f64) -> f64 {
        number * self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_has_its_unit() {
        let of = |name, written| Measure::of(name, written).map(|it| (it.unit, it.value(250.0)));
        assert_eq!(of("p95", None), Ok((Unit::Duration, 250.0)));
        assert_eq!(
            of("p95", Some(In::Milliseconds)),
            Ok((Unit::Duration, 0.25))
        );
        assert_eq!(of("cpu", Some(In::Percent)), Ok((Unit::Percent, 2.5)));
        assert_eq!(of("queue", None), Ok((Unit::Number, 250.0)));
        assert_eq!(of("queue", Some(In::Seconds)), Ok((Unit::Duration, 250.0)));
        let said = of("p95", Some(In::Percent)).unwrap_err();
        assert_eq!(
            said,
            "p95 is a duration, so it can be in: seconds or milliseconds"
        );
        assert!(of("a b", None).is_err() && of("", None).is_err());
    }
}
