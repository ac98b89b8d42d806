//! The `http` router against a service that keeps its contract to the letter.

use std::collections::HashSet;

use cutover::config::kinds::{self, Block};
use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::Http;
use cutover::routers::{KINDS, Router, RouterError, Tools};
use serde_json::{Value, json};

use super::routers_haproxy::{change, go, keeps_the_contract, split};
use crate::world::ports;
use crate::world::weights_service::{Next, Request, Service, TOKEN};

/// A router and what it drives.
struct Fixture {
    router: Box<dyn Router>,
    service: Service,
}

fn router(mut options: Value) -> Result<Box<dyn Router>, String> {
    options["kind"] = "http".into();
    let block: Block = serde_json::from_value(options).unwrap();
    let slot = |name: &str| Slot {
        name: name.to_owned(),
        url: format!("http://{name}.test").parse().unwrap(),
    };
    let tools = Tools {
        vault: cutover::platform::secret::Vault::default(),
        http: Http::default(),
        app: "shop".to_owned(),
        environment: "production".to_owned(),
        slots: Slots {
            first: slot("blue"),
            second: slot("green"),
        },
        directory: "/".into(),
    };
    kinds::build(KINDS, &block, &tools)
}

fn by_contract() -> Fixture {
    let service = Service::start();
    let router = router(json!({"url": service.url("/weights"), "token": TOKEN})).unwrap();
    Fixture { router, service }
}

fn by_template(pointer: &str, body: &str) -> Fixture {
    let service = Service::start();
    let options = json!({
        "url": service.url("/foreign/state"),
        "template": {
            "method": "POST",
            "url": service.url("/foreign/switch/{{slot}}"),
            "headers": {"X-Api-Key": "k3y"},
            "body": body,
            "read": {"pointer": pointer, "version-pointer": "/data/rev"},
        },
    });
    Fixture {
        router: router(options).unwrap(),
        service,
    }
}

