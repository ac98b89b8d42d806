//! A run of a story in a world of its own, with faults; and what became of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutover::cast::{self, Tools};
use cutover::config::docker_host::Engine;
use cutover::config::file::{self, Environment, Strategy};
use cutover::config::kinds::{Block, build};
use cutover::config::preflight::Migration;
use cutover::config::units::HttpUrl;
use cutover::hooks;
use cutover::model::ending::{Decision, Ending};
use cutover::model::event::Event;
use cutover::model::hook::Moment;
use cutover::model::release::Release;
use cutover::model::split::Weight;
use cutover::platform::host::Hosts;
use cutover::platform::http::{Http, Look};
use cutover::platform::secret::Vault;
use cutover::rehearsal::environment::Script;
use cutover::rehearsal::world::World;
use cutover::rollout::blue_green::{Plan, blue_green};
use cutover::rollout::canary;
use cutover::rollout::gauges::{Gauges, Named};
use cutover::rollout::hooks::{Hook, Hooks};
use cutover::rollout::ledger::{Ledger, Note, Progress, SCHEMA_VERSION};
use cutover::rollout::patience::Check;
use cutover::rollout::saga::Saga;
use cutover::rollout::stage::Stage;
use cutover::rollout::switch::{Goal, Switch, rollback, switch};
use tokio::sync::Semaphore;

use super::faulty::{FaultyHook, FaultyProbe, FaultyRouter, FaultySource, FaultyTarget};
use super::orders::{Call, Order, Orders};
use super::relay::Relay;
use crate::world::patience::{PATIENCE, in_the_end};

/// The release that is live at first, on blue.
pub(super) const OLD: &str = "91be33d";
/// The release that is to go live, on green.
pub(super) const NEW: &str = "4f2a9c1";

/// The first share of a canary, in percent.
pub(super) const SHARE: u64 = 25;

/// The times are short, and long enough for a machine that has other things to do.
const CONFIG: &str = r#"
version: 1
app: storefront
environments:
  production:
    url: http://127.0.0.1:1
    slots:
      blue: { url: "http://127.0.0.1:2" }
      green: { url: "http://127.0.0.1:3" }
    release: { kind: header, name: X-Release }
    smoke:
      - { kind: http, path: /smoke, retries: 1, interval: 10ms }
    health:
      checks:
        - { kind: http, path: /health, fall: 2 }
    strategy: { kind: blue-green, wait: 2s, watch: 150ms, max-error-rate: 100% }
    proof: { answers: 3, within: 2s }
    prober: { rate: 50, path: /prober }
    metrics:
      - { kind: prober, path: /prober }
"#;

/// The source is exchanged for one that anything may happen to.
const CANARY: &str = "{ kind: canary, steps: [25%, 100%], wait: 4s, watch: 150ms, every: 100ms, \
    warm-up: 0s, source: prober, no-data-after: 400ms, max-error-rate: 100% }";

/// A story that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    Rollout,
    /// The same with a hook at each of its moments, all of them required.
    Hooked,
    Switch,
    Rollback,
    /// A canary from the beginning.
    Canary,
    /// A canary that another run has left at its first step.
    Resumed,
}

/// What became of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// The weight of the second slot, as the router has it.
    pub(super) weight: u64,
    /// The release that the public URL answers with.
    pub(super) served: String,
    /// What a run that comes after a killed one would find.
    pub(super) progress: Progress,
    /// How many of the ordered faults have happened.
    pub(super) happened: u32,
    /// What was said, step by step, for a failure of the test.
    pub(super) said: Vec<String>,
}

impl Outcome {
    /// The decision and the exit code.
    pub(super) fn verdict(&self) -> (Decision, u8) {
        (self.ending.decision, self.ending.exit_code())
    }

    /// In a cell of the table.
    pub(super) fn told(&self) -> String {
        format!("{} {}", self.ending.decision, self.ending.exit_code())
    }
}

/// So many stories are told at once, by all tests together: they have seconds for what takes
/// milliseconds, and a busy machine must be able to grant them.
static STAGES: Semaphore = Semaphore::const_new(4);

/// Where stories are told: a runtime and its HTTP clients, which take long to make.
pub(super) struct Theatre {
    runtime: tokio::runtime::Runtime,
    http: Http,
}

/// The tasks that the pools of the two HTTP clients keep for themselves.
const OF_THE_POOLS: usize = 2;

