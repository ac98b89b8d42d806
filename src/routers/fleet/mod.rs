//! The `fleet` kind: several routers that share the traffic, changed as if they were one.
//!
//! All are prepared before one is changed, all are changed at once, and where one does not take the
//! change, or says nothing for a while after the others, the others are put back at once.
//! Nodes that do not agree are told node by node, and nothing is guessed. What a node is, is its
//! own kind's matter; here is only what several of them are together.

mod at_once;
mod kept;
mod tally;

use async_trait::async_trait;
use futures_util::future::join_all;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use self::at_once::{Course, Node, is_silence, soon};
use self::kept::{Kept, of_node};
use self::tally::Sum;
use super::{
    Change, Confirmed, Counting, Divergence, InFlight, KINDS, Reading, Router, RouterError,
    Testers, Tools,
};
use crate::config::fleet;
use crate::config::kinds::{Block, Kind, RouterBlock, build, plain_schema};
use crate::model::slot::{Side, Slots};
use crate::model::split::Split;
use crate::platform::text::listed;

/// The entry in the table.
pub const KIND: Kind<dyn Router, Tools> = Kind {
    name: "fleet",
    about: "Several routers that share the traffic, changed all or not at all.",
    schema: plain_schema::<Options>,
    build: made,
};

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Options {
    /// The routers by name, each a block of its own: `lb1: { kind: haproxy, … }`. Their kinds may differ.
    #[serde(default)]
    nodes: IndexMap<String, RouterBlock>,
    /// The hosts that each have the same router, which `each` describes.
    #[serde(default)]
    hosts: Vec<String>,
    /// The router of each of the `hosts`, without its `host`.
    each: Option<RouterBlock>,
}

/// Where a proxy is asked by this machine, whatever host its files are on.
const ASKED_FROM_HERE: [&str; 4] = ["generation-url", "api", "metrics", "admin"];

struct Fleet {
    nodes: Vec<Node>,
    environment: String,
    slots: Slots,
}

fn made(block: &Block, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let Options { nodes, hosts, each } = block.options()?;
    let nodes = nodes.into_iter().map(|(name, block)| (name, block.0));
    if let Some(each) = &each
        && let Some(key) = ASKED_FROM_HERE
            .iter()
            .find(|key| each.0.options.contains_key(**key))
    {
        return Err(format!(
            "each.{key}: this machine asks there, and would ask the same for every host; give each its own with `nodes`"
        ));
    }
    let nodes = fleet::nodes(nodes.collect(), &hosts, each.map(|block| block.0))?;
    let one = |(path, name, block): (String, String, Block)| {
        let router = build(KINDS, &block, tools).map_err(|said| format!("{path}.{said}"))?;
        Ok(Node::new(name, router))
    };
    let nodes: Vec<Node> = nodes.into_iter().map(one).collect::<Result<_, String>>()?;
    let differ =
        |next: &Node| Some(next.router.testers()) != nodes.first().map(|it| it.router.testers());
    if nodes.iter().any(differ) {
        return Err("nodes: `testers` is not the same on all of them, so who names a slot would get it by chance".to_owned());
    }
    Ok(Box::new(Fleet {
        nodes,
        environment: tools.environment.clone(),
        slots: tools.slots.clone(),
    }))
}

impl Fleet {
    /// Does the same with all nodes at once; the answers are in the order of the nodes.
    async fn each<'n, T, F>(&'n self, ask: impl Fn(&'n Node) -> F) -> Vec<(&'n Node, T)>
    where
        F: Future<Output = T> + Send + 'n,
    {
        let answers = join_all(self.nodes.iter().map(ask)).await;
        self.nodes.iter().zip(answers).collect()
    }

