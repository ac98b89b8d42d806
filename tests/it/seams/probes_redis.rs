//! Looks at real Redises: each way in, each way to be turned away, and what a person reads of it.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;

use super::looks::{at as look_at, begins, ends, told, well};
use crate::world::authority::Authority;
use crate::world::patience::PATIENCE;
use crate::world::redis::Redis;

#[tokio::test]
async fn redis_lets_in_or_says_why_not() {
    let open = Redis::start("maxclients 3");
    let at = json!({ "kind": "redis", "address": open.address() });
    begins(&well(&at, json!({})).await, "PONG in ");
    let said = told(&at, json!({ "password": "s3cret-word" })).await;
    begins(&said, "a password is given, and it has none: ERR AUTH");
    ends(&said, "wanted PONG within 5 s");
    begins(
        &well(&at, json!({ "role": "master" })).await,
        "a master in ",
    );
    let said = told(&at, json!({ "role": "replica" })).await;
    assert_eq!(said, "it is a master, wanted a replica");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(open.address()).await.unwrap());
    }
    let said = told(&at, json!({})).await;
    begins(
        &said,
        "it has no connection left to give: ERR max number of clients reached",
    );
    drop(held);

    let shut = Redis::start(
        "requirepass s3cret-word\nuser app on >app-s3cret ~* +ping\nuser off off >app-s3cret ~* +@all",
    );
    let at = json!({ "kind": "redis", "address": shut.address() });
    well(&at, json!({ "password": "s3cret-word" })).await;
    well(&at, json!({ "user": "app", "password": "app-s3cret" })).await;
    let said = told(&at, json!({})).await;
    begins(&said, "it wants a password, and none is given: NOAUTH");
    for more in [
        json!({ "password": "wr0ng-word" }),
        json!({ "user": "app", "password": "wr0ng-word" }),
        json!({ "user": "off", "password": "app-s3cret" }),
    ] {
        let said = told(&at, more).await;
        begins(&said, "the user or the password is wrong: WRONGPASS");
        assert!(
            !said.contains("wr0ng") && !said.contains("s3cret"),
            "{said}"
        );
    }
    let said = told(
        &at,
        json!({ "user": "app", "password": "app-s3cret", "role": "master" }),
    )
    .await;
    begins(&said, "the user may not ask that: NOPERM");
}

#[tokio::test]
async fn redis_over_tls_is_whom_the_config_trusts() {
    let authority = Authority::new();
    authority.issue("good", -1, 90, "IP:127.0.0.1");
    let path = |name: &str| authority.path(name).display().to_string();
    let redis = Redis::start(&format!(
        "tls-port PORT\ntls-auth-clients no\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}",
        path("good.pem"),
        path("good.key"),
        path("ca.pem")
    ));
    let at = json!({ "kind": "redis", "address": redis.address() });
    for more in [json!({ "tls": "require" }), json!({ "ca": authority.ca() })] {
        begins(&well(&at, more).await, "PONG in ");
    }
    let said = told(&at, json!({ "tls": "verify" })).await;
    begins(&said, "TLS: the certificate is not trusted");
    let said = told(&at, json!({})).await;
    begins(&said, "PING: ");
    let said = told(&at, json!({ "ca": "/no/such/ca.pem" })).await;
    begins(&said, "/no/such/ca.pem: No such file");

    let plain = Redis::start("");
    let mut at = json!({ "kind": "redis", "address": plain.address(), "tls": "require" });
    at["timeout"] = json!("500ms");
    begins(&told(&at, json!({})).await, "TLS: no answer after ");
}

#[tokio::test]
async fn redis_that_loads_that_cannot_save_and_that_lags() {
    let master = Redis::start("save 3600 100000\nenable-debug-command yes");
    let replica = Redis::start(&format!("replicaof 127.0.0.1 {}", master.port));
    let at = json!({ "kind": "redis", "address": replica.address() });
    let near = json!({ "role": "replica", "max-lag": "60s" });
    let began = Instant::now();
    let said = loop {
        match look_at(&at, near.clone()).await {
            Ok(pulse) => break pulse.said,
            Err(still) => begins(&still.measured, "its link to the master is down"),
        }
        assert!(began.elapsed() < PATIENCE, "it never follows");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    begins(&said, "a replica that heard of its master ");

    std::fs::create_dir(master.path("dump.rdb")).unwrap();
    master.say("DEBUG POPULATE 3000\r\nBGSAVE");
    let of_master = json!({ "kind": "redis", "address": master.address() });
    let began = Instant::now();
    while look_at(&of_master, json!({})).await.is_ok() {
        assert!(began.elapsed() < PATIENCE, "it could save");
        // One that was under way for the replica had its own file.
        master.say("BGSAVE");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = told(&of_master, json!({})).await;
    begins(
        &said,
        "it cannot save its data and takes no writes: MISCONF",
    );

    std::fs::remove_dir(master.path("dump.rdb")).unwrap();
    master.say("SAVE");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(master.path("dump.rdb"), folder.path().join("dump.rdb")).unwrap();
    drop(master);
    let began = Instant::now();
    let said = loop {
        match look_at(&at, near.clone()).await {
            Ok(_) => assert!(began.elapsed() < PATIENCE, "its link is up"),
            Err(ailment) => break ailment.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    begins(&said, "its link to the master is down");
    ends(
        &said,
        "wanted a replica that heard of its master at most 60 s ago",
    );

    let loading = Redis::start_in(
        folder,
        "key-load-delay 10000\nloading-process-events-interval-bytes 1024",
    );
    let at = json!({ "kind": "redis", "address": loading.address() });
    let said = told(&at, json!({})).await;
    begins(&said, "it is still loading its data: LOADING");
}
