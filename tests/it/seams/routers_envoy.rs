//! Envoy: its fixture for the contract, its options, and what goes wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use async_trait::async_trait;
use cutover::routers::{Confirmed, Router, RouterError};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, change, moved, routed, split};
use super::routers_traefik::{ladder_under_load, rename_over, tools};
use crate::world::nginx::Nginx;
use crate::world::shop::slots;
use crate::world::watchers::{Place, Watching, tool};

pub(super) fn plugs() -> Vec<Plug> {
    vec![Plug {
        kind: "envoy",
        form: "RDS",
        set_up: || Box::pin(async { Box::new(OnEnvoy::running()) as Box<dyn Fixture> }),
    }]
}

/// A router on a real Envoy that was configured with the lines it prints.
pub(super) struct OnEnvoy {
    pub(super) slots: Nginx,
    pub(super) envoy: Watching,
    pub(super) block: Value,
}

impl OnEnvoy {
    pub(super) fn running() -> Self {
        let (slots, place) = (slots(), Place::new());
        let block = json!({
            "kind": "envoy", "file": "watched/live.json", "admin": place.admin_url(),
        });
        let lines = routed(block.clone(), &tools(&place, &slots)).unwrap();
        Self {
            envoy: place.envoy(&lines.one_time_lines()),
            slots,
            block,
        }
    }

    /// Somebody else's file, over ours.
    fn rename_over(&self, from: &str, to: &str) {
        rename_over(&self.envoy.place.path("watched/live.json"), from, to);
    }
}

#[async_trait]
impl Fixture for OnEnvoy {
    fn router(&self) -> Box<dyn Router> {
        routed(self.block.clone(), &tools(&self.envoy.place, &self.slots)).unwrap()
    }

    fn state(&self) -> String {
        fs::read_to_string(self.envoy.place.path("watched/live.json")).unwrap()
    }

    fn between(&self) -> Vec<u8> {
        vec![10, 25, 50, 75]
    }

    fn impossible(&self) -> Option<u8> {
        None
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        Some(self.envoy.answers(times).await)
    }
}

#[tokio::test]
async fn a_change_is_confirmed_by_its_version() {
    let on = OnEnvoy::running();
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    let confirmed = router.confirm(split(25)).await.unwrap();
    let Confirmed::ByState(said) = confirmed else {
        unreachable!("the workers are not asked: {confirmed:?}");
    };
    assert!(said.starts_with("Envoy has version cutover-1-"), "{said}");
    assert!(said.ends_with(": blue 75, green 25"), "{said}");
    assert_eq!(on.router().known_loss(), None);
}

#[tokio::test]
async fn no_request_is_lost_on_the_ladder_and_back() {
    let on = OnEnvoy::running();
    ladder_under_load(on.router().as_ref(), &on.envoy).await;
}

#[tokio::test]
async fn routes_of_the_user_stay_and_move_along() {
    let on = OnEnvoy::running();
    let api = "{ \"match\": { \"prefix\": \"/api\" }, \"route\": { \"timeout\": \"3s\", \"weighted_clusters\": \
               { \"clusters\": [ { \"name\": \"green\", \"weight\": 0 }, { \"name\": \"blue\", \"weight\": 100 } ] } } },";
    on.rename_over("\"routes\": [", &format!("\"routes\": [ {api}"));
    let router = on.router();
    moved(router.as_ref(), split(100)).await;
    let state = on.state();
    assert!(state.contains("\"timeout\": \"3s\""), "{state}");
    assert_eq!(state.matches("\"weight\": 100").count(), 2, "{state}");
    assert_eq!(on.envoy.answers(20).await.get("green"), Some(&20));
}

