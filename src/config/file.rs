//! The config file as types, and the one function that reads it.
//!
//! These types are the schema: editors, `cutover check` and the README's tables come from
//! them. What a block's kind makes of its options is the seam's matter.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::model::release::Mark;
use crate::platform::secret::Vault;

use super::address::Address;
use super::anomaly::Anomaly;
use super::approval::Approval;
use super::audit::AuditOptions;
use super::canary::Canary;
use super::check;
use super::clock::Clock;
use super::drain::Drain;
use super::failover::Failover;
use super::hooks::Hooks;
use super::interpolate::{Lookup, interpolate};
use super::kinds::{
    CheckBlock, ExporterBlock, HostBlock, MetricBlock, NotifierBlock, RouterBlock, TargetBlock,
};
use super::ladder::Rung;
use super::lock::Lock;
use super::meaning;
use super::preflight::{Guardrails, Migration, Preflight};
use super::problem::{Place, Problem};
use super::protection::Protection;
use super::records::Records;
use super::rolling::{self, Rolling};
use super::thresholds::Threshold;
use super::units::{HttpUrl, Percent, Span};
use super::yaml;

/// The config of Cutover: what is deployed where, and how it is judged.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The version of this format; it is 1.
    #[schemars(extend("const" = 1))]
    pub version: u8,
    /// The application's name, for people.
    #[schemars(length(min = 1))]
    pub app: String,
    /// The environments by name, such as `staging` and `production`.
    pub environments: IndexMap<String, Environment>,
}

/// An environment: two slots or several members, a router in front, and what makes a release good
/// there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Environment {
    /// Where users reach it.
    pub url: HttpUrl,
    /// Exactly two slots. The first is where traffic is at weight 0, the second where it is at 100.
    #[serde(default)]
    pub slots: IndexMap<String, SlotOptions>,
    /// In the place of `slots`, for a rolling rollout: 2 to 100 servers that share the traffic.
    #[serde(default)]
    pub members: IndexMap<String, SlotOptions>,
    /// How an answer says which release it comes from.
    pub release: Mark,
    /// The machines that targets, routers and checks name as their `host`.
    #[serde(default)]
    pub hosts: IndexMap<String, HostBlock>,
    /// Addresses that only a host reaches, by the host's name: every HTTP request of this environment
    /// to one of them goes over that host, whatever it is for. Default: none.
    #[serde(default)]
    pub tunnels: IndexMap<String, Vec<Address>>,
    /// How a release gets into a slot. `deploy-slot` and `rollout` need it.
    pub target: Option<TargetBlock>,
    /// Who puts it there when the target cannot. Default: nobody.
    pub failover: Option<Failover>,
    /// Who decides which slot gets traffic. `switch-traffic`, `rollout` and `rollback` need it.
    pub router: Option<RouterBlock>,
    /// What is run before and after the steps of a rollout, and at its end. Default: nothing.
    #[serde(default)]
    pub hooks: Hooks,
    /// When the old slot is let go after a switch, and what becomes of it. Default: at once, and
    /// it is kept.
    pub drain: Option<Drain>,
    /// What must be right on a slot before it gets traffic.
    #[serde(default)]
    pub smoke: Vec<CheckBlock>,
    /// What must be right while the environment is live.
    #[serde(default)]
    pub health: Health,
    /// Where figures come from, for `health.thresholds`. The first that has a metric is asked.
    #[serde(default)]
    pub metrics: Vec<MetricBlock>,
    /// Figures since a switch against those of the days before, in a rollout's watch and in
    /// `health-check`. Default: not looked at.
    pub anomaly: Option<Anomaly>,
    /// How a rollout moves traffic.
    #[serde(default)]
    pub strategy: Strategy,
    /// When a switch counts as done.
    #[serde(default)]
    pub proof: Proof,
    /// The program's own requests through the public URL while it switches and watches.
    #[serde(default)]
    pub prober: Prober,
    /// The lock that keeps two runs apart. It needs a token that may write to the repository.
    #[serde(default)]
    pub lock: Lock,
    /// What the machine and the network must be like before anything is changed. With this block
    /// a rollout looks, too; `preflight` always does.
    pub preflight: Option<Preflight>,
    /// An issue in which somebody approves a rollout before it changes anything.
    pub approval: Option<Approval>,
    /// Who may deploy what, when, and after what.
    pub guardrails: Option<Guardrails>,
    /// How the environment of this name shall be protected at GitHub. `environments` shows what
    /// differs, and makes it so.
    pub protection: Option<Protection>,
    /// What releases do to data that the old one uses, too; the input `migration` beats it.
    #[serde(default)]
    pub migration: Migration,
    /// Whom to tell.
    #[serde(default)]
    pub notify: Vec<NotifierBlock>,
    /// Who keeps the figures of many runs. A failed push never changes a verdict.
    #[serde(default)]
    pub telemetry: Vec<ExporterBlock>,
    /// Where everything that happens is written down. Default: nowhere.
    pub audit: Option<AuditOptions>,
    /// Which GitHub Deployments record what was deployed here. Default auto.
    #[serde(default)]
    pub records: Records,
}

