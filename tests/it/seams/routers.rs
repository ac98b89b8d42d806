//! What every router promises, asked of every kind in the table.
//!
//! A kind plugs in a [`Plug`] that sets one up with all traffic on the first slot. The suite
//! changes it through the trait only, and looks at it past the trait: at its raw state, and at
//! who answers where there is somebody to ask.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cutover::config::kinds::{Block, build};
use cutover::model::slot::Side;
use cutover::model::split::{Split, Weight};
use cutover::routers::{Change, Counting, InFlight, KINDS, Reading, Router, RouterError, Tools};
use futures_util::future::BoxFuture;

use crate::world::patience::in_the_end;

/// A router of one kind, set up and running, with all traffic on the first slot.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// A router for it; another one each time, as two runs would have.
    fn router(&self) -> Box<dyn Router>;

    /// Its state as the proxy has it, byte for byte, read past the router; without what counts
    /// the changes or the time.
    fn state(&self) -> String;

    /// Weights between 0 and 100 that it can have.
    fn between(&self) -> Vec<u8>;

    /// A weight that it cannot have, if there is one.
    fn impossible(&self) -> Option<u8>;

    /// How many of two who write at the same moment can win.
    fn of_two_writers(&self) -> Winners {
        Winners::One
    }

    /// Who answers so many requests, each on a new connection, by slot; `None` where there is
    /// nobody to ask.
    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>>;
}

/// Who wins, of two who change the same state at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Winners {
    /// One, and the other is told.
    One,
    /// One, or neither: each may see the other coming and give way.
    OneAtMost,
    /// Both may, where there is no compare-and-swap. The router has to say that it is so.
    OneOrBoth,
}

/// How the suite gets a kind in one of its forms.
pub(crate) struct Plug {
    pub(crate) kind: &'static str,
    pub(crate) form: &'static str,
    pub(crate) set_up: fn() -> BoxFuture<'static, Box<dyn Fixture>>,
}

fn plugs() -> Vec<Plug> {
    let mut plugs = super::routers_nginx::plugs();
    plugs.extend(super::routers_caddy::plugs());
    plugs.extend(super::routers_pointer::plugs());
    plugs.extend(super::routers_haproxy::plugs());
    plugs.extend(super::routers_http::plugs());
    plugs.extend(super::routers_traefik::plugs());
    plugs.extend(super::routers_envoy::plugs());
    plugs.extend(super::routers_fleet::plugs());
    plugs.extend(super::routers_on_host::plugs());
    plugs
}

/// Builds a router from a block of the config, as the program does.
pub(crate) fn routed(block: serde_json::Value, tools: &Tools) -> Result<Box<dyn Router>, String> {
    let block: Block = serde_json::from_value(block).unwrap();
    build(KINDS, &block, tools)
}

pub(crate) fn split(percent: u8) -> Split {
    Split {
        second: Weight::new(percent).unwrap(),
    }
}

pub(crate) fn change(from: &Reading, to: Split) -> Change {
    Change {
        from: from.clone(),
        to,
        reason: "a test".to_owned(),
    }
}

/// Reads, prepares, applies and confirms, as a rollout does.
pub(crate) async fn moved(router: &dyn Router, to: Split) -> Reading {
    let from = router.read().await.unwrap();
    let change = change(&from, to);
    router.prepare(&change).await.unwrap();
    router.apply(&change).await.unwrap();
    router.confirm(to).await.unwrap();
    let after = router.read().await.unwrap();
    assert_eq!(after.split, to);
    after
}

async fn each(promise: impl AsyncFn(&dyn Fixture)) {
    for Plug { kind, form, set_up } in plugs() {
        println!("{kind} ({form})");
        let fixture = set_up().await;
        in_the_end(kind, promise(fixture.as_ref())).await;
    }
}

/// Every split that it can have, beginning and ending with the first slot's.
fn ladder(fixture: &dyn Fixture) -> Vec<Split> {
    let mut ladder: Vec<u8> = fixture.between();
    ladder.extend([100, 0]);
    ladder.into_iter().map(split).collect()
}

#[test]
fn every_kind_is_plugged_in() {
    let plugs = plugs();
    for kind in KINDS {
        let plugged = plugs.iter().any(|plug| plug.kind == kind.name);
        assert!(plugged, "{} has no fixture in this suite", kind.name);
    }
}

