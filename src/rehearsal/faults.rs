//! What can be ordered to go wrong with the release that is rolled out.

use std::str::FromStr;
use std::time::Duration;

use crate::config::check::unknown;
use crate::config::units::{Percent, Span};

/// The faults by name, each with what it does.
pub const FAULTS: &[(&str, &str)] = &[
    (
        "errors=5%",
        "from its first users on, that share of its answers are errors",
    ),
    (
        "slow=800ms",
        "from its first users on, its answers take that much longer",
    ),
    (
        "wrong-version",
        "users keep getting the old release after the switch",
    ),
    ("unhealthy", "its checks fail"),
    (
        "crash-after-switch",
        "it stops answering a second after it got traffic",
    ),
    ("router-refuses", "the router says no"),
    (
        "reply-lost",
        "the router does as asked, and its answer gets lost",
    ),
];

/// What goes wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// This share of its answers are errors, once it has users.
    pub errors: Option<f64>,
    /// Its answers take that much longer, once it has users.
    pub slow: Option<Duration>,
    /// Users keep getting the old release.
    pub wrong_version: bool,
    /// Its checks fail.
    pub unhealthy: bool,
    /// It stops answering once it has traffic.
    pub crash_after_switch: bool,
    /// The router says no.
    pub router_refuses: bool,
    /// The router's answer gets lost.
    pub reply_lost: bool,
}

impl Faults {
    /// Reads orders such as `errors=5%`.
    ///
    /// # Errors
    /// What is not a fault, with the list of those that are.
    pub fn read<'a>(orders: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut faults = Self::default();
        for order in orders {
            let (name, value) = order.split_once('=').unwrap_or((order, ""));
            match (name, value) {
                ("errors", value) => faults.errors = Some(Percent::from_str(value)?.share()),
                ("slow", value) => faults.slow = Some(Span::from_str(value)?.get()),
                ("wrong-version", "") => faults.wrong_version = true,
                ("unhealthy", "") => faults.unhealthy = true,
                ("crash-after-switch", "") => faults.crash_after_switch = true,
                ("router-refuses", "") => faults.router_refuses = true,
                ("reply-lost", "") => faults.reply_lost = true,
                _ => {
                    return Err(unknown(
                        "fault",
                        order,
                        FAULTS.iter().map(|(name, _)| *name),
                    ));
                }
            }
        }
        Ok(faults)
    }

    /// Whether nothing goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_list_can_be_ordered() {
        for (order, _) in FAULTS {
            assert!(!Faults::read([*order]).unwrap().is_none(), "{order}");
        }
        let said = Faults::read(["crash-after-swich"]).unwrap_err();
        assert!(
            said.contains("did you mean \"crash-after-switch\"?"),
            "{said}"
        );
        assert!(Faults::read(["errors=lots"]).is_err());
        assert!(Faults::read(["unhealthy=very"]).is_err());
    }
}