    /// The same, where one that fails speaks for all.
    async fn all<'n, T, F>(
        &'n self,
        ask: impl Fn(&'n Node) -> F,
    ) -> Result<Vec<(&'n Node, T)>, RouterError>
    where
        F: Future<Output = Result<T, RouterError>> + Send + 'n,
    {
        let answers = self.each(ask).await.into_iter();
        answers
            .map(|(node, answer)| Ok((node, answer.map_err(|failed| failed.of(&node.name))?)))
            .collect()
    }

    fn names(&self) -> String {
        listed(self.nodes.iter().map(|node| node.name.as_str()))
    }

    /// What each node said when the fleet was read.
    fn kept(&self, reading: &Reading) -> Result<Kept, RouterError> {
        let names: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
        kept::apart(reading, &names)
    }

    /// What to run where the nodes differ.
    fn repair(&self) -> String {
        let command = |side| {
            format!(
                "`cutover switch-traffic --environment {} --to {}`",
                self.environment,
                self.slots.name(side)
            )
        };
        format!(
            "say where traffic belongs, and all nodes are set to that: {} or {}",
            command(Side::First),
            command(Side::Second)
        )
    }

    /// What the nodes say as one, where they agree.
    fn told_by(
        &self,
        answers: Vec<(&Node, Result<Reading, RouterError>)>,
    ) -> Result<Reading, RouterError> {
        let mut kept = Kept::new();
        let mut failures: Vec<(&Node, RouterError)> = Vec::new();
        let mut told = Vec::new();
        for (node, answer) in answers {
            match answer {
                Ok(reading) => {
                    let split = reading.split.told(&self.slots);
                    told.push(format!("{}: {split}", node.name));
                    kept.insert(node.name.clone(), reading);
                }
                // What the others say counts all the same: somebody may have moved them.
                Err(failed) => {
                    told.push(format!("{}: {failed}", node.name));
                    failures.push((node, failed));
                }
            }
        }
        let splits: Vec<Split> = kept.values().map(|it| it.split).collect();
        let Some(most) = most_common(&splits) else {
            let wrong = failures.iter().position(|(_, it)| !is_silence(it));
            let only = (failures.len() == 1).then_some(0);
            return Err(match wrong.or(only) {
                Some(at) => {
                    let (node, failed) = failures.swap_remove(at);
                    failed.of(&node.name)
                }
                None => RouterError::OutOfReach(told.join("; ")),
            });
        };
        let everybody = failures.is_empty();
        if everybody && splits.iter().all(|split| *split == most) {
            return kept::together(kept, most);
        }
        let repair = if everybody {
            self.repair()
        } else {
            let mut first: Vec<String> = failures
                .iter()
                .filter(|(_, failed)| !is_silence(failed))
                .map(|(node, failed)| match failed {
                    RouterError::Drifted { repair, .. } => format!("on {}: {repair}", node.name),
                    _ => format!("correct what {} says", node.name),
                })
                .collect();
            let down = failures.iter().filter(|(_, failed)| is_silence(failed));
            let down: Vec<&str> = down.map(|(node, _)| node.name.as_str()).collect();
            if !down.is_empty() {
                let down = listed(down);
                first.push(format!("bring {down} up, or leave it out of `nodes`"));
            }
            let next = match splits.iter().all(|split| *split == most) {
                true => "run again; if it then differs from the others, ".to_owned(),
                false => String::new(),
            };
            format!("{}; then {next}{}", first.join("; "), self.repair())
        };
        let reading = everybody.then(|| kept::together(kept, most)).transpose()?;
        Err(RouterError::Divergent(Box::new(Divergence {
            said: told.join("; "),
            splits,
            reading,
            repair,
        })))
    }
}

#[async_trait]
impl Router for Fleet {
    fn told(&self) -> String {
        format!("a fleet of {}: {}", self.nodes.len(), self.names())
    }

    fn known_loss(&self) -> Option<String> {
        let mut losses: Vec<String> = Vec::new();
        for loss in self.nodes.iter().filter_map(|it| it.router.known_loss()) {
            if !losses.contains(&loss) {
                losses.push(loss);
            }
        }
        (!losses.is_empty()).then(|| losses.join("; "))
    }

    fn one_time_lines(&self) -> String {
        let one = |node: &Node| format!("# On {}:\n{}", node.name, node.router.one_time_lines());
        let lines: Vec<String> = self.nodes.iter().map(one).collect();
        lines.join("\n")
    }

    fn testers(&self) -> Option<&Testers> {
        self.nodes.first()?.router.testers()
    }

