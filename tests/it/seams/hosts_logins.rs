//! Who gets in and who must not: every kind of key, and every kind of stranger.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cutover::platform::host::HostError;
use cutover::platform::process::End;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::hosts::{Errand, at, built, host, run};
use super::hosts_ends::{begun, is_gone, sleep};
use crate::world::patience::until_blocking;
use crate::world::sshd::{Sshd, fingerprint, make_key};

fn with(sshd: &Sshd, more: Value) -> Value {
    let mut block = json!({ "address": sshd.address(), "host-key": sshd.fingerprint() });
    for (key, value) in more.as_object().unwrap() {
        block[key] = value.clone();
    }
    block
}

async fn refused(block: Value) -> String {
    host(block).reach().await.unwrap_err().to_string()
}

#[tokio::test]
async fn every_kind_of_key_gets_in() {
    let sshd = Sshd::start();
    for (name, how) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("ecdsa-256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa-384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa-521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("rsa-pem", &["-t", "rsa", "-b", "3072", "-m", "PEM"]),
        ("ed25519-pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
    ] {
        let file = sshd.key(name, how);
        let by_file = host(with(&sshd, json!({ "key": file })));
        by_file
            .reach()
            .await
            .unwrap_or_else(|failed| panic!("{name}: {failed}"));
        // As a secret: the text itself, as it was pasted, with the breaks of another system.
        let text = fs::read_to_string(&file).unwrap().replace('\n', "\r\n");
        let by_text = host(with(&sshd, json!({ "key": text })));
        by_text
            .reach()
            .await
            .unwrap_or_else(|failed| panic!("{name}: {failed}"));
    }
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 14);
}

#[tokio::test]
async fn an_encrypted_key_needs_its_passphrase() {
    let sshd = Sshd::start();
    let file = sshd.key("locked", &["-N", "open sesame", "-a", "1"]);
    let text = fs::read_to_string(&file).unwrap();
    let good = with(&sshd, json!({ "key": text, "passphrase": "open sesame" }));
    host(good).reach().await.unwrap();
    let said = refused(with(
        &sshd,
        json!({ "key": file, "passphrase": "wrong one" }),
    ))
    .await;
    assert!(
        said.contains("the key cannot be opened, is the passphrase right?"),
        "{said}"
    );
    let said = refused(with(&sshd, json!({ "key": file }))).await;
    assert!(said.contains("encrypted"), "{said}");
    let (_, wrong) = built(&[("web1", with(&sshd, json!({ "key": text })))], None);
    assert_eq!(
        wrong[0].1,
        "key: it is encrypted, and there is no `passphrase`"
    );
}

/// An agent that ends with the test.
struct Agent(Child, tempfile::TempDir);

impl Agent {
    fn start(keys: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let agent = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        until_blocking("the agent listens", || socket.exists());
        for key in keys {
            let added = Command::new("ssh-add")
                .args(["-q", key])
                .env("SSH_AUTH_SOCK", &socket)
                .status();
            assert!(added.unwrap().success());
        }
        Self(agent, folder)
    }

