//! The `caddy` router by the admin API where something is wrong: wrong places, other writers, lost
//! answers, a Caddy that is old, gone or restarted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cutover::routers::{Reading, Router, RouterError};
use serde_json::{Value, json};

use super::routers::{Fixture as _, change, moved, split};
use super::routers_caddy::OnCaddy;
use crate::world::caddy::relayed;
use crate::world::stand_in::{Asked, Reply, StandIn};

/// What happens to a change on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Caddy never hears it.
    Lost,
    /// Caddy makes it, and nobody hears of that.
    AnswerLost,
}

/// The admin API behind somebody who loses the first changes; and a router that goes through there.
async fn through(on: &OnCaddy, fates: &'static [Fate]) -> (StandIn, Box<dyn Router>) {
    let (admin, nth) = (on.caddy.site.admin, Arc::new(AtomicUsize::new(0)));
    let relay = StandIn::start(move |asked| {
        let fate = match asked.method.as_str() {
            "PATCH" => fates.get(nth.fetch_add(1, Ordering::Relaxed)),
            _ => None,
        };
        match fate {
            Some(Fate::Lost) => Reply::HangUp,
            Some(Fate::AnswerLost) => {
                relayed(admin, &asked);
                Reply::HangUp
            }
            None => relayed(admin, &asked),
        }
    })
    .await;
    let router = on.router_with("admin", &format!("http://{}", relay.address));
    (relay, router)
}

