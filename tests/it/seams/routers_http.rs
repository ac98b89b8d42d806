//! The `http` router against a service that keeps its contract to the letter.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use cutover::model::slot::{Slot, Slots};
use cutover::platform::http::Http;
use cutover::routers::{Router, RouterError, Tools};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::routers::{Fixture, Plug, Winners, change, moved, routed, split};
use crate::world::ports;
use crate::world::weights_service::{Next, Request, Service, TOKEN};

pub(super) fn plugs() -> Vec<Plug> {
    fn plug(form: &'static str, set_up: fn() -> BoxFuture<'static, Box<dyn Fixture>>) -> Plug {
        let kind = "http";
        Plug { kind, form, set_up }
    }
    vec![
        plug("contract", || Box::pin(async { boxed(by_contract()) })),
        plug("contract without an ETag", || {
            Box::pin(async { boxed(without_an_etag()) })
        }),
        plug("template", || Box::pin(async { boxed(by_weight()) })),
        plug("template with names", || {
            Box::pin(async { boxed(by_name()) })
        }),
    ]
}

fn boxed(made: OnService) -> Box<dyn Fixture> {
    Box::new(made)
}

/// A router and the service that it drives.
struct OnService {
    router: Box<dyn Router>,
    service: Service,
    options: Value,
    /// Whether it can have more than all or nothing.
    divides: bool,
}

#[async_trait]
impl Fixture for OnService {
    fn router(&self) -> Box<dyn Router> {
        router(self.options.clone()).unwrap()
    }

    fn state(&self) -> String {
        let book = self.service.book.lock().unwrap();
        let in_force = book.applied == book.version;
        format!("green {}, in force: {in_force}", book.green)
    }

    fn between(&self) -> Vec<u8> {
        if self.divides { vec![25, 60] } else { vec![] }
    }

    fn impossible(&self) -> Option<u8> {
        (!self.divides).then_some(25)
    }

    fn of_two_writers(&self) -> Winners {
        let by_contract = self.options.get("template").is_none();
        if by_contract && self.service.book.lock().unwrap().etags {
            Winners::One
        } else {
            Winners::OneOrBoth
        }
    }

    async fn answers(&self, _: usize) -> Option<BTreeMap<String, usize>> {
        None
    }
}

fn router(mut options: Value) -> Result<Box<dyn Router>, String> {
    options["kind"] = "http".into();
    let slot = |name: &str| Slot {
        name: name.to_owned(),
        url: format!("http://{name}.test").parse().unwrap(),
    };
    let tools = Tools {
        hosts: cutover::platform::host::Hosts::default(),
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
    routed(options, &tools)
}

fn on(service: Service, options: Value, divides: bool) -> OnService {
    OnService {
        router: router(options.clone()).unwrap(),
        service,
        options,
        divides,
    }
}

fn by_contract() -> OnService {
    let service = Service::start();
    let options = json!({"url": service.url("/weights"), "token": TOKEN});
    on(service, options, true)
}

fn without_an_etag() -> OnService {
    let made = by_contract();
    made.service.book.lock().unwrap().etags = false;
    made
}

fn by_template(pointer: &str, body: &str, divides: bool) -> OnService {
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
    on(service, options, divides)
}

fn by_weight() -> OnService {
    by_template("/data/percent", r#"{"green": {{weight_second}}}"#, true)
}

fn by_name() -> OnService {
    by_template("/data/live", "{}", false)
}

#[tokio::test]
async fn what_a_change_costs_is_told_after_the_first_look() {
    for (made, weaker) in [
        (by_contract(), false),
        (without_an_etag(), true),
        (by_weight(), true),
        (by_name(), true),
    ] {
        made.router.read().await.unwrap();
        let said = made.router.known_loss();
        let told = said.is_some_and(|said| said.contains("compare-and-swap"));
        assert_eq!(told, weaker);
    }
}

#[test]
fn the_contract_is_printed_with_the_names_of_the_slots() {
    let lines = by_contract().router.one_time_lines();
    let change = r#"{"weights":{"blue":75,"green":25},"reason""#;
    assert!(lines.contains(change), "{lines}");
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
    moved(made.router.as_ref(), split(100)).await;
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
        moved(made.router.as_ref(), split(100)).await;
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
    let lost = made
        .router
        .apply(&change(&from, split(100)))
        .await
        .unwrap_err();
    assert!(matches!(lost, RouterError::Lost(_)), "{lost}");
    assert_eq!(made.router.read().await.unwrap(), from);
}

#[tokio::test]
async fn another_change_has_another_key_even_from_a_state_that_came_back() {
    for etags in [true, false] {
        let made = by_contract();
        made.service.book.lock().unwrap().etags = etags;
        for percent in [100, 0, 100, 0] {
            moved(made.router.as_ref(), split(percent)).await;
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
        let failed = made
            .router
            .apply(&change(&from, split(100)))
            .await
            .unwrap_err();
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
    let failed = made
        .router
        .apply(&change(&from, split(100)))
        .await
        .unwrap_err();
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