/// A slot.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlotOptions {
    /// The slot's own address, past the router.
    pub url: HttpUrl,
}

/// What must be right while the environment is live.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Looked at by `health-check`, and again and again during a rollout's watch.
    #[serde(default)]
    pub checks: Vec<CheckBlock>,
    /// How much of a metric is too much, for `health-check`.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
    /// For a `health-check` that runs again and again: it remembers, and tells of changes.
    pub clock: Option<Clock>,
}

/// How a rollout moves traffic.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Strategy {
    /// All traffic in one step, after the new release was proved in the idle slot.
    BlueGreen(BlueGreen),
    /// A little traffic first, and more of it step by step, each judged against the old release.
    Canary(Box<Canary>),
    /// One batch of `members` after the other, each out of rotation while it changes.
    Rolling(Box<Rolling>),
}

impl Strategy {
    /// The names of all strategies.
    pub const NAMES: [&'static str; 3] = ["blue-green", "canary", rolling::NAME];

    /// One with nothing but its defaults; `None` where there is none of that name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "blue-green" => Some(Self::BlueGreen(BlueGreen::default())),
            "canary" => Some(Self::Canary(Box::default())),
            rolling::NAME => Some(Self::Rolling(Box::default())),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BlueGreen(_) => "blue-green",
            Self::Canary(_) => "canary",
            Self::Rolling(_) => rolling::NAME,
        }
    }

    /// Whether it judges only, and touches nothing.
    pub const fn observes(&self) -> bool {
        match self {
            Self::BlueGreen(_) | Self::Rolling(_) => false,
            Self::Canary(settings) => settings.observe,
        }
    }

    /// How long a slot may take until it serves what was deployed.
    pub const fn wait(&self) -> Duration {
        match self {
            Self::BlueGreen(settings) => settings.wait.get(),
            Self::Canary(settings) => settings.wait.get(),
            Self::Rolling(settings) => settings.wait.get(),
        }
    }

    /// How long a release is watched under traffic.
    pub const fn watch(&self) -> Duration {
        match self {
            Self::BlueGreen(settings) => settings.watch.get(),
            // Each step is guarded by itself.
            Self::Canary(settings) => settings.watch.get(),
            Self::Rolling(settings) => settings.watch.get(),
        }
    }
}

impl Default for Strategy {
    fn default() -> Self {
        Self::BlueGreen(BlueGreen::default())
    }
}

