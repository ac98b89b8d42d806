//! The `fleet` kind: a release gets into the same slot on several machines.
//!
//! All are prepared before one is deployed to, then so many at once as may be. Where one fails, those
//! that have begun come to their end and no further one begins. Each says how it went in a line of
//! its own; the slot gets no traffic unless all of them went well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Desk, KINDS, Order, Stops, Target, TargetError, Tools, Went};
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

/// What a node came to; `None` where it was not begun.
type Outcome<'a> = (&'a Node, Option<Result<(String, Duration), TargetError>>);

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
        // So many at once as may be here, too: a hundred logins at the same time are late, all of them.
        let mut asked = Vec::new();
        for node in &self.nodes {
            asked.push(node.target.prepare(order));
        }
        let answers: Vec<_> = stream::iter(asked).buffered(self.at_once).collect().await;
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
        desk.unless_cancelled(self.prepare(order)).await?;
        let failed = AtomicBool::new(false);
        let mut deployed = Vec::new();
        for (nth, node) in self.nodes.iter().enumerate() {
            let deploying = node.deploy(order, desk, &failed);
            deployed.push(async move { (nth, node, deploying.await) });
        }
        // In whatever order they end: one that is slow keeps nobody waiting but itself.
        let mut went: Vec<_> = stream::iter(deployed)
            .buffer_unordered(self.at_once)
            .collect()
            .await;
        went.sort_unstable_by_key(|(nth, ..)| *nth);
        let went = went.into_iter().map(|(_, node, outcome)| (node, outcome));
        self.together(went.collect(), desk)
    }

    fn stops(&self) -> Option<&dyn Stops> {
        let all = self.nodes.iter().all(|node| node.target.stops().is_some());
        all.then_some(self)
    }
}

#[async_trait]
impl Stops for Fleet {
    async fn stop(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let mut each = Vec::new();
        for node in &self.nodes {
            if let Some(stops) = node.target.stops() {
                let stopping = stops.stop(order, desk);
                each.push(async move {
                    let began = Instant::now();
                    let went = stopping.await;
                    (node, Some(went.map(|said| (said, began.elapsed()))))
                });
            }
        }
        let went = stream::iter(each).buffered(self.at_once).collect().await;
        self.together(went, desk)
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
            went: desk.went,
            cancelled: desk.cancelled,
            run: desk.run,
        };
        let went = self.target.deploy(order, &own).await;
        let took = began.elapsed();
        failed.fetch_or(went.is_err(), Ordering::Relaxed);
        let said = match &went {
            Ok(said) => said.clone(),
            Err(failed) => failed.to_string(),
        };
        (desk.went)(Went {
            well: went.is_ok(),
            said: format!("{}: {said}", self.name),
            took,
        });
        Some(went.map(|said| (said, took)))
    }
}

impl Fleet {
    /// What it all came to.
    fn together(&self, went: Vec<Outcome<'_>>, desk: &Desk<'_>) -> Result<String, TargetError> {
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
        let mut left = 0;
        for (node, _) in went.iter().filter(|(_, it)| it.is_none()) {
            left += 1;
            (desk.went)(Went {
                well: false,
                said: format!("{}: not begun", node.name),
                took: Duration::ZERO,
            });
        }
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

/// Many failures as one, which is what is worst of them: what may go on, then what took too long, what
/// failed, and who is away. Where others went well, it was begun, whatever one of them says.
fn as_one(failures: Vec<(&str, TargetError)>, said: String, mut begun: bool) -> TargetError {
    let (mut lost, mut late, mut cancelled, mut broken) = (false, None, false, false);
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
            TargetError::Failed { last_words, .. } => {
                broken = true;
                last_words
            }
            TargetError::Vanished { last_words, .. } => last_words,
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
        None if broken => TargetError::Failed { said, last_words },
        None if begun => TargetError::Vanished { said, last_words },
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
        let vanished = || TargetError::Vanished {
            said: "v".into(),
            last_words: Vec::new(),
        };
        for gone in [
            one(vec![away()], true),
            one(vec![vanished(), away()], false),
        ] {
            assert!(matches!(gone, TargetError::Vanished { .. }), "{gone:?}");
        }
        assert!(matches!(
            one(vec![vanished(), failed()], false),
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
