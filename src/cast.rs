//! From the config's blocks to parts that act: fills the tables of kinds into the schema, and
//! builds the stage of an environment.

mod crew;
mod figures;
mod hooks;
mod hosts;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::config::docker_host::Engine;
use crate::config::file::{Environment, SlotOptions};
use crate::config::hooks::Terms;
use crate::config::kinds::{
    Block, CheckBlock, Kind, NotifierBlock, TargetBlock, build, plain_schema,
};
use crate::config::patience::Patience;
use crate::config::preflight::Window;
use crate::config::problem::Problem;
use crate::config::schema::{Seam, assemble};
use crate::config::telemetry::Labelled;
use crate::config::{check, yaml};
use crate::exporters::Exporter;
use crate::model::event::Say;
use crate::model::slot::{Slot, Slots};
use crate::notifiers::Routing;
use crate::platform::host::Hosts;
use crate::platform::http::Http;
use crate::platform::secret::Vault;
use crate::report::telling::Channel;
use crate::rollout::failover::Failover;
use crate::rollout::ledger::Ledger;
use crate::rollout::lock::keeper::Keeper;
use crate::rollout::patience::Check;
use crate::rollout::stage::Stage;
use crate::{exporters, metrics, notifiers, probes, routers, targets};

/// The schema of the config, with all kinds of this program.
pub fn schema() -> Value {
    assemble(&[
        seam("host", crate::hosts::KINDS, None),
        seam("target", targets::KINDS, None),
        seam("hook", crate::hooks::KINDS, Some(plain_schema::<Terms>())),
        seam("router", routers::KINDS, None),
        seam("check", probes::KINDS, Some(plain_schema::<Patience>())),
        seam("metric", metrics::KINDS, None),
        seam("notify", notifiers::KINDS, Some(plain_schema::<Routing>())),
        seam(
            "telemetry",
            exporters::KINDS,
            Some(plain_schema::<Labelled>()),
        ),
    ])
}

fn seam<Made: ?Sized, With>(
    name: &'static str,
    kinds: &[Kind<Made, With>],
    shared: Option<Value>,
) -> Seam {
    Seam {
        name,
        kinds: kinds.iter().map(Kind::outline).collect(),
        shared,
    }
}

/// What everything is built with.
#[derive(Clone)]
pub struct Tools {
    /// The HTTP clients.
    pub http: Http,
    /// What relative paths are relative to.
    pub directory: PathBuf,
    /// The secrets.
    pub vault: Vault,
    /// The Docker engine, as the environment names it.
    pub engine: Engine,
    /// Where events are said.
    pub say: Say,
    /// Where the ssh agent listens, if there is one.
    pub agent: Option<PathBuf>,
    /// Cancelled when the run is.
    pub cancelled: CancellationToken,
}

/// Whom to tell, and from which severity on.
pub type Audience = Vec<Channel>;

/// Something that could not be built: the path below the environment, and why.
pub type Misfit = (String, String);

/// Builds the stage of an environment.
///
/// # Errors
/// All blocks that could not be built.
pub fn stage(
    app: &str,
    name: &str,
    environment: &Environment,
    tools: &Tools,
) -> Result<Stage, Vec<Misfit>> {
    let mut misfits = Vec::new();
    let slots = slots(environment, &mut misfits);
    let hosts = hosts::hosts(environment, tools, &mut misfits);
    let tools = &Tools {
        http: hosts::http(environment, &hosts, tools, &mut misfits),
        ..tools.clone()
    };
    let crew = crew::of(environment, tools, &hosts, &mut misfits);
    let router = slots.as_ref().filter(|_| crew.is_none()).and_then(|slots| {
        let with = routers::Tools {
            http: tools.http.clone(),
            app: app.to_owned(),
            environment: name.to_owned(),
            slots: slots.clone(),
            directory: tools.directory.clone(),
            vault: tools.vault.clone(),
            hosts: hosts.clone(),
        };
        let block = &environment.router.as_ref()?.0;
        fitting("router", build(routers::KINDS, block, &with), &mut misfits)
    });
    let with = targets::Tools {
        http: tools.http.clone(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        hosts: hosts.clone(),
        engine: tools.engine.clone(),
    };
    let mut one = |path: &str, block: &TargetBlock| {
        let built = build(targets::KINDS, &block.0, &with);
        fitting(path, built, &mut misfits)
    };
    let failover = environment.failover.as_ref().and_then(|block| {
        Some(Failover {
            to: one("failover.to", &block.to)?,
            wait: block.wait.get(),
            deadline: block.deadline.get(),
            fenced: block.fenced,
            by_hand: false,
        })
    });
    let target = environment.target.as_ref();
    let target = target.and_then(|block| one("target", block));
    let (hooks, drain) = (
        hooks::hooks(environment, tools, &hosts, &mut misfits),
        hooks::drain(environment, tools, &hosts, target.as_deref(), &mut misfits),
    );
    let mut looks = |path, blocks: &[CheckBlock]| checks(path, blocks, tools, &hosts, &mut misfits);
    let smoke = looks("smoke", &environment.smoke);
    let health = looks("health.checks", &environment.health.checks);
    let gauges = figures::gauges(environment, slots.as_ref(), tools, &mut misfits);
    let anomaly = figures::sentry(environment, tools, &gauges, &mut misfits);
    match slots {
        Some(slots) if misfits.is_empty() => Ok(Stage {
            app: app.to_owned(),
            environment: name.to_owned(),
            url: environment.url.get().clone(),
            slots,
            crew,
            mark: environment.release.clone(),
            router,
            hosts,
            target,
            failover,
            hooks,
            drain,
            smoke,
            health,
            gauges,
            anomaly,
            proof: environment.proof,
            prober: environment.prober.clone(),
            recorded: None,
            lock: Keeper::default(),
            ledger: Ledger::default(),
            http: tools.http.clone(),
            say: tools.say.clone(),
            cancelled: tools.cancelled.clone(),
        }),
        _ => Err(misfits),
    }
}

/// Builds whom to tell.
///
/// # Errors
/// All blocks that could not be built.
pub fn audience(
    blocks: &[NotifierBlock],
    with: &notifiers::Tools,
) -> Result<Audience, Vec<Misfit>> {
    let mut misfits = Vec::new();
    let mut audience = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        let path = format!("notify[{i}]");
        let mut block: Block = block.0.clone();
        let built = block
            .take::<Routing>()
            .and_then(|routing| Ok((routing, build(notifiers::KINDS, &block, with)?)));
        let Some((mut routing, notifier)) = fitting(&path, built, &mut misfits) else {
            continue;
        };
        routing.kind = block.kind;
        let quiet = routing.quiet.iter().flat_map(Window::meaning);
        misfits.extend(quiet.map(|(key, said)| (format!("{path}.quiet.{key}"), said)));
        audience.push((routing, notifier));
    }
    if misfits.is_empty() {
        Ok(audience)
    } else {
        Err(misfits)
    }
}

