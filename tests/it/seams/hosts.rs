//! The contract of hosts: what a verb does on this machine it does on any other. Held against
//! this machine, against a real sshd, and in `hosts_docker` against a container of a real engine.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover::config::docker_host::Engine;
use cutover::config::kinds::Block;
use cutover::platform::host::{Host, HostError, Hosts, Kind, Local, Socket};
use cutover::platform::http::Http;
use cutover::platform::process::{End, Ran, Script};
use cutover::platform::secret::Vault;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::world::patience::within;
use crate::world::sshd::Sshd;

/// Builds hosts as a config has them.
pub(crate) fn built(
    blocks: &[(&str, Value)],
    agent: Option<&Path>,
) -> (Hosts, Vec<(String, String)>) {
    let blocks: Vec<(String, Block)> = blocks
        .iter()
        .map(|(name, block)| {
            let mut block = block.clone();
            block["kind"] = block.get("kind").cloned().unwrap_or(json!("ssh"));
            ((*name).to_owned(), serde_json::from_value(block).unwrap())
        })
        .collect();
    let blocks = blocks.iter().map(|(name, block)| (name, block));
    let with = cutover::hosts::Tools {
        name: String::new(),
        directory: "/".into(),
        vault: Vault::default(),
        agent: agent.map(ToOwned::to_owned),
        http: Http::default(),
        engine: Engine::default(),
        others: Hosts::default(),
    };
    cutover::hosts::all(blocks, &with)
}

/// The one host of a block.
pub(crate) fn host(block: Value) -> Arc<dyn Host> {
    let (hosts, wrong) = built(&[("web1", block)], None);
    assert_eq!(wrong, []);
    hosts.named(Some("web1")).unwrap()
}

/// A host that is this sshd, logged in with one of its keys.
pub(crate) fn at(sshd: &Sshd, key: &str) -> Arc<dyn Host> {
    host(json!({
        "address": sshd.address(),
        "key": sshd.path(key),
        "host-key": sshd.fingerprint(),
    }))
}

/// A command, as short as can be.
pub(crate) struct Errand<'a> {
    pub(crate) run: &'a str,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) hidden: Vec<(String, String)>,
}

impl<'a> Errand<'a> {
    pub(crate) fn new(run: &'a str) -> Self {
        Self {
            run,
            timeout: Duration::from_secs(90),
            grace: Duration::from_secs(2),
            hidden: Vec::new(),
        }
    }

    /// Runs it, and returns all lines that it printed.
    pub(crate) async fn on(
        &self,
        host: &dyn Host,
        cancelled: &CancellationToken,
    ) -> (Result<Ran, HostError>, Vec<String>) {
        let lines = Mutex::new(Vec::new());
        let vault = Vault::default();
        let script = Script {
            run: self.run,
            directory: Path::new("/tmp"),
            variables: &[("SLOT".to_owned(), "blue it's".to_owned())],
            timeout: self.timeout,
            grace: self.grace,
            vault: &vault,
        };
        let say = |line| lines.lock().unwrap().push(line);
        let ran = host.run(&script, &self.hidden, &say, cancelled);
        let ran = within("the command ends", ran).await;
        (ran, lines.into_inner().unwrap())
    }
}

/// Runs a command to its end.
pub(crate) async fn run(host: &dyn Host, command: &str) -> (End, Vec<String>) {
    let (ran, lines) = Errand::new(command)
        .on(host, &CancellationToken::new())
        .await;
    (ran.unwrap().end, lines)
}

