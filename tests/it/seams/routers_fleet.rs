//! The `fleet` router over real HAProxies: its fixture for the contract, and what is its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cutover::routers::{Router, RouterError};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, Winners, change, moved, routed, split};
use super::routers_haproxy::{OnHaProxy, by_map, by_map_without_its_file, by_weights, tools_at};
use crate::world::haproxy_relay::{Fate, Relay};
use crate::world::patience::within;

pub(super) fn plugs() -> Vec<Plug> {
    vec![Plug {
        kind: "fleet",
        form: "two HAProxies, one by map and one by weights",
        set_up: || {
            Box::pin(async {
                let nodes = [by_map(), by_weights()];
                Box::new(OnFleet { nodes }) as Box<dyn Fixture>
            })
        },
    }]
}

struct OnFleet {
    nodes: [OnHaProxy; 2],
}

impl OnFleet {
    fn block(&self) -> Value {
        let [lb1, lb2] = self.nodes.each_ref().map(OnHaProxy::block);
        json!({ "kind": "fleet", "nodes": { "lb1": lb1, "lb2": lb2 } })
    }

    fn made(&self, block: Value) -> Result<Box<dyn Router>, String> {
        let ground = &self.nodes[1].haproxy.ground;
        let ports = [ground.blue.port, ground.green.port];
        let urls = ports.map(|port| format!("http://127.0.0.1:{port}"));
        routed(block, &tools_at(ground.directory.path(), urls))
    }

    fn splits(&self) -> [usize; 2] {
        self.nodes.each_ref().map(|node| node.haproxy.green_of(20))
    }
}

#[async_trait]
impl Fixture for OnFleet {
    fn router(&self) -> Box<dyn Router> {
        self.made(self.block()).unwrap()
    }

    fn state(&self) -> String {
        self.nodes.each_ref().map(Fixture::state).join("\n")
    }

    fn between(&self) -> Vec<u8> {
        vec![25, 60]
    }

    fn impossible(&self) -> Option<u8> {
        None
    }

    fn of_two_writers(&self) -> Winners {
        // Each may be the first at one node; then both put back what they have.
        Winners::OneAtMost
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        let half = times / 2;
        let green: usize = self.nodes.iter().map(|it| it.haproxy.green_of(half)).sum();
        let counted = [("blue", 2 * half - green), ("green", green)];
        Some(counted.map(|(slot, n)| (slot.to_owned(), n)).into())
    }
}

#[tokio::test]
async fn nodes_that_do_not_agree_are_told_and_can_be_made_to() {
    let fleet = OnFleet {
        nodes: [by_map(), by_weights()],
    };
    let router = fleet.router();
    moved(fleet.nodes[0].router.as_ref(), split(100)).await;
    let Err(RouterError::Divergent(found)) = router.read().await else {
        panic!("it agrees: {:?}", router.read().await);
    };
    assert_eq!(found.said, "lb1: 100 % on green; lb2: 100 % on blue");
    assert!(found.repair.contains("--to blue") && found.repair.contains("--to green"));
    assert_eq!(found.splits, [split(100), split(0)]);

    // From there they go where they are sent, and the way back is where most of them were.
    let from = found.reading.unwrap();
    assert_eq!((from.split, &*from.apart), (split(100), &[split(0)][..]));
    assert!(from.moves_to(split(100)) && from.moves_to(split(0)));
    let to_blue = change(&from, split(0));
    router.prepare(&to_blue).await.unwrap();
    router.apply(&to_blue).await.unwrap();
    router.confirm(split(0)).await.unwrap();
    assert_eq!(fleet.splits(), [0, 0]);
    router.restore(&from).await.unwrap();
    assert_eq!(router.read().await.unwrap().split, split(100));
    assert_eq!(fleet.splits(), [20, 20]);
}

#[tokio::test]
async fn a_node_that_was_changed_by_somebody_keeps_the_others_from_changing() {
    let fleet = OnFleet {
        nodes: [by_map(), by_weights()],
    };
    let router = fleet.router();
    let from = router.read().await.unwrap();
    moved(fleet.nodes[1].router.as_ref(), split(60)).await;
    let said = router.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(said, RouterError::Conflict { .. }), "{said}");
    assert!(said.to_string().contains("lb2: "), "{said}");
    assert_eq!(fleet.nodes[0].router.read().await.unwrap().split, split(0));
    assert_eq!(fleet.nodes[1].router.read().await.unwrap().split, split(60));
}

