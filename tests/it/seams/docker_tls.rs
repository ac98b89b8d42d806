//! A Docker engine behind TLS: both sides show a certificate, and who has none is not let in.

use std::path::Path;

use cutover::targets::TargetError;
use serde_json::json;

use super::targets::{deploy, made, order, tools};
use crate::world::authority::Authority;
use crate::world::dockerd::{Berth, Dockerd};
use crate::world::registry::import;

#[tokio::test]
async fn an_engine_behind_tls_lets_in_who_has_papers() {
    let (ours, others) = (Authority::new(), Authority::new());
    ours.issue("engine", -1, 2, "IP:127.0.0.1");
    ours.issue("robot", -1, 2, "DNS:robot");
    others.issue("stranger", -1, 2, "DNS:stranger");
    let dockerd = Dockerd::with(&Berth {
        network: true,
        tls: Some(&ours),
        ..Berth::default()
    });
    import(&dockerd, "shop", "v1", 0);
    let file = |of: &Authority, name: &str| of.path(name).to_str().unwrap().to_owned();
    let pem = |of: &Authority, name: &str| std::fs::read_to_string(of.path(name)).unwrap();
    let target = |tls| {
        let options = json!({
            "kind": "docker", "image": "shop", "pull": "never", "disk": "1MB", "steady": "100ms",
            "engine": format!("tcp://127.0.0.1:{}", dockerd.port), "tls": tls,
        });
        made(options, &tools(Path::new("/"))).unwrap()
    };
    let good = target(json!({
        "ca": ours.ca(), "certificate": file(&ours, "robot.pem"), "key": pem(&ours, "robot.key"),
    }));
    let (ended, lines) = deploy(&*good, &order("v1")).await;
    assert!(
        ended.unwrap().starts_with("shop-blue runs shop:v1, "),
        "{lines:?}"
    );
    assert!(lines[0].contains("cannot be seen from here"), "{lines:?}");
    assert_eq!(dockerd.containers(), ["shop-blue running"]);

    for (tls, said) in [
        (
            json!({ "ca": ours.ca(), "certificate": file(&others, "stranger.pem"), "key": file(&others, "stranger.key") }),
            "127.0.0.1",
        ),
        (
            json!({ "ca": others.ca(), "certificate": file(&ours, "robot.pem"), "key": file(&ours, "robot.key") }),
            "127.0.0.1",
        ),
        (
            json!({ "ca": ours.ca(), "certificate": file(&ours, "robot.pem"), "key": "-----BEGIN nothing" }),
            "cannot be read as PEM",
        ),
    ] {
        let refused = target(tls).prepare(&order("v2")).await.unwrap_err();
        assert!(matches!(refused, TargetError::OutOfReach(_)), "{refused:?}");
        assert!(refused.to_string().contains(said), "{refused}");
    }
}
