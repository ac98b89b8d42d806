//! The real router, target and probes, with faults between them and the story.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cutover::hooks::{self, Hook, HookError};
use cutover::metrics::{self, Ask, BySlot, Counter, NoData, Source};
use cutover::model::arms::{Counters, Stand};
use cutover::model::metric::Unit;
use cutover::model::slot::Side;
use cutover::model::split::{Split, Weight};
use cutover::probes::{Ailment, Probe, Pulse, Subject};
use cutover::routers::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError};
use cutover::targets::{Desk, Order, Target, TargetError};
use futures_util::FutureExt as _;
use url::Url;

use super::orders::{Call, Errors, Orders};

const ROUTER: Errors<RouterError> = Errors {
    unreached: || RouterError::OutOfReach("ordered".to_owned()),
    refused: || RouterError::Refused("ordered".to_owned()),
    lost: || RouterError::Lost("ordered".to_owned()),
};

const TARGET: Errors<TargetError> = Errors {
    unreached: || TargetError::OutOfReach("ordered".to_owned()),
    refused: || TargetError::Failed {
        said: "ordered".to_owned(),
        last_words: Vec::new(),
    },
    lost: || TargetError::Failed {
        said: "the answer was lost, as ordered".to_owned(),
        last_words: Vec::new(),
    },
};

const HOOK: Errors<HookError> = Errors {
    unreached: || HookError::OutOfReach("ordered".to_owned()),
    refused: || HookError::Failed {
        said: "ordered".to_owned(),
        last_words: Vec::new(),
    },
    lost: || HookError::Failed {
        said: "the answer was lost, as ordered".to_owned(),
        last_words: Vec::new(),
    },
};

const SOURCE: Errors<NoData> = Errors {
    unreached: || NoData::out_of_reach("ordered"),
    refused: || NoData::because("ordered"),
    lost: || NoData::out_of_reach("the answer was lost, as ordered"),
};

const PROBE: Errors<Ailment> = Errors {
    unreached: ailment,
    refused: ailment,
    lost: ailment,
};

fn ailment() -> Ailment {
    Ailment {
        measured: "nothing, as ordered".to_owned(),
        wanted: "200".to_owned(),
        took: Duration::ZERO,
        silent: true,
        unseen: false,
    }
}

/// Somebody else's hands on the same router.
pub(super) async fn move_traffic(router: &dyn Router, weight: u8) {
    let from = router.read().await.unwrap();
    let second = Weight::new(weight).unwrap();
    let change = Change {
        from,
        to: Split { second },
        reason: "somebody else".to_owned(),
    };
    router.apply(&change).await.unwrap();
}

pub(super) struct FaultyRouter(pub(super) Box<dyn Router>, pub(super) Orders);

#[async_trait]
impl Router for FaultyRouter {
    fn told(&self) -> String {
        self.0.told()
    }

    fn known_loss(&self) -> Option<String> {
        self.0.known_loss()
    }

    fn one_time_lines(&self) -> String {
        self.0.one_time_lines()
    }

    fn counting(&self) -> Counting<'_> {
        self.0.counting()
    }

    async fn in_flight(&self, slot: Side) -> InFlight {
        self.0.in_flight(slot).await
    }

    async fn read(&self) -> Result<Reading, RouterError> {
        // On the way back the order for the beginning means nothing, and the other way around.
        let call = if self.1.is_unwinding() {
            Call::ReadBack
        } else {
            Call::Read
        };
        let other = async |weight| move_traffic(&*self.0, weight).await;
        self.1.call(call, || self.0.read(), other, ROUTER).await
    }

    async fn prepare(&self, change: &Change) -> Result<(), RouterError> {
        let other = async |weight| move_traffic(&*self.0, weight).await;
        let act = || self.0.prepare(change);
        self.1.call(Call::Prepare, act, other, ROUTER).await
    }

    async fn apply(&self, change: &Change) -> Result<(), RouterError> {
        // What another run has left is put back by a write like any other.
        let call = if self.1.is_unwinding() {
            Call::Restore
        } else {
            Call::Apply
        };
        let other = async |weight| move_traffic(&*self.0, weight).await;
        let act = || self.0.apply(change);
        self.1.call(call, act, other, ROUTER).await
    }

    async fn confirm(&self, split: Split) -> Result<Confirmed, RouterError> {
        let other = async |weight| move_traffic(&*self.0, weight).await;
        let act = || self.0.confirm(split);
        self.1.call(Call::Confirm, act, other, ROUTER).await
    }

    async fn restore(&self, saved: &Reading) -> Result<(), RouterError> {
        let other = async |weight| move_traffic(&*self.0, weight).await;
        let act = || self.0.restore(saved);
        self.1.call(Call::Restore, act, other, ROUTER).await
    }
}