#[tokio::test]
async fn a_router_reads_how_it_was_set_up() {
    each(async |fixture| {
        let router = fixture.router();
        let first = router.read().await.unwrap();
        assert_eq!(first.split, Split::all_to(Side::First));
        assert_eq!(router.read().await.unwrap(), first);
        router.confirm(first.split).await.unwrap();
        assert!(!router.told().is_empty() && !router.one_time_lines().is_empty());
        match router.counting() {
            Counting::By(tally) => assert!(!tally.told().is_empty()),
            Counting::Not(why) => assert!(!why.is_empty() && !why.contains('\n')),
        }
        for slot in [Side::First, Side::Second] {
            match router.in_flight(slot).await {
                InFlight::Requests(_) => {}
                InFlight::NotCounted(why) => assert!(!why.is_empty() && !why.contains('\n')),
                InFlight::Unknown(said) => panic!("{}: {said}", router.told()),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_is_in_force_and_traffic_follows() {
    each(async |fixture| {
        let router = fixture.router();
        let mut revision = router.read().await.unwrap().revision;
        for to in ladder(fixture) {
            let after = moved(router.as_ref(), to).await;
            assert_ne!(after.revision, revision, "the revision tells of the change");
            revision = after.revision;
            let Some(answers) = fixture.answers(if to.is_whole() { 20 } else { 500 }).await else {
                continue;
            };
            let green = answers.get("green").copied().unwrap_or(0);
            let total: usize = answers.values().sum();
            println!("{} answers of {total} from green at {}", green, to.second);
            if to.is_whole() {
                assert_eq!(green, total * usize::from(to.second.percent()) / 100);
            } else {
                // More than four standard deviations either way.
                let share = 100.0 * green as f64 / total as f64;
                let off = (share - f64::from(to.second.percent())).abs();
                assert!(off < 10.0, "{share} % at {}", to.second);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_made_twice_is_harmless() {
    each(async |fixture| {
        let router = fixture.router();
        let change = change(&router.read().await.unwrap(), split(100));
        router.apply(&change).await.unwrap();
        let again = router.apply(&change).await;
        assert!(
            matches!(again, Ok(()) | Err(RouterError::Conflict { .. })),
            "{again:?}"
        );
        router.confirm(split(100)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_to_what_is_there_already_is_none() {
    each(async |fixture| {
        let router = fixture.router();
        let before = fixture.state();
        let change = change(&router.read().await.unwrap(), split(0));
        router.prepare(&change).await.unwrap();
        router.apply(&change).await.unwrap();
        assert_eq!(fixture.state(), before);
    })
    .await;
}

#[tokio::test]
async fn a_change_from_an_old_reading_is_refused_and_changes_nothing() {
    each(async |fixture| {
        let (router, other) = (fixture.router(), fixture.router());
        let stale = router.read().await.unwrap();
        moved(other.as_ref(), split(100)).await;
        let before = fixture.state();
        for to in ladder(fixture) {
            let refused = router.apply(&change(&stale, to)).await;
            assert!(
                matches!(refused, Err(RouterError::Conflict { .. })),
                "{refused:?}"
            );
            assert_eq!(fixture.state(), before);
        }
        router.confirm(split(100)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins_and_the_other_is_told() {
    each(async |fixture| {
        let (one, other) = (fixture.router(), fixture.router());
        let from = one.read().await.unwrap();
        let change = change(&from, split(100));
        let (a, b) = futures_util::join!(one.apply(&change), other.apply(&change));
        let won = [&a, &b].iter().filter(|outcome| outcome.is_ok()).count();
        let winners = fixture.of_two_writers();
        let can_be = match winners {
            Winners::One => 1..=1,
            Winners::OneAtMost => 0..=1,
            Winners::OneOrBoth => 1..=2,
        };
        assert!(can_be.contains(&won), "{a:?} {b:?}");
        for outcome in [a, b] {
            assert!(
                matches!(outcome, Ok(()) | Err(RouterError::Conflict { .. })),
                "{outcome:?}"
            );
        }
        if winners == Winners::OneOrBoth {
            let loss = one.known_loss().unwrap();
            assert!(loss.contains("compare-and-swap"), "{loss}");
        }
        if won == 0 {
            // Nothing happened, and nothing is left that stands in the way of another try.
            assert_eq!(one.read().await.unwrap(), from);
            moved(other.as_ref(), split(100)).await;
        }
        one.confirm(split(100)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn restore_puts_the_saved_state_back_from_any_other() {
    each(async |fixture| {
        let router = fixture.router();
        let divided = fixture.between().first().copied().unwrap_or(100);
        for kept in [split(divided), split(0)] {
            if router.read().await.unwrap().split != kept {
                moved(router.as_ref(), kept).await;
            }
            let saved = router.read().await.unwrap();
            let raw = fixture.state();
            for there in ladder(fixture) {
                if router.read().await.unwrap().split != there {
                    moved(router.as_ref(), there).await;
                }
                // Another run, which has nothing but what was written down.
                let restorer = fixture.router();
                restorer.restore(&saved).await.unwrap();
                restorer.restore(&saved).await.unwrap();
                restorer.confirm(kept).await.unwrap();
                let after = router.read().await.unwrap();
                assert_eq!((after.split, &after.saved), (kept, &saved.saved));
                assert_eq!(fixture.state(), raw);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn prepare_changes_nothing() {
    each(async |fixture| {
        let router = fixture.router();
        let (before, from) = (fixture.state(), router.read().await.unwrap());
        for to in ladder(fixture) {
            router.prepare(&change(&from, to)).await.unwrap();
        }
        if let Some(impossible) = fixture.impossible() {
            let to = change(&from, split(impossible));
            let refused = router.prepare(&to).await.unwrap_err();
            assert!(matches!(refused, RouterError::Refused(_)), "{refused:?}");
            assert!(router.apply(&to).await.is_err(), "nor does apply make it");
        }
        assert_eq!(fixture.state(), before);
        assert_eq!(router.read().await.unwrap(), from);
    })
    .await;
}

#[tokio::test]
async fn confirm_does_not_say_yes_to_what_is_not_in_force() {
    each(async |fixture| {
        let router = fixture.router();
        assert!(router.confirm(split(100)).await.is_err());
        moved(router.as_ref(), split(100)).await;
        assert!(router.confirm(split(0)).await.is_err());
    })
    .await;
}
