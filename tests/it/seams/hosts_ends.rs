//! How a command on another machine ends: in time, by force, by a cancellation, with its
//! connection. Nothing of it may be left, and what is not known must be said.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover::platform::host::{Host, HostError, Kind, Local};
use cutover::platform::process::{End, Script};
use cutover::platform::secret::Vault;
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, at, run};
use crate::world::patience::{until, within};
use crate::world::sshd::Sshd;

/// Whether something with that word in its command line is at work.
pub(super) fn lives(word: &str) -> bool {
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

/// Waits until it is at work.
#[track_caller]
pub(super) fn begun(word: &str) -> impl Future<Output = ()> {
    until(&format!("{word} is at work"), move || lives(word))
}

/// Waits until nothing of it is at work any more.
#[track_caller]
pub(super) fn is_gone(word: &str) -> impl Future<Output = ()> {
    until(&format!("{word} is gone"), move || !lives(word))
}

/// A sleep that can be told from all others, by a fraction of its seconds.
pub(crate) fn sleep() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("sleep 600.{}{next:03}", std::process::id())
}

pub(super) async fn ends_what_takes_too_long(host: &dyn Host) {
    // The login is no part of the command's time.
    assert_eq!(run(host, "true").await.0, End::Code(0));
    let never = CancellationToken::new();
    let [polite, deaf, child] = [sleep(), sleep(), sleep()];
    // It may put things in order first.
    let command = format!("trap 'echo bye; exit 1' TERM; {polite} & wait");
    let errand = Errand {
        timeout: Duration::from_secs(4),
        ..Errand::new(&command)
    };
    let (ran, lines) = errand.on(host, &never).await;
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
        let (ran, _) = errand.on(host, &never).await;
        assert_eq!(ran.unwrap().end, End::TimedOut);
        assert!(!lives(&deaf) && !lives(&child), "{command}");
    }
    // The connection serves on.
    assert_eq!(run(host, "exit 7").await.0, End::Code(7));
}

/// Also where it prints faster than anybody takes it in.
pub(super) async fn ends_what_never_stops_printing(host: &dyn Host) {
    // The login is no part of the command's time.
    assert_eq!(run(host, "true").await.0, End::Code(0));
    let (long, vault) = (sleep(), Vault::default());
    let command = format!("{long} & yes {}", "x".repeat(1000));
    let script = Script {
        run: &command,
        directory: Path::new("/tmp"),
        variables: &[],
        timeout: Duration::from_secs(1),
        grace: Duration::from_secs(1),
        vault: &vault,
    };
    let slow = |_| std::thread::sleep(Duration::from_millis(1));
    let never = CancellationToken::new();
    let ran = host.run(&script, &[], &slow, &never);
    let ran = within("the command ends", ran).await;
    assert_eq!(ran.unwrap().end, End::TimedOut);
    is_gone(&long).await;
}

pub(super) async fn ends_what_is_given_up(host: &dyn Host) {
    let [cancelled, dropped] = [sleep(), sleep()];
    let token = CancellationToken::new();
    let errand = Errand::new(&cancelled);
    let cancel = async {
        begun(&cancelled).await;
        token.cancel();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(host, &token), cancel);
    assert_eq!(ran.unwrap().end, End::Cancelled);
    assert!(!lives(&cancelled));

    let never = CancellationToken::new();
    let errand = Errand::new(&dropped);
    tokio::select! {
        _ = errand.on(host, &never) => unreachable!(),
        () = begun(&dropped) => {}
    }
    is_gone(&dropped).await;
}

