//! Containers of an engine on another machine, over a real sshd: deployed, put back, and what is said
//! when the way there is lost in the middle, or leads nowhere.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use cutover::platform::host::Hosts;
use cutover::targets::{Desk, Target, TargetError, Tools};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hosts::built;
use super::targets::{deploy, made, order, tools};
use crate::world::dockerd::Dockerd;
use crate::world::registry::import;
use crate::world::sshd::Sshd;

fn hosts(sshd: &Sshd, user: &str) -> Hosts {
    let machine = json!({
        "address": sshd.address().replace("root@", &format!("{user}@")),
        "key": sshd.path("deploy"), "host-key": sshd.fingerprint(),
    });
    built(&[("web1", machine)], None).0
}

fn target(dockerd: &Dockerd, hosts: Hosts, more: Value) -> Box<dyn Target> {
    let mut options = json!({
        "kind": "docker", "image": "shop", "pull": "never", "disk": "1MB", "steady": "100ms", "stop-timeout": "1s",
        "host": "web1", "engine": format!("unix://{}", dockerd.socket().display()),
    });
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    let tools = Tools {
        hosts,
        ..tools(Path::new("/"))
    };
    made(options, &tools).unwrap()
}

#[tokio::test]
async fn an_engine_over_ssh_is_deployed_to_and_a_bad_one_is_put_back() {
    let (sshd, dockerd) = (Sshd::start(), Dockerd::serving());
    for release in ["v1", "v2"] {
        import(&dockerd, "shop", release, 0);
    }
    let good = target(&dockerd, hosts(&sshd, "root"), json!({}));
    good.prepare(&order("v1")).await.unwrap();
    let (ended, lines) = deploy(&*good, &order("v1")).await;
    assert!(
        ended.unwrap().starts_with("shop-blue runs shop:v1, "),
        "{lines:?}"
    );
    // The disk over there was looked at.
    assert!(
        !lines.iter().any(|line| line.contains("cannot be seen")),
        "{lines:?}"
    );
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
    let full = target(&dockerd, hosts(&sshd, "root"), json!({ "disk": "9000TB" }));
    let refused = full.prepare(&order("v2")).await.unwrap_err().to_string();
    assert!(refused.contains("wanted 9,000,000 GB"), "{refused}");

    let id = dockerd.container("shop-blue")["Id"].clone();
    let bad = json!({ "env": { "MODE": "exit" }, "restart": "no" });
    let bad = target(&dockerd, hosts(&sshd, "root"), bad);
    let (ended, _) = deploy(&*bad, &order("v2")).await;
    let Err(TargetError::Failed { said, last_words }) = ended else {
        panic!("{ended:?}");
    };
    assert!(said.contains("the container before runs again"), "{said}");
    assert!(
        last_words.join(" ").contains("cannot read the config"),
        "{last_words:?}"
    );
    assert_eq!(dockerd.container("shop-blue")["Id"], id);
}

/// Deploys v2, and does something once the new one is looked at.
async fn deploy_and(
    target: &dyn Target,
    then: impl FnOnce() + Send,
) -> Result<String, TargetError> {
    let then = Mutex::new(Some(then));
    let say = |line: String| {
        if line.contains("not healthy yet")
            && let Some(then) = then.lock().unwrap().take()
        {
            then();
        }
    };
    let desk = Desk {
        say: &say,
        went: &|_| {},
        cancelled: &CancellationToken::new(),
        run: &CancellationToken::new(),
    };
    let ended = target.deploy(&order("v2"), &desk).await;
    assert!(then.into_inner().unwrap().is_none(), "{ended:?}");
    ended
}

#[tokio::test]
async fn a_way_that_is_lost_in_the_middle_is_gone_again_or_said() {
    let (mut sshd, dockerd) = (Sshd::start(), Dockerd::serving());
    for release in ["v1", "v2"] {
        import(&dockerd, "shop", release, 0);
    }
    let good = target(&dockerd, hosts(&sshd, "root"), json!({}));
    deploy(&*good, &order("v1")).await.0.unwrap();
    // Well after some looks: a connection that is cut between two of them is made again.
    let looks = "n=$(cat /tmp/n || echo 0); echo $((n + 1)) > /tmp/n; test $n -gt 15";
    let health =
        |command: &str| json!({ "command": command, "interval": "100ms", "retries": 1000 });
    let slow = json!({ "health": health(looks), "wait": "60s" });
    let slow = target(&dockerd, hosts(&sshd, "root"), slow);
    let ended = deploy_and(&*slow, || sshd.cut()).await.unwrap();
    assert!(
        ended.starts_with("shop-blue runs shop:v2, healthy after "),
        "{ended}"
    );

    // Where the machine is gone, so is the way back, and that is said.
    let never = json!({ "health": health("false"), "wait": "60s" });
    let never = target(&dockerd, hosts(&sshd, "root"), never);
    let ended = deploy_and(&*never, || sshd.vanish()).await;
    let Err(TargetError::Lost { said, .. }) = ended else {
        panic!("{ended:?}");
    };
    assert!(
        said.contains("docker.sock on web1")
            && said.contains("the container before could not be put back"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_in_the_way_is_said() {
    let (mut sshd, dockerd) = (Sshd::start(), Dockerd::start());
    // It may log in, and is not in the socket's group.
    let readable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(sshd.path(""), readable).unwrap();
    let other = target(&dockerd, hosts(&sshd, "nobody"), json!({}));
    let refused = other.prepare(&order("v1")).await.unwrap_err();
    let TargetError::OutOfReach(said) = &refused else {
        panic!("{refused:?}");
    };
    assert!(
        said.contains("docker.sock on web1 is out of reach: web1 (nobody@127.0.0.1:")
            && said.contains("cannot be opened over there")
            && said.ends_with("does it run there, and may that user use its socket?"),
        "{said}"
    );
    sshd.vanish();
    let gone = target(&dockerd, hosts(&sshd, "root"), json!({}));
    let (ended, _) = deploy(&*gone, &order("v1")).await;
    let Err(TargetError::OutOfReach(said)) = ended else {
        panic!("{ended:?}");
    };
    assert!(
        said.contains("is out of reach: web1 (root@127.0.0.1:"),
        "{said}"
    );
}
