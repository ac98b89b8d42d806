//! What each verb costs over a warm connection. Figures of this machine; nothing is held to them.

use std::fs;
use std::time::{Duration, Instant};

use cutover::platform::host::{Host, ReadTo};

use super::hosts::{at, run};
use crate::world::sshd::Sshd;

const ROUNDS: usize = 40;

/// The median and the slowest of some rounds, in milliseconds.
async fn row(name: &str, mut once: impl AsyncFnMut(usize)) {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let began = Instant::now();
        once(round).await;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{name:<28} {:>7.1} ms, slowest {:>7.1} ms",
        times[ROUNDS / 2],
        times[ROUNDS - 1]
    );
}

#[tokio::test]
#[ignore = "measures what each question to a host costs"]
async fn what_a_verb_costs() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("w0");
    fs::write(&file, "green_weight 0\n").unwrap();
    host.reach().await.unwrap();
    let host: &dyn Host = &*host;
    row("kind", async |_| {
        assert!(host.kind(&file).await.unwrap().is_some());
    })
    .await;
    row("list", async |_| {
        drop(host.list(home.path()).await.unwrap());
    })
    .await;
    row("writable", async |_| {
        host.writable(home.path()).await.unwrap();
    })
    .await;
    row("read", async |_| {
        drop(host.read(&file, 1 << 20).await.unwrap());
    })
    .await;
    let log = home.path().join("log");
    fs::write(&log, vec![b'x'; 100 << 20]).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&log).unwrap());
    for added in [0, 50, 50_000] {
        row(&format!("read_on, {added} of 100 MB"), async |_| {
            let at = (100 << 20) - added;
            let grown = host.read_on(&log, Some(ReadTo { inode, at }), 1 << 19);
            assert_eq!(
                grown.await.unwrap().added.unwrap().content.len() as u64,
                added
            );
        })
        .await;
    }
    row("replace", async |_| {
        host.replace(&file, b"green_weight 1\n").await.unwrap();
    })
    .await;
    let names = [file.clone(), home.path().join("w100")];
    row("rename", async |n| {
        let renamed = host.rename(&names[n % 2], &names[(n + 1) % 2]).await;
        assert!(renamed.unwrap());
    })
    .await;
    let lock = home.path().join("lock");
    row("lock", async |_| {
        let held = host.lock(&lock, Duration::from_secs(5)).await.unwrap();
        assert!(held.is_some());
    })
    .await;
    row("run true", async |_| drop(run(host, "true").await)).await;
    row("sync of a directory, here", async |_| {
        fs::write(home.path().join("x"), "x").unwrap();
        fs::File::open(home.path()).unwrap().sync_all().unwrap();
    })
    .await;
}