/// Its command waits there together with what ends it, until the login scripts are through.
#[tokio::test]
async fn a_command_that_is_ended_before_it_began_does_not_outlive_it() {
    let sshd = Sshd::start();
    sshd.key("slow", &[]);
    let public = std::fs::read_to_string(sshd.path("slow.pub")).unwrap();
    let authorized = sshd.path("authorized_keys");
    let known = std::fs::read_to_string(&authorized).unwrap();
    let login = format!(r#"command="sleep 0.4; exec sh -c \"$SSH_ORIGINAL_COMMAND\"" {public}"#);
    std::fs::write(&authorized, known.replace(&public, &login)).unwrap();
    let host = at(&sshd, "slow");
    let never = CancellationToken::new();
    assert_eq!(run(&*host, "exit 7").await.0, End::Code(7));
    for round in 0..10 {
        let long = sleep();
        let errand = Errand {
            timeout: Duration::from_millis(50),
            grace: Duration::from_millis(50 * (round % 2)),
            ..Errand::new(&long)
        };
        let (ran, _) = errand.on(&*host, &never).await;
        assert_eq!(ran.unwrap().end, End::TimedOut);
        is_gone(&long).await;
    }
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
        begun(&long).await;
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
async fn a_machine_over_ssh() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    ends_what_takes_too_long(&*host).await;
    ends_what_is_given_up(&*host).await;
    hides_what_is_secret(&*host).await;
}

#[tokio::test]
async fn this_machine_ends_what_never_stops_printing() {
    ends_what_never_stops_printing(&Local).await;
}

/// What ends a command waits for a line, which a shell may have a limit for.
#[tokio::test]
async fn a_time_limit_of_the_login_s_shell_ends_nothing() {
    let sshd = Sshd::start_with("SetEnv PATH=DIR/bin:/usr/sbin:/usr/bin:/sbin:/bin TMOUT=1");
    std::fs::create_dir(sshd.path("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/bash", sshd.path("bin/sh")).unwrap();
    let host = at(&sshd, "deploy");
    let (end, lines) = run(&*host, "sleep 3; test \"$BASH_VERSION\" && echo bash").await;
    assert_eq!((end, lines), (End::Code(0), vec!["bash".to_owned()]));
}

/// A host whose login is not root.
fn plain(sshd: &Sshd) -> Arc<dyn Host> {
    sshd.key("plain", &[]);
    let public = std::fs::read_to_string(sshd.path("plain.pub")).unwrap();
    let authorized = sshd.path("authorized_keys");
    let known = std::fs::read_to_string(&authorized).unwrap();
    let login = format!(
        r#"command="exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c \"$SSH_ORIGINAL_COMMAND\"" {public}"#
    );
    std::fs::write(&authorized, known.replace(&public, &login)).unwrap();
    at(sshd, "plain")
}

/// A run that is cancelled has no time for what such a one prints.
#[tokio::test]
async fn what_is_another_user_s_is_not_listened_to_after_a_cancellation() {
    let sshd = Sshd::start();
    let host = plain(&sshd);
    let (sudo, token, word) = (Sudo::new(), CancellationToken::new(), sleep());
    assert_eq!(run(&*host, "id -u").await.1, ["65534"]);
    let command = sudo.runs(&format!("sh -c 'while :; do echo {word}; sleep .1; done'"));
    let errand = Errand::new(&command);
    let cancel = async {
        begun(&word).await;
        token.cancel();
        Instant::now()
    };
    let ((ran, _), cancelled) = tokio::join!(errand.on(&*host, &token), cancel);
    let took = cancelled.elapsed();
    end(&word);
    let Err(HostError::Lost { said, .. }) = ran else {
        panic!("{ran:?}");
    };
    assert!(
        said.contains("the command was cancelled after ") && said.ends_with("(by `sudo`)"),
        "{said}"
    );
    assert!(took < Duration::from_secs(15), "{took:?}");
    is_gone(&word).await;
}

/// What another user runs in its group, as `sudo` makes it, is nothing that it may end.
#[tokio::test]
async fn what_is_another_user_s_is_not_said_to_have_ended() {
    let sshd = Sshd::start();
    let host = plain(&sshd);
    let (sudo, never) = (Sudo::new(), CancellationToken::new());
    assert_eq!(run(&*host, "id -u").await.1, ["65534"]);
    assert_eq!(run(&*host, &sudo.runs("id -u")).await.1, ["0"]);
    for grace in [Duration::ZERO, Duration::from_millis(500)] {
        let long = sleep();
        let command = sudo.runs(&long);
        let errand = Errand {
            timeout: Duration::from_secs(2),
            grace,
            ..Errand::new(&command)
        };
        let (ran, _) = errand.on(&*host, &never).await;
        let Err(HostError::Lost { said, .. }) = ran else {
            panic!("{ran:?}");
        };
        assert!(
            said.contains("the command timed out after ") && said.ends_with("(by `sudo`)"),
            "{said}"
        );
        assert!(lives(&long));
        end(&long);
        is_gone(&long).await;
    }
    // Where all of it is its own, all is as ever.
    let errand = Errand {
        timeout: Duration::from_secs(1),
        ..Errand::new("sleep 600")
    };
    assert_eq!(
        errand.on(&*host, &never).await.0.unwrap().end,
        End::TimedOut
    );
}

/// Runs things as root, whoever calls it.
pub(crate) struct Sudo(tempfile::TempDir);

impl Sudo {
    pub(crate) fn new() -> Self {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().join("sudo");
        std::fs::copy("/usr/bin/setpriv", &path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
        Self(folder)
    }

    pub(crate) fn runs(&self, command: &str) -> String {
        let sudo = self.0.path().join("sudo");
        format!(
            "{} --reuid=0 --regid=0 --clear-groups {command}; true",
            sudo.display()
        )
    }
}

/// Ends what has that word in its command line.
pub(crate) fn end(word: &str) {
    let done = std::process::Command::new("pkill")
        .args(["-KILL", "-f", word])
        .status();
    assert!(done.unwrap().success());
}

pub(super) async fn hides_what_is_secret(host: &dyn Host) {
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
        begun(&long).await;
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
    let _ = tokio::join!(errand.on(host, &token), look);
    // Who says so hands it on.
    let errand = Errand {
        hidden: vec![("TOKEN".to_owned(), "s3cr3t".to_owned())],
        ..Errand::new("sh -c 'echo \"[$TOKEN]\"'; export TOKEN; sh -c 'echo \"[$TOKEN]\"'")
    };
    let (_, lines) = errand.on(host, &CancellationToken::new()).await;
    assert_eq!(lines, ["[]", "[s3cr3t]"]);
}
