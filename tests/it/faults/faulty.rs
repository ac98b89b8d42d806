//! The real router, target and probes, with faults between them and the story.

use std::time::Duration;

use async_trait::async_trait;
use cutover::model::slot::Side;
use cutover::model::split::{Split, Weight};
use cutover::probes::{Ailment, Probe, Pulse, Subject};
use cutover::routers::{Change, Confirmed, Counting, InFlight, Reading, Router, RouterError};
use cutover::targets::{Desk, Order, Target, TargetError};

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
        let other = async |weight| move_traffic(&*self.0, weight).await;
        let act = || self.0.apply(change);
        self.1.call(Call::Apply, act, other, ROUTER).await
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
