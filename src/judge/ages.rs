//! How old a secret is: when it was set last, in the nearest place that has it. A place that
//! cannot be looked at may have it, and then nobody knows.

use jiff::Timestamp;

use crate::model::gates::{Shelves, Stored};

/// The age of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Age {
    /// It was set so long ago.
    Known {
        /// In seconds; never negative.
        seconds: i64,
        /// Where it is: `the environment`.
        place: &'static str,
        /// The day it was set, UTC.
        day: String,
    },
    /// It cannot be told, and why.
    Unknown(String),
}

/// The age of the secret that a job of the environment gets by a name.
pub fn age(name: &str, shelves: &Shelves, now: Timestamp) -> Age {
    for (place, shelf) in [
        ("the environment", &shelves.environment),
        ("the repository", &shelves.repository),
        ("the organization", &shelves.organization),
    ] {
        let stored = match shelf {
            Ok(stored) => stored,
            Err(why) => {
                return Age::Unknown(format!("the secrets of {place} cannot be listed: {why}"));
            }
        };
        if let Some(found) = stored.iter().find(|one| is(one, name)) {
            return Age::Known {
                seconds: now.duration_since(found.set).as_secs().max(0),
                place,
                day: found.set.strftime("%Y-%m-%d").to_string(),
            };
        }
    }
    Age::Unknown(format!(
        "GitHub has no secret {name} for this environment, its repository or its organization"
    ))
}

/// GitHub's names of secrets know no case.
fn is(stored: &Stored, name: &str) -> bool {
    stored.name.eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_counts_and_a_dark_one_hides_it() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let stored = |name: &str, day: &str| Stored {
            name: name.to_owned(),
            set: format!("{day}T00:00:00Z").parse().unwrap(),
        };
        let mut shelves = Shelves {
            environment: Ok(vec![stored("A", "2026-11-20")]),
            repository: Ok(vec![stored("A", "2020-01-01"), stored("B", "2026-11-11")]),
            organization: Err("403".to_owned()),
        };
        let known = |days: i64, place, day: &str| Age::Known {
            seconds: days * 86_400,
            place,
            day: day.to_owned(),
        };
        let told = |name: &str, shelves: &Shelves| age(name, shelves, now);
        assert_eq!(
            told("a", &shelves),
            known(1, "the environment", "2026-11-20")
        );
        assert_eq!(
            told("B", &shelves),
            known(10, "the repository", "2026-11-11")
        );
        let hidden = Age::Unknown("the secrets of the organization cannot be listed: 403".into());
        assert_eq!(told("C", &shelves), hidden);
        shelves.organization = Ok(Vec::new());
        assert!(matches!(told("C", &shelves), Age::Unknown(said) if said.contains("no secret C")));
        shelves.environment = Err("403".to_owned());
        assert!(matches!(told("B", &shelves), Age::Unknown(_)));
    }
}
