//! What goes wrong where nginx has to be reloaded, above all in silence.

use std::fs;
use std::net::TcpListener;

use cutover::routers::{Confirmed, RouterError};

use super::routers::{Fixture as _, change, moved, split};
use super::routers_nginx::OnNginx;

#[tokio::test]
async fn an_include_is_confirmed_by_the_workers_and_its_price_is_told() {
    let on = OnNginx::include("");
    let router = on.router();
    moved(router.as_ref(), split(25)).await;
    let confirmed = router.confirm(split(25)).await.unwrap();
    assert!(matches!(confirmed, Confirmed::ByDataPlane(_)));
    assert!(
        router
            .known_loss()
            .unwrap()
            .contains("keepalive_min_timeout")
    );
    assert_eq!(OnNginx::flags().router().known_loss(), None);
}

#[tokio::test]
async fn a_file_that_was_written_and_not_loaded_is_drift() {
    let on = OnNginx::include("");
    let router = on.router();
    let saved = router.read().await.unwrap();
    let path = on.nginx.site.path("live.conf");
    fs::write(&path, saved.saved.replace("\"0\"", "\"9\"")).unwrap();
    let RouterError::Drifted { said, repair } = router.read().await.unwrap_err() else {
        unreachable!("the file and nginx differ");
    };
    assert!(
        said.contains("generation 9") && said.contains("answered \"0\""),
        "{said}"
    );
    assert!(repair.contains("-s reload"), "{repair}");
    router.restore(&saved).await.unwrap();
    assert_eq!(router.read().await.unwrap(), saved);
}

#[tokio::test]
async fn a_configuration_that_fails_the_test_is_not_loaded() {
    let on = OnNginx::include("");
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    on.nginx
        .edit("access_log off;", "access_log off; no_such_thing on;");
    let to = change(&from, split(100));
    let said = router.prepare(&to).await.unwrap_err().to_string();
    assert!(said.contains("no_such_thing"), "{said}");
    let refused = router.apply(&to).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("no_such_thing")),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
}

#[tokio::test]
async fn a_reload_that_reaches_nobody_is_taken_back() {
    let mut on = OnNginx::include("");
    on.block["reload"] = "echo no such process >&2; exit 1".into();
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    let refused = router.apply(&change(&from, split(100))).await.unwrap_err();
    assert!(
        matches!(&refused, RouterError::Refused(said) if said.contains("no such process")),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
}

/// Makes a change that nginx refuses in silence; the old state must be in force afterwards.
async fn refused_in_silence(on: &OnNginx, emerg: &str) {
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    let to = change(&from, split(100));
    router.prepare(&to).await.unwrap();
    let refused = router.apply(&to).await.unwrap_err();
    println!("{refused}");
    assert!(
        matches!(&refused, RouterError::NotTaken(said) if said.contains(emerg)),
        "{refused:?}"
    );
    assert_eq!(on.state(), before);
    assert_eq!(router.read().await.unwrap(), from);
    assert_eq!(on.nginx.answers(20).await.get("blue"), Some(&20));
}

#[tokio::test]
async fn a_port_that_another_process_holds_is_noticed_and_taken_back() {
    let on = OnNginx::include("");
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let server = format!("access_log off; server {{ listen 127.0.0.1:{port}; }}");
    on.nginx.edit("access_log off;", &server);
    refused_in_silence(&on, "[emerg]").await;
    // With the cause gone the same change is taken.
    drop(held);
    moved(on.router().as_ref(), split(100)).await;
    assert_eq!(on.nginx.answers(20).await.get("green"), Some(&20));
}

#[tokio::test]
async fn a_zone_whose_key_changed_is_noticed_and_taken_back() {
    let zone = "limit_req_zone $binary_remote_addr zone=z1:64k rate=9000r/s; limit_req zone=z1 burst=9000 nodelay;";
    let on = OnNginx::include(zone);
    on.nginx
        .edit("limit_req_zone $binary_remote_addr", "limit_req_zone $uri");
    refused_in_silence(&on, "limit_req \"z1\"").await;
}

#[tokio::test]
async fn where_even_the_way_back_fails_both_failures_are_told() {
    let mut on = OnNginx::include("");
    on.block["reload"] = on.nginx.site.command("-s stop").into();
    let router = on.router();
    let (before, from) = (on.state(), router.read().await.unwrap());
    let drifted = router.apply(&change(&from, split(100))).await.unwrap_err();
    let RouterError::Drifted { said, repair } = drifted else {
        unreachable!("nginx is gone, and it was {drifted:?}");
    };
    assert!(
        said.contains("did not take") && said.contains("taking it back failed"),
        "{said}"
    );
    assert!(repair.contains("-s stop"), "{repair}");
    assert_eq!(on.state(), before, "at least the file is the old one");
}
