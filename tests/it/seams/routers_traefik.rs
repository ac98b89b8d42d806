//! Traefik: its fixture for the contract, its options, and what goes wrong with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use async_trait::async_trait;
use cutover::judge::share::{ANSWERS, fits};
use cutover::platform::http::Http;
use cutover::platform::secret::Vault;
use cutover::routers::{Confirmed, Router, RouterError, Tools};
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, change, moved, routed, split};
use crate::world::load::Load;
use crate::world::nginx::Nginx;
use crate::world::patience::{PATIENCE, until};
use crate::world::shop::slots;
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
    pub(super) slots: Nginx,
    pub(super) traefik: Watching,
    pub(super) block: Value,
}

pub(super) fn tools(place: &Place, slots: &Nginx) -> Tools {
    Tools {
        hosts: cutover::platform::host::Hosts::default(),
        vault: Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "test".to_owned(),
        slots: slots.site.slots(),
        directory: place.directory().to_owned(),
    }
}

impl OnTraefik {
    /// One whose API is asked, and that holds nothing back.
    pub(super) fn asked() -> Self {
        Self::with("0s", json!({}))
    }

    /// One that holds changes back so long, with more options.
    fn with(throttle: &str, more: Value) -> Self {
        let (slots, place) = (slots(), Place::new());
        let mut block = json!({
            "kind": "traefik", "file": "watched/live.yml", "api": place.admin_url(),
        });
        for (key, value) in more.as_object().unwrap() {
            block[key] = value.clone();
        }
        let router = routed(block.clone(), &tools(&place, &slots)).unwrap();
        Self {
            traefik: place.traefik(&router.one_time_lines(), throttle),
            slots,
            block,
        }
    }

    fn file(&self) -> PathBuf {
        self.traefik.place.path("watched/live.yml")
    }

    /// Waits until Traefik gives a slot's share to so many of 20 requests.
    async fn until_green_has(&self, many: usize) {
        let began = Instant::now();
        while self
            .traefik
            .answers(20)
            .await
            .get("green")
            .copied()
            .unwrap_or(0)
            != many
        {
            assert!(began.elapsed() < PATIENCE, "it never comes");
        }
    }
}

/// Runs a command that was printed for a person.
pub(super) fn run(command: &str) {
    let ended = Command::new("sh").args(["-c", command]).status();
    assert!(ended.unwrap().success(), "{command}");
}

/// Somebody else's file, over ours.
pub(super) fn rename_over(path: &Path, from: &str, to: &str) {
    let old = fs::read_to_string(path).unwrap();
    assert!(old.contains(from), "{from} is not in {old}");
    let beside = path.with_extension("tmp");
    fs::write(&beside, old.replace(from, to)).unwrap();
    fs::rename(&beside, path).unwrap();
}

/// Ten to all and back, with users; each step is read back from who answers 200 of them.
pub(super) async fn ladder_under_load(router: &dyn Router, proxy: &Watching) {
    let load = Load::on(proxy.place.front, 4);
    for percent in [10, 25, 50, 75, 100, 75, 50, 25, 10, 0] {
        let sent = load.sent();
        moved(router, split(percent)).await;
        let answers = proxy.answers(ANSWERS as usize).await;
        let green = answers.get("green").copied().unwrap_or(0) as u32;
        assert!(
            fits(split(percent).second, green, ANSWERS),
            "{green} of {ANSWERS} at {percent} %"
        );
        until("users are served", || load.sent() >= sent + 1000).await;
    }
    let why = load.why();
    let (sent, failed) = load.stop();
    println!("{failed} of {sent} requests failed on the ladder and back");
    assert_eq!(failed, 0, "of {sent}: {why}");
}

#[async_trait]
impl Fixture for OnTraefik {
    fn router(&self) -> Box<dyn Router> {
        routed(self.block.clone(), &tools(&self.traefik.place, &self.slots)).unwrap()
    }