pub(super) async fn keeps_to_the_contract(host: &dyn Host) {
    host.reach().await.unwrap();
    let said = |lines: &[&str]| lines.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let (end, lines) = run(
        host,
        "echo \"$SLOT\"; pwd; cat; echo 'Á é' >&2; printf end; exit 3",
    )
    .await;
    assert_eq!(
        (end, lines),
        (End::Code(3), said(&["blue it's", "/tmp", "Á é", "end"]))
    );
    // The order of both streams is kept, and nothing of much is lost.
    let much = "i=0; while [ $i -lt 3000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    let (end, lines) = run(host, much).await;
    let wanted: Vec<_> = (0..3000)
        .flat_map(|i| [format!("o{i}"), format!("e{i}")])
        .collect();
    assert_eq!((end, lines), (End::Code(0), wanted));

    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("it's a file");
    std::fs::write(&file, b"one\n\0two").unwrap();
    assert_eq!(host.kind(&file).await, Ok(Some(Kind::File)));
    assert_eq!(host.kind(home.path()).await, Ok(Some(Kind::Directory)));
    assert_eq!(
        host.kind(Path::new("/dev/null")).await,
        Ok(Some(Kind::Other))
    );
    assert_eq!(host.kind(Path::new("/no/such")).await, Ok(None));
    let seen = host.read(&file, 5).await.unwrap();
    assert_eq!(seen.content, b"one\n\0");
    assert!(seen.age < Duration::from_secs(60), "{:?}", seen.age);
    for wrong in [home.path(), Path::new("/no/such"), Path::new("/dev/null")] {
        let read = host.read(wrong, 5).await;
        assert!(matches!(read, Err(HostError::Refused(_))), "{read:?}");
    }

    let unix = home.path().join("a.sock");
    let listener = tokio::net::UnixListener::bind(&unix).unwrap();
    let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let answer = async |mut stream: Box<dyn cutover::platform::host::Stream>| {
        let mut heard = [0; 4];
        let asked = stream.read_exact(&mut heard).await.is_ok();
        if asked {
            stream.write_all(&heard).await.unwrap();
        }
        asked
    };
    for to in [
        Socket::Unix(unix),
        Socket::Tcp("127.0.0.1".to_owned(), port),
    ] {
        let ask = async {
            let mut stream = host.connect(&to).await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            said
        };
        // Some look first whether anybody is there.
        let serve = async {
            while !tokio::select! {
                one = listener.accept() => answer(Box::new(one.unwrap().0)).await,
                one = tcp.accept() => answer(Box::new(one.unwrap().0)).await,
            } {}
        };
        let both = async { tokio::join!(ask, serve) };
        assert_eq!(within("it is answered", both).await.0, b"ping");
    }
    for to in [
        Socket::Unix("/no/such".into()),
        Socket::Tcp("127.0.0.1".to_owned(), 1),
    ] {
        let failed = host.connect(&to).await.err().unwrap();
        assert!(matches!(failed, HostError::OutOfReach(_)), "{failed:?}");
    }
}

#[tokio::test]
async fn this_machine() {
    keeps_to_the_contract(&Local).await;
}

#[tokio::test]
async fn a_machine_over_ssh() {
    let sshd = Sshd::start();
    keeps_to_the_contract(&*at(&sshd, "deploy")).await;
}

/// What its login says is no part of what a command prints.
#[tokio::test]
async fn a_machine_whose_login_greets() {
    let sshd = Sshd::start();
    keeps_to_the_contract(&*at(&sshd, "noisy")).await;
    // The same from a real `.bashrc`, without a line break at its end.
    sshd.key("bash", &[]);
    let public = std::fs::read_to_string(sshd.path("bash.pub")).unwrap();
    std::fs::write(
        sshd.path("bashrc"),
        "echo hi; echo oh >&2; printf 'no break'\n",
    )
    .unwrap();
    let authorized = sshd.path("authorized_keys");
    let others = std::fs::read_to_string(&authorized)
        .unwrap()
        .replace(&public, "");
    let login = format!(
        r#"command="BASH_ENV={} exec bash -c \"$SSH_ORIGINAL_COMMAND\"" {public}"#,
        sshd.path("bashrc")
    );
    std::fs::write(&authorized, others + &login).unwrap();
    keeps_to_the_contract(&*at(&sshd, "bash")).await;
}

#[tokio::test]
async fn many_machines_at_once_and_many_questions_to_one() {
    let sshds: Vec<Sshd> = (0..24).map(|_| Sshd::start()).collect();
    let hosts: Vec<_> = sshds.iter().map(|sshd| at(sshd, "deploy")).collect();
    let all = hosts.iter().map(|host| run(&**host, "echo $((6*7))"));
    for (end, lines) in futures_util::future::join_all(all).await {
        assert_eq!((end, lines), (End::Code(0), vec!["42".to_owned()]));
    }
    // More than OpenSSH lets in over one connection.
    let many = (0..24).map(|_| run(&*hosts[0], "echo 1"));
    for (end, _) in futures_util::future::join_all(many).await {
        assert_eq!(end, End::Code(0));
    }
    // Who holds a lock asks for more, and so may many at once.
    let folder = tempfile::tempdir().unwrap();
    let locked = (0..10).map(|n| {
        let (host, path) = (&hosts[0], folder.path().join(n.to_string()));
        async move {
            let held = host.lock(&path, Duration::from_secs(30)).await.unwrap();
            assert!(held.is_some());
            host.kind(&path).await.unwrap()
        }
    });
    for kind in futures_util::future::join_all(locked).await {
        assert_eq!(kind, Some(Kind::File));
    }
    let logins = sshds[0].log().matches("Accepted publickey").count();
    assert_eq!(logins, 1, "{}", sshds[0].log());
}
