//! Traefik: its fixture for the contract, its options, and what goes wrong with it.

use std::collections::BTreeMap;
use std::fs;

use async_trait::async_trait;
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::routers::{Confirmed, Router, RouterError, Tools};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, change, moved, routed, split};
use crate::world::watchers::{Place, Watching};

pub(super) fn plugs() -> Vec<Plug> {
    vec![Plug {
        kind: "traefik",
        form: "with its API",
        set_up: || Box::pin(async { Box::new(OnTraefik::asked()) as Box<dyn Fixture> }),
    }]
}

/// A router on a real Traefik that was configured with the lines it prints.
pub(super) struct OnTraefik {
    pub(super) traefik: Watching,
    pub(super) block: Value,
}

pub(super) fn tools(place: &Place) -> Tools {
    Tools {
        vault: Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "test".to_owned(),
        slots: place.slots(),
        directory: place.directory().to_owned(),
    }
}

impl OnTraefik {
    /// One whose API is asked, and that holds nothing back.
    pub(super) fn asked() -> Self {
        Self::throttled("0s")
    }

    pub(super) fn throttled(throttle: &str) -> Self {
        let place = Place::new();
        let block = json!({
            "kind": "traefik", "file": "watched/live.yml", "api": place.admin_url(),
        });
        let lines = routed(block.clone(), &tools(&place))
            .unwrap()
            .one_time_lines();
        Self {
            traefik: place.traefik(&lines, throttle),
            block,
        }
    }
}

#[async_trait]
impl Fixture for OnTraefik {
    fn router(&self) -> Box<dyn Router> {
        routed(self.block.clone(), &tools(&self.traefik.place)).unwrap()
    }

    fn state(&self) -> String {
        fs::read_to_string(self.traefik.place.path("watched/live.yml")).unwrap()
    }

    fn between(&self) -> Vec<u8> {
        vec![10, 25, 50, 75]
    }

    fn impossible(&self) -> Option<u8> {
        None
    }

    async fn answers(&self, times: usize) -> Option<BTreeMap<String, usize>> {
        Some(self.traefik.answers(times).await)
    }
}

#[tokio::test]
async fn a_change_is_confirmed_by_the_running_traefik() {
    let on = OnTraefik::asked();
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    let confirmed = router.confirm(split(25)).await.unwrap();
    let said = "Traefik has blue 75, green 25".to_owned();
    assert_eq!(confirmed, Confirmed::ByDataPlane(said));
    assert_eq!(router.known_loss(), None);
    let _ = change;
    let _ = RouterError::OutOfReach(String::new());
}