    fn state(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
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
    // A router that has not yet seen how late changes are, on a busy machine, has nothing to say.
    let fresh = on.router();
    fresh.read().await.unwrap();
    assert_eq!(fresh.known_loss(), None);
}

#[tokio::test]
async fn no_request_is_lost_on_the_ladder_and_back() {
    let on = OnTraefik::asked();
    ladder_under_load(on.router().as_ref(), &on.traefik).await;
}

#[tokio::test]
async fn without_the_api_the_file_is_all_there_is_and_that_is_said() {
    let mut on = OnTraefik::asked();
    on.block.as_object_mut().unwrap().remove("api");
    let router = on.router();
    moved(router.as_ref(), split(100)).await;
    let confirmed = router.confirm(split(100)).await.unwrap();
    assert!(matches!(confirmed, Confirmed::ByState(_)), "{confirmed:?}");
    let loss = router.known_loss().unwrap();
    assert!(loss.contains("providersThrottleDuration"), "{loss}");
    on.until_green_has(20).await;
}

#[tokio::test]
async fn changes_that_are_held_back_are_waited_for_and_told() {
    let on = OnTraefik::with("2s", json!({}));
    let router = on.router();
    let saved = router.read().await.unwrap();
    moved(router.as_ref(), split(100)).await;
    router.restore(&saved).await.unwrap();
    assert_eq!(on.traefik.answers(20).await.get("blue"), Some(&20));
    let loss = router.known_loss().unwrap();
    assert!(loss.contains("providersThrottleDuration"), "{loss}");
}

#[tokio::test]
async fn a_cookie_keeps_clients_until_the_weight_is_0_and_that_is_said() {
    let on = OnTraefik::asked();
    let sticky = "\"sticky\":{\"cookie\":{\"name\":\"slot\"}}";
    rename_over(&on.file(), "}]}", &format!("}}],{sticky}}}"));
    let router = on.router();
    moved(router.as_ref(), split(100)).await;
    assert!(on.state().contains(sticky), "{}", on.state());
    let loss = router.known_loss().unwrap();
    assert!(loss.contains("until its weight is 0"), "{loss}");
    let cookie = on.traefik.header("set-cookie", None).await.unwrap();
    for (percent, slot) in [(10, "green"), (90, "green"), (0, "blue")] {
        moved(router.as_ref(), split(percent)).await;
        for _ in 0..10 {
            let kept = on.traefik.header("x-slot", Some(&cookie)).await;
            assert_eq!(kept.as_deref(), Some(slot), "at {percent} %");
        }
    }
}

#[tokio::test]
async fn a_file_that_somebody_else_changed_is_a_conflict() {
    let on = OnTraefik::asked();
    let router = on.router();
    let from = router.read().await.unwrap();
    rename_over(&on.file(), "100", "60");
    rename_over(&on.file(), ":0}", ":40}");
    let to = change(&from, split(100));
    for refused in [router.prepare(&to).await, router.apply(&to).await] {
        let Err(RouterError::Conflict { expected, found }) = refused else {
            unreachable!("{refused:?}");
        };
        assert_eq!(expected, from.revision);
        assert!(found.ends_with("(60 % on blue, 40 % on green)"), "{found}");
    }
    assert_eq!(router.read().await.unwrap().split, split(40));
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_refused_and_a_missing_one_is_out_of_reach() {
    let on = OnTraefik::asked();
    let router = on.router();
    let saved = router.read().await.unwrap();
    rename_over(&on.file(), "{\"http\":", "http: {\"x\":");
    let refused = router.read().await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("router-config")),
        "{refused:?}"
    );
    fs::remove_file(on.file()).unwrap();
    let gone = router.read().await.unwrap_err();
    assert!(
        matches!(&gone, RouterError::OutOfReach(said) if said.contains("router-config")),
        "{gone:?}"
    );
    // Until Traefik has noticed, its API still tells of what was there before.
    let began = Instant::now();
    while on.traefik.answers(1).await.contains_key("blue") {
        assert!(began.elapsed() < PATIENCE, "it is served still");
    }
    router.restore(&saved).await.unwrap();
    assert_eq!(router.read().await.unwrap(), saved);
    assert_eq!(on.traefik.answers(10).await.get("blue"), Some(&10));
}

/// Another file of the directory has the service too, and Traefik takes whichever comes first.
#[tokio::test]
async fn a_traefik_that_goes_by_something_else_is_drift_and_takes_no_change() {
    let on = OnTraefik::asked();
    let router = on.router();
    let saved = router.read().await.unwrap();
    let copy = on.traefik.place.path("watched/before.yml");
    fs::copy(on.file(), &copy).unwrap();
    let from = router.read().await.unwrap();
    let refused = router.apply(&change(&from, split(100))).await.unwrap_err();
    println!("{refused}");
    assert!(
        matches!(&refused, RouterError::NotTaken(said) if said.contains("blue 100, green 0")),
        "{refused:?}"
    );
    assert_eq!(on.state(), saved.saved);
    let blue_first = "\"blue\",\"weight\":100},{\"name\":\"green\"";
    let green_first = "\"green\",\"weight\":100},{\"name\":\"blue\"";
    rename_over(&copy, blue_first, green_first);
    on.until_green_has(20).await;
    let RouterError::Drifted { said, repair } = router.read().await.unwrap_err() else {
        unreachable!("the file and Traefik differ");
    };
    assert!(said.contains("green 100, blue 0"), "{said}");
    fs::remove_file(copy).unwrap();
    run(&repair);
    assert_eq!(router.read().await.unwrap(), saved);
}

#[tokio::test]
async fn an_api_that_is_gone_is_out_of_reach_and_the_file_stays() {
    let on = OnTraefik::asked();
    let from = on.router().read().await.unwrap();
    let mut block = on.block.clone();
    block["api"] = "http://127.0.0.1:1".into();
    let router = routed(block, &tools(&on.traefik.place, &on.slots)).unwrap();
    for failed in [
        router.read().await.unwrap_err(),
        router.apply(&change(&from, split(100))).await.unwrap_err(),
    ] {
        assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed:?}");
    }
    assert_eq!(on.state(), from.saved);
    on.until_green_has(0).await;
}

#[test]
fn wrong_options_are_told() {
    let (slots, place) = (slots(), Place::new());
    for (block, word) in [
        (
            json!({ "file": "live.toml" }),
            "does not end with .yml or .yaml",
        ),
        (json!({ "service": "shop@file" }), "names a provider"),
        (json!({ "service": "{{ .x }}" }), "service:"),
        (json!({ "services": { "red": "r" } }), "no slot \"red\""),
        (
            json!({ "services": { "blue": "green" } }),
            "both slots are green",
        ),
        (json!({ "service": "blue" }), "a name of its own"),
        (json!({ "nope": 1 }), "nope"),
    ] {
        let mut full = json!({ "kind": "traefik", "file": "live.yml" });
        for (key, value) in block.as_object().unwrap() {
            full[key] = value.clone();
        }
        let said = routed(full, &tools(&place, &slots)).err().unwrap();
        assert!(said.contains(word), "{said}");
    }
}