/// Who keeps the figures of many runs, and with which labels.
pub type Exporters = Vec<(Labelled, Box<dyn Exporter>)>;

/// Builds who keeps the figures of many runs.
///
/// # Errors
/// All blocks that could not be built.
pub fn exporters(
    app: &str,
    name: &str,
    environment: &Environment,
    tools: &Tools,
) -> Result<Exporters, Vec<Misfit>> {
    let with = exporters::Tools {
        http: tools.http.clone(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        app: app.to_owned(),
        environment: name.to_owned(),
    };
    let mut misfits = Vec::new();
    let mut made = Vec::new();
    for (i, block) in environment.telemetry.iter().enumerate() {
        let mut block = block.0.clone();
        let built = block.take::<Labelled>().and_then(|labelled| {
            labelled.check()?;
            Ok((labelled, build(exporters::KINDS, &block, &with)?))
        });
        made.extend(fitting(&format!("telemetry[{i}]"), built, &mut misfits));
    }
    if misfits.is_empty() {
        Ok(made)
    } else {
        Err(misfits)
    }
}

/// Builds the checks of an input: YAML of the same form as in the config.
///
/// # Errors
/// All problems with them; places are those in the input.
pub fn inline_checks(text: &str, tools: &Tools) -> Result<Vec<Check>, Vec<Problem>> {
    let mut schema = schema();
    let list = serde_json::json!({ "type": "array", "items": { "$ref": "#/$defs/check" } });
    if let (Value::Object(schema), Value::Object(list)) = (&mut schema, list) {
        schema.remove("properties");
        schema.remove("required");
        schema.extend(list);
    }
    let at_input = |problem: Problem| Problem {
        path: yaml::join("checks", &problem.path).replace(".[", "["),
        ..problem
    };
    let node = yaml::read(text);
    let checked = node.and_then(|node| {
        let checked = check::check(&schema, &node);
        if checked.problems.is_empty() {
            Ok(checked)
        } else {
            Err(checked.problems)
        }
    });
    let checked =
        checked.map_err(|problems| problems.into_iter().map(at_input).collect::<Vec<_>>())?;
    let blocks: Vec<CheckBlock> = serde_json::from_value(checked.value)
        .map_err(|failed| vec![Problem::with_input("checks", failed.to_string())])?;
    let mut misfits = Vec::new();
    let checks = checks("checks", &blocks, tools, &Hosts::default(), &mut misfits);
    if misfits.is_empty() {
        return Ok(checks);
    }
    Err(misfits
        .into_iter()
        .map(|(path, said)| Problem::with_input(&path, said))
        .collect())
}

fn checks(
    path: &str,
    blocks: &[CheckBlock],
    tools: &Tools,
    hosts: &Hosts,
    misfits: &mut Vec<Misfit>,
) -> Vec<Check> {
    let with = probes::Tools {
        http: tools.http.clone(),
        directory: tools.directory.clone(),
        vault: tools.vault.clone(),
        hosts: hosts.clone(),
    };
    let one = |(i, block): (usize, &CheckBlock)| {
        let mut block = block.0.clone();
        let built = block.take::<Patience>().and_then(|patience| {
            let probe = build(probes::KINDS, &block, &with)?;
            let kind = block.kind;
            Ok(Check {
                kind,
                probe,
                patience,
            })
        });
        fitting(&format!("{path}[{i}]"), built, misfits)
    };
    blocks.iter().enumerate().filter_map(one).collect()
}

fn slots(environment: &Environment, misfits: &mut Vec<Misfit>) -> Option<Slots> {
    let mut slots = named(&environment.slots);
    if !environment.members.is_empty() {
        // Nothing asks for them; see `Stage::slots`.
        slots = named(&environment.members);
        slots.truncate(2);
    }
    match <[Slot; 2]>::try_from(slots) {
        Ok([first, second]) => Some(Slots { first, second }),
        Err(_) => {
            misfits.push((
                "slots".to_owned(),
                "an environment has exactly two slots".to_owned(),
            ));
            None
        }
    }
}

fn named(slots: &IndexMap<String, SlotOptions>) -> Vec<Slot> {
    let one = |(name, slot): (&String, &SlotOptions)| Slot {
        name: name.clone(),
        url: slot.url.get().clone(),
    };
    slots.iter().map(one).collect()
}

fn fitting<T>(path: &str, built: Result<T, String>, misfits: &mut Vec<Misfit>) -> Option<T> {
    built
        .map_err(|said| misfits.push((path.to_owned(), said)))
        .ok()
}
