//! The built program where a machine is away: a host that says nothing, of the primary or of the
//! secondary, and one that vanishes before or while the primary is at work there.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::locks::{PATIENCE, Scene, ended, signal};
use crate::world::patience::until;
use crate::world::slow_line::SlowLine;
use crate::world::sshd::Sshd;

use super::failover::{behind, figures, followed, promoted};

/// An order that comes to nothing on web1.
const THERE: &str = "{ kind: command, run: ./deploy.sh, host: web1 }";

/// Tells a scene's config of a host at a port, which shows the key of that sshd.
fn knows_web1(scene: &Scene, sshd: &Sshd, port: u16) {
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let hosts = format!(
        "    hosts: {{ web1: {{ kind: ssh, address: 'root@127.0.0.1:{port}', key: '{}', host-key: '{}' }} }}\n    router:",
        sshd.path("deploy"),
        sshd.fingerprint()
    );
    fs::write(path, config.replacen("    router:", &hosts, 1)).unwrap();
}

fn dist(scene: &Scene, size: usize) {
    let dist = scene.home.path().join("dist");
    fs::create_dir(&dist).unwrap();
    fs::write(dist.join("large"), vec![7; size]).unwrap();
}

/// A machine that takes a connection and says nothing.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn caller(listener: &TcpListener) -> TcpStream {
    let asked = tokio::time::timeout(PATIENCE, listener.accept()).await;
    asked.expect("nobody asks").unwrap().0
}

#[tokio::test]
async fn a_cancel_is_heard_while_the_primary_s_host_says_nothing() {
    let sshd = Sshd::start();
    let directory = "{ kind: directory, from: dist, to: /srv, host: web1 }";
    let systemd = "{ kind: systemd, unit: shop@$SLOT.service, host: web1 }";
    let compose = "{ kind: compose, file: compose.yml, host: web1 }";
    let fleet = format!("{{ kind: fleet, nodes: {{ web1: {THERE} }} }}");
    for primary in [THERE, directory, systemd, compose, &fleet] {
        let (listener, port) = silent().await;
        let scene = behind(primary, "").await;
        knows_web1(&scene, &sshd, port);
        dist(&scene, 1);
        let child = scene.rollout("v2");
        let asked = caller(&listener).await;
        signal("-INT", &child.id().unwrap().to_string());
        let ran = ended(child).await;
        drop(asked);
        assert_eq!(ran.code, Some(130), "{primary}: {}", ran.log);
        let said = ran.log.contains("the run was cancelled");
        assert!(said, "{primary}: {}", ran.log);
        assert_eq!(scene.yard.changes(), [""; 0]);
        assert!(scene.github.git(|git| git.is_free()), "{}", ran.log);
        assert!(!figures(&scene).contains("failover_events_total"));
    }
}

#[tokio::test]
async fn a_secondary_that_says_nothing_keeps_no_good_release_waiting() {
    let sshd = Sshd::start();
    let (listener, port) = silent().await;
    let scene = Scene::set("0s", "lease: 60s").await;
    knows_web1(&scene, &sshd, port);
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let failover = format!("    failover: {{ to: {THERE} }}\n    router:");
    fs::write(&path, config.replacen("    router:", &failover, 1)).unwrap();
    let child = scene.rollout("v2");
    let asked = caller(&listener).await;
    // The primary is at work while the secondary's host is still hoped for.
    until("the primary waits for the secondary", || {
        match asked.try_read(&mut [0; 1 << 10]) {
            Ok(0) => panic!("the secondary was given up, and only then the primary began"),
            Ok(_) => {}
            Err(failed) => assert_eq!(failed.kind(), ErrorKind::WouldBlock),
        }
        scene.yard.changes().contains(&"deploy v2".to_owned())
    })
    .await;
    let ran = ended(child).await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    assert_eq!(scene.yard.changes(), ["deploy v2", "weights v2"]);
    let said = "failover would not help: ./deploy.sh on web1 has said nothing for 5";
    assert!(ran.log.contains(said), "{}", ran.log);
}

#[tokio::test]
async fn a_secondary_that_could_not_is_told_of_while_the_primary_can() {
    let scene = Scene::set("0s", "lease: 60s").await;
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    let failover = "    failover: { to: { kind: command, run: x, directory: gone } }\n    router:";
    fs::write(&path, config.replacen("    router:", failover, 1)).unwrap();
    let ran = scene.run(&["rollout"], "v2").await;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let said = "gone of x is not there";
    let warned = ran.log.lines().filter(|line| {
        line.contains("failover would not help: the directory") && line.contains(said)
    });
    assert_eq!(warned.count(), 1, "{}", ran.log);
}

#[tokio::test]
async fn a_primary_whose_host_is_not_there_is_followed() {
    let mut sshd = Sshd::start();
    let scene = behind(THERE, "").await;
    knows_web1(&scene, &sshd, sshd.port());
    sshd.vanish();
    promoted(&scene, &["rollout"], "primary_unreachable").await;
}

#[tokio::test]
async fn a_primary_whose_host_vanishes_under_an_upload_is_followed() {
    let mut sshd = Sshd::start();
    let line = SlowLine::to(sshd.port(), Duration::from_millis(1), 1_000_000);
    let scene = behind("{ kind: directory, from: dist, to: SLOTS, host: web1 }", "").await;
    let slots = scene.home.path().join("slots");
    let path = scene.home.path().join("cutover.yml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("SLOTS", slots.to_str().unwrap())).unwrap();
    knows_web1(&scene, &sshd, line.port());
    dist(&scene, 20_000_000);
    let child = scene.rollout("v2");
    let arrived = slots.join("green/releases/.incoming-000001-v2/large");
    until("nothing arrives", || {
        fs::metadata(&arrived).is_ok_and(|file| file.len() > 0)
    })
    .await;
    sshd.vanish();
    let ran = ended(child).await;
    followed(&scene, &ran, "primary_unreachable");
    assert!(ran.log.contains("was not copied: "), "{}", ran.log);
    assert!(!Path::new(&slots).join("green/current").exists());
}

#[tokio::test]
async fn a_fleet_whose_second_machine_vanishes_after_the_first_is_followed() {
    let mut sshd = Sshd::start();
    let first = "{ kind: command, run: 'touch begun; until test -e gone; do sleep 0.02; done' }";
    let nodes = format!(
        "{{ here: {first}, web1: {} }}",
        THERE.replace("./deploy.sh", "true")
    );
    let scene = behind(
        &format!("{{ kind: fleet, at-once: 1, nodes: {nodes} }}"),
        "",
    )
    .await;
    knows_web1(&scene, &sshd, sshd.port());
    let child = scene.rollout("v2");
    let begun = scene.home.path().join("begun");
    until("nothing begins", || begun.exists()).await;
    sshd.vanish();
    fs::write(scene.home.path().join("gone"), "").unwrap();
    let ran = ended(child).await;
    followed(&scene, &ran, "primary_unreachable");
    assert!(ran.log.contains("1 of 2 went well"), "{}", ran.log);
}