pub(super) struct FaultyTarget(pub(super) Box<dyn Target>, pub(super) Orders);

#[async_trait]
impl Target for FaultyTarget {
    fn told(&self) -> String {
        self.0.told()
    }

    fn ends_what_it_begins(&self) -> bool {
        self.0.ends_what_it_begins()
    }

    async fn prepare(&self, order: &Order) -> Result<(), TargetError> {
        self.0.prepare(order).await
    }

    async fn deploy(&self, order: &Order, desk: &Desk<'_>) -> Result<String, TargetError> {
        let act = || self.0.deploy(order, desk);
        let nobody = async |_| {};
        self.1.call(Call::Deploy, act, nobody, TARGET).await
    }
}

pub(super) struct FaultyHook(pub(super) Box<dyn Hook>, pub(super) Orders);

#[async_trait]
impl Hook for FaultyHook {
    fn told(&self) -> String {
        self.0.told()
    }

    fn timeout(&self) -> Duration {
        self.0.timeout()
    }

    async fn run(&self, call: &hooks::Call, desk: &hooks::Desk<'_>) -> Result<String, HookError> {
        let act = || self.0.run(call, desk);
        self.1.call(Call::Hook, act, async |_| {}, HOOK).await
    }
}

/// A source that counts a thousand more good requests of each slot at every look: what is judged here
/// is the way back, and not the release.
pub(super) struct FaultySource(pub(super) Orders);

#[async_trait]
impl Source for FaultySource {
    fn told(&self) -> String {
        "a counter".to_owned()
    }

    fn metrics(&self) -> Vec<(String, Unit)> {
        Vec::new()
    }

    fn longest(&self) -> Option<Duration> {
        None
    }

    fn follows_the_address(&self) -> bool {
        false
    }

    fn by_slot(&self, _: Side) -> BySlot<'_> {
        BySlot::Counted(Box::new(FaultyCounter {
            orders: self.0.clone(),
            looks: AtomicU32::new(0),
        }))
    }

    async fn read(&self, asks: &[Ask], _: &Url) -> Vec<Result<metrics::Reading, NoData>> {
        let nothing = |_| Err(NoData::because("it only counts"));
        asks.iter().map(nothing).collect()
    }
}

struct FaultyCounter {
    orders: Orders,
    looks: AtomicU32,
}

impl FaultyCounter {
    fn stand(&self) -> Stand {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed);
        let counted = Counters {
            requests: f64::from(looks) * 1000.0,
            ..Counters::default()
        };
        Stand {
            at: i64::from(looks) * 100,
            first: counted.clone(),
            second: counted,
        }
    }
}

#[async_trait]
impl Counter for FaultyCounter {
    async fn now(&self) -> Result<Stand, NoData> {
        let orders = &self.orders;
        let count = || async { Ok(self.stand()) }.boxed();
        let look = || orders.call(Call::Look, count, async |_| {}, SOURCE).boxed();
        orders.call(Call::Count, look, async |_| {}, SOURCE).await
    }

    async fn before(&self, _: Duration, _: Duration) -> Result<Vec<Stand>, NoData> {
        Ok(Vec::new())
    }
}

pub(super) struct FaultyProbe(
    pub(super) Box<dyn Probe>,
    pub(super) Orders,
    pub(super) Call,
);

#[async_trait]
impl Probe for FaultyProbe {
    fn told(&self) -> String {
        self.0.told()
    }

    async fn look(&self, at: &Subject) -> Result<Pulse, Ailment> {
        let nobody = async |_| {};
        self.1.call(self.2, || self.0.look(at), nobody, PROBE).await
    }
}
