//! A container as a host, held to the contract of hosts on a real Docker engine, and what can be wrong
//! with a container. The container sees this machine's `/tmp`.

use std::path::Path;

use cutover::platform::host::{HostError, Kind, Socket};
use cutover::platform::process::End;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, built, host, keeps_to_the_contract, run};
use super::hosts_ends::{
    begun, ends_what_is_given_up, ends_what_never_stops_printing, ends_what_takes_too_long,
    hides_what_is_secret, is_gone, sleep,
};
use super::hosts_files::keeps_files;
use super::hosts_uploads::brings_a_folder;
use crate::world::patience::within;
use crate::world::registry::load;
use crate::world::sshd::Sshd;
use crate::world::vessel::Vessel;

const SOCAT: &str = "/usr/bin/socat";
const FLOCK: &str = "/usr/bin/flock";

#[tokio::test]
async fn a_container() {
    let vessel = Vessel::with(&[SOCAT, FLOCK]);
    let host = host(vessel.block());
    keeps_to_the_contract(&*host).await;
    keeps_files(&*host).await;
    brings_a_folder(&*host).await;
}

#[tokio::test]
async fn what_is_run_in_a_container_ends() {
    let vessel = Vessel::with(&[]);
    let host = host(vessel.block());
    ends_what_takes_too_long(&*host).await;
    ends_what_is_given_up(&*host).await;
    ends_what_never_stops_printing(&*host).await;
    hides_what_is_secret(&*host).await;
    let (end, _) = run(&*host, "kill -9 $$").await;
    assert_eq!(end, End::Code(137));
}

/// Whoever may ask the engine sees command lines and variables of what runs in a container.
#[tokio::test]
async fn a_secret_is_not_seen_at_the_engine() {
    let vessel = Vessel::with(&[]);
    let (host, long) = (host(vessel.block()), sleep());
    let command = format!("export TOKEN; test $TOKEN = in-the-open && {long}");
    let errand = Errand {
        hidden: vec![("TOKEN".to_owned(), "in-the-open".to_owned())],
        ..Errand::new(&command)
    };
    let token = CancellationToken::new();
    let look = async {
        begun(&long).await;
        let ids = vessel.dockerd.container("edge")["ExecIDs"].clone();
        let ids = ids.as_array().unwrap();
        assert_eq!(ids.len(), 1);
        let path = format!("/exec/{}/json", ids[0].as_str().unwrap());
        let seen = vessel.dockerd.ask("GET", &path, "").to_string();
        assert!(seen.contains("\"arguments\""), "{seen}");
        assert!(
            !seen.contains("in-the-open") && !seen.contains(&long),
            "{seen}"
        );
        token.cancel();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(&*host, &token), look);
    assert_eq!(ran.unwrap().end, End::Cancelled);
}

