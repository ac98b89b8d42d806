//! A host at the end of a slow line: a fifth of a second to it and back, a megabit a second.
//! Nothing is given up there that still moves, and what is asked meanwhile is answered.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cutover::platform::host::{Host, Kind, Socket};
use cutover::platform::process::End;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::hosts::{host, run};
use crate::world::slow_line::SlowLine;
use crate::world::sshd::Sshd;

/// The delay of one way.
const DELAY: Duration = Duration::from_millis(100);

/// Bytes a second.
const MEGABIT: u32 = 125_000;

fn far(sshd: &Sshd, rate: u32) -> (SlowLine, Arc<dyn Host>) {
    let line = SlowLine::to(sshd.port(), DELAY, rate);
    let host = host(json!({
        "address": format!("root@127.0.0.1:{}", line.port()),
        "key": sshd.path("deploy"),
        "host-key": sshd.fingerprint(),
    }));
    (line, host)
}

#[tokio::test]
async fn every_verb_works_over_a_slow_line() {
    let sshd = Sshd::start();
    let (_line, host) = far(&sshd, MEGABIT);
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    assert_eq!(
        run(&*host, "echo $((6*7))").await,
        (End::Code(0), vec!["42".to_owned()])
    );
    let long = "a line of a map\n".repeat(20_000);
    host.replace(&path("w0"), long.as_bytes()).await.unwrap();
    assert_eq!(host.kind(&path("w0")).await, Ok(Some(Kind::File)));
    assert_eq!(host.rename(&path("w0"), &path("w100")).await, Ok(true));
    let listed = host.list(home.path()).await;
    assert_eq!(listed, Ok(vec![("w100".to_owned(), Kind::File)]));
    let seen = host.read(&path("w100"), 1 << 20).await.unwrap();
    assert!(seen.content == long.as_bytes());
    let held = host.lock(&path("lock"), Duration::from_secs(5)).await;
    assert!(held.unwrap().is_some());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = Socket::Tcp("127.0.0.1".to_owned(), port);
    assert!(host.connect(&to).await.is_ok());
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

/// The line is busy for longer than a host may be silent.
#[tokio::test]
async fn an_upload_over_a_slow_line_is_not_taken_for_a_dead_one() {
    let sshd = Sshd::start();
    let (_line, host) = far(&sshd, MEGABIT);
    let (from, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let large: Vec<u8> = (0..750_000u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    fs::write(from.path().join("large"), &large).unwrap();
    let to = place.path().join("to");
    let never = CancellationToken::new();
    let uploaded = host.upload(from.path(), &to, &never).await.unwrap();
    assert_eq!(uploaded.sent, large.len() as u64);
    assert!(fs::read(to.join("large")).unwrap() == large);
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

/// What is handed over is on its way for longer than nothing may move; but it moves.
#[tokio::test]
#[ignore = "takes two minutes"]
async fn an_upload_over_a_line_that_hardly_carries_anything_comes_to_its_end() {
    let sshd = Sshd::start();
    let (_line, host) = far(&sshd, MEGABIT / 8);
    let (from, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(from.path().join("large"), vec![7; 1_700_000]).unwrap();
    let never = CancellationToken::new();
    let uploaded = host.upload(from.path(), place.path(), &never).await;
    assert_eq!(uploaded.unwrap().sent, 1_700_000);
}
