//! The `fleet` kind: a release gets into the same slot on several machines.
//!
//! All are prepared before one is deployed to, then so many at once as may be. Where one fails, those
//! that have begun come to their end and no further one begins. Each says how it went in a line of
//! its own; the slot gets no traffic unless all of them went well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Desk, KINDS, Order, Target, TargetError, Tools};
use crate::config::fleet;
use crate::config::kinds::{Block, Kind, TargetBlock, build, plain_schema};
use crate::platform::text::{self, listed};

/// The kind's entry in the table.
pub(super) const KIND: Kind<dyn Target, Tools> = Kind {
    name: "fleet",
    about: "Puts the release into the slot on several machines.",
    schema: plain_schema::<Options>,
    build: made,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    /// The targets by name, each a block of its own: `web1: { kind: command, … }`.
    #[serde(default)]
    nodes: IndexMap<String, TargetBlock>,
    /// The hosts that each have the same target, which `each` describes.
    #[serde(default)]
    hosts: Vec<String>,
    /// The target of each of the `hosts`, without its `host`.
    each: Option<TargetBlock>,
    /// How many are deployed to at the same time. Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1))]
    at_once: u16,
}

const fn ten() -> u16 {
    10
}

struct Fleet {
    nodes: Vec<Node>,
    at_once: usize,
}

struct Node {
    name: String,
    target: Box<dyn Target>,
}

/// How it went at a node; `None` where it was not begun.
type Went<'a> = (&'a Node, Option<Result<(String, Duration), TargetError>>);

fn made(block: &Block, tools: &Tools) -> Result<Box<dyn Target>, String> {
    let options: Options = block.options()?;
    let nodes = options
        .nodes
        .into_iter()
        .map(|(name, block)| (name, block.0));
    let each = options.each.map(|block| block.0);
    let nodes = fleet::nodes(nodes.collect(), &options.hosts, each)?;
    let one = |(path, name, block): (String, String, Block)| {
        let target = build(KINDS, &block, tools).map_err(|said| format!("{path}.{said}"))?;
        Ok(Node { name, target })
    };
    Ok(Box::new(Fleet {
        nodes: nodes.into_iter().map(one).collect::<Result<_, String>>()?,
        at_once: usize::from(options.at_once.max(1)),
    }))
}

#[async_trait]
impl Target for Fleet {
    fn told(&self) -> String {
        let names = self.nodes.iter().map(|node| node.name.as_str());
        match self.nodes.first() {
            Some(first) => format!("{} on {}", first.target.told(), listed(names)),
            None => String::new(),
        }
    }

    fn ends_what_it_begins(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.target.ends_what_it_begins())
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        let asked = self.nodes.iter().map(|node| node.target.prepare(order));
        let answers = join_all(asked).await;
        let failed: Vec<_> = self
            .nodes
            .iter()
            .zip(answers)
            .filter_map(|(node, answer)| Some((node, answer.err()?)))
            .collect();
        if failed.is_empty() {
            return Ok(());
        }
        let said = failed
            .iter()
            .map(|(node, failed)| format!("{}: {failed}", node.name));
        let said: Vec<String> = said.collect();
        let nobody_changed = "; no machine was deployed to";
        Err(TargetError::OutOfReach(said.join("; ") + nobody_changed))
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        self.prepare(order).await?;
        let failed = AtomicBool::new(false);
        let mut deployed = Vec::new();
        for node in &self.nodes {
            deployed.push(node.deploy(order, desk, &failed));
        }
        let went: Vec<_> = stream::iter(deployed)
            .buffered(self.at_once)
            .collect()
            .await;
        self.together(self.nodes.iter().zip(went).collect())
    }
}

impl Node {
    /// Deploys, unless another one has failed or the run was cancelled before it began.
    async fn deploy(
        &self,
        order: &Order,
        desk: &Desk<'_>,
        failed: &AtomicBool,
    ) -> Option<Result<(String, Duration), TargetError>> {
        if failed.load(Ordering::Relaxed) || desk.cancelled.is_cancelled() {
            return None;
        }
        let began = Instant::now();
        let say = |line: String| (desk.say)(format!("{}: {line}", self.name));
        let own = Desk {
            say: &say,
            cancelled: desk.cancelled,
        };
        let went = self.target.deploy(order, &own).await;
        let took = began.elapsed();
        failed.fetch_or(went.is_err(), Ordering::Relaxed);
        let said = match &went {
            Ok(said) => said.clone(),
            Err(failed) => failed.to_string(),
        };
        say(format!("{said}, {}", text::duration(took)));
        Some(went.map(|said| (said, took)))
    }
}