#[tokio::test]
async fn a_write_that_was_given_up_is_not_forgotten() {
    let fleet = OnFleet {
        nodes: [by_map_without_its_file(), by_weights()],
    };
    let (lb1, lb2) = (&fleet.nodes[0].haproxy, &fleet.nodes[1].router);
    let on_its_way = Arc::new(Mutex::new((None, false)));
    let seen = Arc::clone(&on_its_way);
    let _relay = Relay::start(
        lb1.ground.path("relay.sock"),
        lb1.ground.path("observer.sock"),
        move |line| {
            let mut seen = seen.lock().unwrap();
            if line.starts_with("commit map") && seen.0.is_none() {
                *seen = (Some(line.to_owned()), true);
            }
            if seen.1 { Fate::Hang } else { Fate::Pass }
        },
    );
    let mut block = fleet.block();
    let relay = lb1.ground.text_path("relay.sock");
    block["nodes"]["lb1"]["address"] = format!("unix:{relay}").into();
    let router = fleet.made(block).unwrap();
    let from = router.read().await.unwrap();
    let there = change(&from, split(100));
    let said = within("it is given up", router.apply(&there)).await;
    let said = said.unwrap_err();
    assert!(matches!(said, RouterError::Lost(_)), "{said}");
    assert!(said.to_string().contains("lb1: "), "{said}");
    assert_eq!(lb2.read().await.unwrap().split, split(0));

    // It answers again, as if nothing had been.
    on_its_way.lock().unwrap().1 = false;
    assert_eq!(router.read().await.unwrap().split, split(0));
    let Err(RouterError::Divergent(found)) = router.read_soon().await else {
        panic!("nobody tells: {:?}", router.read_soon().await);
    };
    assert!(found.said.contains("lb1 did not answer"), "{}", found.said);
    assert_eq!(found.reading, None);
    // Once it has gone back by a write of its own, the other one comes too late.
    router.restore(&from).await.unwrap();
    let late = on_its_way.lock().unwrap().0.take().unwrap();
    assert_ne!(lb1.cli(&late).trim(), "");
    assert_eq!(router.read_soon().await.unwrap().split, split(0));
}

#[tokio::test]
async fn a_node_that_is_wrong_does_not_hide_where_the_others_are() {
    let fleet = OnFleet {
        nodes: [by_map(), by_weights()],
    };
    let router = fleet.router();
    let haproxy = &fleet.nodes[0].haproxy;
    let map = haproxy.ground.text_path("w.map");
    haproxy.cli(&format!("set map {map} green_weight 30"));
    moved(fleet.nodes[1].router.as_ref(), split(60)).await;
    let Err(RouterError::Divergent(found)) = router.read().await else {
        panic!("it agrees: {:?}", router.read().await);
    };
    assert_eq!((found.splits, found.reading), (vec![split(60)], None));
    let said = &found.said;
    assert!(
        said.starts_with("lb1: the router disagrees with itself: "),
        "{said}"
    );
    assert!(
        said.ends_with("; lb2: 40 % on blue, 60 % on green"),
        "{said}"
    );
    assert!(found.repair.starts_with("on lb1: "), "{}", found.repair);
}

#[tokio::test]
async fn what_was_saved_of_other_nodes_is_not_restored() {
    let fleet = OnFleet {
        nodes: [by_map(), by_weights()],
    };
    let saved = fleet.router().read().await.unwrap();
    let mut fewer = fleet.block();
    fewer["nodes"].as_object_mut().unwrap().remove("lb2");
    let fewer = fleet.made(fewer).unwrap();
    let said = fewer.restore(&saved).await.unwrap_err().to_string();
    assert!(said.contains("not of these nodes: lb1"), "{said}");
}

#[test]
fn wrong_options_are_named() {
    let fleet = OnFleet {
        nodes: [by_map(), by_weights()],
    };
    let wrong = |change: fn(&mut Value)| {
        let mut block = fleet.block();
        change(&mut block);
        fleet.made(block).err().unwrap()
    };
    let said = wrong(|it| it["nodes"] = json!({}));
    assert!(said.starts_with("there is nobody in it"), "{said}");
    let said = wrong(|it| it["nodes"]["lb1"] = json!({ "kind": "fleet", "nodes": {} }));
    assert_eq!(said, "nodes.lb1: a fleet has no fleets in it");
    let said = wrong(|it| {
        let each = json!({ "kind": "nginx", "include": "/x", "generation-url": "http://lb/x" });
        *it = json!({ "kind": "fleet", "hosts": ["lb1", "lb2"], "each": each });
    });
    assert!(said.starts_with("each.generation-url: "), "{said}");
    let said = wrong(|it| it["nodes"]["lb2"]["address"] = json!("nope"));
    assert!(said.starts_with("nodes.lb2"), "{said}");
}