    fn socket(&self) -> std::path::PathBuf {
        self.1.path().join("agent")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_agent_logs_in_with_what_it_holds() {
    let sshd = Sshd::start();
    let stranger = sshd.path("stranger");
    make_key(Path::new(&stranger), &[]);
    let rsa = sshd.key("rsa", &["-t", "rsa", "-b", "2048"]);
    let agent = Agent::start(&[&stranger, &rsa]);
    let (hosts, wrong) = built(&[("web1", with(&sshd, json!({})))], Some(&agent.socket()));
    assert_eq!(wrong, []);
    let host = hosts.named(Some("web1")).unwrap();
    assert_eq!(run(&*host, "echo in").await.1, ["in"]);
    // One that holds nothing of use.
    let agent = Agent::start(&[&stranger]);
    let (hosts, _) = built(&[("web1", with(&sshd, json!({})))], Some(&agent.socket()));
    let said = hosts
        .named(Some("web1"))
        .unwrap()
        .reach()
        .await
        .unwrap_err()
        .to_string();
    let print = fingerprint(&stranger);
    assert!(
        said.contains(&format!("root may not log in with ssh-ed25519 {print}")),
        "{said}"
    );
    let (_, wrong) = built(&[("web1", with(&sshd, json!({})))], None);
    assert!(wrong[0].1.contains("no ssh agent either"), "{wrong:?}");
}

#[tokio::test]
async fn a_certificate_gets_in_where_its_authority_is_trusted() {
    let sshd = Sshd::start_with("TrustedUserCAKeys DIR/authority.pub");
    make_key(Path::new(&sshd.path("authority")), &[]);
    let mut signed = Vec::new();
    for (name, how) in [
        ("one", &["-t", "ed25519"][..]),
        ("two", &["-t", "rsa", "-b", "2048"]),
    ] {
        make_key(Path::new(&sshd.path(name)), how);
        let made = Command::new("ssh-keygen")
            .args([
                "-q",
                "-s",
                &sshd.path("authority"),
                "-I",
                "deploy",
                "-n",
                "root",
            ])
            .arg(sshd.path(&format!("{name}.pub")))
            .status();
        assert!(made.unwrap().success());
        let certificate = fs::read_to_string(sshd.path(&format!("{name}-cert.pub"))).unwrap();
        let block = with(
            &sshd,
            json!({ "key": sshd.path(name), "certificate": certificate }),
        );
        host(block)
            .reach()
            .await
            .unwrap_or_else(|failed| panic!("{name}: {failed}"));
        signed.push(certificate);
    }
    // Alone the key is nobody's, and another one's certificate is none of ours.
    let said = refused(with(&sshd, json!({ "key": sshd.path("one") }))).await;
    assert!(said.contains("may not log in with ssh-ed25519"), "{said}");
    let block = with(
        &sshd,
        json!({ "key": sshd.path("one"), "certificate": signed[1] }),
    );
    assert!(
        refused(block)
            .await
            .contains("certificate is for another key")
    );
    // From the agent, whose keys have their certificates with them.
    let agent = Agent::start(&[&sshd.path("one")]);
    let (hosts, _) = built(&[("web1", with(&sshd, json!({})))], Some(&agent.socket()));
    hosts.named(Some("web1")).unwrap().reach().await.unwrap();
}

#[tokio::test]
async fn a_host_with_another_key_is_refused_with_both() {
    let sshd = Sshd::start();
    let other = sshd.path("other");
    make_key(Path::new(&other), &[]);
    let other = fingerprint(&other);
    let said = refused(with(
        &sshd,
        json!({ "key": sshd.path("deploy"), "host-key": other }),
    ))
    .await;
    let (address, shown) = (sshd.address(), sshd.fingerprint());
    let port = address.rsplit_once(':').unwrap().1;
    let public = fs::read_to_string(sshd.path("host.pub")).unwrap();
    let key: Vec<&str> = public.split(' ').take(2).collect();
    assert_eq!(
        said,
        format!(
            "web1 ({address}): it shows a key that is not the pinned one, so nothing was sent: shown ssh-ed25519 {shown}, pinned {other}; if its owner says that the shown one is right, write `host-key: \"{shown}\"`, or add the line `[127.0.0.1]:{port} {}` to `known-hosts`; else somebody sits between",
            key.join(" ")
        )
    );
    assert!(!sshd.log().contains("Accepted"), "{}", sshd.log());
}

/// A host has several keys, and the pinned one need not be the first that it would show.
#[tokio::test]
async fn every_form_of_a_pin_is_known() {
    let sshd = Sshd::start_with("HostKey DIR/second\nHostKey DIR/third");
    let key = sshd.path("deploy");
    let mut prints = Vec::new();
    for (name, how) in [
        ("second", &["-t", "rsa", "-b", "2048"][..]),
        ("third", &["-t", "ecdsa"]),
    ] {
        make_key(Path::new(&sshd.path(name)), how);
        prints.push(fingerprint(&sshd.path(name)));
    }
    let mut sshd = sshd;
    sshd.vanish();
    sshd.come_back(false);
    let rsa = fs::read_to_string(sshd.path("second.pub")).unwrap();
    for pin in [
        prints[0].clone(),
        prints[1].clone(),
        rsa.clone(),
        format!("# both\n[127.0.0.1]:1 {rsa}\n{}", prints[1]),
    ] {
        let block = with(&sshd, json!({ "key": key, "host-key": pin }));
        host(block)
            .reach()
            .await
            .unwrap_or_else(|failed| panic!("{pin}: {failed}"));
    }
    let address = sshd.address();
    let port = address.rsplit_once(':').unwrap().1;
    let known = sshd.path("known_hosts");
    fs::write(
        &known,
        format!("other.example {rsa}[127.0.0.1]:{port} {rsa}"),
    )
    .unwrap();
    let by_file = || json!({ "address": address, "key": key, "known-hosts": known });
    host(by_file()).reach().await.unwrap();
    // Names that were hidden, as `HashKnownHosts` does.
    let hidden = Command::new("ssh-keygen")
        .args(["-Hf", &known])
        .output()
        .unwrap();
    assert!(hidden.status.success());
    assert!(fs::read_to_string(&known).unwrap().starts_with("|1|"));
    host(by_file()).reach().await.unwrap();
    // A key in wrong hands, and a file that knows nothing of this host.
    fs::write(&known, format!("[127.0.0.1]:{port} {rsa}@revoked * {rsa}")).unwrap();
    assert!(refused(by_file()).await.contains("not the pinned one"));
    fs::write(&known, format!("other.example {rsa}")).unwrap();
    let (_, wrong) = built(&[("web1", by_file())], None);
    assert!(
        wrong[0].1.contains("has no line for 127.0.0.1"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn the_way_leads_over_another_host_with_its_own_pin() {
    let (bastion, web) = (Sshd::start(), Sshd::start());
    let key = |sshd: &Sshd| json!({ "key": sshd.path("deploy") });
    let mut over = with(&web, key(&web));
    over["jump"] = json!("bastion");
    // The order in the config is of no matter.
    let blocks = [
        ("web1", over.clone()),
        ("bastion", with(&bastion, key(&bastion))),
    ];
    let (hosts, wrong) = built(&blocks, None);
    assert_eq!(wrong, []);
    let host = hosts.named(Some("web1")).unwrap();
    assert_eq!(run(&*host, "exit 5").await.0, End::Code(5));
    assert!(bastion.log().contains("Accepted publickey"));
    // One that is lost while a command is at work beyond it: the way is made again.
    let (long, never) = (sleep(), CancellationToken::new());
    let errand = Errand::new(&long);
    let cut = async {
        begun(&long).await;
        bastion.cut();
    };
    let ((ran, _), ()) = tokio::join!(errand.on(&*host, &never), cut);
    assert!(matches!(&ran, Err(HostError::Lost { .. })), "{ran:?}");
    is_gone(&long).await;
    assert_eq!(run(&*host, "exit 6").await.0, End::Code(6));
    assert_eq!(bastion.log().matches("Accepted publickey").count(), 2);
    // A bastion that is somebody else is not jumped over.
    let mut wrong_pin = with(&bastion, key(&bastion));
    wrong_pin["host-key"] = json!(web.fingerprint());
    let (hosts, _) = built(&[("web1", over.clone()), ("bastion", wrong_pin)], None);
    let said = hosts
        .named(Some("web1"))
        .unwrap()
        .reach()
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("bastion (root@127.0.0.1:"), "{said}");
    assert!(said.contains("not the pinned one"), "{said}");
    // And no way leads in circles.
    let mut back = with(&bastion, key(&bastion));
    back["jump"] = json!("web1");
    let (_, wrong) = built(&[("web1", over.clone()), ("bastion", back)], None);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let (_, wrong) = built(
        &[("web1", over), ("bastoin", with(&bastion, key(&bastion)))],
        None,
    );
    assert_eq!(
        wrong[0].1,
        "jump: unknown host \"bastion\", did you mean \"bastoin\"?"
    );
}

#[tokio::test]
async fn what_no_login_lets_in_is_told() {
    let sshd = Sshd::start();
    let stranger = sshd.path("stranger");
    make_key(Path::new(&stranger), &[]);
    let said = refused(with(&sshd, json!({ "key": stranger }))).await;
    assert!(said.contains("; it takes publickey"), "{said}");
    let nobody = at(&sshd, "nobody");
    let said = nobody.kind(Path::new("/")).await.unwrap_err().to_string();
    assert!(
        said.contains("it said: This account is currently not available."),
        "{said}"
    );
    for (key, value, word) in [
        ("host-key", "", "ssh-keyscan -p"),
        ("host-key", "SHA256:short", "is not a whole fingerprint"),
        ("host-key", "MD5:aa:bb", "is no host key"),
        ("address", "web1", "write it as user@host"),
        ("key", "-----BEGIN NOTHING-----", "this is no private key"),
        ("known-hosts", "/no/such", "/no/such cannot be read"),
        (
            "certificate",
            "x-cert-v01@openssh.com AAAA",
            "certificate: this is none",
        ),
    ] {
        let mut block = with(&sshd, json!({ "key": sshd.path("deploy") }));
        block[key] = json!(value);
        let (_, wrong) = built(&[("web1", block)], None);
        assert!(wrong[0].1.contains(word), "{wrong:?}");
    }
}
