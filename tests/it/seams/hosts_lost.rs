//! A host that vanishes in the middle of each step: what was not begun is out of reach, what may
//! have had its effect is called lost, and what changes nothing is asked once more.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cutover::platform::host::{Host, HostError, Local, Socket};
use cutover::platform::process::End;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, at, host, run};
use crate::world::patience::{PATIENCE, until, within};
use crate::world::slow_line::SlowLine;
use crate::world::sshd::Sshd;

/// With tools of its own before those of the system.
const OWN_TOOLS: &str = "SetEnv PATH=DIR/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Puts one of its own on such a host.
fn tool(sshd: &Sshd, name: &str, script: &str) {
    fs::create_dir_all(sshd.path("bin")).unwrap();
    let path = sshd.path(&format!("bin/{name}"));
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A host on which one command stops before it does its work, until it may go on.
struct Stopping {
    sshd: Sshd,
    host: Arc<dyn Host>,
    home: tempfile::TempDir,
}

impl Stopping {
    fn at(command: &str) -> Self {
        let sshd = Sshd::start_with(OWN_TOOLS);
        let stop = sshd.path("stop");
        let script = format!(
            "test -e {stop} && {{ echo > {stop}; while test -e {stop}; do sleep .02; done; }}\nexec /usr/bin/{command} \"$@\""
        );
        tool(&sshd, command, &script);
        Self {
            host: at(&sshd, "deploy"),
            sshd,
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Lets the host vanish while that verb is stopped; then what is left of it goes on.
    async fn lost<T>(&mut self, verb: impl Future<Output = T>) -> T {
        // The host answers, so that nothing is lost by a connection that is not there yet.
        self.host.reach().await.unwrap();
        let stop = self.sshd.path("stop");
        fs::write(&stop, "").unwrap();
        let vanish = async {
            until("the verb is stopped", || {
                fs::read(&stop).is_ok_and(|it| !it.is_empty())
            })
            .await;
            self.sshd.vanish();
        };
        let both = async { tokio::join!(verb, vanish) };
        let (came, ()) = within("what is lost is told", both).await;
        fs::remove_file(stop).unwrap();
        came
    }
}

fn is_lost<T: std::fmt::Debug>(came: Result<T, HostError>) {
    let Err(HostError::Lost { said, .. }) = &came else {
        panic!("{came:?}");
    };
    let end = ": the connection was lost before the answer came";
    assert!(
        said.starts_with("web1 (root@") && said.ends_with(end),
        "{said}"
    );
}

fn is_out_of_reach<T: std::fmt::Debug>(came: Result<T, HostError>) {
    let refused =
        matches!(&came, Err(HostError::OutOfReach(said)) if said.contains("Connection refused"));
    assert!(refused, "{came:?}");
}

#[tokio::test]
async fn a_rename_may_have_had_its_effect() {
    let mut it = Stopping::at("mv");
    let (from, to) = (it.path("w0"), it.path("w100"));
    fs::write(&from, "").unwrap();
    let host = Arc::clone(&it.host);
    is_lost(it.lost(host.rename(&from, &to)).await);
    // It had, after we had heard nothing: who says that it is not known is right.
    until("it is renamed", || to.exists()).await;
    is_out_of_reach(host.rename(&to, &from).await);
    it.sshd.come_back(false);
    assert_eq!(host.rename(&to, &from).await, Ok(true));
}

/// What goes with the question, and what is too long for that.
const LENGTHS: [usize; 2] = [100, 100_000];

#[tokio::test]
async fn a_replacement_may_have_had_its_effect() {
    for length in LENGTHS {
        let mut it = Stopping::at("mv");
        let file = it.path("w.map");
        fs::write(&file, "old").unwrap();
        let (host, new) = (Arc::clone(&it.host), vec![b'x'; length]);
        is_lost(it.lost(host.replace(&file, &new)).await);
        until("it is replaced", || {
            fs::read(&file).is_ok_and(|it| it == new)
        })
        .await;
        // Nothing is left beside it.
        until("nothing is left beside it", || {
            fs::read_dir(it.home.path()).unwrap().count() == 1
        })
        .await;
        is_out_of_reach(host.replace(&file, b"newer").await);
    }
}

/// All of it is there when the host vanishes, and is being made fast: who is told that nothing was
/// begun reads the old one elsewhere, and must not be wrong a moment later.
#[tokio::test]
async fn a_replacement_that_is_not_said_to_be_lost_has_no_effect() {
    for (length, at) in LENGTHS.into_iter().zip(["sync", "wc"]) {
        let mut it = Stopping::at(at);
        let file = it.path("w.map");
        fs::write(&file, "old").unwrap();
        let host = Arc::clone(&it.host);
        is_out_of_reach(it.lost(host.replace(&file, &vec![b'x'; length])).await);
        until("nothing is left beside it", || {
            fs::read_dir(it.home.path()).unwrap().count() == 1
        })
        .await;
        assert_eq!(fs::read(&file).unwrap(), b"old");
    }
}

/// The word that lets it begin was on its way for long: whoever sent it may have given up, and read
/// over another way what is there.
#[tokio::test]
async fn what_is_let_begin_too_late_is_not_begun() {
    let sshd = Sshd::start_with(OWN_TOOLS);
    // A clock on which so much has passed whenever it is looked at.
    let clock = sshd.path("clock");
    let script = format!("echo 20 >> {clock}; echo $((1000 + 20 * $(wc -l < {clock})))");
    tool(&sshd, "date", &script);
    let home = tempfile::tempdir().unwrap();
    let [file, other] = ["w0", "w100"].map(|name| home.path().join(name));
    fs::write(&file, "old").unwrap();
    let host = at(&sshd, "deploy");
    for length in LENGTHS {
        let failed = host.replace(&file, &vec![b'x'; length]).await;
        let told =
            matches!(&failed, Err(HostError::OutOfReach(said)) if said.ends_with("came too late"));
        assert!(told, "{failed:?}");
    }
    let failed = host.rename(&file, &other).await;
    assert!(
        matches!(&failed, Err(HostError::OutOfReach(_))),
        "{failed:?}"
    );
    assert_eq!(fs::read(&file).unwrap(), b"old");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

/// One of which a part is there.
#[tokio::test]
async fn a_part_of_a_replacement_replaces_nothing() {
    let sshd = Sshd::start();
    let line = SlowLine::to(sshd.port(), Duration::ZERO, 250_000);
    let host = host(json!({
        "address": format!("root@127.0.0.1:{}", line.port()),
        "key": sshd.path("deploy"),
        "host-key": sshd.fingerprint(),
    }));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("w.map");
    fs::write(&file, "old").unwrap();
    let begun = || {
        let mut entries = fs::read_dir(home.path()).unwrap().flatten();
        entries.any(|entry| entry.file_name() != "w.map" && entry.metadata().unwrap().len() > 0)
    };
    // It is sent once more, as nothing was begun.
    let cut = async {
        for _ in 0..2 {
            until("a part of it is there", begun).await;
            sshd.cut();
            until("that part is gone", || !begun()).await;
        }
    };
    let content = vec![b'x'; 1_000_000];
    let both = async { tokio::join!(host.replace(&file, &content), cut) };
    let (came, ()) = within("what is lost is told", both).await;
    let told = matches!(&came, Err(HostError::OutOfReach(said)) if said.ends_with("before the answer came"));
    assert!(told, "{came:?}");
    until("nothing is left beside it", || {
        fs::read_dir(home.path()).unwrap().count() == 1
    })
    .await;
    assert_eq!(fs::read(&file).unwrap(), b"old");
}

#[tokio::test]
async fn what_changes_nothing_is_asked_once_more() {
    let mut it = Stopping::at("stat");
    let file = it.path("w.map");
    fs::write(&file, "old").unwrap();
    let host = Arc::clone(&it.host);
    is_out_of_reach(it.lost(host.read(&file, 9)).await);
    is_out_of_reach(host.kind(&file).await);
    is_out_of_reach(host.list(it.home.path()).await);
    is_out_of_reach(host.writable(it.home.path()).await);
    is_out_of_reach(host.connect(&Socket::Unix(file.clone())).await.map(drop));
    it.sshd.come_back(false);
    // Cut again and again, it is answered over a new connection.
    for _ in 0..3 {
        it.sshd.cut();
        assert_eq!(host.read(&file, 9).await.unwrap().content, b"old");
    }
}

/// The lock goes with the connection, so that nobody waits for who is gone.
#[tokio::test]
async fn a_lock_is_given_back_by_a_lost_connection() {
    let mut it = Stopping::at("flock");
    let (lock, short) = (it.path("a.lock"), Duration::from_millis(100));
    let host = Arc::clone(&it.host);
    let held = host.lock(&lock, short).await.unwrap().unwrap();
    assert!(Local.lock(&lock, short).await.unwrap().is_none());
    it.sshd.cut();
    assert!(Local.lock(&lock, PATIENCE).await.unwrap().is_some());
    drop(held);
    let came = it
        .lost(host.lock(&lock, short))
        .await
        .map(|held| held.is_some());
    let lost = matches!(&came, Err(HostError::OutOfReach(said)) if said.ends_with(": the connection was lost"));
    assert!(lost, "{came:?}");
    assert!(Local.lock(&lock, PATIENCE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_socket_ends_with_the_host() {
    let mut sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = Socket::Tcp("127.0.0.1".to_owned(), port);
    let both = async { tokio::join!(host.connect(&to), listener.accept()) };
    let (stream, far) = within("they are connected", both).await;
    let (mut stream, _far) = (stream.unwrap(), far.unwrap());
    sshd.vanish();
    let mut said = Vec::new();
    // An end or an error, but nothing that was waited for in vain.
    let _ = within("the socket ends", stream.read_to_end(&mut said)).await;
    assert_eq!(said, b"");
}

/// In the middle of the login: one that takes us and says nothing, one that ends in the middle.
#[tokio::test]
async fn a_login_that_does_not_come_to_its_end_is_told() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dumb = host(json!({
        "address": format!("root@127.0.0.1:{port}"),
        "key": sshd.path("deploy"),
        "host-key": sshd.fingerprint(),
    }));
    let silent = async {
        let _held = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    let failed = tokio::select! {
        failed = within("it is told", dumb.reach()) => failed.unwrap_err(),
        () = silent => unreachable!(),
    };
    assert!(
        matches!(&failed, HostError::OutOfReach(said) if said.ends_with("does not let us in within 20 s")),
        "{failed:?}"
    );
    let ends = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 8];
            let _ = stream.read(&mut heard).await;
        }
    };
    let failed = tokio::select! {
        failed = within("it is told", dumb.reach()) => failed.unwrap_err(),
        () = ends => unreachable!(),
    };
    assert!(matches!(&failed, HostError::OutOfReach(_)), "{failed:?}");
}

/// A server that lets in one session only: the shell that stays gives way to a command.
#[tokio::test]
async fn one_session_at_a_time_is_enough() {
    let sshd = Sshd::start_with("MaxSessions 1");
    let host = at(&sshd, "deploy");
    let here = Path::new("/");
    for _ in 0..3 {
        assert!(host.kind(here).await.unwrap().is_some());
        assert_eq!(run(&*host, "exit 3").await.0, End::Code(3));
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

/// The server runs nothing, as one whose memory is full, and makes no room for the command either.
#[tokio::test]
async fn a_host_that_begins_nothing_is_not_waited_for() {
    let sshd = Sshd::start();
    let host = at(&sshd, "deploy");
    // Who runs a command is a child of whom we are connected with.
    let (_, said) = run(&*host, "cut -d ' ' -f 4 /proc/$PPID/stat").await;
    let server = &said[0];
    let name = fs::read_to_string(format!("/proc/{server}/comm")).unwrap();
    assert!(name.starts_with("sshd"), "{name}");
    let open = |number: &usize| Path::new(&format!("/proc/{server}/fd/{number}")).exists();
    until("nothing is left of the command", || {
        // The session's own are those that it had before.
        !lives_below(server)
    })
    .await;
    let most = (0..).take_while(open).count();
    let limited = std::process::Command::new("prlimit")
        .args([format!("--nofile={most}:{most}"), format!("--pid={server}")])
        .status();
    assert!(limited.unwrap().success());
    let never = CancellationToken::new();
    let (ran, _) = Errand::new("true").on(&*host, &never).await;
    assert!(matches!(&ran, Err(HostError::OutOfReach(_))), "{ran:?}");
}

/// Whether a process has children.
fn lives_below(parent: &str) -> bool {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
    !children.unwrap().is_empty()
}