/// The blue-green strategy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(inline)]
pub struct BlueGreen {
    /// How long the slot may take until it serves the release after a deployment. Default 60s.
    pub wait: Span,
    /// How long the release is watched under traffic before it is final. `0s` is not at all. Default 30s.
    pub watch: Span,
    /// Above this share of failed requests the release is taken back. Default 5%.
    pub max_error_rate: Percent,
    /// Above this 95th percentile of latency the release is taken back. Default: no limit.
    pub max_p95: Option<Span>,
    /// With fewer requests of the prober than this, figures are no reason to promote or to take
    /// back; unless most of them failed. Default 20.
    pub min_requests: u32,
    /// Who counts what each slot does, as for a canary: after the switch the release is judged by
    /// that, too. Default: nobody.
    pub source: Option<String>,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self {
            wait: Span::secs(60),
            watch: Span::secs(30),
            max_error_rate: Percent::of(5.0),
            max_p95: None,
            min_requests: 20,
            source: None,
        }
    }
}

impl BlueGreen {
    /// With somebody who counts, it is a canary of one step: all traffic at once, and the same
    /// judgement afterwards.
    pub fn judged(&self) -> Option<Canary> {
        Some(Canary {
            steps: vec![Rung::at(100)],
            watch: self.watch,
            source: Some(self.source.clone()?),
            every: Span::secs(10).min(self.watch),
            warm_up: Span::secs(60).min(Span::from(self.watch.get() / 4)),
            max_error_rate: self.max_error_rate,
            max_p95: self.max_p95,
            min_requests: self.min_requests,
            // All traffic is on it already: nobody waits for long to hear that nothing is known.
            no_data_after: Span::secs(300).min(self.watch),
            wait: self.wait,
            ..Canary::default()
        })
    }
}

/// When a switch counts as done.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proof {
    /// So many answers in a row, each on a new connection, must carry the intended release. Default 5.
    #[schemars(range(min = 1, max = 1000))]
    pub answers: u32,
    /// How long that may take. Default 10s.
    pub within: Span,
}

impl Default for Proof {
    fn default() -> Self {
        Self {
            answers: 5,
            within: Span::secs(10),
        }
    }
}

/// The program's own requests through the public URL.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Prober {
    /// Requests a second; 0 is none. Default 20.
    #[schemars(range(max = 1000))]
    pub rate: u32,
    /// The path to ask. Default: the path of `release`.
    pub path: Option<String>,
    /// How long an answer may take before it counts as failed. Default 5s.
    pub timeout: Span,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            rate: 20,
            path: None,
            timeout: Span::secs(5),
        }
    }
}

/// A config that fits the schema, and where its parts stand in the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The config.
    pub file: File,
    /// The place of every path, for problems that are found later.
    pub places: BTreeMap<String, Place>,
}

impl Config {
    /// A problem with a part of the file that is named by its path.
    pub fn problem(&self, path: &str, said: impl Into<String>) -> Problem {
        Problem {
            path: path.to_owned(),
            place: self.places.get(path).copied(),
            said: said.into(),
        }
    }
}

/// Reads a config: YAML, then `${NAME}`, then the schema and what a schema cannot say.
///
/// # Errors
/// All problems at once, in the order of the file; for what is no YAML, those alone.
pub fn read(
    text: &str,
    schema: &Value,
    environment: Lookup<'_>,
    vault: &Vault,
) -> Result<Config, Vec<Problem>> {
    let mut node = yaml::read(text)?;
    let mut problems = interpolate(&mut node, environment, vault);
    let checked = check::check(schema, &node);
    meaning::keep_secrets(&checked.value, vault);
    // A value that is missing is reported once, as missing.
    let missing: Vec<_> = problems.iter().map(|problem| problem.place).collect();
    let more = checked
        .problems
        .into_iter()
        .chain(meaning::problems(&checked.value, &checked.places));
    problems.extend(more.filter(|problem| !missing.contains(&problem.place)));
    if !problems.is_empty() {
        problems.sort_by_key(|problem| problem.place);
        return Err(problems);
    }
    let mut value = checked.value;
    rolling::fill_in(&mut value);
    let file: File = serde_path_to_error::deserialize(value).map_err(|failed| {
        let path = failed.path().to_string();
        vec![Problem {
            place: checked.places.get(&path).copied(),
            path,
            said: failed.into_inner().to_string(),
        }]
    })?;
    Ok(Config {
        file,
        places: checked.places,
    })
}
