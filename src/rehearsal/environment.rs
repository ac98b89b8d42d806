//! A configured environment with its addresses, router and target exchanged for the stand-in's.

use serde_json::{Value, json};

use crate::config::canary::OnInconclusive;
use crate::config::file::{Environment, Strategy};
use crate::config::kinds::{Block, CheckBlock, MetricBlock, RouterBlock, TargetBlock};
use crate::config::units::Span;
use crate::model::release::Mark;

use super::answers::Answers;
use super::world::World;

/// The config that is rehearsed where there is no other.
pub const BUILT_IN: &str = include_str!("rehearsal.yml");

/// The longest watch of a rehearsal; a longer one is cut, for somebody is waiting.
const LONGEST_WATCH: Span = Span::secs(5);

/// The same for a step of a canary, and how often it is looked at.
const STEP: Span = Span::secs(2);
const LOOK: Span = Span::millis(250);

/// Load has to be felt within a short watch.
const LEAST_RATE: u32 = 50;

/// Requests a second to each slot for a comparison: enough for eight errors in a hundred to be proved
/// within a step.
const COMPARED_AT: u32 = 100;

/// What a rehearsal leaves out of a config, for people to know.
pub struct Script {
    /// The release mark that the stand-in can answer with.
    pub mark: Mark,
    /// The checks that the stand-in can answer.
    pub checks: Vec<Block>,
    /// What is not rehearsed, each in a line.
    pub left_out: Vec<String>,
}

impl Script {
    /// What of an environment can be rehearsed.
    pub fn of(environment: &Environment) -> Self {
        let mut left_out = Vec::new();
        let all = environment.smoke.iter().chain(&environment.health.checks);
        let (checks, others): (Vec<_>, Vec<_>) =
            all.map(|check| check.0.clone()).partition(answerable);
        if !others.is_empty() {
            let kinds: Vec<_> = others.iter().map(|check| check.kind.as_str()).collect();
            left_out.push(format!(
                "checks that look past the stand-in: {}",
                kinds.join(", ")
            ));
        }
        let mark = match &environment.release {
            Mark::Text {
                path,
                pattern: Some(_),
            } => {
                left_out.push(
                    "the pattern of `release`: the stand-in answers with a header instead"
                        .to_owned(),
                );
                Mark::Header {
                    name: "X-Release".to_owned(),
                    path: path.clone(),
                }
            }
            mark => mark.clone(),
        };
        if environment.router.is_some() || environment.target.is_some() {
            left_out.push("the router and the target: the stand-in has its own".to_owned());
        }
        if environment.preflight.is_some() || environment.guardrails.is_some() {
            left_out.push("the preflight: nothing real is deployed".to_owned());
        }
        Self {
            mark,
            checks,
            left_out,
        }
    }

    /// What the stand-in answers.
    pub fn answers(&self) -> Answers {
        Answers::for_checks(self.mark.clone(), &self.checks)
    }

    /// The environment as it is rehearsed in `world`.
    pub fn staged(&mut self, environment: &Environment, world: &World) -> Environment {
        let mut staged = environment.clone();
        staged.url = url(&world.public, staged.url);
        for (slot, address) in staged.slots.values_mut().zip(&world.slots) {
            slot.url = url(address, slot.url.clone());
        }
        staged.release = self.mark.clone();
        staged.router = Some(RouterBlock(block(
            "http",
            json!({ "url": world.router.as_str() }),
        )));
        staged.target = Some(TargetBlock(block(
            "http",
            json!({ "url": world.deploy.as_str() }),
        )));
        if staged.failover.take().is_some() {
            self.left_out.push("the failover".to_owned());
        }
        if !std::mem::take(&mut staged.hooks).is_empty() {
            self.left_out.push("the hooks".to_owned());
        }
        if staged.drain.take().is_some() {
            self.left_out.push("the drain".to_owned());
        }
        staged
            .smoke
            .retain(|check: &CheckBlock| answerable(&check.0));
        staged.health.checks.retain(|check| answerable(&check.0));
        staged.prober.rate = staged.prober.rate.max(LEAST_RATE);
        staged.notify.clear();
        // The figures are the service's, and say nothing of a stand-in.
        if staged.anomaly.take().is_some() {
            self.left_out.push("anomalies".to_owned());
        }
        let counts = match &mut staged.strategy {
            Strategy::Canary(_) => true,
            Strategy::BlueGreen(settings) => settings.source.take().is_some(),
            // Not rehearsed: the stand-in has two slots.
            Strategy::Rolling(_) => false,
        };
        if counts {
            // The stand-in's slots count nothing, but they can be asked.
            let options = json!({ "path": self.mark.path(), "rate": COMPARED_AT });
            staged.metrics = vec![MetricBlock(block("prober", options))];
            staged.health.thresholds.clear();
        }
        self.shorten(&mut staged.strategy);
        staged
    }

    /// Somebody is waiting, so nothing is watched for long.
    fn shorten(&mut self, strategy: &mut Strategy) {
        let cut = |watch: &mut Span, longest: Span| {
            let was = std::mem::replace(watch, longest.min(*watch));
            (was > *watch).then_some(was)
        };
        let (was, is) = match strategy {
            Strategy::BlueGreen(settings) => {
                (cut(&mut settings.watch, LONGEST_WATCH), LONGEST_WATCH)
            }
            Strategy::Rolling(settings) => (cut(&mut settings.watch, LONGEST_WATCH), LONGEST_WATCH),
            Strategy::Canary(settings) => {
                let was = cut(&mut settings.watch, STEP);
                for rung in &mut settings.steps {
                    rung.watch = rung.watch.map(|watch| watch.min(STEP));
                    rung.at_most = None;
                    if std::mem::take(&mut rung.manual) {
                        let said = format!("the wait for a person before {}", rung.weight);
                        self.left_out.push(said);
                    }
                }
                // Nothing can be proved in so short a time, only be seen to be broken.
                settings.at_most = None;
                settings.on_inconclusive = OnInconclusive::Promote;
                settings.every = settings.every.min(LOOK);
                settings.warm_up = Span::secs(0);
                settings.observe = false;
                settings.source = Some("prober".to_owned());
                (was, STEP)
            }
        };
        if let Some(was) = was {
            let said = format!("most of the watch: {is} instead of {was}");
            self.left_out.push(said);
        }
    }
}

/// Whether the stand-in can answer a check: an `http` one with a path.
fn answerable(check: &Block) -> bool {
    check.kind == "http" && check.options.contains_key("path")
}

fn block(kind: &str, options: Value) -> Block {
    let options = match options {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    Block {
        kind: kind.to_owned(),
        options,
    }
}

fn url(
    address: &url::Url,
    otherwise: crate::config::units::HttpUrl,
) -> crate::config::units::HttpUrl {
    address.as_str().parse().unwrap_or(otherwise)
}
