//! How a command on another machine ends: in time, by force, by a cancellation, with its
//! connection. Nothing of it may be left, and what is not known must be said.

use std::path::Path;
use std::time::{Duration, Instant};

use cutover::platform::host::{HostError, Kind};
use cutover::platform::process::End;
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, at, run};
use crate::world::sshd::Sshd;

/// Whether something with that word in its command line is at work.
fn lives(word: &str) -> bool {
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .any(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let dead = stat
                .rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('Z'));
            !dead
                && String::from_utf8_lossy(&line)
                    .replace('\0', " ")
                    .contains(word)
        })
}

async fn is_gone(word: &str) {
    let began = Instant::now();
    while lives(word) {
        assert!(began.elapsed() < Duration::from_secs(10), "{word} lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A sleep that can be told from all others, by a fraction of its seconds.
fn sleep() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("sleep 600.{}{next:03}", std::process::id())
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended_with_its_children() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let never = CancellationToken::new();
    let [polite, deaf, child] = [sleep(), sleep(), sleep()];
    // It may put things in order first.
    let command = format!("trap 'echo bye; exit 1' TERM; {polite} & wait");
    let errand = Errand {
        timeout: Duration::from_secs(4),
        ..Errand::new(&command)
    };
    let (ran, lines) = errand.on(&*host, &never).await;
    assert_eq!(
        (ran.unwrap().end, lines),
        (End::TimedOut, vec!["bye".to_owned()])
    );
    is_gone(&polite).await;
    // Deaf ones, also where the one that leads them has gone already.
    for command in [
        format!("trap '' TERM; {deaf}"),
        format!("(trap '' TERM; {child}) & wait"),
    ] {
        let errand = Errand {
            timeout: Duration::from_secs(2),
            grace: Duration::from_millis(300),
            ..Errand::new(&command)
        };
        let (ran, _) = errand.on(&*host, &never).await;
        assert_eq!(ran.unwrap().end, End::TimedOut);
        assert!(!lives(&deaf) && !lives(&child), "{command}");
    }
    // The connection serves on.
    assert_eq!(run(&*host, "exit 7").await.0, End::Code(7));
}

#[tokio::test]
async fn a_cancelled_command_is_ended_and_so_is_one_that_is_given_up() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let [cancelled, dropped] = [sleep(), sleep()];
    let token = CancellationToken::new();
    let errand = Errand::new(&cancelled);
    let cancel = async {
        while !lives(&cancelled) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        token.cancel();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(&*host, &token), cancel);
    assert_eq!(ran.unwrap().end, End::Cancelled);
    assert!(!lives(&cancelled));

    let never = CancellationToken::new();
    let errand = Errand::new(&dropped);
    tokio::select! {
        _ = errand.on(&*host, &never) => unreachable!(),
        () = async { while !lives(&dropped) { tokio::time::sleep(Duration::from_millis(5)).await; } } => {}
    }
    is_gone(&dropped).await;
}

#[tokio::test]
async fn a_host_that_vanishes_is_told_and_leaves_nothing() {
    let mut sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let never = CancellationToken::new();
    let long = sleep();
    let command = format!("echo begun; {long}");
    let errand = Errand::new(&command);
    let vanish = async {
        while !lives(&long) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sshd.vanish();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(&*host, &never), vanish);
    let Err(HostError::Lost { said, last_lines }) = ran else {
        panic!("{ran:?}");
    };
    assert!(said.starts_with("web1 (root@127.0.0.1:"), "{said}");
    assert!(said.contains("the connection was lost after"), "{said}");
    assert_eq!(last_lines, ["begun"]);
    // Over there it was ended, because nobody held its line any more.
    is_gone(&long).await;
    let failed = Errand::new("true").on(&*host, &never).await.0.unwrap_err();
    assert!(
        matches!(&failed, HostError::OutOfReach(said) if said.contains("refused")),
        "{failed:?}"
    );
    // What is back is used again, over a new connection.
    sshd.come_back(false);
    assert_eq!(run(&*host, "exit 3").await.0, End::Code(3));
    sshd.cut();
    assert_eq!(host.kind(Path::new("/")).await, Ok(Some(Kind::Directory)));
    sshd.vanish();
    sshd.come_back(true);
    let failed = host.reach().await.unwrap_err().to_string();
    assert!(
        failed.contains("shows a key that is not the pinned one"),
        "{failed}"
    );
    assert!(failed.contains(&sshd.fingerprint()), "{failed}");
}

#[tokio::test]
async fn a_secret_is_in_no_list_of_processes() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let long = sleep();
    // The word is put together there, so that the test's own memory is not searched.
    let command = format!("test \"$TOKEN\" = 's3cr3t in-the-open' && {long}; echo ended");
    let errand = Errand {
        hidden: vec![("TOKEN".to_owned(), "s3cr3t in-the-open".to_owned())],
        timeout: Duration::from_secs(20),
        ..Errand::new(&command)
    };
    let token = CancellationToken::new();
    let look = async {
        while !lives(&long) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut looked = 0;
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            for list in ["cmdline", "environ"] {
                let text = std::fs::read(process.path().join(list)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                looked += 1;
                assert!(!text.contains("in-the-open"), "{:?} {list}", process.path());
            }
        }
        assert!(looked > 10);
        token.cancel();
    };
    let _ = tokio::join!(errand.on(&*host, &token), look);
    // Who says so hands it on.
    let errand = Errand {
        hidden: vec![("TOKEN".to_owned(), "s3cr3t".to_owned())],
        ..Errand::new("sh -c 'echo [$TOKEN]'; export TOKEN; sh -c 'echo [$TOKEN]'")
    };
    let (_, lines) = errand.on(&*host, &CancellationToken::new()).await;
    assert_eq!(lines, ["[]", "[s3cr3t]"]);
}