impl Fleet {
    /// What it all came to.
    fn together(&self, went: Vec<Went<'_>>) -> Result<String, TargetError> {
        let all = self.nodes.len();
        let well = went
            .iter()
            .filter(|(_, it)| matches!(it, Some(Ok(_))))
            .count();
        let slowest = went.iter().filter_map(|(_, it)| it.as_ref()?.as_ref().ok());
        let slowest = slowest.map(|(_, took)| *took).max().unwrap_or_default();
        if well == all {
            let said = went
                .into_iter()
                .find_map(|(_, it)| it?.ok())
                .map(|(said, _)| said);
            return Ok(format!(
                "{well} of {all}: {}, slowest {}",
                said.unwrap_or_default(),
                text::duration(slowest)
            ));
        }
        let begun = went.iter().filter(|(_, it)| it.is_some()).count();
        let left = all - begun;
        let failures: Vec<(&str, TargetError)> = went
            .into_iter()
            .filter_map(|(node, it)| Some((node.name.as_str(), it?.err()?)))
            .collect();
        let mut said: Vec<String> = failures
            .iter()
            .map(|(name, failed)| format!("{name}: {failed}"))
            .collect();
        said.push(format!("{well} of {all} went well"));
        if left > 0 {
            said.push(format!("{left} not begun"));
        }
        if failures.is_empty() {
            // Somebody cancelled before the rest was begun.
            return Err(TargetError::Cancelled);
        }
        Err(as_one(failures, said.join("; "), well > 0))
    }
}

/// Many failures as one, which is what is worst of them: what may go on, then what took too long.
/// Where others went well, it was begun, whatever one of them says.
fn as_one(failures: Vec<(&str, TargetError)>, said: String, mut begun: bool) -> TargetError {
    let (mut lost, mut late, mut cancelled) = (false, None, false);
    let mut last_words = Vec::new();
    for (name, failed) in failures {
        let words = match failed {
            TargetError::OutOfReach(_) => continue,
            TargetError::Cancelled => {
                cancelled = true;
                Vec::new()
            }
            TargetError::Lost { last_words, .. } => {
                lost = true;
                last_words
            }
            TargetError::TimedOut {
                after, last_words, ..
            } => {
                late = late.max(Some(after));
                last_words
            }
            TargetError::Failed { last_words, .. } => last_words,
        };
        begun = true;
        last_words.extend(words.into_iter().map(|line| format!("{name}: {line}")));
    }
    match late {
        _ if lost => TargetError::Lost { said, last_words },
        _ if cancelled => TargetError::Cancelled,
        Some(after) => TargetError::TimedOut {
            said,
            after,
            last_words,
        },
        None if begun => TargetError::Failed { said, last_words },
        None => TargetError::OutOfReach(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_speaks_for_all() {
        let words = |word: &str| vec![word.to_owned()];
        let failed = || TargetError::Failed {
            said: "f".into(),
            last_words: words("disk full"),
        };
        let late = || TargetError::TimedOut {
            said: "t".into(),
            after: Duration::from_secs(3),
            last_words: words("slow"),
        };
        let lost = || TargetError::Lost {
            said: "l".into(),
            last_words: Vec::new(),
        };
        let away = || TargetError::OutOfReach("o".into());
        let one = |all: Vec<TargetError>, begun| {
            let names = ["a", "b", "c"];
            as_one(
                names.into_iter().zip(all).collect(),
                "said".to_owned(),
                begun,
            )
        };
        assert_eq!(
            one(vec![away()], false),
            TargetError::OutOfReach("said".into())
        );
        assert!(matches!(
            one(vec![away()], true),
            TargetError::Failed { .. }
        ));
        assert!(matches!(
            one(vec![failed(), late()], false),
            TargetError::TimedOut { .. }
        ));
        assert!(matches!(
            one(vec![late(), lost()], false),
            TargetError::Lost { .. }
        ));
        assert_eq!(
            one(vec![failed(), TargetError::Cancelled], false),
            TargetError::Cancelled
        );
        let TargetError::Failed { last_words, .. } = one(vec![away(), failed()], false) else {
            panic!("it failed");
        };
        assert_eq!(last_words, ["b: disk full"]);
    }
}