fn refusal(outcome: Result<Reading, RouterError>) -> String {
    match outcome {
        Err(RouterError::Refused(said)) => said,
        other => unreachable!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_after_and_a_lost_change_is_made_again() {
    for fates in [&[Fate::AnswerLost][..], &[Fate::Lost]] {
        let on = OnCaddy::handler();
        let (_relay, ours) = through(&on, fates).await;
        moved(ours.as_ref(), split(100)).await;
        assert_eq!(on.caddy.answers(10).await["green"], 10, "{fates:?}");
    }
    let on = OnCaddy::handler();
    let (_relay, ours) = through(&on, &[Fate::Lost, Fate::AnswerLost]).await;
    moved(ours.as_ref(), split(25)).await;
}

#[tokio::test]
async fn a_change_that_is_lost_again_and_again_is_said_to_be_lost() {
    let on = OnCaddy::handler();
    let before = on.state();
    let (_relay, ours) = through(&on, &[Fate::Lost, Fate::Lost]).await;
    let from = ours.read().await.unwrap();
    let lost = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(matches!(lost, RouterError::Lost(_)), "{lost}");
    assert_eq!(on.state(), before);
    ours.restore(&from).await.unwrap();
}

fn move_in_another_run(router: &dyn Router) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(moved(router, split(100)));
}

/// Where one of two is cut off by Caddy itself, it is still told whose change it was.
#[tokio::test]
async fn a_lost_change_is_not_taken_for_somebody_elses_to_the_same_split() {
    let on = OnCaddy::handler();
    let admin = on.caddy.site.admin;
    let theirs = Mutex::new(Some(on.router()));
    let relay = StandIn::start(move |asked| {
        if asked.method != "PATCH" {
            return relayed(admin, &asked);
        }
        if let Some(theirs) = theirs.lock().unwrap().take() {
            // This thread has a runtime already.
            let moved = std::thread::spawn(move || move_in_another_run(theirs.as_ref()));
            moved.join().unwrap();
        }
        Reply::HangUp
    })
    .await;
    let ours = on.router_with("admin", &format!("http://{}", relay.address));
    let from = ours.read().await.unwrap();
    let lost = ours.apply(&change(&from, split(100))).await;
    assert!(
        matches!(lost, Err(RouterError::Conflict { .. })),
        "{lost:?}"
    );
    assert_eq!(on.caddy.answers(10).await["green"], 10);
}

#[tokio::test]
async fn somebody_elses_change_is_a_conflict_and_one_elsewhere_is_none() {
    let on = OnCaddy::handler();
    let router = on.router();
    let from = router.read().await.unwrap();
    let elsewhere = json!({ "listen": ["127.0.0.1:0"] });
    on.caddy
        .change("PUT", "/config/apps/http/servers/other", &elsewhere);
    let to = change(&from, split(100));
    router.prepare(&to).await.unwrap();

    on.caddy
        .change("PUT", "/id/live/flush_interval", &json!(-1));
    for refused in [router.prepare(&to).await, router.apply(&to).await] {
        let Err(RouterError::Conflict { expected, found }) = refused else {
            unreachable!("{refused:?}");
        };
        assert_eq!(expected, from.revision);
        assert!(found.contains("100 % on blue"), "{found}");
    }
    // What they changed is left alone by our change and by our way back.
    let now = moved(router.as_ref(), split(25)).await;
    assert_ne!(now.revision, from.revision);
    router.restore(&from).await.unwrap();
    let handler: Value = serde_json::from_str(&on.state()).unwrap();
    assert_eq!(handler["flush_interval"], -1);
    assert_eq!(router.read().await.unwrap().split, split(0));
}

#[tokio::test]
async fn a_change_between_our_look_and_our_write_is_a_conflict() {
    let on = OnCaddy::handler();
    let admin = on.caddy.site.admin;
    let first = Arc::new(AtomicUsize::new(0));
    let relay = StandIn::start(move |asked| {
        if asked.method == "PATCH" && first.fetch_add(1, Ordering::Relaxed) == 0 {
            let theirs = Asked {
                method: "PUT".to_owned(),
                path: "/id/live/flush_interval".to_owned(),
                query: Vec::new(),
                headers: Default::default(),
                body: b"-1".to_vec(),
            };
            relayed(admin, &theirs);
        }
        relayed(admin, &asked)
    })
    .await;
    let ours = on.router_with("admin", &format!("http://{}", relay.address));
    let from = ours.read().await.unwrap();
    let conflict = ours.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(
        matches!(conflict, RouterError::Conflict { .. }),
        "{conflict}"
    );
    assert_eq!(ours.read().await.unwrap().split, split(0));
}

#[tokio::test]
async fn a_wrong_place_is_refused_with_the_right_one() {
    let on = OnCaddy::handler();
    let right = "/apps/http/servers/shop/routes/0/handle/0";
    on.router_with("handler", right).read().await.unwrap();
    for (wrong, there) in [
        ("nope", "unknown object ID 'nope'"),
        ("/apps/nope", "null"),
        ("/apps/http/servers/shop/routes/7/handle/0", "out of bounds"),
        ("/apps/http/servers/shop/routes", "an array"),
    ] {
        let said = refusal(on.router_with("handler", wrong).read().await);
        assert!(said.contains(there), "{said}");
        assert!(said.ends_with("is `handler: live` meant?"), "{said}");
    }
    on.caddy.change(
        "PATCH",
        "/id/live",
        &json!({ "@id": "live", "handler": "static_response" }),
    );
    let said = refusal(on.router().read().await);
    assert!(said.contains("a handler \"static_response\""), "{said}");
    assert!(said.ends_with("prints the handler to add"), "{said}");
}

#[tokio::test]
async fn a_share_is_refused_where_another_policy_was_chosen_and_a_whole_switch_is_not() {
    let on = OnCaddy::with(|mut handler| {
        handler["load_balancing"]["selection_policy"] = json!({ "policy": "ip_hash" });
        handler
    });
    let router = on.router();
    let from = router.read().await.unwrap();
    let refused = router.prepare(&change(&from, split(25))).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("ip_hash")),
        "{refused}"
    );
    moved(router.as_ref(), split(100)).await;
    assert_eq!(on.caddy.answers(10).await["green"], 10);
    assert!(on.state().contains("ip_hash"));
}