    fn counting(&self) -> Counting<'_> {
        let mut tallies = Vec::new();
        for node in &self.nodes {
            match node.router.counting() {
                Counting::By(tally) => tallies.push((node.name.as_str(), tally)),
                Counting::Not(why) => return Counting::Not(why),
            }
        }
        Counting::By(Box::new(Sum::of(tallies)))
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        let mut all = 0;
        for (node, answer) in self.each(|node| node.router.in_flight(slot)).await {
            match answer {
                InFlight::Requests(some) => all += some,
                InFlight::NotCounted(why) => return InFlight::NotCounted(why),
                InFlight::Unknown(said) => {
                    return InFlight::Unknown(format!("{}: {said}", node.name));
                }
            }
        }
        InFlight::Requests(all)
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        self.told_by(self.each(|node| node.router.read()).await)
    }

    async fn read_soon(&self) -> Result<Reading, RouterError> {
        let answers = soon(&self.nodes, |node| node.router.read()).await;
        let reading = self.told_by(answers)?;
        let doubtful = self.nodes.iter().filter(|node| node.is_in_doubt());
        let doubtful: Vec<&str> = doubtful.map(|node| node.name.as_str()).collect();
        if doubtful.is_empty() {
            return Ok(reading);
        }
        // What it says now is not what it will say: it is to be written, so that whatever comes
        // later is refused, or overwritten.
        Err(RouterError::Divergent(Box::new(Divergence {
            said: format!(
                "all say {}, and a change that {} did not answer may still come",
                reading.split.told(&self.slots),
                listed(doubtful)
            ),
            splits: vec![reading.split],
            reading: None,
            repair: self.repair(),
        })))
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let kept = self.kept(&change.from)?;
        self.all(|node| {
            let change = of_node(&kept, &node.name, change);
            async move { node.router.prepare(&change).await }
        })
        .await?;
        Ok(())
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        let kept = self.kept(&change.from)?;
        // Once more, for a node may have gone since: nothing is changed yet.
        self.prepare(change).await?;
        let courses = at_once::change(&self.nodes, &kept, change).await;
        let stays = |it: &Course<'_>| {
            let failed = it.back.as_ref()?.as_ref().err()?;
            Some(format!("{}: {failed}", it.node.name))
        };
        let stays: Vec<String> = courses.iter().filter_map(stays).collect();
        let mut courses = courses.into_iter();
        let failed = courses.find_map(|it| Some((&it.node.name, it.there?.err()?)));
        let Some((name, failed)) = failed else {
            return Ok(());
        };
        if stays.is_empty() {
            return Err(failed.of(name));
        }
        Err(RouterError::Lost(format!(
            "{name}: {failed}; and not put back: {}",
            stays.join("; ")
        )))
    }

    async fn forestall(&self) -> Result<(), RouterError> {
        // All are asked, whatever one of them says.
        let answers = self.each(|node| node.router.forestall()).await;
        answers.into_iter().try_for_each(|(_, answer)| answer)
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let confirmed = self.all(|node| node.router.confirm(split)).await?;
        let by_data_plane = |(_, it): &(&Node, Confirmed)| matches!(it, Confirmed::ByDataPlane(_));
        let said = format!("{} say {}", self.names(), split.told(&self.slots));
        Ok(if confirmed.iter().all(by_data_plane) {
            Confirmed::ByDataPlane(said)
        } else {
            Confirmed::ByState(said)
        })
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let kept = self.kept(saved)?;
        let back = |node| Node::back(node, kept.get(&node.name), saved.split);
        let answers = soon(&self.nodes, back).await;
        let (mut back, mut failures) = (Vec::new(), Vec::new());
        for (node, answer) in answers {
            match answer {
                Ok(()) => back.push(node.name.as_str()),
                Err(failed) => failures.push((node, failed)),
            }
        }
        if failures.is_empty() {
            return Ok(());
        }
        let said: Vec<String> = failures
            .iter()
            .map(|(node, failed)| format!("{}: {failed}", node.name))
            .collect();
        let rest = match back.len() {
            0 => "none is back".to_owned(),
            _ => format!("{} went back", listed(back)),
        };
        Err(RouterError::OutOfReach(format!(
            "{}; {rest}",
            said.join("; ")
        )))
    }
}

/// What most say; of equals the first.
fn most_common(splits: &[Split]) -> Option<Split> {
    let times = |split: &Split| splits.iter().filter(|other| *other == split).count();
    let most = splits.iter().map(times).max()?;
    splits.iter().find(|split| times(split) == most).copied()
}
