//! The file: one line of comment and one of JSON, which is YAML too. Pure.
//!
//! It says how traffic is divided and nothing else, so that a file that somebody wrote for
//! another purpose is never taken for ours. What the weighted service has beside its two
//! services, such as `sticky`, is kept as it is.

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::slot::Side;
use crate::model::split::{Split, Weight};

/// What the first line begins with.
const HEAD: &str = "# cutover change=";

/// One of the services that share, as Traefik has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    name: String,
    weight: u64,
}

/// The weights, for a message: `blue 75, green 25`.
pub(super) struct Told<'a>(pub(super) &'a [Share]);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, share) in self.0.iter().enumerate() {
            let between = if nth == 0 { "" } else { ", " };
            write!(f, "{between}{} {}", share.name, share.weight)?;
        }
        Ok(())
    }
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Live {
    /// Which of all files ever written it is.
    change: String,
    pub(super) weights: Vec<Share>,
    /// What else the weighted service has.
    more: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    http: Http,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    services: IndexMap<String, Service>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    weighted: Weighted,
}

/// A weighted service, in the file and in the API's answer.
#[derive(Serialize, Deserialize)]
pub(super) struct Weighted {
    pub(super) services: Vec<Share>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Live {
    /// What a person writes down before the first change.
    pub(super) fn at_first(children: &[String; 2]) -> Self {
        Self {
            change: "0".to_owned(),
            weights: shares(children, Split::all_to(Side::First)),
            more: Map::new(),
        }
    }

    /// The next file after this one.
    pub(super) fn followed_by(&self, children: &[String; 2], split: Split) -> Self {
        let count = self.change.split('-').next().unwrap_or_default();
        let count = count.parse().unwrap_or(0_u64).saturating_add(1);
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self {
            change: format!("{count}-{}", &random[..8]),
            weights: shares(children, split),
            more: self.more.clone(),
        }
    }

    /// The file's content.
    pub(super) fn written(&self, service: &str) -> String {
        let weighted = Weighted {
            services: self.weights.clone(),
            more: self.more.clone(),
        };
        let service = (service.to_owned(), Service { weighted });
        let http = Http {
            services: IndexMap::from([service]),
        };
        let json = serde_json::to_string(&File { http }).unwrap_or_default();
        let change = &self.change;
        format!(
            "{HEAD}{change}\n\
             # Cutover writes this file at every change of traffic: the weights, and no other part of it.\n\
             {json}\n"
        )
    }

    /// Reads a file's content.
    ///
    /// # Errors
    /// What is not as Cutover writes it.
    pub(super) fn read(content: &str, service: &str) -> Result<Self, String> {
        let is_comment = |line: &&str| line.trim_start().starts_with('#');
        let change = content.lines().find_map(|line| line.strip_prefix(HEAD));
        let json: String = content.lines().filter(|line| !is_comment(line)).collect();
        let file: File = serde_json::from_str(&json)
            .map_err(|failed| format!("{failed} in what is not a comment"))?;
        let mut services = file.http.services.into_iter();
        match (services.next(), services.next()) {
            (Some((name, found)), None) if name == service => Ok(Self {
                change: change.unwrap_or_default().trim().to_owned(),
                weights: found.weighted.services,
                more: found.weighted.more,
            }),
            (Some((name, _)), None) => Err(format!(
                "it has the service {name}, and `service` says {service}"
            )),
            _ => Err(format!("it has not one service, which is {service}")),
        }
    }

    /// Whether clients are kept on a slot by a cookie.
    pub(super) fn is_sticky(&self) -> bool {
        self.more.contains_key("sticky")
    }

    /// How traffic is divided.
    ///
    /// # Errors
    /// When it is not between these two services, in whole percent.
    pub(super) fn split(&self, children: &[String; 2]) -> Result<Split, String> {
        let of = |child: &String| {
            let mut found = self.weights.iter().filter(|share| share.name == *child);
            match (found.next(), found.next()) {
                (Some(share), None) => Some(share.weight),
                _ => None,
            }
        };
        let [first, second] = children;
        if let (Some(a), Some(b), 2) = (of(first), of(second), self.weights.len())
            && a.checked_add(b) == Some(100)
            && let Some(second) = u8::try_from(b).ok().and_then(Weight::new)
        {
            return Ok(Split { second });
        }
        Err(format!(
            "its weights are {}; {first} and {second} with a sum of 100 are wanted",
            Told(&self.weights)
        ))
    }
}

/// The first slot's service comes first, also when the slots changed places in the config.
fn shares(children: &[String; 2], split: Split) -> Vec<Share> {
    let share = |(name, side): (&String, Side)| Share {
        name: name.clone(),
        weight: split.weight(side).percent().into(),
    };
    let sides = [Side::First, Side::Second];
    children.iter().zip(sides).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children() -> [String; 2] {
        ["blue", "green@docker"].map(str::to_owned)
    }

    #[test]
    fn every_weight_reads_as_it_was_written_and_what_is_beside_it_stays() {
        let mut live = Live::at_first(&children());
        let sticky = serde_json::json!({ "cookie": { "name": "slot", "secure": true } });
        live.more.insert("sticky".to_owned(), sticky);
        for percent in 0..=100 {
            let second = Weight::new(percent).unwrap();
            live = live.followed_by(&children(), Split { second });
            let content = live.written("shop");
            let read = Live::read(&content, "shop").unwrap();
            assert_eq!(read, live);
            assert!(read.is_sticky());
            assert_eq!(read.split(&children()), Ok(Split { second }));
            let mut swapped = children();
            swapped.swap(0, 1);
            assert_eq!(read.split(&swapped).unwrap().second, second.rest());
        }
        assert!(live.change.starts_with("101-"), "{}", live.change);
    }

    #[test]
    fn what_is_not_ours_is_told() {
        let good = Live::at_first(&children()).written("shop");
        for (from, to, word) in [
            ("\"shop\"", "\"other\"", "other"),
            ("\"blue\"", "\"red\"", "red 100"),
            (":100", ":99", "blue 99"),
            (":100", ":10.5", "10.5"),
            ("{\"http\"", "{\"tcp\":{},\"http\"", "tcp"),
            ("{\"http\"", "http: {\"http\"", "not a comment"),
            ("}]", "},{\"name\":\"red\",\"weight\":0}]", "red 0"),
        ] {
            let changed = good.replace(from, to);
            assert_ne!(changed, good);
            let said = Live::read(&changed, "shop").and_then(|live| live.split(&children()));
            assert!(said.as_ref().unwrap_err().contains(word), "{said:?}");
        }
    }
}