#[tokio::test]
async fn a_file_that_envoy_refuses_is_taken_back() {
    let on = OnEnvoy::running();
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    // Written in place, so Envoy does not look yet; our change would carry what is wrong in it.
    let broken = on.state().replace("\"prefix\": \"/\"", "\"prefix\": 7");
    fs::write(on.envoy.place.path("watched/live.json"), &broken).unwrap();
    let to = change(&router.read().await.unwrap(), split(100));
    router.prepare(&to).await.unwrap();
    let refused = router.apply(&to).await.unwrap_err();
    println!("{refused}");
    assert!(
        matches!(&refused, RouterError::NotTaken(said) if said.contains("it refused the file")),
        "{refused:?}"
    );
    assert_eq!(on.state(), broken, "the file is what it was before");
    router.confirm(split(25)).await.unwrap();
    let green = on.envoy.answers(400).await.get("green").copied();
    assert!((50..=150).contains(&green.unwrap_or(0)), "{green:?}");
}

#[tokio::test]
async fn an_envoy_that_does_not_watch_is_drift() {
    let on = OnEnvoy::running();
    let router = on.router();
    let saved = router.read().await.unwrap();
    // Written in place, which Envoy does not see.
    let changed = on.state().replace("\"0\"", "\"by hand\"");
    fs::write(on.envoy.place.path("watched/live.json"), changed).unwrap();
    let RouterError::Drifted { said, repair } = router.read().await.unwrap_err() else {
        unreachable!("the file and Envoy differ");
    };
    assert!(said.contains("it has version \"0\""), "{said}");
    super::routers_traefik::run(&repair);
    assert_eq!(router.read().await.unwrap().split, saved.split);
    router.restore(&saved).await.unwrap();
    assert_eq!(router.read().await.unwrap(), saved);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_gets_no_traffic() {
    let on = OnEnvoy::running();
    on.rename_over("\"green\"", "\"pink\"");
    let mut block = on.block.clone();
    block["clusters"] = json!({ "green": "pink" });
    let router = routed(block, &tools(&on.envoy.place, &on.slots)).unwrap();
    let from = router.read().await.unwrap();
    let refused = router.prepare(&change(&from, split(10))).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("no cluster pink")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_admin_interface_that_is_gone_is_out_of_reach_and_the_file_stays() {
    let on = OnEnvoy::running();
    let from = on.router().read().await.unwrap();
    let mut block = on.block.clone();
    block["admin"] = "http://127.0.0.1:1".into();
    let router = routed(block, &tools(&on.envoy.place, &on.slots)).unwrap();
    let before = on.state();
    for failed in [
        router.read().await.unwrap_err(),
        router.apply(&change(&from, split(100))).await.unwrap_err(),
    ] {
        assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed:?}");
    }
    assert_eq!(on.state(), before);
    assert_eq!(on.envoy.answers(20).await.get("blue"), Some(&20));
}

#[test]
fn wrong_options_are_told() {
    let (slots, place) = (slots(), Place::new());
    for (block, word) in [
        (json!({ "file": "live.yaml" }), "does not end with .json"),
        (json!({ "route": "a b" }), "route: \"a b\""),
        (json!({ "clusters": { "red": "r" } }), "no slot \"red\""),
        (
            json!({ "clusters": { "green": "blue" } }),
            "both slots are blue",
        ),
        (json!({ "nope": 1 }), "nope"),
    ] {
        let mut full = json!({ "kind": "envoy", "file": "l.json", "admin": "http://e:9901" });
        for (key, value) in block.as_object().unwrap() {
            full[key] = value.clone();
        }
        let said = routed(full, &tools(&place, &slots)).err().unwrap();
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn envoy_accepts_the_lines_for_slots_behind_tls() {
    let (slots, place) = (slots(), Place::new());
    let mut tools = tools(&place, &slots);
    tools.slots.first.url = "https://localhost:8443/x".parse().unwrap();
    tools.slots.second.url = "https://[::1]".parse().unwrap();
    let block = json!({ "kind": "envoy", "file": "watched/live.json", "admin": "http://e:9901" });
    let lines = routed(block, &tools).unwrap().one_time_lines();
    fs::write(place.path("envoy.yaml"), place.bootstrap(&lines)).unwrap();
    // Envoy does not start where the file is not yet there.
    fs::write(place.path("watched/live.json"), "{}").unwrap();
    let checked = Command::new(tool("envoy"))
        .args(["--mode", "validate", "--use-dynamic-base-id", "-c"])
        .arg(place.path("envoy.yaml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{lines}\n{said}");
}