#[tokio::test]
async fn a_container_that_ends_in_the_middle_is_told_and_leaves_nothing() {
    let vessel = Vessel::with(&[]);
    let host = host(vessel.block());
    for what in ["kill", "restart?t=0"] {
        let long = sleep();
        let command = format!("echo begun; {long}");
        let (errand, never) = (Errand::new(&command), CancellationToken::new());
        let ((ran, _), ()) = tokio::join!(errand.on(&*host, &never), async {
            begun(&long).await;
            vessel.act(what, "edge");
        });
        let Err(HostError::Lost { said, last_lines }) = ran else {
            panic!("{ran:?}");
        };
        assert!(
            said.starts_with("web1 (container edge): the container ended after ")
                && said.ends_with("how it ended is not known"),
            "{said}"
        );
        assert_eq!(last_lines, ["begun"]);
        is_gone(&long).await;
        if what == "kill" {
            let failed = host.reach().await.unwrap_err().to_string();
            assert!(
                failed.ends_with("it does not run: it is exited, and ended with 137; `docker start edge` starts it"),
                "{failed}"
            );
            vessel.act("start", "edge");
        }
        assert_eq!(
            host.kind(Path::new("/bin")).await,
            Ok(Some(Kind::Directory))
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_container_is_said() {
    let vessel = Vessel::with(&[]);
    let with = |key: &str, value: Value| {
        let mut block = vessel.block();
        block[key] = value;
        host(block)
    };
    let edge = host(vessel.block());
    let reached = edge.reach().await.unwrap();
    assert!(reached.starts_with("edge at /tmp/"), "{reached}");
    vessel.act("pause", "edge");
    let failed = edge.reach().await.unwrap_err().to_string();
    assert_eq!(
        failed,
        "web1 (container edge): it is paused; `docker unpause edge` lets it go on"
    );
    vessel.act("unpause", "edge");
    let failed = with("container", json!("egde")).reach().await.unwrap_err();
    assert!(
        failed.to_string().contains("has no container of that name"),
        "{failed}"
    );
    let failed = with("engine", json!("unix:///gone.sock")).reach().await;
    let failed = failed.unwrap_err().to_string();
    assert!(
        failed.contains("the engine at /gone.sock does not answer"),
        "{failed}"
    );
    let nobody = with("user", json!("65534"));
    assert_eq!(run(&*nobody, "id -u").await.1, ["65534"]);
    let stranger = with("user", json!("stranger")).reach().await.unwrap_err();
    assert!(stranger.to_string().contains("stranger"), "{stranger}");

    // An image of one program alone.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("app")).unwrap();
    std::fs::copy(crate::world::registry::busybox(), root.join("app/sleep")).unwrap();
    load(&vessel.dockerd, &root, "bare", "v1", "");
    vessel.start("bare", "bare:v1", &["/app/sleep", "1000"]);
    let failed = with("container", json!("bare")).reach().await.unwrap_err();
    assert!(
        failed
            .to_string()
            .contains("its image has no shell (`sh`), through which everything is done in it"),
        "{failed}"
    );
}

/// BusyBox alone: its `nc` knows no unix sockets.
#[tokio::test]
async fn a_connection_is_made_by_what_is_there() {
    let vessel = Vessel::with(&[]);
    let host = host(vessel.block());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        loop {
            // The first one only looks whether anybody is there.
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 4];
            if stream.read_exact(&mut heard).await.is_ok() {
                stream.write_all(&heard).await.unwrap();
                return;
            }
        }
    };
    let ask = async {
        let to = Socket::Tcp("127.0.0.1".to_owned(), port);
        let mut stream = host.connect(&to).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        said
    };
    let both = async { tokio::join!(ask, serve) };
    assert_eq!(within("it is answered", both).await.0, b"ping");
    let to = Socket::Tcp("127.0.0.1".to_owned(), 1);
    let failed = host.connect(&to).await.err().unwrap();
    assert!(failed.to_string().ends_with("nobody listens"), "{failed}");
    let socket = vessel.dockerd.socket();
    let failed = host.connect(&Socket::Unix(socket)).await.err().unwrap();
    assert!(
        failed
            .to_string()
            .contains("it has neither `socat` nor an `nc` that knows unix sockets"),
        "{failed}"
    );
}

/// Its engine is on another machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_on_another_machine() {
    let (vessel, sshd) = (Vessel::with(&[]), Sshd::start());
    let mut block = vessel.block();
    block["host"] = json!("machine");
    let machine = json!({
        "address": sshd.address(), "key": sshd.path("deploy"), "host-key": sshd.fingerprint(),
    });
    let (hosts, wrong) = built(&[("inside", block), ("machine", machine)], None);
    assert_eq!(wrong, []);
    let inside = hosts.named(Some("inside")).unwrap();
    let reached = inside.reach().await.unwrap();
    assert!(
        reached.starts_with("edge at /tmp/") && reached.ends_with(" on machine"),
        "{reached}"
    );
    assert_eq!(
        run(&*inside, "echo $((6*7)); exit 3").await,
        (End::Code(3), vec!["42".to_owned()])
    );
    ends_what_is_given_up(&*inside).await;

    let long = sleep();
    let (command, never) = (format!("echo begun; {long}"), CancellationToken::new());
    let errand = Errand::new(&command);
    let cut = async {
        begun(&long).await;
        sshd.cut();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(&*inside, &never), cut);
    assert!(
        matches!(&ran, Err(HostError::Lost { last_lines, .. }) if last_lines == &["begun"]),
        "{ran:?}"
    );
    is_gone(&long).await;
    assert_eq!(run(&*inside, "exit 4").await.0, End::Code(4));
}

#[test]
fn a_way_that_leads_back_is_refused() {
    let over = |host: &str| json!({ "kind": "docker-exec", "container": "edge", "host": host });
    let (_, wrong) = built(
        &[("a", over("b")), ("b", over("a")), ("c", over("d"))],
        None,
    );
    let said: Vec<_> = wrong
        .iter()
        .map(|(name, said)| format!("{name}: {said}"))
        .collect();
    assert_eq!(
        said,
        [
            "c: host: unknown host \"d\"; the environment has no `hosts`",
            "a: the way leads over hosts that lead back here",
            "b: the way leads over hosts that lead back here",
        ]
    );
}