impl Theatre {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            runtime: runtime.unwrap(),
            http: Http::default(),
        }
    }

    /// Tells a story with faults, and sees that nothing of it is left.
    pub(super) fn play(&self, story: Story, orders: &[Order]) -> Outcome {
        self.runtime.block_on(async {
            let _stage = STAGES.acquire().await;
            let told = told(story, orders, &self.http);
            let outcome = in_the_end("the story ends", told).await;
            let began = Instant::now();
            loop {
                let left = tokio::runtime::Handle::current()
                    .metrics()
                    .num_alive_tasks();
                if left <= OF_THE_POOLS {
                    return outcome;
                }
                let long = began.elapsed() > PATIENCE;
                assert!(!long, "{left} tasks are left over: {orders:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

async fn told(story: Story, ordered: &[Order], http: &Http) -> Outcome {
    let orders = Orders::of(ordered);
    let environment = environment(story);
    let mut script = Script::of(&environment);
    let names = ["blue".to_owned(), "green".to_owned()];
    let world = World::open(names, script.answers(), OLD).await.unwrap();
    let mut staged = script.staged(&environment, &world);
    let relays = [
        Relay::to(&world.public, &[Call::Prove], &orders).await,
        Relay::to(
            &world.slots[0],
            &[Call::Ask, Call::Start, Call::LookBack],
            &orders,
        )
        .await,
        Relay::to(&world.slots[1], &[Call::Ask, Call::Serves], &orders).await,
    ];
    staged.url = url_of(&relays[0]);
    for (slot, relay) in staged.slots.values_mut().zip(&relays[1..]) {
        slot.url = url_of(relay);
    }
    let said = Arc::new(Mutex::new(Vec::new()));
    let tools = tools(&orders, &said, http);
    let mut stage = cast::stage("storefront", "production", &staged, &tools).unwrap();
    let hands = cast::stage("storefront", "production", &staged, &tools).unwrap();
    let router = hands.router.as_deref().unwrap();
    if !matches!(story, Story::Rollout | Story::Hooked | Story::Canary) {
        deploy(&world, &tools.http, "green", NEW).await;
    }
    if story == Story::Rollback {
        super::faulty::move_traffic(router, 100).await;
    }
    if story == Story::Resumed {
        super::faulty::move_traffic(router, SHARE as u8).await;
    }
    put_faults_between(&mut stage, &orders, story);
    if story == Story::Hooked {
        stage.hooks = hooked(&orders, http);
    }

    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    stage.ledger = Ledger::open(ledger.clone(), note()).unwrap();

    let ending = tell(story, &stage, &staged).await;
    let happened = orders.happened();
    let weight = u64::from(router.read().await.unwrap().split.second.percent());
    let served = served(&world, &tools.http).await;
    let said = said.lock().unwrap().clone();
    Outcome {
        ending,
        progress: Ledger::read(&ledger).unwrap().progress,
        weight,
        served,
        happened,
        said,
    }
}

fn environment(story: Story) -> Environment {
    let vault = Vault::default();
    let text = match story {
        Story::Canary | Story::Resumed => {
            let (before, rest) = CONFIG.split_once("strategy: ").unwrap();
            let (_, after) = rest.split_once('\n').unwrap();
            // A share takes two hundred answers, and a busy machine its time for some of them.
            let after = after.replace("prober: { rate: 50,", "prober: { rate: 5,");
            let after = after.replace("within: 2s", "within: 6s");
            &format!("{before}strategy: {CANARY}\n{after}")
        }
        _ => CONFIG,
    };
    let config = file::read(text, &cast::schema(), &|_| None, &vault).unwrap();
    config.file.environments["production"].clone()
}

fn url_of(relay: &Relay) -> HttpUrl {
    relay.url.as_str().parse().unwrap()
}

fn tools(orders: &Orders, said: &Arc<Mutex<Vec<String>>>, http: &Http) -> Tools {
    let (hearing, said) = (orders.clone(), Arc::clone(said));
    Tools {
        agent: None,
        http: http.clone(),
        directory: "/".into(),
        vault: Vault::default(),
        engine: Engine::default(),
        say: Arc::new(move |event| {
            hearing.hear(&event);
            if !matches!(event, Event::Working { .. } | Event::Learned(_)) {
                said.lock().unwrap().push(format!("{event:?}"));
            }
        }),
        cancelled: orders.1.clone(),
    }
}

fn put_faults_between(stage: &mut Stage, orders: &Orders, story: Story) {
    let router = stage.router.take().unwrap();
    stage.router = Some(Box::new(FaultyRouter(router, orders.clone())));
    let target = stage.target.take().unwrap();
    stage.target = Some(Box::new(FaultyTarget(target, orders.clone())));
    let between = |checks: &mut Vec<Check>, call| {
        let faulty = checks.drain(..).map(|check| Check {
            kind: check.kind,
            probe: Box::new(FaultyProbe(check.probe, orders.clone(), call)),
            patience: check.patience,
        });
        let faulty: Vec<_> = faulty.collect();
        checks.extend(faulty);
    };
    between(&mut stage.smoke, Call::Smoke);
    let is_canary = matches!(story, Story::Canary | Story::Resumed);
    let watch = if is_canary { Call::Step } else { Call::Watch };
    between(&mut stage.health, watch);
    let faulty = Named {
        kind: "prober".to_owned(),
        source: Box::new(FaultySource(orders.clone())),
    };
    stage.gauges = Gauges::new(vec![faulty], &[]).unwrap();
}

fn hooked(orders: &Orders, http: &Http) -> Hooks {
    let with = hooks::Tools {
        http: http.clone(),
        directory: "/".into(),
        vault: Vault::default(),
        hosts: Hosts::default(),
    };
    let block = serde_json::json!({ "kind": "command", "run": "true" });
    let block: Block = serde_json::from_value(block).unwrap();
    let one = |moment: Moment| Hook {
        moment,
        name: "ordered".to_owned(),
        required: true,
        migration: Migration::None,
        does: Box::new(FaultyHook(
            build(hooks::KINDS, &block, &with).unwrap(),
            orders.clone(),
        )),
    };
    let moments = Moment::ALL.into_iter().filter(|it| !it.is_the_end());
    Hooks::new(moments.map(one).collect())
}

fn note() -> Note {
    Note {
        schema_version: SCHEMA_VERSION,
        mode: "rollout".to_owned(),
        config: ".github/cutover.yml".to_owned(),
        environment: "production".to_owned(),
        progress: Progress::Begun,
        way_back: None,
        at_work: None,
        claim: None,
        left: None,
        moved_to: None,
        ended_well: false,
        is_counted: false,
        asked: None,
        owed: None,
    }
}

async fn tell(story: Story, stage: &Stage, staged: &Environment) -> Ending {
    let release = Release::new(NEW);
    let plan = match &staged.strategy {
        Strategy::BlueGreen(settings) => Told::BlueGreen(Plan {
            release,
            expect_active: None,
            migration: Migration::None,
            settings: settings.clone(),
        }),
        Strategy::Canary(settings) => Told::Canary(Box::new(canary::Plan {
            release,
            expect_active: None,
            migration: Migration::None,
            settings: (**settings).clone(),
            kept: None,
        })),
        Strategy::Rolling(_) => unreachable!("the theatre has two slots"),
    };
    let to_green = Switch {
        goal: Goal::Idle,
        weight: Weight::ALL,
        release: None,
        expect_active: None,
    };
    Saga::tell(stage, async |saga: &mut Saga<'_>| match (story, &plan) {
        (Story::Switch, _) => switch(saga, &to_green).await,
        (Story::Rollback, _) => rollback(saga, None, None).await,
        (_, Told::BlueGreen(plan)) => blue_green(saga, plan).await,
        (_, Told::Canary(plan)) => canary::canary(saga, plan).await,
    })
    .await
}

/// By which strategy a rollout is told.
enum Told {
    BlueGreen(Plan),
    Canary(Box<canary::Plan>),
}

async fn deploy(world: &World, http: &Http, slot: &str, version: &str) {
    let body = serde_json::json!({ "slot": slot, "version": version });
    let look = Look {
        method: reqwest::Method::POST,
        body: Some(body.to_string().into_bytes()),
        ..Look::at(world.deploy.clone(), Duration::from_secs(5))
    };
    assert_eq!(http.look(&look).await.unwrap().status, 200);
}

/// The release that users get; all of them the same one, or both with a `/`.
async fn served(world: &World, http: &Http) -> String {
    let mut all = Vec::new();
    for _ in 0..4 {
        let look = Look::at(world.public.clone(), Duration::from_secs(5));
        let answer = http.look(&look).await.unwrap();
        all.push(answer.header("x-release").unwrap_or("nothing").to_owned());
    }
    all.sort();
    all.dedup();
    all.join("/")
}