#[tokio::test]
async fn what_caddy_does_not_load_is_refused_and_nothing_has_changed() {
    let on = OnCaddy::handler();
    let router = on.router();
    let (before, mut broken) = (on.state(), router.read().await.unwrap());
    broken.saved = broken
        .saved
        .replace("\"dial\"", "\"max_requests\":\"x\",\"dial\"");
    let refused = router.restore(&broken).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("status 500")),
        "{refused}"
    );
    for foreign in [
        "",
        "[]",
        r#"{"upstreams":[],"weights":null,"mark":null}"#,
        r#"{"upstreams":[{"dial":"c:3"}],"weights":null,"mark":null}"#,
    ] {
        broken.saved = foreign.to_owned();
        let refused = router.restore(&broken).await.unwrap_err();
        assert!(matches!(refused, RouterError::Refused(_)), "{refused}");
    }
    assert_eq!(on.state(), before);
}

#[tokio::test]
async fn a_way_back_works_from_upstreams_that_make_no_sense() {
    let on = OnCaddy::handler();
    let (router, raw) = (on.router(), on.state());
    let saved = router.read().await.unwrap();
    for strange in [json!([]), json!([{ "dial": "127.0.0.1:1" }])] {
        on.caddy.change("PATCH", "/id/live/upstreams", &strange);
        refusal(router.read().await);
        router.restore(&saved).await.unwrap();
        assert_eq!(on.state(), raw);
    }
}

#[tokio::test]
async fn a_restart_keeps_a_change_with_resume_only() {
    let mut on = OnCaddy::handler();
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    on.caddy.restart(&["--resume"]);
    router.confirm(split(25)).await.unwrap();
    on.caddy.restart(&[]);
    let said = router.confirm(split(25)).await.unwrap_err();
    assert!(matches!(said, RouterError::NotTaken(_)), "{said}");
    assert_eq!(router.read().await.unwrap().split, split(0));
    assert!(router.known_loss().unwrap().contains("--resume"));
}

#[tokio::test]
async fn a_caddy_that_is_gone_is_out_of_reach() {
    let mut on = OnCaddy::handler();
    let router = on.router();
    let from = router.read().await.unwrap();
    on.caddy.stop();
    let to = change(&from, split(100));
    for outcome in [
        router.read().await.map(drop),
        router.prepare(&to).await,
        router.apply(&to).await,
        router.restore(&from).await,
    ] {
        assert!(
            matches!(outcome, Err(RouterError::OutOfReach(_))),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_admin_api_of_a_caddy_that_is_new_enough_is_refused() {
    let on = OnCaddy::handler();
    let front = format!("http://127.0.0.1:{}", on.caddy.site.port);
    let said = refusal(on.router_with("admin", &front).read().await);
    assert!(said.contains("is this Caddy's admin API?"), "{said}");
    let admin = on.caddy.site.admin;
    let old = StandIn::start(move |asked| match relayed(admin, &asked) {
        Reply::Answer { status, body, .. } => Reply::of(status, body),
        other => other,
    })
    .await;
    let old = on.router_with("admin", &format!("http://{}", old.address));
    let said = refusal(old.read().await);
    assert!(said.contains("Caddy 2.8"), "{said}");

    let others = json!({ "listen": format!("127.0.0.1:{admin}"), "origins": ["admin.example"] });
    on.caddy.change("PATCH", "/config/admin", &others);
    let said = refusal(on.router().read().await);
    assert!(said.contains("`admin.origins`"), "{said}");
}

#[tokio::test]
async fn the_admin_api_behind_a_socket() {
    let on = OnCaddy::handler();
    let socket = on.caddy.site.path("admin.sock");
    let socket = socket.to_str().unwrap();
    let listen = json!({ "listen": format!("unix/{socket}") });
    on.caddy.change("PATCH", "/config/admin", &listen);
    let router = on.router_with("admin", &format!("unix:{socket}"));
    moved(router.as_ref(), split(60)).await;
    moved(router.as_ref(), split(100)).await;
    assert_eq!(on.caddy.answers(10).await["green"], 10);
}
