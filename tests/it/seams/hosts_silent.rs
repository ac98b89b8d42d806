//! A host that falls silent, as one whose power or whose network is gone: nobody closes anything,
//! and nothing comes back. What was begun is not known to have ended, and nothing waits for ever.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover::platform::host::{Host, HostError, Kind};
use cutover::platform::process::End;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, host, run};
use super::hosts_ends::{begun, is_gone, lives, sleep};
use crate::world::patience::within;
use crate::world::slow_line::SlowLine;
use crate::world::sshd::Sshd;

fn behind(sshd: &Sshd) -> (SlowLine, Arc<dyn Host>) {
    let line = SlowLine::fast(sshd.port());
    let host = host(json!({
        "address": format!("root@127.0.0.1:{}", line.port()),
        "key": sshd.path("deploy"),
        "host-key": sshd.fingerprint(),
    }));
    (line, host)
}

/// Neither its timeout nor a cancellation ends what nobody can tell to end.
#[tokio::test]
async fn a_command_that_cannot_be_told_to_end_may_go_on() {
    let sshd = Sshd::start();
    for (end, word) in [
        (End::TimedOut, "timed out"),
        (End::Cancelled, "was cancelled"),
    ] {
        let (line, host) = behind(&sshd);
        // The login is no part of the command's time.
        assert_eq!(run(&*host, "true").await.0, End::Code(0));
        let (long, token) = (sleep(), CancellationToken::new());
        let errand = Errand {
            timeout: match end {
                End::TimedOut => Duration::from_secs(3),
                _ => Duration::from_secs(60),
            },
            ..Errand::new(&long)
        };
        let silence = async {
            begun(&long).await;
            line.fall_silent();
            if end == End::Cancelled {
                token.cancel();
            }
        };
        let ((ran, _), ()) = tokio::join!(errand.on(&*host, &token), silence);
        let Err(HostError::Lost { said, .. }) = ran else {
            panic!("{ran:?}");
        };
        assert!(
            said.contains(&format!("the command {word} after "))
                && said.ends_with("it may still be at work"),
            "{said}"
        );
        assert!(lives(&long));
        // What it was told arrives when the line speaks again.
        line.speak();
        is_gone(&long).await;
    }
}

/// A command that waits for a host that fell silent does not wait for its own timeout.
#[tokio::test]
async fn silence_is_noticed_while_a_command_is_at_work() {
    let sshd = Sshd::start();
    let (line, host) = behind(&sshd);
    let long = sleep();
    let errand = Errand {
        timeout: Duration::from_secs(600),
        ..Errand::new(&long)
    };
    let never = CancellationToken::new();
    let silence = async {
        begun(&long).await;
        line.fall_silent();
        Instant::now()
    };
    let ((ran, _), began) = tokio::join!(errand.on(&*host, &never), silence);
    let Err(HostError::Lost { said, .. }) = ran else {
        panic!("{ran:?}");
    };
    assert!(said.contains("the connection was lost after"), "{said}");
    assert!(
        began.elapsed() < Duration::from_secs(45),
        "{:?}",
        began.elapsed()
    );
}

/// What may be asked again is, over a new connection; what may have had its effect is not known.
#[tokio::test]
async fn what_is_asked_of_a_silent_host_has_an_end() {
    let sshd = Sshd::start();
    let home = tempfile::tempdir().unwrap();
    let (line, host) = behind(&sshd);
    let path = |name: &str| home.path().join(name);
    let [flag, other, map] = ["w0", "w100", "map"].map(path);
    std::fs::write(&flag, "").unwrap();
    // The login is no part of a question's time.
    assert_eq!(run(&*host, "true").await.0, End::Code(0));
    assert_eq!(host.kind(&flag).await, Ok(Some(Kind::File)));
    line.fall_silent();
    let asked = async {
        tokio::join!(
            host.kind(&flag),
            host.read(&flag, 10),
            host.rename(&flag, &other),
            host.replace(&map, b"green 100\n"),
        )
    };
    let (kind, read, renamed, replaced) = within("all is given up", asked).await;
    for failed in [
        kind.map(drop).unwrap_err(),
        read.map(drop).unwrap_err(),
        renamed.map(drop).unwrap_err(),
        replaced.unwrap_err(),
    ] {
        assert!(
            matches!(failed, HostError::OutOfReach(_) | HostError::Lost { .. }),
            "{failed:?}"
        );
    }
    // It is back, and is used again.
    line.speak();
    assert_eq!(run(&*host, "exit 7").await.0, End::Code(7));
    assert_eq!(host.kind(Path::new("/")).await, Ok(Some(Kind::Directory)));
}

/// A write over a line that is silent for a moment is waited for, and is done once.
#[tokio::test]
async fn a_write_after_a_short_silence_is_done_once() {
    let sshd = Sshd::start();
    let home = tempfile::tempdir().unwrap();
    let (line, host) = behind(&sshd);
    let map = home.path().join("map");
    host.replace(&map, b"green 0\n").await.unwrap();
    line.fall_silent();
    let speak = async {
        // Longer than a host may be silent before it is asked, shorter than it is given up after.
        tokio::time::sleep(Duration::from_secs(6)).await;
        line.speak();
    };
    let both = async { tokio::join!(host.replace(&map, b"green 100\n"), speak) };
    let (replaced, ()) = within("it is written", both).await;
    replaced.unwrap();
    assert_eq!(std::fs::read_to_string(&map).unwrap(), "green 100\n");
    let left: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}