#[tokio::test]
async fn the_contract_is_kept() {
    let made = by_contract();
    keeps_the_contract(made.router.as_ref()).await;
    assert_eq!(made.router.known_loss(), None);
    assert!(
        made.router
            .one_time_lines()
            .contains(r#"{"weights":{"blue":75,"green":25},"reason""#)
    );
}

#[tokio::test]
async fn the_contract_is_kept_without_an_etag_and_said_to_be_weaker() {
    let made = by_contract();
    made.service.book.lock().unwrap().etags = false;
    keeps_the_contract(made.router.as_ref()).await;
    assert!(
        made.router
            .known_loss()
            .unwrap()
            .contains("compare-and-swap")
    );
}

#[tokio::test]
async fn the_contract_is_kept_through_a_template() {
    let made = by_template("/data/percent", r#"{"green": {{weight_second}}}"#);
    keeps_the_contract(made.router.as_ref()).await;
    assert!(made.router.known_loss().is_some());
}

#[tokio::test]
async fn a_template_without_weights_switches_wholly_or_not_at_all() {
    let made = by_template("/data/live", "{}");
    go(made.router.as_ref(), 100).await;
    let from = go(made.router.as_ref(), 0).await;
    let failed = made.router.apply(&change(&from, 25)).await.unwrap_err();
    assert!(matches!(failed, RouterError::Refused(_)), "{failed}");
    assert_eq!(made.router.read().await.unwrap(), from);
}

#[tokio::test]
async fn what_is_accepted_is_waited_for() {
    let made = by_contract();
    made.service
        .book
        .lock()
        .unwrap()
        .next
        .push_back(Next::Accept(3));
    go(made.router.as_ref(), 100).await;
    let book = made.service.book.lock().unwrap();
    assert_eq!((book.applied, book.puts().len()), (42, 1));
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_before_anything_is_repeated() {
    for (lost, puts) in [
        (Next::LoseTheAnswer, 1),
        (Next::DoAndSay(504), 1),
        (Next::Lose, 2),
        (Next::Say(502), 2),
    ] {
        let made = by_contract();
        made.service.book.lock().unwrap().next.push_back(lost);
        go(made.router.as_ref(), 100).await;
        let book = made.service.book.lock().unwrap();
        let sent = book.puts();
        assert_eq!(sent.len(), puts, "{lost:?}");
        let key = |n: usize| &sent[n].headers["idempotency-key"];
        assert_eq!(key(0), key(puts - 1), "the same change has the same key");
        assert_eq!(book.version, 42, "one effect");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_twice_is_lost() {
    let made = by_contract();
    let from = made.router.read().await.unwrap();
    made.service
        .book
        .lock()
        .unwrap()
        .next
        .extend([Next::Lose, Next::Lose]);
    let lost = made.router.apply(&change(&from, 100)).await.unwrap_err();
    assert!(matches!(lost, RouterError::Lost(_)), "{lost}");
    assert_eq!(made.router.read().await.unwrap(), from);
}

#[tokio::test]
async fn another_change_has_another_key_even_from_a_state_that_came_back() {
    for etags in [true, false] {
        let made = by_contract();
        made.service.book.lock().unwrap().etags = etags;
        for percent in [100, 0, 100, 0] {
            go(made.router.as_ref(), percent).await;
        }
        let book = made.service.book.lock().unwrap();
        let key = |put: &&Request| put.headers["idempotency-key"].clone();
        let keys: HashSet<_> = book.puts().iter().map(key).collect();
        assert_eq!(keys.len(), 4);
    }
}

#[tokio::test]
async fn refusals_are_told_and_change_nothing() {
    for (status, word) in [
        (409, "locked"),
        (422, "422"),
        (428, "If-Match"),
        (403, "token"),
        (404, "404"),
    ] {
        let made = by_contract();
        let from = made.router.read().await.unwrap();
        made.service
            .book
            .lock()
            .unwrap()
            .next
            .push_back(Next::Say(status));
        let failed = made.router.apply(&change(&from, 100)).await.unwrap_err();
        assert!(matches!(failed, RouterError::Refused(_)), "{failed}");
        assert!(failed.to_string().contains(word), "{failed}");
        assert_eq!(made.router.read().await.unwrap(), from);
        assert_eq!(
            made.service.book.lock().unwrap().puts().len(),
            1,
            "it is not repeated"
        );
    }
}

#[tokio::test]
async fn a_writer_between_the_look_and_the_change_wins_but_not_over_a_restore() {
    let made = by_contract();
    let from = made.router.read().await.unwrap();
    made.service
        .book
        .lock()
        .unwrap()
        .next
        .push_back(Next::BeOvertaken);
    let failed = made.router.apply(&change(&from, 100)).await.unwrap_err();
    assert!(matches!(failed, RouterError::Conflict { .. }), "{failed}");
    assert_eq!(made.router.read().await.unwrap().split, split(77));
    made.service
        .book
        .lock()
        .unwrap()
        .next
        .push_back(Next::BeOvertaken);
    made.router.restore(&from).await.unwrap();
    assert_eq!(made.router.read().await.unwrap().split, split(0));
}

#[tokio::test]
async fn a_service_that_makes_no_sense_is_refused() {
    let made = by_contract();
    made.service.book.lock().unwrap().green = 100;
    let wrong =
        router(json!({"url": made.service.url("/weights"), "token": "another-one"})).unwrap();
    let failed = wrong.read().await.unwrap_err();
    assert!(failed.to_string().contains("401"), "{failed}");
    assert!(!failed.to_string().contains("another-one"), "{failed}");
    let foreign = router(json!({
        "url": made.service.url("/foreign/state"),
        "template": {"headers": {"X-Api-Key": "k3y"}, "body": "{{slot}}", "read": {"pointer": "/nope"}},
    }));
    let failed = foreign.unwrap().read().await.unwrap_err();
    assert!(failed.to_string().contains("/nope"), "{failed}");
}

#[tokio::test]
async fn nobody_there_is_out_of_reach() {
    let url = format!(
        "http://me:secret@127.0.0.1:{}/weights?key=secret",
        ports::free()
    );
    let router = router(json!({"url": url})).unwrap();
    let failed = router.read().await.unwrap_err();
    assert!(matches!(failed, RouterError::OutOfReach(_)), "{failed}");
    assert!(!failed.to_string().contains("secret") && !router.told().contains("secret"));
}
